"""The model and its endpoint, from environment variables or a file `.env` in the working folder.

Owns the variables and the choice of endpoint and key. Must not know how a client talks to an endpoint.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from safeact_env.llm.errors import UnreadableFile, Unusable
from safeact_env.llm.local_models import LOCAL_MODELS

__all__ = ["LOCAL", "Endpoint", "LLMSettings", "endpoint_of", "local_endpoint"]

LOCAL = "local"
"""Name of the agent that is the local model."""
LOCAL_WINDOW, LOCAL_ANSWER = 8_192, 256
WINDOW, ANSWER = 32_768, 4_096

OPENAI_URL = "https://api.openai.com/v1"
HUGGING_FACE_URL = "https://router.huggingface.co/v1"
FILE = ".env"
NO_KEY = "none"
"""Sent if no key is set: a server on your own machine often accepts any."""


class LLMSettings(BaseSettings):
    """The environment variables. Empty ones count as not set."""

    model_config = SettingsConfigDict(
        env_file=FILE,
        # Some editors begin a file in UTF-8 with a mark that would become part of the first name.
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        protected_namespaces=(),
    )

    api_base_url: str | None = Field(
        default=None,
        description="Base URL of an OpenAI-compatible endpoint, such as http://localhost:8000/v1.",
    )
    model_name: str | None = Field(default=None, description="Model to ask there.")
    openai_api_key: SecretStr | None = Field(default=None, description="Key of the endpoint.")
    hf_token: SecretStr | None = Field(
        default=None, description="Key of the endpoint, if it is one of Hugging Face or no other key is set."
    )
    openai_backend: Literal["openai", "azure"] = Field(
        default="openai", description="`azure` for a deployment of Azure OpenAI."
    )
    azure_openai_api_key: SecretStr | None = Field(default=None, description="Key of the Azure resource.")
    azure_openai_endpoint: str | None = Field(
        default=None, description="Its URL, such as https://NAME.openai.azure.com."
    )
    azure_openai_deployment: str | None = Field(default=None, description="Name of the deployment.")
    azure_openai_api_version: str = Field(default="2024-10-21", description="Version of Azure's API.")
    safeact_local_model: str | None = Field(
        default=None, description=f"The local model: {', '.join(LOCAL_MODELS)} or a GGUF file."
    )

    @classmethod
    def load(cls, file: Path | None = Path(FILE)) -> Self:
        """Read the variables.

        Args:
            file: Where some of them may stand; `None` for the environment alone.

        Raises:
            UnreadableFile: If the file is there and cannot be read.
            Unusable: If a variable has an invalid value.
        """
        if file is not None and file.is_file():
            _check_text(file)
        try:
            return cls(_env_file=file)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            name = str(first["loc"][0]).upper()
            raise Unusable(f"{name} cannot be used: {first['msg'][:1].lower()}{first['msg'][1:]}.") from None

    @property
    def remote(self) -> bool:
        """Whether an endpoint is set, or a key to one."""
        return (
            self.openai_backend == "azure"
            or self.api_base_url is not None
            or self.openai_api_key is not None
            or self.hf_token is not None
        )


def _check_text(file: Path) -> None:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error.strerror}. Correct that, or move the file away."
        ) from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UnreadableFile(
            f"{file} is not text in UTF-8, which it must be: save it as UTF-8, or move it away."
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model and its address.

    Attributes:
        kind: `openai` for anything compatible, `azure`, or `local`.
        model: Name of the model; on Azure, of the deployment.
        url: Base URL; on Azure, of the resource; empty for a local model that has not been started.
        key: Credential; never shown.
        api_version: API version, on Azure only.
        window: Tokens of a request and its answer together.
        answer: Tokens of an answer.
        file: GGUF file of a local model, if it is none of `LOCAL_MODELS`.
        licence: The terms that the weights come under, if it is one of them.
    """

    kind: Literal["openai", "azure", "local"]
    model: str
    url: str
    key: str = field(default=NO_KEY, repr=False)
    api_version: str = ""
    window: int = WINDOW
    answer: int = ANSWER
    file: Path | None = None
    licence: str | None = None

    @property
    def shown(self) -> str:
        """The address without credentials or query, for records and messages."""
        if self.kind == "local":
            return LOCAL
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"

    @property
    def terms(self) -> dict[str, str]:
        """The licence, where the model is named in a record or a report; empty if it is not known."""
        return {} if self.licence is None else {"licence": self.licence}


def endpoint_of(settings: LLMSettings, model: str | None = None) -> Endpoint:
    """Return the endpoint that the settings name.

    Args:
        settings: The variables.
        model: Name of a model, instead of `MODEL_NAME`; `local` for the local model. Without a name, key and
            endpoint it is the local model.

    Raises:
        Unusable: If something is missing; the message names it.
    """
    if model == LOCAL or (model is None and not settings.remote and settings.model_name in (None, LOCAL)):
        return local_endpoint(settings)
    if settings.openai_backend == "azure":
        return _azure(settings, model)
    name = model or settings.model_name
    url = settings.api_base_url or _usual_url(settings)
    if url is None:
        raise Unusable(
            f"To ask the model {name} a key is needed: set OPENAI_API_KEY or HF_TOKEN, and API_BASE_URL if "
            "that is another endpoint's; or play the local model with --agent local."
        )
    if name is None:
        raise Unusable(
            "An endpoint is set, but no model: set MODEL_NAME, or name the model with --agent (--agent local "
            "plays the local one)."
        )
    return Endpoint("openai", name, _checked_url("API_BASE_URL", url), _key_for(settings, url))


def local_endpoint(settings: LLMSettings) -> Endpoint:
    """Return the endpoint of the local model; it has no URL before it is started."""
    local = partial(Endpoint, "local", url="", window=LOCAL_WINDOW, answer=LOCAL_ANSWER)
    named = settings.safeact_local_model or next(iter(LOCAL_MODELS))
    if named in LOCAL_MODELS:
        return local(named, licence=LOCAL_MODELS[named].licence)
    file = Path(named)
    if not file.is_file():
        raise Unusable(
            f"SAFEACT_LOCAL_MODEL or --local-model names {named}, which is not a file. The local models are "
            f"{' and '.join(LOCAL_MODELS)}."
        )
    return local(file.stem, file=file)


def _azure(settings: LLMSettings, model: str | None) -> Endpoint:
    deployment = model or settings.azure_openai_deployment
    missing = [
        name
        for name, value in (
            ("AZURE_OPENAI_API_KEY", settings.azure_openai_api_key),
            ("AZURE_OPENAI_ENDPOINT", settings.azure_openai_endpoint),
            ("AZURE_OPENAI_DEPLOYMENT", deployment),
        )
        if not value
    ]
    if missing or not (settings.azure_openai_api_key and settings.azure_openai_endpoint and deployment):
        raise Unusable(f"OPENAI_BACKEND is azure, which needs {' and '.join(missing)} as well.")
    return Endpoint(
        "azure",
        deployment,
        _checked_url("AZURE_OPENAI_ENDPOINT", settings.azure_openai_endpoint),
        _checked_key(settings.azure_openai_api_key),
        settings.azure_openai_api_version,
    )


def _usual_url(settings: LLMSettings) -> str | None:
    """The usual endpoint of a key, if none is named."""
    if settings.openai_api_key is not None:
        return OPENAI_URL
    return HUGGING_FACE_URL if settings.hf_token is not None else None


def _key_for(settings: LLMSettings, url: str) -> str:
    """The key for this endpoint. A Hugging Face key is sent elsewhere only if it is the only one."""
    host = urlsplit(url).hostname or ""
    keys = [settings.openai_api_key, settings.hf_token]
    if host == "huggingface.co" or host.endswith((".huggingface.co", ".huggingface.cloud", ".hf.space")):
        keys.reverse()
    return next((_checked_key(key) for key in keys if key is not None), NO_KEY)


def _checked_key(key: SecretStr) -> str:
    text = key.get_secret_value().strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise Unusable("The key that is set holds characters that no key has; copy it again.")
    return text or NO_KEY


def _checked_url(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unusable(f"{name} must be a URL that begins with http:// or https://.")
    return url.rstrip("/")
