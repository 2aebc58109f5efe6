"""SafeAct-Env as an environment of TRL: `GRPOTrainer(environment_factory=environment("easy"), ...)`.

Owns the classes that TRL's tool loop works with. Must not know facts, and does not import TRL: what TRL asks
of an environment is a shape. Written for TRL 1.16:

- every public method but `reset` and `get_reward` is a tool, described by its signature and docstring;
- `reset(**row)` gets the columns of the dataset's row, and what it returns goes behind the last message;
- an exception in a tool is shown to the model as the tool's result, and the rollout goes on;
- there is no `done`: a rollout ends when the model answers without a call, or at the trainer's limits;
- `get_reward()` is asked once, after the rollout.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import SystemRandom
from typing import Any, ClassVar

from safeact_env.core.task import SPLITS, Split, Task
from safeact_env.integrations.backends import Here, There, World
from safeact_env.integrations.chat import OVER, Chat
from safeact_env.integrations.toolset import Tool, toolset_of
from safeact_env.llm.prompts import get_prompt
from safeact_env.tasks import OFFICIAL, UnknownTask, get_task

__all__ = ["environment", "environments", "rows"]

TAKEN = frozenset({"reset", "get_reward"})
"""Names that TRL gives a meaning of their own."""
SEED_BITS = 31


class _Environment:
    """One episode after another of one task. Its subclasses add a method per tool.

    Rewards are no part of any tool's result: they reach the trainer through `get_reward` alone.
    """

    _task: ClassVar[Task[Any]]
    _split: ClassVar[Split]
    _chat: ClassVar[Chat]
    _world_of: ClassVar[Callable[[], World]]

    def __init__(self) -> None:
        # TRL makes one instance just to look at it, so nothing is opened before the first reset.
        self._world: World | None = None
        self._shown: dict[str, Any] | None = None
        self._total = 0.0
        self._failure: Exception | None = None

    def reset(self, **row: Any) -> str:
        """Start an episode.

        Args:
            **row: A row of the dataset: `seed` of the scenario (without it a fresh one is drawn), `split`
                (default: the factory's). Other columns are not used; `task`, if it is there, must be ours.

        Returns:
            The job, the state, and the upkeep actions of this scenario, to be shown to the model.

        Raises:
            ValueError: If the row is about another task, or its seed or split is none.
        """
        split, seed = self._start_of(row)
        if self._world is None:
            self._world = type(self)._world_of()
        self._shown, self._failure, self._total = None, None, 0.0
        self._shown = self._world.begin(split, seed)
        return self._chat.start(self._shown)

    def get_reward(self) -> float:
        """The sum of the episode's rewards so far: the progress made less the penalties, -1.0 for a mistake.

        Raises:
            ValueError: If no episode has been started.
            RuntimeError: If the episode could not be played to here, because the server failed.
        """
        if self._failure is not None:
            raise RuntimeError(
                "the episode could not be played on; its reward is not known"
            ) from self._failure
        if self._shown is None:
            raise ValueError("no episode has been started; reset first")
        # Rewards are whole ten-thousandths.
        return round(self._total, 4)

    def _start_of(self, row: Mapping[str, Any]) -> tuple[Split, int]:
        task, split, seed = row.get("task"), row.get("split"), row.get("seed")
        if task not in (None, self._task.name):
            raise ValueError(
                f"this environment plays {self._task.name}, and the row is about {task!r}; for several tasks "
                "pass environments() and name the task in the column `environment`"
            )
        if split not in (None, *SPLITS):
            raise ValueError(f"split must be one of {', '.join(SPLITS)}")
        if isinstance(seed, bool):
            raise ValueError("seed must be an integer")
        try:
            number = SystemRandom().getrandbits(SEED_BITS) if seed is None else operator.index(seed)
        except TypeError:
            raise ValueError("seed must be an integer") from None
        return split or self._split, number

    def _use(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Take the step that the use of a tool means; the text for the model."""
        before = self._shown
        if before is None or self._world is None:
            raise ValueError("no episode has been started; reset first")
        if before["done"]:
            raise ValueError(OVER)
        call = self._chat.tools.call(tool, arguments)
        try:
            after = self._world.step(call)
        except Exception as error:
            # TRL shows the model any exception as a result. This one is not the model's doing, so the reward
            # must not be taken for one either.
            self._failure = error
            raise
        self._total += after["reward"]
        self._shown = after
        return self._chat.answer(before, after)


def environment(
    task: str,
    base_url: str | None = None,
    split: Split = "train",
    *,
    headers: Mapping[str, str] | None = None,
) -> type[_Environment]:
    """The class of a task, for `GRPOTrainer(environment_factory=...)`.

    Each tool is a method that takes keywords, `reasoning` among them, and returns text. A call that the
    environment refuses costs a step, as everywhere. One that is not well-formed (no reasoning, say), or that
    comes after the end, raises `ValueError` and uses none.

    Args:
        task: Name of the task.
        base_url: Play on the server at this address; by default in this process.
        split: Of the scenarios, where the row does not say.
        headers: Sent to the server, such as `{"Authorization": "Bearer ..."}`.

    Raises:
        ValueError: If there is no such task or split, or the address is none.
    """
    try:
        found = get_task(task)
    except UnknownTask as error:
        raise ValueError(str(error)) from None
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}")
    tools = toolset_of(found)
    if clash := TAKEN & {tool.name for tool in tools.tools}:
        raise ValueError(f"task {task}: TRL takes {', '.join(clash)} for something else; rename the action")
    if base_url is not None:
        # Refuses an address that is none, here and not in the middle of a training.
        There(found, base_url, headers)
    name = "SafeAct" + "".join(part.capitalize() for part in task.split("_"))
    members: dict[str, Any] = {tool.name: _method(tool, name) for tool in tools.tools}
    members |= {
        "__doc__": f"{found.title}: {found.summary}",
        "__module__": __name__,
        "_task": found,
        "_split": split,
        "_chat": Chat(tools, get_prompt("neutral")),
        "_world_of": staticmethod(_world_of(found, base_url, headers)),
    }
    return type(name, (_Environment,), members)


def environments(
    base_url: str | None = None,
    split: Split = "train",
    *,
    tasks: Sequence[str] = OFFICIAL,
    headers: Mapping[str, str] | None = None,
) -> dict[str, type[_Environment]]:
    """The classes of several tasks by name, for a run that mixes them; the arguments are `environment`'s.

    The column `environment` of the dataset names the task of each row, as `rows` has it.
    """
    return {task: environment(task, base_url, split, headers=headers) for task in tasks}


def rows(
    tasks: Sequence[str], seeds: Iterable[int], split: Split = "train", prompt: str = "neutral"
) -> list[dict[str, Any]]:
    """Rows of a dataset to train on, a scenario each; seed by seed, so that tasks alternate.

    GRPO compares the rollouts of one row, so a row names one scenario.

    Args:
        tasks: Names of tasks.
        seeds: Of the scenarios.
        split: Of the scenarios.
        prompt: What the system message says; `neutral` or `hinted`.

    Returns:
        Rows with `prompt`, messages to whose last one `reset` appends, `environment` and `task`, which are
        the task's name, `split` and `seed`.
    """
    opening = get_prompt(prompt).opening("tools")
    return [
        {
            "prompt": [{"role": "system", "content": opening}, {"role": "user", "content": ""}],
            "environment": task,
            "task": task,
            "split": split,
            "seed": seed,
        }
        for seed in seeds
        for task in tasks
    ]


def _world_of(task: Task[Any], url: str | None, headers: Mapping[str, str] | None) -> Callable[[], World]:
    if url is None:
        return lambda: Here(task)
    return lambda: There(task, url, headers)


def _method(tool: Tool, owner: str) -> Callable[..., str]:
    """The method of a tool. It takes any keywords, as the environment judges which are wrong, at a cost."""

    def method(self: _Environment, /, **arguments: Any) -> str:
        return self._use(tool.name, arguments)

    named = [
        inspect.Parameter(
            p.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=p.annotation,
            default=inspect.Parameter.empty if p.required else None,
        )
        for p in tool.parameters
    ]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([first, *named], return_annotation=str)  # type: ignore[attr-defined]
    method.__annotations__ = {p.name: p.annotation for p in tool.parameters} | {"return": str}
    method.__name__, method.__qualname__ = tool.name, f"{owner}.{tool.name}"
    method.__module__, method.__doc__ = __name__, tool.docstring
    return method
