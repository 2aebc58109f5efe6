"""What an operator can set: environment variables `SAFEACT_<NAME>`, or options of `safeact serve`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from safeact_env.sessions.stores import MEMORY, store_maker

__all__ = ["Settings"]

# An empty variable takes back what an image or a shell has set.
OptionalPort = Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)]


class Settings(BaseSettings):
    """Settings of the server."""

    model_config = SettingsConfigDict(env_prefix="SAFEACT_")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=7860, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    also_port: OptionalPort = Field(
        default=None, ge=0, le=65_535, description="A further port of the same server; none if empty."
    )
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field(
        default="info", description="Least severe log level."
    )
    store: str = Field(
        default=MEMORY,
        description="Where HTTP episodes are kept: `memory`, `sqlite:///FILE` for processes of one machine, "
        "or `redis://HOST:PORT/DB` for several machines.",
    )
    workers: int = Field(
        default=1, ge=1, le=256, description="Server processes; more than one need a store that they share."
    )
    cached_episodes: int = Field(
        default=4_096,
        ge=1,
        description="Most HTTP episodes that a process holds ready; the others are replayed when used.",
    )
    max_episodes: int = Field(default=10_000, ge=1, description="Most unfinished HTTP episodes at a time.")
    max_sessions: int = Field(default=1_024, ge=1, description="Most WebSocket sessions at a time.")
    idle_seconds: float = Field(
        default=3_600, gt=0, description="Seconds after which an unused HTTP episode is forgotten."
    )
    keep_finished_seconds: float = Field(
        default=3_600, gt=0, description="Seconds for which a finished HTTP episode is kept for grading."
    )
    max_body_bytes: int = Field(
        default=65_536, ge=1_024, description="Largest request body or WebSocket frame, in bytes."
    )
    ws_compression: bool = Field(
        default=False, description="Compress WebSocket frames: smaller, at about twice the time per step."
    )
    baseline_seconds: float = Field(
        default=600,
        gt=0,
        description="Seconds after which a baseline run of a model answers with what it has.",
    )
    baseline_local_model: bool = Field(
        default=False,
        description="Whether a baseline run may play the local model, if no other is configured.",
    )

    @field_validator("also_port")
    @classmethod
    def _is_another_port(cls, also: int | None, info: ValidationInfo) -> int | None:
        # Two zeros are two free ports.
        if also and also == info.data.get("port"):
            raise PydanticCustomError("same_port", "it must be another port than the first")
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
                "each process would have its own episodes in memory; set SAFEACT_STORE to a store that they "
                "share, such as sqlite:///episodes.db"
            )
        return workers
