"""Errors as JSON, in one form: a code for programs and a message for people. They never repeat the body.

Owns the HTTP status of every code. Must not know what causes an error.
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from safeact_env.core.action import clip
from safeact_env.models import ErrorBody
from safeact_env.sessions.errors import SessionError

STATUS = {
    "malformed_json": 400,
    "malformed_request": 400,
    "unauthorized": 401,
    "foreign_page": 403,
    "held_out": 403,
    "token_required": 403,
    "trainer_only": 403,
    "unknown_episode": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_slow": 408,
    "ambiguous_episode": 409,
    "episode_done": 409,
    "episode_exists": 409,
    "episode_running": 409,
    "request_id_reused": 409,
    "version_changed": 409,
    "body_too_large": 413,
    "content_type": 422,
    "index_out_of_range": 422,
    "llm_not_configured": 422,
    "not_replayable": 422,
    "unknown_agent": 422,
    "unknown_policy": 422,
    "unknown_task": 422,
    "unknown_variant": 422,
    "busy": 429,
    "client_at_capacity": 429,
    "too_many_connections": 429,
    "too_many_resets": 429,
    "rate_limited": 429,
    "headers_too_large": 431,
    "internal_error": 500,
    "at_capacity": 503,
    "draining": 503,
    "not_ready": 503,
    "overloaded": 503,
    "store_unavailable": 503,
}
"""HTTP status of each error code."""

RETRY_AFTER = {
    "busy": "5",
    "client_at_capacity": "30",
    "too_many_connections": "5",
    "too_many_resets": "1",
    "at_capacity": "30",
    "draining": "5",
    "not_ready": "5",
    "overloaded": "1",
    "store_unavailable": "1",
}
"""Seconds after which it is worth trying again."""

MAX_LISTED = 10
FAULT = "a fault of the server; the episode was dropped, reset to start over"
"""What every transport tells a client about an internal error."""


def error_body(code: str, message: str) -> dict[str, Any]:
    """The JSON form of an error."""
    return {"detail": {"code": code, "message": message}}


def error_response(code: str, message: str, status: int | None = None) -> JSONResponse:
    """The response for an error code."""
    number = STATUS[code] if status is None else status
    headers = {"Retry-After": RETRY_AFTER[code]} if code in RETRY_AFTER else {}
    if code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(code, message), number, headers)


def body_errors(errors: Any) -> list[dict[str, Any]]:
    """The findings of a validator, without the input: errors must not send it back."""
    return [
        {
            "type": error["type"],
            "loc": [part if isinstance(part, int) else clip(str(part), 80) for part in error["loc"]],
            "msg": error["msg"],
        }
        for error in errors[:MAX_LISTED]
    ]


def readable(error: ValidationError) -> str:
    """The findings of a validator in one line."""
    found = body_errors(error.errors(include_url=False, include_input=False, include_context=False))
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in found[:3])


def error_docs(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can answer with these codes, for the OpenAPI document."""
    docs: dict[int | str, dict[str, Any]] = {}
    for code in sorted(codes, key=STATUS.__getitem__):
        text = docs.get(STATUS[code], {}).get("description", "")
        docs[STATUS[code]] = {"model": ErrorBody, "description": f"{text}, `{code}`".lstrip(", ")}
    return docs


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of the app in this form."""

    @app.exception_handler(SessionError)
    async def _session(_request: Request, error: SessionError) -> JSONResponse:
        return error_response(error.code, error.message)

    @app.exception_handler(RequestValidationError)
    async def _shape(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": body_errors(error.errors())}, 422)

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, f"http_{error.status_code}")
        message = clip(str(error.detail), 200)
        if code == "not_found" and message == "Not Found":
            message = "there is no such path; GET /docs lists all of them"
        if code == "method_not_allowed":
            message = "this path does not take this method; GET /docs lists the methods that it takes"
        response = error_response(code, message, error.status_code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def _fault(_request: Request, _error: Exception) -> JSONResponse:
        # The framework logs the traceback; the client gets a sentence.
        return error_response("internal_error", FAULT)
