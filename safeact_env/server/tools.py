"""The actions of an episode as MCP tools.

Owns tool schemas, and how a tool call becomes a call and its answer a result. Must not know a transport.

An agent gets the episode's actions as tools and nothing else: no reset, no state, no grade. Tools carry no
annotations: MCP's `readOnlyHint` and `destructiveHint` would say what the agent is to find out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from safeact_env.call import MAX_STRING, Call, EnvelopeError
from safeact_env.core.action import Params
from safeact_env.core.episode import Episode

__all__ = ["NO_EPISODE", "call_tool", "observation_json", "tools_of"]

REASONING = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_STRING,
    "description": "Why: recorded, never interpreted.",
}
NO_EPISODE = "no episode has been started; reset first"
OVER = "The episode is over. No further call changes anything."


@cache
def _schema(params: type[Params]) -> dict[str, Any]:
    schema = params.schema_for_wire()
    return {
        **schema,
        "properties": {**schema["properties"], "reasoning": REASONING},
        "required": [*schema["required"], "reasoning"],
    }


def tools_of(episode: Episode[Any]) -> list[dict[str, Any]]:
    """The actions that the episode offers: `name`, `description`, `inputSchema`, sorted by name."""
    return [
        {
            "name": row["name"],
            "description": row["description"],
            "inputSchema": _schema(episode.actions[row["name"]].params),
        }
        for row in episode.observation()["available_actions"]
    ]


def call_tool(
    episode: Episode[Any], play: Callable[[Call], Episode[Any]], name: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Call a tool.

    Args:
        episode: The episode.
        play: Takes the step, and returns the episode after it.
        name: The tool. One that is not offered is an unknown action, which costs a step as at every door.
        arguments: The action's parameters, and `reasoning`.

    Returns:
        An MCP result: the sentence as text, the observation as structured content. `isError` says that the
        call was not made and used no step.
    """
    if episode.done:
        return _failed(OVER)
    given = dict(arguments)
    try:
        call = Call.parse(name, given, given.pop("reasoning", None))
    except EnvelopeError as error:
        return _failed(f"{error}. Nothing was done. Every tool takes reasoning, a sentence that says why.")
    episode = play(call)
    return {
        "content": [{"type": "text", "text": _answer(episode)}],
        "structuredContent": episode.observation(),
        "isError": False,
    }


def _answer(episode: Episode[Any]) -> str:
    left = episode.max_steps - len(episode.turns)
    return f"{episode.turns[-1].result} [{'The episode is over.' if episode.done else f'{left} steps left'}]"


def _failed(message: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": message}], "isError": True}


def observation_json(episode: Episode[Any]) -> str:
    """The observation without reward and done, as text."""
    return episode.shown_json().decode()
