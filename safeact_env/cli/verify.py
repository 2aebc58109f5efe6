"""`safeact verify`: prints which checks of a report hold, and where the others fail.

Owns what is printed. Must not know what is checked.
"""

from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from safeact_env.evaluation import Check, ReportError
from safeact_env.evaluation import verify as check

MOST_SHOWN = 10
"""Mismatches of one check that are printed."""


def verify(path: Path) -> int:
    """Check the report, print what was found; return the exit code."""
    try:
        checks = check(path)
    except ReportError as error:
        raise typer.BadParameter(_printable(str(error)), param_hint="REPORT") from None
    typer.echo(_printable(f"{path}:"))
    Console(highlight=False).print(_table(checks))
    failed = [one for one in checks if one.mismatches]
    for one in failed:
        _print_mismatches(one)
    if failed:
        typer.echo(f"The report does not hold: {', '.join(one.name for one in failed)}.")
        return 1
    typer.echo("The report holds.")
    return 0


def _table(checks: list[Check]) -> Table:
    table = Table("check", "what is checked", "found", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in checks:
        count = len(one.mismatches)
        found = f"[bold red]{count} mismatch{'' if count == 1 else 'es'}[/]" if count else "as reported"
        table.add_row(one.name, one.about, found)
    return table


def _print_mismatches(one: Check) -> None:
    for mismatch in one.mismatches[:MOST_SHOWN]:
        typer.echo(f"{one.name}: {_printable(mismatch)}")
    if len(one.mismatches) > MOST_SHOWN:
        typer.echo(f"{one.name}: and {len(one.mismatches) - MOST_SHOWN} more.")
    typer.echo()


def _printable(text: str) -> str:
    """Return the text without control characters: a report may come from anybody."""
    return "".join(char if char.isprintable() else "?" for char in text)
