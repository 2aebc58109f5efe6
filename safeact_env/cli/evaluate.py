"""`safeact eval`: progress while it plays, tables when it is done; a suite with its report.

Owns what is printed and written where. Must not know how episodes are played or counted.
"""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from safeact_env.evaluation import (
    Agent,
    Group,
    Mapper,
    ReportError,
    Sample,
    Selection,
    StoreError,
    Suite,
    legend,
    policy_player,
    rich_tables,
    run_suite,
    summarise,
    to_json,
)
from safeact_env.evaluation import evaluate as play_all
from safeact_env.evaluation import markdown as as_markdown
from safeact_env.integrations.ray import RayError

__all__ = ["evaluate", "evaluate_suite", "print_tables", "whereabouts"]

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def evaluate(
    selection: Selection,
    *,
    out: Path | None,
    resume: bool,
    workers: int,
    mapper: Mapper | None,
    json: Path | None,
    markdown: Path | None,
) -> int:
    """Play the selection, print the tables, write the files; return the exit code."""
    for path in (json, markdown):
        if path is not None and not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent}; make it first.")
    try:
        samples = _play(selection, out=out, resume=resume, workers=workers, mapper=mapper)
    except StoreError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None
    except RayError as error:
        raise typer.BadParameter(str(error), param_hint="--ray") from None
    except KeyboardInterrupt:
        kept = (
            f"{out} keeps what was played; run the same command again to go on."
            if out
            else ("Nothing was kept; with --out FILE a run can be gone on with.")
        )
        typer.echo(f"Interrupted. {kept}", err=True)
        return INTERRUPTED
    groups = summarise(samples)
    print_tables(selection, groups)
    if json is not None:
        json.write_text(json_format.dumps(to_json(selection, groups), indent=2) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text(as_markdown(selection, groups), encoding="utf-8")
    return 0


def evaluate_suite(suite: Suite, policy: str, out: Path, *, resume: bool) -> int:
    """Play a suite with a reference policy, print the tables; return the exit code."""
    agent = Agent(name=policy, kind="policy")
    try:
        with _Bar() as bar:
            player = policy_player(policy)
            report = run_suite(suite, player, out, agent, resume=resume, progress=bar.show)
    except (ReportError, StoreError) as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        typer.echo(
            f"Interrupted. {out} keeps what was played; run the same command again to go on.", err=True
        )
        return INTERRUPTED
    print_tables(suite.selection(policy), report.results())
    typer.echo(whereabouts(out))
    return 0


def print_tables(selection: Selection, groups: Sequence[Group]) -> None:
    """Print the tables with what they mean."""
    console = Console(highlight=False)
    for table in rich_tables(selection, groups):
        console.print(table)
    console.print(legend(selection), style="dim")


def _play(selection: Selection, **options: Any) -> list[Sample]:
    with _Bar() as bar:
        return play_all(selection, progress=bar.show, **options)


def whereabouts(out: Path | None) -> str:
    """Where the report of a suite is, and what checks it."""
    return f"The report and the records are in {out}; `safeact verify {out}` checks them."


class _Bar:
    """A progress bar on stderr, if that is a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("Playing"), BarColumn(), MofNCompleteColumn(), TextColumn("episodes"))
        self._bar = Progress(
            *columns,
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._shown = self._bar.add_task("episodes", total=None)

    def show(self, played: int, total: int) -> None:
        """So many of so many episodes are there."""
        self._bar.update(self._shown, completed=played, total=total)

    def __enter__(self) -> _Bar:
        self._bar.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._bar.__exit__(*about)
