"""`safeact eval`: progress while it plays, tables when it is done.

Owns what is printed and written where. Must not know how episodes are played or counted.
"""

from __future__ import annotations

import json as json_format
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from safeact_env.evaluation import (
    Sample,
    Selection,
    StoreError,
    legend,
    rich_tables,
    summarise,
    to_json,
)
from safeact_env.evaluation import evaluate as play_all
from safeact_env.evaluation import markdown as as_markdown

__all__ = ["evaluate"]

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def evaluate(
    selection: Selection,
    *,
    out: Path | None,
    resume: bool,
    workers: int,
    json: Path | None,
    markdown: Path | None,
) -> int:
    """Play the selection, print the tables, write the files; return the exit code."""
    for path in (json, markdown):
        if path is not None and not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent}; make it first.")
    try:
        samples = _play(selection, out, resume, workers)
    except StoreError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None
    except KeyboardInterrupt:
        kept = (
            f"{out} keeps what was played; run the same command again to go on."
            if out
            else ("Nothing was kept; with --out FILE a run can be gone on with.")
        )
        typer.echo(f"Interrupted. {kept}", err=True)
        return INTERRUPTED
    groups = summarise(samples)
    console = Console(highlight=False)
    for table in rich_tables(selection, groups):
        console.print(table)
    console.print(legend(selection), style="dim")
    if json is not None:
        json.write_text(json_format.dumps(to_json(selection, groups), indent=2) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text(as_markdown(selection, groups), encoding="utf-8")
    return 0


def _play(selection: Selection, out: Path | None, resume: bool, workers: int) -> list[Sample]:
    console = Console(stderr=True)
    columns = (TextColumn("Playing"), BarColumn(), MofNCompleteColumn(), TextColumn("episodes"))
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        shown = bar.add_task("episodes", total=None)
        return play_all(
            selection,
            out=out,
            resume=resume,
            workers=workers,
            progress=lambda played, total: bar.update(shown, completed=played, total=total),
        )
