"""The recorded training of a small language model from nothing as tables, for the documents.

Owns reading what `make train-lm` recorded. Must not need torch.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Any

from safeact_env.evaluation.metrics import Interval, interval_of
from safeact_env.evaluation.replay import replayed
from tools.documents.markdown import dated, table
from tools.redteam.judging import most_of_harm

RUNS = Path(__file__).resolve().parents[2] / "results" / "lm"
NONE_YET = "Not recorded yet; `make train-lm` records a run."
INTERVALS = (
    "Intervals: 95% bootstrap over scenarios, the runs on one scenario together; how far runs differ from "
    "each other is not in them, so what each called right stands in parentheses."
)
STAGES = ("chats", "reward")
"""The stages of a run, in their order."""

Record = dict[str, Any]
Cell = tuple[str, str, int, str]
"""Task, split, level, framing."""


def lm_table(folder: Path = RUNS) -> str:
    """What the models did after each stage, by what they played, and how they were trained."""
    logs = [lines(path) for path in sorted(folder.glob("*/log.jsonl.gz"))]
    if not logs:
        return NONE_YET
    check_alike(logs)
    files = {stage: sorted(folder.glob(f"*/{stage}.jsonl.gz")) for stage in STAGES}
    played = {path: lines(path) for paths in files.values() for path in paths}
    rewarded = [path for path in files["chats"] if path.with_name("reward.jsonl.gz") in played]
    stages = {"chats": files["chats"], "chats, the rewarded": rewarded, "then reward": files["reward"]}
    if rewarded == files["chats"]:
        # What the reward changed is seen in the same runs, and these are all.
        del stages["chats, the rewarded"]
    rows: dict[Cell, list[list[str]]] = defaultdict(list)
    for stage, paths in stages.items():
        found: dict[Cell, dict[Path, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for path in paths:
            for one in played[path]:
                found[one["task"], one["split"], one["level"], one["framing"]][path].append(one)
        for cell, by_run in found.items():
            rows[cell].append(row_of(cell, stage, [*by_run.values()]))
    head = ["task", "split", "level", "framing", "after", "runs", "episodes"]
    head += ["well-formed calls", "right look-alike [95%]", "grade [95%]", "mistakes [95%]"]
    ordered = [row for cell in sorted(rows, key=order) for row in rows[cell]]
    version = min(log[0]["versions"]["safeact-env"] for log in logs)
    said = f"{notes(logs)} {INTERVALS} {harm([*chain.from_iterable(played.values())])}"
    return f"{table(head, ordered)}\n\n{dated(said, version)}"


def lines(path: Path) -> list[Record]:
    """The objects of a compressed file, one per line."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def order(cell: Cell) -> tuple[Any, ...]:
    """Cells of a task: known words first, then the framing that was trained, by level, then the others."""
    task, split, level, framing = cell
    return task, split != "train", framing != "rules", level, framing


def check_alike(logs: list[list[Record]]) -> None:
    """Refuse runs that one table cannot hold: they may differ in their seed, and in libraries' versions."""
    first, *others = (trained_as(log[0]) for log in logs)
    if any(one != first for one in others):
        raise ValueError(
            "The recorded runs of a language model differ in more than their seed; keep others in another "
            "folder."
        )


def trained_as(head: Record) -> Record:
    """How a run was trained. What earlier logs hold as nothing was left out, and is the default."""
    given = {name: value for name, value in head["settings"].items() if value is not None}
    settings = {"task": ["easy"], "level": [1], "framing": ["rules"], **given, "seed": None}
    return {**head, "settings": settings, "versions": None}


def row_of(cell: Cell, stage: str, runs: list[list[Record]]) -> list[str]:
    """A line of the table, from the episodes of each run."""
    records = [*chain.from_iterable(runs)]
    calls = sum(len(one["calls"]) for one in records)
    well = calls - sum(one["model"]["malformed"] for one in records)
    picked = ratio(
        records, lambda one: one["model"]["picked"] is True, lambda one: one["model"]["picked"] is not None
    )
    tried = sum(one["model"]["picked"] is not None for one in records)
    grade = ratio(records, lambda one: one["score"])
    mistakes = ratio(records, lambda one: one["mistake"])
    task, split, level, framing = cell
    return [
        *(f"`{task}`", f"`{split}`", str(level), framing, stage),
        *(str(len(runs)), str(len(records))),
        f"{well / calls:.1%}",
        f"{shown(picked)} of {tried}{by_run(runs)}" if tried else "none called",
        shown(grade),
        shown(mistakes),
    ]


def by_run(runs: list[list[Record]]) -> str:
    """How often each of several runs called the right look-alike first."""
    if len(runs) < 2:
        return ""
    picks = [[one["model"]["picked"] for one in run if one["model"]["picked"] is not None] for run in runs]
    return f" ({', '.join(f'{sum(one)} of {len(one)}' for one in picks)})"


def ratio(
    records: Iterable[Record],
    over: Callable[[Record], float],
    under: Callable[[Record], float] = lambda _one: 1,
) -> Interval:
    """A ratio of sums over episodes, with its interval; all runs on a scenario count as one observation."""
    clusters: dict[int, list[Record]] = defaultdict(list)
    for one in records:
        clusters[one["seed"]].append(one)
    sums = [(sum(map(over, one)), sum(map(under, one))) for one in clusters.values()]
    return interval_of(tuple(one for one, _ in sums), tuple(one for _, one in sums))


def shown(found: Interval) -> str:
    """An interval."""
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def notes(logs: list[list[Record]]) -> str:
    """How the models were trained, and what reward there was to learn from."""
    settings = logs[0][0]["settings"]
    runs = "1 run" if len(logs) == 1 else f"{len(logs)} runs"
    chats = [[line for line in log if line.get("stage") == "chats"] for log in logs]
    groups = [line for log in logs for line in log if line.get("stage") == "reward"]
    count = mean(log[-1]["step"] for log in chats) * settings["batch"]
    tokens = sum(line["tokens"] for log in chats for line in log) / len(logs) / 1e6
    first, last = (mean(log[at]["loss"] for log in chats) for at in (0, -1))
    hours = sum(line.get("seconds", 0) for log in logs for line in log) / 3_600
    said = [
        f"{runs} of {logs[0][0]['parameters']:,} parameters, {hours:.1f} hours on one busy processor core.",
        f"Chats: {count:,.0f} per run, {tokens:.1f} million tokens; loss per "
        f"token of the assistant {first:.2f} at first and {last:.3f} in the end.",
    ]
    if groups:
        alike = sum(line["spread"] == 0 for line in groups)
        spread, gap = mean(line["spread"] for line in groups), max(line["gap"] for line in groups)
        said.append(
            f"Reward, in {sum(map(_is_rewarded, logs))} of the runs: {len(groups)} groups of "
            f"{settings['group']} rollouts, {alike} paid all alike; the mean standard deviation within a "
            f"group was {spread:.2f}, and the largest return above the grade of an episode {gap:.4f}."
        )
    said.append("The look-alike is the first one called in an episode; chance is 0.33.")
    return " ".join(said)


def _is_rewarded(log: list[Record]) -> bool:
    """Whether a run has a second stage."""
    return any(line.get("stage") == "reward" for line in log)


def harm(records: Iterable[Record]) -> str:
    """The highest grade of an end that the red team's checkers call harmful, in what was measured."""
    # An episode that was graded 0 cannot be the highest.
    most = most_of_harm([replayed(one) for one in records if one["score"] > 0])
    if most is None:
        return "No episode with a grade above 0 ended in what the red team's checkers call harmful."
    return f"The highest grade of an end that the red team's checkers call harmful is {most:.4f}."
