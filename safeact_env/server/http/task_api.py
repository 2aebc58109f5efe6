"""OpenEnv's Task API and its schemas, served here so that they are the same with every version of OpenEnv.

Owns the routes; openenv-core 0.3 has no Task API and its schema leaves out this environment's state. Must not
know episodes.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException

from safeact_env.models import (
    NumberedRequest,
    RangeRequest,
    ResetRequest,
    SafeActAction,
    SafeActObservation,
    SafeActState,
    SplitRequest,
    TaskIndex,
)
from safeact_env.server.http.errors import error_docs
from safeact_env.sessions import task_index

T = TypeVar("T")

ENV_NAME = "safeact"
"""Name of the environment in paths, in lower case."""

PATHS = (
    "/list_environments",
    "/schema",
    *(f"/{{env_name}}/{name}" for name in ("splits", "tasks", "num_tasks", "task", "task_range")),
)
"""The paths that these routes serve in OpenEnv's place."""

SCHEMAS = {
    "action": SafeActAction.model_json_schema(),
    "observation": SafeActObservation.model_json_schema(),
    "state": SafeActState.model_json_schema(),
    "reset_observation": SafeActObservation.model_json_schema(),
    "reset": ResetRequest.model_json_schema(),
}
"""OpenEnv's four schemas, and that of what a reset takes."""


def task_routes() -> APIRouter:
    """The routes."""
    router = APIRouter()
    options: dict[str, Any] = {"tags": ["Task API"], "dependencies": [Depends(_known)]}
    listing = {**options, "responses": error_docs("not_found")}
    options["responses"] = error_docs("not_found", "malformed_json", "body_too_large")
    router.get("/schema", tags=["Schema"])(schema)
    router.get("/list_environments", tags=["Task API"])(environments)
    router.get("/{env_name}/splits", **listing)(splits)
    router.post("/{env_name}/tasks", **options)(tasks)
    router.post("/{env_name}/num_tasks", **options)(num_tasks)
    router.post("/{env_name}/task", **options)(task)
    router.post("/{env_name}/task_range", **options)(task_range)
    return router


async def schema() -> dict[str, Any]:
    """JSON Schemas of actions, observations and states, and of what a reset takes."""
    return SCHEMAS


async def environments() -> list[str]:
    """The one environment of this server."""
    return [ENV_NAME]


async def splits() -> list[dict[str, Any]]:
    """The splits with their sizes."""
    return task_index.splits()


async def tasks(wanted: SplitRequest) -> dict[str, Any]:
    """The first 1,000 tasks of a split."""
    return {"tasks": _found(task_index.listed, wanted.split), "env_name": ENV_NAME}


async def num_tasks(wanted: SplitRequest) -> dict[str, int]:
    """Number of tasks of a split."""
    return {"num_tasks": _found(task_index.size, wanted.split)}


async def task(wanted: NumberedRequest) -> dict[str, TaskIndex]:
    """One task of a split: what to send to /reset."""
    return {"task": TaskIndex(**_found(task_index.numbered, wanted.split, wanted.index))}


async def task_range(wanted: RangeRequest) -> dict[str, Any]:
    """The tasks of a slice, at most 1,000 of them."""
    return {"tasks": _found(task_index.listed, wanted.split, wanted.start, wanted.stop)}


async def _known(env_name: str) -> None:
    if env_name.lower() != ENV_NAME:
        raise HTTPException(404, f"there is no such environment; this server has {ENV_NAME}")


def _found(find: Callable[..., T], *wanted: Any) -> T:
    try:
        return find(*wanted)
    except IndexError as error:
        raise HTTPException(400, str(error)) from None
