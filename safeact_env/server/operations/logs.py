"""Log formats: lines for people, or one JSON object per line; never a secret.

Owns the two formats, the ids on each line, and which secrets are removed. Must not know what is logged.
"""

import copy
import json
import logging
import os
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import AccessFormatter, DefaultFormatter

from safeact_env.server.middleware.access_log import REQUEST
from safeact_env.server.settings import Settings
from safeact_env.sessions.executor import EPISODE

CUT = "[secret]"
MIN_SECRET = 6
"""Length from which a secret is removed; a shorter one would match everywhere."""
SECRET_NAMES = re.compile(r"(_|^)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD)$")
"""Names of environment variables whose values are secrets."""


def secrets_in(settings: Settings) -> list[str]:
    """The secrets that this process knows, the longest first."""
    found = {value for name, value in os.environ.items() if SECRET_NAMES.search(name.upper())}
    if settings.api_token is not None:
        found.add(settings.api_token.get_secret_value())
    password = urlsplit(settings.store).password if "://" in settings.store else None
    if password is not None:
        found |= {password, unquote(password)}
    return sorted((one for one in found if len(one) >= MIN_SECRET), key=len, reverse=True)


def log_config(settings: Settings) -> dict[str, Any]:
    """The logging configuration of uvicorn and everything else in this process."""
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    here, secrets = __name__, secrets_in(settings)
    names = ("Json", "Json") if settings.log_format == "json" else ("Plain", "PlainAccess")
    for formatter, name in zip(("default", "access"), names, strict=True):
        options = {} if name == "Json" else config["formatters"][formatter]
        config["formatters"][formatter] = {**options, "()": f"{here}.{name}", "secrets": secrets}
    config["loggers"]["safeact_env"] = {
        "handlers": ["default"],
        "level": settings.log_level.upper(),
        "propagate": False,
    }
    # Other libraries log only what is wrong.
    config["root"] = {"handlers": ["default"], "level": "WARNING"}
    # To these a client's mistake is a warning, with all that it sent.
    for library in ("mcp", "fastmcp"):
        config["loggers"][library] = {"level": "ERROR"}
    return config


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, CUT)
    return text


class _WithoutSecrets(logging.Formatter):
    def __init__(self, *args: Any, secrets: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return _without(super().format(record), self._secrets)


class Plain(_WithoutSecrets, DefaultFormatter):
    """Uvicorn's lines without secrets."""


class PlainAccess(_WithoutSecrets, AccessFormatter):
    """Uvicorn's lines about requests, without secrets."""


class Json(logging.Formatter):
    """One JSON object per line.

    Its fields are `time` (UTC), `level`, `logger` and `message`; inside a request `request_id` and, once it
    is known, `episode_id`; the record's `fields`; and `exception`, a traceback.
    """

    def __init__(self, *, secrets: list[str]) -> None:
        super().__init__()
        # As they look inside a JSON string.
        self._secrets = [json.dumps(secret)[1:-1] for secret in secrets]

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in (("request_id", REQUEST.get()), ("episode_id", EPISODE.get())):
            if value is not None:
                line[name] = value
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _without(json.dumps(line, ensure_ascii=True, default=str), self._secrets)
