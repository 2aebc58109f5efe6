"""SafeAct-Env as an environment of TRL: `GRPOTrainer(environment_factory=environment("easy"), ...)`.

Owns the classes that TRL's tool loop works with. Must not know facts. It does not import TRL, which asks only
for a class of a certain shape. Written for TRL 1.16:

- every public method but `reset` and `get_reward` is a tool, described by its signature and docstring;
- `reset(**row)` gets the columns of the dataset's row; what it returns is appended to the last message;
- an exception in a tool is shown to the model as the tool's result, and the rollout goes on;
- there is no `done`: a rollout ends when the model answers without a call, or at the trainer's limits;
- `get_reward()` is called once, after the rollout.
"""

from __future__ import annotations

import copyreg
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from safeact_env.core.task import SPLITS, Split, Task
from safeact_env.core.variant import DEFAULT, Framing, Variant
from safeact_env.integrations.backends import Backend, backend_for
from safeact_env.integrations.chat import OVER, Chat
from safeact_env.integrations.shaping import UNSHAPED, Shaping
from safeact_env.integrations.text import checked, fresh_seed, scenario_columns
from safeact_env.integrations.toolset import Tool, toolset_of
from safeact_env.llm.prompts import get_prompt
from safeact_env.tasks import OFFICIAL, UnknownTask, get_task

__all__ = ["environment", "environments", "rows"]

TAKEN = frozenset({"reset", "get_reward"})
"""Method names that TRL reserves."""


class _Kind(type):
    """The class of the classes that `environment` makes: they are pickled as the call that made them."""

    _recipe: tuple[Any, ...] = ()
    """The arguments of that call."""


class _Environment(metaclass=_Kind):
    """Episodes of one task, one after another. Subclasses add a method per tool.

    No tool's result holds a reward: rewards reach the trainer through `get_reward` alone.
    """

    _task: ClassVar[Task[Any]]
    _split: ClassVar[Split]
    _variant: ClassVar[Variant]
    _chat: ClassVar[Chat]
    _shaping: ClassVar[Shaping]
    _backend_of: ClassVar[Callable[[], Backend]]

    def __init__(self) -> None:
        # TRL makes one instance only to inspect it, so nothing is opened before the first reset.
        self._backend: Backend | None = None
        self._shown: dict[str, Any] | None = None
        self._total = 0.0
        self._best = 0.0
        self._failure: Exception | None = None

    def reset(self, **row: Any) -> str:
        """Start an episode.

        Args:
            **row: A row of the dataset: `seed` of the scenario (without one a fresh seed is drawn), `split`,
                `level` and `framing` (default: the factory's), and `task`, which must be this class's if
                given. Other columns are ignored.

        Returns:
            Job, state and upkeep actions of the scenario, for the model.

        Raises:
            ValueError: If the row is about another task, or its seed, split, level or framing is invalid.
        """
        split, seed, variant = self._start_of(row)
        if self._backend is None:
            self._backend = type(self)._backend_of()
        self._shown, self._failure, self._total, self._best = None, None, 0.0, 0.0
        self._shown = self._backend.begin(split, seed, variant)
        return self._chat.start(self._shown)

    def get_reward(self) -> float:
        """Return the sum of the episode's rewards so far: progress less penalties, -1.0 for a mistake.

        With a shaping of the factory's, its additions are in the sum.

        Raises:
            ValueError: If no episode has been started.
            RuntimeError: If the server failed during the episode.
        """
        if self._failure is not None:
            raise RuntimeError(
                "the episode could not be played on; its reward is not known"
            ) from self._failure
        if self._shown is None:
            raise ValueError("no episode has been started; reset first")
        # Rewards are whole ten-thousandths.
        outcome = self._shown["metadata"].get("outcome")
        return round(self._total + self._shaping.extra(outcome, self._best), 4)

    def _start_of(self, row: Mapping[str, Any]) -> tuple[Split, int, Variant]:
        # A table fills the columns that a row lacks with None.
        given = {name: value for name, value in row.items() if value is not None}
        task = given.get("task")
        if task not in (None, self._task.name):
            raise ValueError(
                f"this environment plays {self._task.name}, and the row is about {task!r}; for several tasks "
                "pass environments() and name the task in the column `environment`"
            )
        wanted = {"split": self._split, "seed": fresh_seed(), **self._variant.to_json()}
        wanted |= {name: given[name] for name in wanted if name in given}
        return checked(self._task.name, **wanted)[1:]

    def _use(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Take the step that a tool call asks for; return the text for the model."""
        before = self._shown
        if before is None or self._backend is None:
            raise ValueError("no episode has been started; reset first")
        if before["done"]:
            raise ValueError(OVER)
        call = self._chat.tools.call(tool, arguments)
        try:
            after = self._backend.step(call)
        except Exception as error:
            # TRL shows the model any exception as a result. This one is not the model's fault, so the episode
            # must not yield a reward.
            self._failure = error
            raise
        self._total += after["reward"]
        self._best = max(self._best, after["reward"])
        self._shown = after
        return self._chat.answer(before, after)


def environment(
    task: str,
    base_url: str | None = None,
    split: Split = "train",
    *,
    level: int = DEFAULT.level,
    framing: Framing = DEFAULT.framing,
    headers: Mapping[str, str] | None = None,
    shaping: Shaping = UNSHAPED,
) -> type[_Environment]:
    """Return the class of a task, for `GRPOTrainer(environment_factory=...)` or `AsyncGRPOTrainer`.

    Each tool is a method that takes keywords, `reasoning` among them, and returns text. A call that the
    environment refuses costs a step, as everywhere. A malformed call (without reasoning, say), or one after
    the end, raises `ValueError` and costs none.

    Args:
        task: Name of the task.
        base_url: Address of a server to play on; by default episodes run in this process.
        split: Split of the scenarios, for rows without one.
        level: How large the jobs are, 1 to 5, for rows without a level. The tools are the same on every
            level; the first message names those that a job does not have.
        framing: The words around the jobs, for rows without a framing.
        headers: Sent to the server, such as `{"Authorization": "Bearer ..."}`.
        shaping: What a mistake and doing nothing pay in `get_reward`, for training only.

    Returns:
        The class. It can be pickled, its instances cannot: a process makes its own.

    Raises:
        ValueError: If there is no such task, split, level or framing, or the address is invalid.
    """
    try:
        found = get_task(task)
    except UnknownTask as error:
        raise ValueError(str(error)) from None
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}")
    variant = Variant(level, framing)
    found.level(variant)
    tools = toolset_of(found)
    if clash := TAKEN & {tool.name for tool in tools.tools}:
        raise ValueError(f"task {task}: TRL takes {', '.join(clash)} for something else; rename the action")
    # Refuses an invalid address here and not in the middle of a training.
    backend_for(found, base_url, headers)
    name = "SafeAct" + "".join(part.capitalize() for part in task.split("_"))
    members: dict[str, Any] = {tool.name: _method(tool, name) for tool in tools.tools}
    members |= {
        "__doc__": f"{found.title}: {found.summary}",
        "__module__": __name__,
        "_task": found,
        "_split": split,
        "_variant": variant,
        "_shaping": shaping,
        "_chat": Chat(tools, get_prompt("neutral")),
        "_backend_of": staticmethod(partial(backend_for, found, base_url, headers)),
    }
    members["_recipe"] = (task, base_url, split, level, framing, headers, shaping)
    return cast("type[_Environment]", _Kind(name, (_Environment,), members))


def _again(
    task: str,
    base_url: str | None,
    split: Split,
    level: int,
    framing: Framing,
    headers: Mapping[str, str] | None,
    shaping: Shaping,
) -> type[_Environment]:
    """Make a class in the process that reads it from a pickle."""
    return environment(task, base_url, split, level=level, framing=framing, headers=headers, shaping=shaping)


def _reduced(kind: _Kind) -> str | tuple[Any, ...]:
    return (_again, kind._recipe) if kind._recipe else kind.__qualname__


copyreg.pickle(_Kind, _reduced)


def environments(
    base_url: str | None = None,
    split: Split = "train",
    *,
    tasks: Sequence[str] = OFFICIAL,
    level: int = DEFAULT.level,
    framing: Framing = DEFAULT.framing,
    headers: Mapping[str, str] | None = None,
    shaping: Shaping = UNSHAPED,
) -> dict[str, type[_Environment]]:
    """Return the classes of several tasks by name, for mixed training; arguments as in `environment`.

    The column `environment` of the dataset names each row's task, as in `rows`.
    """
    options: dict[str, Any] = {"level": level, "framing": framing, "headers": headers, "shaping": shaping}
    return {task: environment(task, base_url, split, **options) for task in tasks}


def rows(
    tasks: Sequence[str],
    seeds: Iterable[int],
    split: Split = "train",
    prompt: str = "neutral",
    *,
    levels: Sequence[int] = (DEFAULT.level,),
    framings: Sequence[Framing] = (DEFAULT.framing,),
) -> list[dict[str, Any]]:
    """Return dataset rows to train on, one per scenario; seed by seed, so that levels and tasks alternate.

    GRPO compares the rollouts of one row, so a row names one scenario.

    Args:
        tasks: Names of tasks.
        seeds: Seeds of the scenarios.
        split: Split of the scenarios.
        prompt: Prompt of the system message: `neutral` or `hinted`.
        levels: Every level that each seed is played on.
        framings: Every framing that each seed is played in.

    Returns:
        Rows with `prompt` (messages; what `reset` returns is appended to the last), `environment` and `task`
        (both the task's name), `split`, `seed`, `level` and `framing`.

    Raises:
        ValueError: If a row would not name a scenario.
    """
    opening = get_prompt(prompt).opening("tools")
    return [
        {
            "prompt": [{"role": "system", "content": opening}, {"role": "user", "content": ""}],
            "environment": columns["task"],
            **columns,
        }
        for columns in scenario_columns(tasks, seeds, split, levels, framings)
    ]


def _method(tool: Tool, owner: str) -> Callable[..., str]:
    """Make a tool's method. It accepts any keywords: the environment refuses wrong ones, at a cost."""

    def method(self: _Environment, /, **arguments: Any) -> str:
        return self._use(tool.name, arguments)

    named = [
        inspect.Parameter(
            parameter.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=parameter.annotation,
            default=inspect.Parameter.empty if parameter.required else None,
        )
        for parameter in tool.parameters
    ]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([first, *named], return_annotation=str)  # type: ignore[attr-defined]
    method.__annotations__ = {p.name: p.annotation for p in tool.parameters} | {"return": str}
    method.__name__, method.__qualname__ = tool.name, f"{owner}.{tool.name}"
    method.__module__, method.__doc__ = __name__, tool.docstring
    return method
