"""SafeAct-Env in Inspect: a task per task, `inspect eval safeact_env/easy`.

Owns the tasks and the solver. The scorers, their metric and the approver are imported here because Inspect
looks for them in this module. Written for inspect-ai 0.3.285. A model is shown what `inference.py` shows it:
functions, but no rewards and no risk classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import anyio
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    execute_tools,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall as InspectCall
from inspect_ai.tool import ToolDef, ToolParams
from inspect_ai.util import store

from safeact_env.core.variant import DEFAULT
from safeact_env.evaluation.record import UNDO_CHANCE
from safeact_env.evaluation.run import parse_seeds
from safeact_env.integrations.inspect_scores import (
    CALLS,
    PREDICTIONS,
    SOURCE,
    audited,
    foresight,
    grade,
    paired,
    predictions,
)
from safeact_env.integrations.text import (
    Reply,
    TextEpisode,
    checked,
    scenario_id,
    scenario_in,
    token_headers,
)
from safeact_env.llm.call_formats import form_of
from safeact_env.llm.client import Answer, ToolCall
from safeact_env.tasks import OFFICIAL, get_task

__all__ = [
    "audited",
    "cloud_infra",
    "easy",
    "foresight",
    "grade",
    "hard",
    "medical",
    "medium",
    "paired",
    "play",
    "player",
    "predictions",
]

SEEDS = "0-19"
MAX_CALLS = 100
"""Most answers of a model in one episode, as in `inference.py`."""


# Tasks ------------------------------------------------------------------------------------------------------


def _task_of(name: str) -> Callable[..., Task]:
    """Make the function that builds Inspect's task, registered in Inspect under the task's name."""

    def make(
        split: str = "test",
        seeds: Any = SEEDS,
        prompt: str = "neutral",
        url: str | None = None,
        max_calls: int = MAX_CALLS,
        show_rewards: bool = False,
        level: Any = DEFAULT.level,
        framing: Any = DEFAULT.framing,
        predict: bool = False,
    ) -> Task:
        return play(name, split, seeds, prompt, url, max_calls, show_rewards, level, framing, predict)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{get_task(name).title}. The arguments are those of `play` behind its first."
    made: Callable[..., Task] = task(make)
    return made


@task
def play(
    name: str,
    split: str = "test",
    seeds: Any = SEEDS,
    prompt: str = "neutral",
    url: str | None = None,
    max_calls: int = MAX_CALLS,
    show_rewards: bool = False,
    level: Any = DEFAULT.level,
    framing: Any = DEFAULT.framing,
    predict: bool = False,
) -> Task:
    """Build Inspect's task for any task by name, including those of other packages.

    Args:
        name: Name of the task.
        split: Split of the scenarios.
        seeds: Seeds of the scenarios, such as `0-19` or `3,5`.
        prompt: Name of the prompt: `neutral` or `hinted`.
        url: Address of a SafeAct-Env server to play on; by default episodes run in this process. The variable
            `SAFEACT_API_TOKEN`, if set, is sent as the bearer token.
        max_calls: Most answers of the model in one episode.
        show_rewards: Whether the model is told the reward of each step.
        level: How large the jobs are, 1 to 5; several, such as `1,2`, play each seed on each.
        framing: The words around them: `rules`, `goal`, `hurry`, `waiver` or `planted`; several likewise.
        predict: Whether the model is asked with each call how likely what it does could be taken back.

    Raises:
        ValueError: If there are no such scenarios.
    """
    samples = []
    # The command line reads `0-9` as text, `3` as a number, and `1,2` as a list of texts.
    text = ",".join(map(str, _several(seeds)))
    levels = [int(one) if str(one).isdecimal() else one for one in _several(level)]
    for seed, one, words in product(parse_seeds(text), levels, _several(framing)):
        scenario = checked(name, split, seed, one, words)
        episode = TextEpisode(*scenario[:3], one, words, prompt=prompt, call_format="tools", predict=predict)
        opening: list[ChatMessage] = [
            ChatMessageSystem(content=episode.system),
            ChatMessageUser(content=episode.start()),
        ]
        named = {"task": name, "split": split, "seed": seed, **scenario[3].to_json()}
        samples.append(Sample(input=opening, id=scenario_id(*scenario), metadata=named))
    return Task(
        dataset=MemoryDataset(samples, name=f"{SOURCE}/{name}"),
        solver=player(url, prompt, max_calls, show_rewards, predict),
        scorer=[grade(), *([predictions()] if predict else [])],
        version=get_task(name).version,
        metadata={"split": split, "level": level, "framing": framing, "prompt": prompt, "predict": predict},
    )


def _several(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else [given]


easy, medium, hard, medical, cloud_infra = map(_task_of, OFFICIAL)


# Playing ----------------------------------------------------------------------------------------------------


@solver
def player(
    url: str | None = None,
    prompt: str = "neutral",
    max_calls: int = MAX_CALLS,
    show_rewards: bool = False,
    predict: bool = False,
) -> Solver:
    """Let the model play, one function call per turn.

    Args:
        url: Address of a SafeAct-Env server to play on; by default episodes run in this process. The variable
            `SAFEACT_API_TOKEN`, if set, is sent as the bearer token.
        prompt: Name of the prompt whose texts answer unreadable answers.
        max_calls: Most answers of the model in one episode.
        show_rewards: Whether the model is told the reward of each step.
        predict: Whether it is asked for a prediction with each call. The environment never gets one.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        episode = TextEpisode(
            *scenario_in(state.metadata),
            base_url=url,
            headers=token_headers(),
            prompt=prompt,
            call_format="tools",
            show_rewards=show_rewards,
            predict=predict,
        )
        try:
            await _played(state, episode, max_calls)
        finally:
            await anyio.to_thread.run_sync(episode.close)
        return state

    return solve


async def _played(state: TaskState, episode: TextEpisode, max_calls: int) -> None:
    """Run the loop: an answer, its approval, its step. Each call is in the store as soon as it is made."""
    shown = await anyio.to_thread.run_sync(lambda: episode.observation)
    said: dict[str, Any] = {}
    tools = [_tool(row, episode, said) for row in shown["available_actions"]]
    asked = tools
    if episode.predictions is not None:
        # The tools that are called do without: Inspect refuses a call that does not fit, and a prediction
        # that is missing or cannot be read must not cost the call.
        asked = [_tool(row, episode, said, predict=True) for row in shown["available_actions"]]
        state.store.set(PREDICTIONS, [])
    state.store.set(CALLS, [])
    for _ in range(max_calls):
        state.output = await get_model().generate(
            state.messages, tools=asked, tool_choice="any", config=GenerateConfig(parallel_tool_calls=False)
        )
        message = state.output.message
        offered = message.tool_calls or []
        # Only the first of several calls is made; the model is told so.
        message.tool_calls = offered[:1] or None
        state.messages.append(message)
        if offered:
            state.messages += await _called(state.messages, tools, episode, offered, said)
        else:
            why = (
                "it was cut off" if state.output.stop_reason == "max_tokens" else "it holds no function call"
            )
            reply = await _step(episode, partial(episode.nothing, why))
            state.messages.append(ChatMessageUser(content=reply.text))
        if episode.done or state.completed:
            return


async def _called(
    messages: list[ChatMessage],
    tools: Sequence[ToolDef],
    episode: TextEpisode,
    offered: Sequence[InspectCall],
    said: dict[str, Any],
) -> list[ChatMessage]:
    """Answer the first call. A call that never reached its tool costs a step, unless it was rejected.

    Its prediction is taken off it and put into `said`, from where its tool reads it.
    """
    call, before = offered[0], len(episode.calls)
    said.clear()
    if episode.predictions is not None:
        own = {name: value for name, value in call.arguments.items() if name != UNDO_CHANCE}
        said |= {name: value for name, value in call.arguments.items() if name == UNDO_CHANCE}
        made = messages[-1].model_copy(update={"tool_calls": [replace(call, arguments=own)]})
        messages = [*messages[:-1], made]
    answered: list[ChatMessage] = (await execute_tools(messages, list(tools))).messages
    result = next(one for one in answered if isinstance(one, ChatMessageTool))
    refused = result.error is not None and result.error.type == "approval"
    if len(episode.calls) == before and not refused:
        if any(tool.name == call.function for tool in tools):
            why = call.parse_error or (result.error.message if result.error else "it was not carried out")
            reply = await _step(episode, partial(episode.nothing, why))
        else:
            answer = _answer(call.function, call.arguments)
            reply = await _step(episode, partial(episode.answer, answer))
        result.content, result.error = reply.text, None
    if len(offered) > 1 and isinstance(result.content, str):
        result.content = f"Only the first of your {len(offered)} calls was carried out.\n{result.content}"
    return answered


def _tool(
    row: dict[str, Any], episode: TextEpisode, said: dict[str, Any], *, predict: bool = False
) -> ToolDef:
    """An action of the episode as a tool; it adds what is `said` to its arguments."""
    (form,) = form_of("tools", [row], predict=predict)["tools"]
    function = form["function"]

    async def execute(**kwargs: Any) -> str:
        reply = await _step(episode, partial(episode.answer, _answer(row["name"], {**kwargs, **said})))
        return reply.text

    parameters = ToolParams.model_validate(function["parameters"])
    return ToolDef(execute, function["name"], function["description"], parameters, max_output=0)


def _answer(name: str, arguments: dict[str, Any]) -> Answer:
    return Answer("", (ToolCall("", name, json.dumps(arguments)),), False, 0, 0, 0.0)


async def _step(episode: TextEpisode, step: Callable[[], Reply]) -> Reply:
    reply = await anyio.to_thread.run_sync(step)
    store().set(CALLS, [call.to_json() for call in episode.calls])
    if episode.predictions is not None:
        store().set(PREDICTIONS, [*episode.predictions])
    return reply
