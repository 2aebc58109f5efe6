"""`safeact export`: progress while it plays and writes, a line on what was written.

Owns what is printed. Must not know what rows look like.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import typer
from rich.progress import SpinnerColumn, TextColumn

from safeact_env.cli.arguments import INTERRUPTED
from safeact_env.cli.progress import progress_bar
from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation import Mapper
from safeact_env.evaluation.table import variants_text
from safeact_env.exports import Counts, Export, ExportError, SourceError, policy_rollouts, recorded_rollouts
from safeact_env.exports import export as write
from safeact_env.integrations.ray import RayError


class Fresh(NamedTuple):
    """Episodes to play for the export."""

    policy: str
    tasks: tuple[str, ...]
    split: Split
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...] = (DEFAULT,)
    mapper: Mapper | None = None

    def __str__(self) -> str:
        """For the card."""
        first, last, count = self.seeds[0], self.seeds[-1], len(self.seeds)
        seeds = f"{count} seeds from {first} to {last}" if count > 1 else f"seed {first}"
        varied = "" if self.variants == (DEFAULT,) else f", {variants_text(self.variants)}"
        return f"`{self.policy}` on {', '.join(self.tasks)}, split {self.split}{varied}, {seeds}"


def export(folder: Path, source: Fresh | Sequence[Path], wanted: Export) -> int:
    """Write the data and say what was written; return the exit code."""
    try:
        with progress_bar(SpinnerColumn(), TextColumn("{task.completed:.0f} episodes")) as update:
            counts = _export(folder, source, wanted, lambda count: update(completed=count))
    except (ExportError, RayError, SourceError) as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. {folder} is as it was before.", err=True)
        return INTERRUPTED
    rows = ", ".join(f"{count} rows of {form}" for form, count in counts.rows.items())
    typer.echo(f"{folder}: {rows}, from {counts.episodes} episodes.")
    if counts.left_out:
        typer.echo(
            f"{counts.left_out} of them are not among the chats: graded under {wanted.least:g}, or with a "
            "call of an action that does not exist."
        )
    return 0


def _export(
    folder: Path, source: Fresh | Sequence[Path], wanted: Export, show: Callable[[int], None]
) -> Counts:
    if isinstance(source, Fresh):
        # Refuse before anything is played.
        wanted.check(source.split)
        episodes = policy_rollouts(
            source.tasks, source.split, source.seeds, source.policy, source.mapper, source.variants
        )
        return write(episodes, folder, wanted, made=str(source), progress=show)
    names = ", ".join(path.name for path in source)
    return write(recorded_rollouts(source), folder, wanted, made=f"recorded in {names}", progress=show)
