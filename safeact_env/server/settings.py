"""The operator's settings: environment variables `SAFEACT_<NAME>`, or options of `safeact serve`.

Owns names, defaults and validation. Must not know what a setting changes.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from safeact_env.sessions.stores import MEMORY, store_maker

# An empty variable undoes the value of an image or a shell.
_OrNone = BeforeValidator(lambda value: None if value == "" else value)
OptionalPort = Annotated[int | None, _OrNone]
OptionalText = Annotated[str | None, _OrNone]
OptionalSecret = Annotated[SecretStr | None, _OrNone]

TOKEN = re.compile(r"[!-~]{1,1000}")
ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+")


class Settings(BaseSettings):
    """Settings of the server."""

    model_config = SettingsConfigDict(env_prefix="SAFEACT_")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=7860, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    also_port: OptionalPort = Field(
        default=None, ge=0, le=65_535, description="A second port for the same server; empty for none."
    )
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        default="info", description="Lowest level to log."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="`json` logs one object per line, with the ids of request and episode."
    )
    store: str = Field(
        default=MEMORY,
        description="Where to keep HTTP episodes: `memory`, `sqlite:///FILE` for several processes on one "
        "machine, or `redis://HOST:PORT/DB` for several machines.",
    )
    workers: int = Field(
        default=1, ge=1, le=256, description="Number of server processes; more than one need a shared store."
    )
    cached_episodes: int = Field(
        default=4_096,
        ge=1,
        description="Most HTTP episodes that a process caches; others are replayed when used.",
    )
    max_episodes: int = Field(default=10_000, ge=1, description="Most unfinished HTTP episodes at a time.")
    max_sessions: int = Field(default=1_024, ge=1, description="Most WebSocket sessions at a time.")
    max_finished_episodes: int = Field(
        default=40_000,
        ge=1,
        description="Most finished HTTP episodes kept. Beyond it a client's own oldest one makes way, nobody "
        "else's; a client without one gets a 503.",
    )
    client_episodes: int = Field(
        default=5_000,
        ge=1,
        description="Most unfinished HTTP episodes of a client; further ones get a 429.",
    )
    client_finished_episodes: int = Field(
        default=10_000,
        ge=1,
        description="Most finished HTTP episodes kept of one client; beyond it, its own oldest are deleted.",
    )
    client_sessions: int = Field(
        default=768, ge=1, description="Most WebSocket sessions of one client; further ones get a 429."
    )
    client_resets: int = Field(
        default=6_000, ge=1, description="Most resets of one client per minute; further ones get a 429."
    )
    client_connections: int = Field(
        default=2_000,
        ge=1,
        description="Most open HTTP connections of one client, in a process; further ones get a 429.",
    )
    idle_seconds: float = Field(
        default=3_600, gt=0, description="Seconds after which an unused HTTP episode is deleted."
    )
    keep_finished_seconds: float = Field(
        default=3_600,
        gt=0,
        description="Seconds for which a finished HTTP episode stays available for grading.",
    )
    max_body_bytes: int = Field(
        default=65_536, ge=1_024, description="Largest request body or WebSocket frame, in bytes."
    )
    api_token: OptionalSecret = Field(
        default=None,
        description="If set, all requests but probes and files of /demo need `Authorization: Bearer TOKEN`.",
    )
    test_seeds: Literal["chosen", "drawn"] = Field(
        default="chosen",
        description="`drawn` closes the split `test`: the server draws its seeds, and neither `/reset` nor "
        "`/grader` nor `/baseline` takes one that a client chose.",
    )
    rate_limit: OptionalText = Field(
        default=None,
        description="Most requests and WebSocket frames per client, such as `20/second;600/minute`.",
    )
    max_header_bytes: int = Field(
        default=32_768,
        ge=8_192,
        le=1_048_576,
        description="Most bytes of a request's headers, its first line included; more are answered with 431.",
    )
    request_seconds: float = Field(
        default=30,
        gt=0,
        le=3_600,
        description="Seconds in which a request's headers have to arrive, and then its body; else 408. A "
        "client that leaves an answer unread for as long is disconnected.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Comma-separated addresses or networks of proxies whose `X-Forwarded-For` is trusted; "
        "empty for none. On a Hugging Face Space: `10.0.0.0/8`.",
    )
    cors_origins: OptionalText = Field(
        default=None, description="Comma-separated sites whose pages may use the API from a browser, or `*`."
    )
    max_requests: int = Field(
        default=1_000, ge=1, description="Most HTTP requests in progress; further ones get a 503."
    )
    overload_seconds: float = Field(
        default=10, gt=0, description="Seconds the event loop may run late before HTTP requests get a 503."
    )
    drain_seconds: float = Field(
        default=2,
        ge=0,
        description="Seconds to wait after SIGTERM for running episodes of this process to end.",
    )
    ws_compression: bool = Field(
        default=False, description="Compress WebSocket frames: less traffic, about twice the time per step."
    )
    ws_timeout_seconds: float = Field(
        default=1_800,
        gt=0,
        le=86_400,
        description="Seconds, up to 86400, for which a WebSocket client may leave a ping unanswered, as one "
        "does whose event loop is busy; then its session ends.",
    )
    baseline_seconds: float = Field(
        default=600, gt=0, description="Seconds after which a baseline run of a model returns what it has."
    )
    baseline_local_model: bool = Field(
        default=False, description="Let baseline runs use the local model if no other is configured."
    )

    @field_validator("also_port")
    @classmethod
    def _is_another_port(cls, also: int | None, info: ValidationInfo) -> int | None:
        # Two zeros pick two free ports.
        if also and also == info.data.get("port"):
            raise PydanticCustomError("same_port", "it must differ from the first port")
        return also

    @field_validator("store")
    @classmethod
    def _known_store(cls, url: str) -> str:
        store_maker(url)
        return url

    @field_validator("workers")
    @classmethod
    def _shared_store(cls, workers: int, info: ValidationInfo) -> int:
        if workers > 1 and info.data.get("store") == MEMORY:
            raise ValueError(
                "processes cannot share episodes in memory; set SAFEACT_STORE to a shared store, such as "
                "sqlite:///episodes.db"
            )
        return workers

    @field_validator("api_token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not TOKEN.fullmatch(token.get_secret_value()):
            raise PydanticCustomError("token", "it must consist of visible ASCII characters, without spaces")
        return token

    @field_validator("rate_limit")
    @classmethod
    def _readable_limit(cls, limit: str | None) -> str | None:
        if limit is not None:
            # Imported only if there is a limit: it takes a quarter of a second.
            from limits import parse_many

            try:
                parse_many(limit)
            except ValueError:
                raise PydanticCustomError("limit", "it must look like 20/second;600/minute") from None
        return limit

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: str) -> str:
        try:
            networks(proxies)
        except ValueError:
            raise PydanticCustomError(
                "proxies", "each must be an address or a network, such as 10.0.0.0/8; no names, and not *"
            ) from None
        return proxies

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: str | None) -> str | None:
        wrong = [one for one in listed(origins) if one != "*" and not ORIGIN.fullmatch(one)]
        if wrong:
            raise PydanticCustomError(
                "origins", "each must be * or look like https://example.org, without a path"
            )
        return origins


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """The addresses and networks of a comma-separated list; raises `ValueError` if one is neither."""
    return [ip_network(part) for part in listed(text)]


def listed(text: str | None) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]
