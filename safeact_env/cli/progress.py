"""Progress bars, drawn on stderr if that is a terminal.

Owns how they look and disappear. Must not know what is counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn


@contextmanager
def progress_bar(
    *columns: ProgressColumn, console: Console | None = None, **more: Any
) -> Iterator[Callable[..., None]]:
    """Show a bar during the block; yields a function that updates it. `more` goes to rich's `Progress`."""
    console = console or Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal, **more) as bar:
        yield partial(bar.update, bar.add_task("", total=None))


@contextmanager
def episode_bar(time: ProgressColumn, **more: Any) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of episodes; yields a function that takes the number played, and of all."""
    columns = (TextColumn("Playing"), BarColumn(), MofNCompleteColumn(), TextColumn("episodes"), time)
    with progress_bar(*columns, **more) as update:
        yield lambda played, total: update(completed=played, total=total)
