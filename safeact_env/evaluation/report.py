"""The report of a suite: what was played by whom, under which versions, with which results.

Owns the form of a report, how it is made from records, and how it is read. Must not know how episodes are
played, nor whether a report is true.

A report has all fields that `eval --json` writes, so that one reader can read both.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError
from pydantic_core import from_json, to_json

from safeact_env.evaluation.comparisons import Comparison, compare
from safeact_env.evaluation.cost import Cost, Part, Prices, ReportError, cost_of
from safeact_env.evaluation.metrics import Group, Interval, summarise
from safeact_env.evaluation.predictions import Predictions, predictions_of
from safeact_env.evaluation.record import Sample, went_without_temperature
from safeact_env.evaluation.suite import Suite, task_hash
from safeact_env.evaluation.table import results
from safeact_env.tasks import get_task
from safeact_env.unique_json import RepeatedKey, unique_json

__all__ = [
    "REPORT",
    "TRAJECTORIES",
    "Agent",
    "Files",
    "Prompt",
    "Report",
    "Results",
    "begun",
    "comparisons_of",
    "finished",
    "read_report",
    "results_of",
]

Form = Literal["safeact-env suite report, form 2"]
FORM: Form = "safeact-env suite report, form 2"
REPORT = "report.json"
TRAJECTORIES = "trajectories.jsonl"
"""Names of the two files of a run of a suite."""

Sha256 = Field(pattern="^[0-9a-f]{64}$")


class Prompt(Part):
    """The prompt of a model.

    Attributes:
        name: Such as `neutral`.
        version: Changes whenever the text does.
        sha256: Hash of the text.
    """

    name: str
    version: str
    sha256: str = Sha256


class Agent(Part):
    """The agent that played.

    Attributes:
        name: Name of the policy, model or program; `policy` in its records.
        kind: `policy` for a reference policy, `model` for a language model, which gets the suite's prompt and
            has its limits, and `program` for any other agent, such as a trained small network.
        prompt: Prompt of a model; the others have none.
        settings: What else determines how it plays, such as mode and temperature. Never a secret.
    """

    name: str = Field(min_length=1)
    kind: Literal["policy", "model", "program"]
    prompt: Prompt | None = None
    settings: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def lacks_temperature(self) -> bool:
        """Whether its settings say that the endpoint did not let the temperature be chosen."""
        return self.settings.get("temperature", 0) is None

    def without_temperature(self) -> Agent:
        """The same with settings that say so, if they name a temperature at all."""
        if "temperature" not in self.settings:
            return self
        return self.model_copy(update={"settings": {**self.settings, "temperature": None}})


class TaskStamp(Part):
    """Identifies a task: its version, and its `task_hash`."""

    version: int
    sha256: str = Sha256


class Versions(Part):
    """Versions of the run, besides this package's."""

    python: str
    openenv: str
    tasks: dict[str, TaskStamp]


class SuiteStamp(Part):
    """Identifies a suite: its name, and the hash of its definition."""

    name: str
    sha256: str = Sha256


class Files(Part):
    """The records beside the report.

    Attributes:
        file: Name in the report's folder. The file may also be there compressed, as `.gz`.
        sha256: Hash of the uncompressed content.
        episodes: Number of lines.
    """

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.jsonl$")
    sha256: str = Sha256
    episodes: int


class Bounds(Part):
    """A metric's value with its interval."""

    value: float
    low: float
    high: float


class Results(Part):
    """The metrics over all tasks or on one, over all variants or in one."""

    policy: str
    task: str | None
    split: str | None
    scenarios: int
    episodes: int
    metrics: dict[str, Bounds]
    level: int | None = None
    framing: str | None = None


class Compared(Part):
    """A comparison of two framings or levels, and what it shows, in words."""

    policy: str
    task: str | None
    by: str
    this: str
    that: str
    metric: str
    difference: Bounds
    scenarios: int
    changed: int
    finding: str


class Report(Part):
    """A run of a suite.

    Attributes:
        form: The form of this report.
        suite: The suite that was played.
        agent: The agent that played it.
        version: The package's version.
        versions: The other versions.
        date: The day on which the run ended (UTC); `None` until then.
        trajectories: The file of records; `None` until the run has ended.
        selection: As in `eval --json`.
        interval: How intervals are computed, as in `eval --json`.
        groups: All metrics, over all tasks and per task, and by variant, as in `eval --json`.
        comparisons: Paired differences of framings, and differences of levels, as in `eval --json`.
        cost: What a model used; `None` for the others, and until the run has ended.
        predictions: How good a model's predictions were, over all, per task and by variant; `None` if none
            were asked for, and until the run has ended. The file then has no such field.
    """

    form: Form
    suite: SuiteStamp
    agent: Agent
    version: str
    versions: Versions
    date: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\d$")
    trajectories: Files | None = None
    cost: Cost | None = None
    selection: dict[str, JsonValue]
    interval: dict[str, JsonValue]
    groups: list[Results]
    comparisons: list[Compared]
    predictions: list[Predictions] | None = None

    def to_bytes(self) -> bytes:
        """The file's content."""
        left_out = {"predictions"} if self.predictions is None else None
        return (self.model_dump_json(indent=2, exclude=left_out) + "\n").encode()

    def results(self) -> list[Group]:
        """The metrics in the form that tables need."""
        return [
            Group(
                policy=one.policy,
                task=one.task,
                split=one.split,
                scenarios=one.scenarios,
                episodes=one.episodes,
                metrics={
                    name: Interval(found.value, found.low, found.high) for name, found in one.metrics.items()
                },
                level=one.level,
                framing=one.framing,
            )
            for one in self.groups
        ]

    def differences(self) -> list[Comparison]:
        """The comparisons in the form that tables need."""
        return [
            Comparison(
                **(one.model_dump(exclude={"finding", "difference"})),
                difference=Interval(**one.difference.model_dump()),
            )
            for one in self.comparisons
        ]

    def same_run(self, other: Report) -> bool:
        """Whether both have the same suite, agent and versions, so that one can continue the other."""
        # It is known only once the endpoint was asked.
        agent = other.agent.without_temperature() if self.agent.lacks_temperature else other.agent
        return (self.suite, self.agent, self.version, self.versions.tasks) == (
            other.suite,
            agent,
            other.version,
            other.versions.tasks,
        )


def begun(suite: Suite, agent: Agent) -> Report:
    """Return the report of a run without results."""
    return Report(
        form=FORM,
        suite=SuiteStamp(name=suite.name, sha256=suite.sha256),
        agent=agent,
        versions=Versions(
            python=platform.python_version(), openenv=version_of("openenv"), tasks=task_stamps(suite)
        ),
        **from_json(to_json(results(suite.selection(agent.name), []))),
    )


def finished(
    report: Report, records: Sequence[Mapping[str, Any]], files: Files, *, date: str, prices: Prices | None
) -> Report:
    """Return the report of a complete run."""
    samples = [*map(Sample.of, records)]
    agent = report.agent
    if any(map(went_without_temperature, records)):
        agent = agent.without_temperature()
    return report.model_copy(
        update={
            "agent": agent,
            "date": date,
            "trajectories": files,
            "cost": cost_of(records, prices) if report.agent.kind == "model" else None,
            "groups": results_of(samples),
            "comparisons": comparisons_of(samples),
            "predictions": predictions_of(samples) or None,
        }
    )


def task_stamps(suite: Suite) -> dict[str, TaskStamp]:
    """Identify the suite's tasks in this installation."""
    return {
        name: TaskStamp(
            version=get_task(name).version,
            sha256=task_hash(name, suite.split, suite.seeds, suite.variants),
        )
        for name in suite.tasks
    }


def results_of(samples: Iterable[Sample]) -> list[Results]:
    """Return the metrics over all tasks and per task. A suite has one split: none are given per split."""
    return [Results(**asdict(group)) for group in summarise(samples) if group.split is None]


def comparisons_of(samples: Iterable[Sample]) -> list[Compared]:
    """Return the comparisons of variants."""
    return [Compared(**asdict(one), finding=one.finding) for one in compare(samples)]


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        ReportError: If the file cannot be read or is not a report.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        unique_json(content)
    except RepeatedKey as error:
        raise ReportError(f"{path}, line {error.line}: {error}.") from None
    except (RecursionError, ValueError):
        pass  # the model says where
    try:
        return Report.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ReportError(
            f"{path} is not the report of a suite: {where and f'{where}: '}{first['msg']}."
        ) from None
