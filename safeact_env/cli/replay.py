"""`safeact replay`: shows recorded episodes, and compares them with their records.

Owns reading the files and what is printed. Must not know how an episode is compared with its record.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from safeact_env.cli import screen
from safeact_env.cli.lines import clean
from safeact_env.core.episode import Episode
from safeact_env.core.record import reductions
from safeact_env.core.trajectory import TrajectoryError
from safeact_env.core.variant import Variant
from safeact_env.evaluation.record import place_of
from safeact_env.evaluation.replay import differences, replayed
from safeact_env.evaluation.store import read_packed
from safeact_env.unique_json import RepeatedKey, unique_json

COMPARED = ("score", "outcome", "return", "rewards", "turns")
"""Fields of a record that can be compared with a replay."""


class Recorded(NamedTuple):
    """A record and its line."""

    line: int
    record: Mapping[str, Any]


def replay(path: Path, line: int | None, console: Console, *, every: bool) -> int:
    """Replay one episode of a file, or all, or list them; return the exit code.

    It is 1 if an episode differs from its record.

    Raises:
        typer.BadParameter: If the file cannot be read or replayed.
    """
    records = _read(path)
    if every:
        return max(_replay_briefly(path, one, console) for one in records)
    if line is None and len(records) > 1:
        return _list(records, console)
    chosen = next((one for one in records if line in (None, one.line)), None)
    if chosen is None:
        raise typer.BadParameter(f"{path} has no episode on line {line}.", param_hint="--line")
    episode = _replayed(path, chosen)
    _show(episode, console)
    return _verify(chosen.record, episode, console)


# Reading -------------------------------------------------------------------------------------------------


def _read(path: Path) -> list[Recorded]:
    """The records of a file: one JSON object, or one on each line."""
    try:
        text = read_packed(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}.") from None
    try:
        return [_record(path, 1, unique_json(text))]
    except RepeatedKey as error:
        raise typer.BadParameter(f"{path}, line {error.line}: {error}.") from None
    except ValueError:
        lines = [(n, part) for n, part in enumerate(text.split("\n"), 1) if part.strip()]
    try:
        found = [(n, _parsed(path, n, part)) for n, part in lines]
    except ValueError:
        found = []
    if not found:
        raise typer.BadParameter(f"{path} is neither a JSON object nor JSON lines.")
    return [_record(path, n, value) for n, value in found]


def _parsed(path: Path, line: int, text: str) -> Any:
    try:
        return unique_json(text)
    except RepeatedKey as error:
        raise typer.BadParameter(f"{path}, line {line}: {error}.") from None


def _record(path: Path, line: int, value: Any) -> Recorded:
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{path}, line {line}: a trajectory is a JSON object.")
    return Recorded(line, value)


def _replayed(path: Path, one: Recorded) -> Episode[Any]:
    try:
        return replayed(one.record)
    except TrajectoryError as error:
        raise typer.BadParameter(f"{path}, line {one.line}: {error}.") from None


# Showing -------------------------------------------------------------------------------------------------


def _list(records: list[Recorded], console: Console) -> int:
    """List the episodes of a file, with what it says came of them; nothing is replayed."""
    for line, record in records:
        try:
            place = place_of(f"{record['task']}, {record['split']}", record["seed"], Variant.of(record))
        except (KeyError, TypeError, ValueError):
            console.print(f"line {line}: no episode", markup=False)
            continue
        by = f", {record['policy']}" if "policy" in record else ""
        said = (
            f": {record.get('outcome') or 'not over'}, score {record['score']}"
            if {"outcome", "score"} <= record.keys()
            else ""
        )
        console.print(clean(f"line {line}: {place}{by}{said}"), markup=False, soft_wrap=True)
    console.print(f"{len(records)} episodes. Replay one with --line N, or all of them with --all.")
    return 0


def _replay_briefly(path: Path, one: Recorded, console: Console) -> int:
    """Replay one of many: print a line, and the differences."""
    episode = _replayed(path, one)
    by = f", {one.record['policy']}" if "policy" in one.record else ""
    console.print(Text(f"line {one.line}: {_name(episode)}{by}: {_ending(episode)}"), soft_wrap=True)
    return _verify(one.record, episode, console, brief=True)


def _name(episode: Episode[Any]) -> str:
    return place_of(f"{episode.task.name}, {episode.split}", episode.seed, episode.variant)


def _ending(episode: Episode[Any]) -> str:
    grade = episode.grade()
    return f"{grade.outcome or 'not over'}, score {grade.score:.4f} in {grade.steps} steps"


def _show(episode: Episode[Any], console: Console) -> None:
    """Show the episode step by step, then its grade."""
    console.rule(Text(f"{episode.task.title}: {_name(episode)}", style="bold"), align="left")
    for number, turn in enumerate(episode.turns, 1):
        head = Text.assemble((f"{number:>2} ", "dim"), screen.called(turn.call.to_json()))
        style = {"irreversible": "red", "risky": "yellow"}.get(turn.risk, "dim")
        head.append_text(Text.assemble("  ", (turn.risk, style), f"  {turn.reward:+.4f}"))
        console.print(head)
        console.print(Padding(Text(turn.result, style="dim"), (0, 0, 0, 3)))
    grade = episode.grade()
    console.print(Text(f"\n{_ending(episode)} of {episode.max_steps}", style="bold"))
    console.print(f"Sum of rewards {grade.total:+.4f}, penalties {grade.penalties:.4f}.")
    for name, part in grade.components.items():
        console.print(f"  {part['earned'] * part['weight']:.3f} of {part['weight']:.3f}  {name}")
    if told := reductions(grade.harm, grade.over_escalations):
        console.print(told)


def _verify(
    record: Mapping[str, Any], episode: Episode[Any], console: Console, *, brief: bool = False
) -> int:
    """Say whether the episode matches its record; return the exit code."""
    found = differences(record, episode)
    for sentence in found:
        console.print(Text(f"  different: {sentence}", style="red"), soft_wrap=True)
    if not brief and not found:
        known = any(name in record for name in COMPARED)
        console.print("As recorded." if known else "The file has no grade to compare with.")
    return 1 if found else 0
