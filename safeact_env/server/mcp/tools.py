"""The actions of an episode as MCP tools.

Owns tool schemas, the tool methods of MCP, and the way from a tool call to a step and from its observation to
a result. Must not know a transport.

An agent gets the episode's actions as tools and nothing else: no reset, no state, no grade. Tools carry no
annotations: MCP's `readOnlyHint` and `destructiveHint` would say what the agent has to find out.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic_core import to_json

from safeact_env.call import MAX_STRING, Call, EnvelopeError
from safeact_env.core.action import Params
from safeact_env.core.episode import Episode
from safeact_env.core.observation import View
from safeact_env.server.mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_ERROR, Request, RpcError
from safeact_env.server.responses import view_in

REASONING = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_STRING,
    "description": "Why: recorded, never interpreted.",
}
NO_EPISODE = "no episode has been started; reset first"
OVER = "The episode is over. No further call changes anything."
METHODS = "the methods are tools/list, tools/call, openenv/session/create and openenv/session/close"

TRAINER_ONLY = ("reward", "metadata")
"""Fields of an observation that the endpoint of an episode leaves out."""

Play = Callable[[Call], Episode[Any]]


@cache
def _schema(params: type[Params]) -> dict[str, Any]:
    schema: dict[str, Any] = _without_extensions(params.schema_for_wire())
    return {
        **schema,
        "properties": {**schema["properties"], "reasoning": REASONING},
        "required": [*schema["required"], "reasoning"],
    }


def _without_extensions(schema: Any) -> Any:
    """A schema without `x-...` keys: this project's clients read them, others would show them to a model."""
    if isinstance(schema, dict):
        return {key: _without_extensions(part) for key, part in schema.items() if not key.startswith("x-")}
    return [_without_extensions(part) for part in schema] if isinstance(schema, list) else schema


def tools_of(episode: Episode[Any]) -> list[dict[str, Any]]:
    """The actions that the episode offers, sorted by name: `name`, `description`, `inputSchema`."""
    return [
        {
            "name": row["name"],
            "description": row["description"],
            "inputSchema": _schema(episode.actions[row["name"]].params),
        }
        for row in episode.observation()["available_actions"]
    ]


def result_of(
    request: Request, episode: Episode[Any] | None, play: Play, view: View = "full"
) -> dict[str, Any]:
    """The result of a request about an episode. Without an episode there are no tools.

    Args:
        request: The request. A `tools/call` may name its `view` beside `name` and `arguments`.
        episode: The episode, if one has been started.
        play: Takes a step and returns the episode.
        view: The session's view.

    Raises:
        RpcError: If the method is unknown, its parameters are wrong, or there is no episode.
    """
    if request.method == "tools/list":
        return {"tools": [] if episode is None else tools_of(episode)}
    if request.method != "tools/call":
        raise RpcError(METHOD_NOT_FOUND, METHODS)
    name, arguments = request.params.get("name"), request.params.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "params needs name, a string, and arguments, an object")
    try:
        view = view_in(request.params.get("view"), view)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from None
    if episode is None:
        raise RpcError(SERVER_ERROR, NO_EPISODE)
    return call_tool(episode, play, name, arguments, view)


def call_in(name: object, arguments: dict[str, Any]) -> Call:
    """The call in a tool call, whose arguments are the action's parameters and `reasoning`.

    Raises:
        EnvelopeError: If it is not well-formed.
    """
    given = dict(arguments)
    reasoning = given.pop("reasoning", None)
    return Call.parse(name, given, reasoning)


def call_tool(
    episode: Episode[Any], play: Play, name: str, arguments: dict[str, Any], view: View = "full"
) -> dict[str, Any]:
    """Call a tool.

    Args:
        episode: The episode.
        play: Takes a step and returns the episode.
        name: The tool. One that is not offered is an unknown action and costs a step, as on every transport.
        arguments: The action's parameters, and `reasoning`.
        view: What of the observation is sent.

    Returns:
        An MCP result: the result sentence and the state as text, the observation as structured content. In
        the view `changes` that is said once, as structured content, and `isError` is left out where false.
        `isError` says that the call was not made and used no step.
    """
    if episode.done:
        return _failed(OVER)
    try:
        call = call_in(name, arguments)
    except EnvelopeError as error:
        return _failed(f"{error}. Nothing was done. Every tool takes reasoning, a sentence that says why.")
    return result_after(play(call), view)


def result_after(episode: Episode[Any], view: View = "full") -> dict[str, Any]:
    """The MCP result of the latest step."""
    observation = episode.observation(view)
    if view == "changes":
        return {"content": [], "structuredContent": observation}
    return {**text_result(observation), "structuredContent": observation}


def text_result(observation: Mapping[str, Any]) -> dict[str, Any]:
    """A step's result and the state as text alone, for clients that show a model nothing else."""
    text = f"{observation['last_action_result']}\n\n{state_text(observation)}"
    return {"content": [{"type": "text", "text": text}], "isError": False}


def state_text(observation: Mapping[str, Any]) -> str:
    """The state as far as it is known; of an observation in the view `changes`, what is new in it."""
    left, state = observation["steps_remaining"], observation["current_state"]
    about = "The episode is over." if observation["done"] else f"{left} steps left."
    if observation["available_actions"]:
        return f"{about} The state as far as it is known:\n{to_json(state).decode()}"
    return f"{about} New in the state:\n{to_json(state).decode()}" if state else about


def _failed(message: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": message}], "isError": True}


def for_agent(observation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The part of an observation that a client of an episode's own endpoint sees.

    Such clients pass everything on to the model that they serve. Rewards and grades are for the trainer, who
    gets them from `/grader`.
    """
    if observation is None:
        return None
    return {name: value for name, value in observation.items() if name not in TRAINER_ONLY}


def observation_json(episode: Episode[Any]) -> str:
    """An observation as a resource for agents."""
    return to_json(for_agent(episode.observation())).decode()
