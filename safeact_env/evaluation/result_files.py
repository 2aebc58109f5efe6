"""Result files as rows of a table: reports of suites, and what `eval --json` writes.

Owns how both are read. Must not know how a row is shown, nor whether it is true: `verify` checks that.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation.cost import Cost, ReportError, cost_of
from safeact_env.evaluation.metrics import Interval
from safeact_env.evaluation.predictions import Predictions
from safeact_env.evaluation.report import REPORT, Report, Results
from safeact_env.evaluation.table import variants_text
from safeact_env.evaluation.verify import read_lines, records_in
from safeact_env.unique_json import RepeatedKey, unique_json

__all__ = ["Row", "recorded_runs", "rows_of", "seeds_text"]


@dataclass(frozen=True, slots=True)
class Row:
    """One agent's run.

    Attributes:
        agent: Name of the policy or model.
        played: The episodes: the suite, or seeds and splits.
        attempts: Episodes per scenario.
        episodes: Number of episodes.
        tasks: Names of the tasks.
        version: Version of the package.
        prompt: Name and version of the prompt; `None` if there was none.
        date: The day (UTC); `None` if it was not recorded.
        predictions: How good a model's predictions were over all; `None` if none were asked for.
        cost: What a model used; `None` for a policy, or if it was not recorded.
        overall: The metrics over all episodes.
        by_task: The metrics per task.
        by_variant: The metrics per level and framing, if several were played.
        licence: The terms that the model's weights come under, if the run names them.
    """

    agent: str
    played: str
    attempts: int
    episodes: int
    tasks: tuple[str, ...]
    version: str
    prompt: str | None
    date: str | None
    predictions: Predictions | None
    cost: Cost | None
    overall: Mapping[str, Interval]
    by_task: Mapping[str, Mapping[str, Interval]]
    by_variant: Mapping[tuple[int, str], Mapping[str, Interval]]
    licence: str | None = None


def recorded_runs(folder: Path) -> list[Path]:
    """Return the result files of models in a folder.

    These are `models/*.json`, `models/*/report.json`, and any other JSON file in the folder with a file of
    records of the same name beside it.
    """
    own = sorted((folder / "models").glob("*.json")) + sorted((folder / "models").glob(f"*/{REPORT}"))
    return own + [path for path in sorted(folder.glob("*.json")) if _records_of(path) is not None]


def rows_of(path: Path) -> list[Row]:
    """Return the rows of a suite's report, or of a file that `eval --json` wrote: one per agent.

    For the latter, prompt and cost come from the records beside it, `NAME.jsonl` or `NAME.jsonl.gz`, if they
    exist. If it has `settings` with the name of a model, that names the agent.

    Raises:
        ReportError: If the file is neither, or its run is unfinished.
    """
    try:
        found = unique_json(path.read_bytes())
        if "form" in found:
            return [_of_report(path, Report.model_validate_json(path.read_bytes()))]
        return list(_of_eval(found, _used(path)))
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}.") from None
    except ReportError:
        raise
    except RepeatedKey as error:
        raise ReportError(f"{path}, line {error.line}: {error}.") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise ReportError(f"{path} is neither the report of a suite nor what `eval --json` writes.") from None


def _of_report(path: Path, report: Report) -> Row:
    if report.trajectories is None:
        raise ReportError(f"{path} is of a run that was not finished.")
    prompt = report.agent.prompt
    return _row(
        report.agent.name,
        report.groups,
        report.selection,
        played=f"suite {report.suite.name}",
        version=report.version,
        prompt=f"{prompt.name} {prompt.version}" if prompt else None,
        predictions=_overall(report.predictions or (), report.agent.name),
        date=report.date,
        cost=report.cost,
        licence=report.agent.settings.get("licence"),
    )


def _of_eval(found: Mapping[str, Any], used: Mapping[str, tuple[str | None, Cost | None]]) -> Iterator[Row]:
    selection = found["selection"]
    groups = [Results.model_validate_json(json.dumps(group)) for group in found["groups"]]
    settings = found.get("settings", {})
    predictions = [Predictions.model_validate_json(json.dumps(one)) for one in found.get("predictions", ())]
    for agent in selection["policies"]:
        prompt, cost = used.get(agent, (None, None))
        yield _row(
            settings.get("model", agent),
            [group for group in groups if group.policy == agent],
            selection,
            played=_played(selection),
            version=found["version"],
            prompt=prompt,
            predictions=_overall(predictions, agent),
            date=found.get("date"),
            cost=cost,
            licence=settings.get("licence"),
        )


def _overall(predictions: Iterable[Predictions], agent: str) -> Predictions | None:
    """The scores of an agent's predictions over all that it played."""
    own = (one for one in predictions if one.policy == agent and one.task is None and one.level is None)
    return next(own, None)


def _played(selection: Mapping[str, Any]) -> str:
    """Splits, variants other than the default, and seeds."""
    variants = [Variant.of(one) for one in selection.get("variants", ())]
    varied = f", {variants_text(variants)}" if variants not in ([], [DEFAULT]) else ""
    return f"{' and '.join(selection['splits'])}{varied}, seeds {seeds_text(selection['seeds'])}"


def _row(agent: str, groups: Iterable[Results], selection: Mapping[str, Any], **about: Any) -> Row:
    metrics: dict[str | None, dict[str, Interval]] = {}
    by_variant: dict[tuple[int, str], dict[str, Interval]] = {}
    for group in groups:
        found = {name: Interval(one.value, one.low, one.high) for name, one in group.metrics.items()}
        if group.split is None and group.level is None:
            metrics[group.task] = found
        elif group.task is None and group.level is not None and group.framing is not None:
            by_variant[group.level, group.framing] = found
    overall = metrics.pop(None)
    variants = selection.get("variants", [DEFAULT])
    scenarios = len(selection["tasks"]) * len(selection["splits"]) * len(selection["seeds"]) * len(variants)
    return Row(
        agent=agent,
        attempts=selection["attempts"],
        episodes=scenarios * selection["attempts"],
        tasks=tuple(selection["tasks"]),
        overall=overall,
        by_task={task: found for task, found in metrics.items() if task is not None},
        by_variant=by_variant,
        **about,
    )


# Records beside a file -----------------------------------------------------------------------------------


def _records_of(path: Path) -> Path | None:
    """Return the uncompressed name of the records beside a file, if there are any."""
    lines = path.with_suffix(".jsonl")
    return lines if lines.exists() or lines.with_name(f"{lines.name}.gz").exists() else None


def _used(path: Path) -> dict[str, tuple[str | None, Cost | None]]:
    """Return prompt and cost per agent, from the records beside a file."""
    lines = _records_of(path)
    by_agent: dict[str, list[Mapping[str, Any]]] = {}
    if lines is not None:
        for key, record in records_in(read_lines(lines), lines.name):
            by_agent.setdefault(key.policy, []).append(record)
    return {agent: (_prompt(records), _cost(records)) for agent, records in by_agent.items()}


def _prompt(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Return names and versions of the prompts in the records."""
    parts = [record.get("model") for record in records]
    found = {
        f"{part['prompt']} {part['prompt_version']}"
        for part in parts
        if isinstance(part, dict) and "prompt" in part and "prompt_version" in part
    }
    return ", ".join(sorted(found)) or None


def _cost(records: Sequence[Mapping[str, Any]]) -> Cost | None:
    try:
        return cost_of(records, None)
    except ReportError:
        return None


def seeds_text(seeds: Iterable[int]) -> str:
    """Return seeds in the form of `--seeds`, such as `0-9,12`."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1][1:] = [seed]
        else:
            runs.append([seed])
    return ",".join("-".join(map(str, run)) for run in runs)
