"""A fast path for `POST /step` requests in the usual form.

Owns which requests are in that form. Must not know rules, nor how malformed requests are reported: every
other request goes on unchanged to the route, which checks it in full and documents it. The route takes ten
times as long as the step itself, because of FastAPI's dependencies and models.
"""

import re
from typing import Any, NamedTuple

from pydantic_core import from_json
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safeact_env.call import Call, EnvelopeError
from safeact_env.core.observation import VIEWS, View
from safeact_env.models import EPISODE_ID
from safeact_env.server.asking import ASKER, own_id
from safeact_env.server.direct import DirectAnswer, answer_of
from safeact_env.server.http.episodes import COOKIE, sole
from safeact_env.server.http.errors import error_response
from safeact_env.server.responses import answer_json
from safeact_env.server.strict_json import check_keys
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.executor import Executor
from safeact_env.sessions.service import SessionService

BODY_FIELDS = {"action", "episode_id", "request_id", "view"}
ACTION_FIELDS = {"action_name", "parameters", "reasoning"}
MAX_REQUEST_ID = 255

Headers = list[tuple[bytes, bytes]]

_is_id = re.compile(EPISODE_ID).fullmatch


class Step(NamedTuple):
    """A request in the usual form.

    Attributes:
        name: The id of the episode: that of the body, else of the header, else of the cookie.
        call: The action.
        request_id: The id of the request, as in the body.
        view: The view that the body asks for.
    """

    name: str | None
    call: Call
    request_id: str | None
    view: View | None


class FastStepMiddleware:
    """ASGI middleware that answers steps.

    Args:
        app: The app, which serves everything else.
        service: The session service.
        executor: Runs the service's work.
        limit: Largest body, in bytes.
    """

    def __init__(self, app: ASGIApp, service: SessionService, executor: Executor, limit: int) -> None:
        self.app = app
        self.service = service
        self.executor = executor
        self.limit = limit
        self.directly = None if service.store.blocking else self._answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a step, or pass on any other request."""
        if (
            scope["type"] != "http"
            or scope["path"] != "/step"
            or scope["method"] != "POST"
            or ASKER.get().agent is not None
        ):
            await self.app(scope, receive, send)
            return
        message = await receive()
        whole = not message.get("more_body", False)
        step = _step_in(scope["headers"], message.get("body", b""), self.limit) if whole else None
        if step is None:
            await self.app(scope, _replayed(message, receive), send)
            return
        try:
            body = await self._answer(step)
        except SessionError as error:
            await error_response(error.code, error.message)(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, step: Step) -> bytes:
        name = step.name
        name = await sole(self.service, self.executor.run) if name is None else own_id(name)
        return await self.executor.run(name, lambda: self._take(step, name))

    def _take(self, step: Step, name: str) -> bytes:
        session = self.service.step(name, step.call, step.request_id)
        return answer_json(session.episode, session.name, self.service.views.of(name, step.view))

    def _answered(self, scope: Scope, body: bytes) -> DirectAnswer | None:
        """The same for a request that takes the short way, which must not wait for a store."""
        step = None if ASKER.get().agent is not None else _step_in(scope["headers"], body, self.limit)
        if step is None or step.name is None:
            return None
        try:
            answer = self._take(step, own_id(step.name))
        except SessionError as error:
            return answer_of(error_response(error.code, error.message))
        return 200, b"content-length: %d\r\ncontent-type: application/json\r\n" % len(answer), answer


def _step_in(headers: Headers, body: bytes, limit: int) -> Step | None:
    """The step of a request in the usual form, of at most `limit` bytes; else `None`."""
    if not 0 < len(body) <= limit:
        return None
    named = _named_in(headers)
    if named is None:
        return None
    try:
        value = from_json(body, allow_inf_nan=False)
        check_keys(body, value)
    except (ValueError, RecursionError):
        return None
    return _step_of(value, *named)


def _named_in(headers: Headers) -> tuple[str | None, str | None] | None:
    """The ids in the header and the cookie; `None` if the headers are not in the usual form."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in (b"content-type", b"x-episode-id", b"cookie"):
            if name in found:
                return None
            found[name] = value
    if found.get(b"content-type", b"").partition(b";")[0] != b"application/json":
        return None
    header = found[b"x-episode-id"].decode("latin-1") if b"x-episode-id" in found else None
    cookie = cookie_parser(found[b"cookie"].decode("latin-1")).get(COOKIE) if b"cookie" in found else None
    if (header is None or _is_id(header)) and (cookie is None or _is_id(cookie)):
        return header, cookie
    return None


def _step_of(value: Any, header: str | None, cookie: str | None) -> Step | None:
    """The step of a body in the usual form: only known fields, all of the right type; else `None`."""
    if not isinstance(value, dict) or not value.keys() <= BODY_FIELDS:
        return None
    action, name, request_id = value.get("action"), value.get("episode_id"), value.get("request_id")
    view = value.get("view")
    if not isinstance(action, dict) or action.keys() != ACTION_FIELDS:
        return None
    if name is not None and not (isinstance(name, str) and _is_id(name)):
        return None
    if request_id is not None and not (
        isinstance(request_id, str) and request_id.isascii() and 0 < len(request_id) <= MAX_REQUEST_ID
    ):
        return None
    if view is not None and view not in VIEWS:
        return None
    try:
        return Step(name or header or cookie, Call.parse(**action), request_id, view)
    except EnvelopeError:
        return None


def _replayed(message: Message, receive: Receive) -> Receive:
    """A `receive` that returns this message again, and then the rest."""
    waiting = [message]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
