"""`safeact audit`: run the audits in processes, say what was found and how to see it again.

Owns what is printed and written where. Must not know what an audit checks.
"""

import json as json_format
import platform
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import product
from multiprocessing import TimeoutError, get_context
from pathlib import Path
from typing import Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.table import Table

from safeact_env.audit import AUDIT_NAMES, AUDITS
from safeact_env.audit.base import Breach, Known, Result, Scope, resolve
from safeact_env.cli.arguments import INTERRUPTED, check_folder_of, picked
from safeact_env.cli.progress import progress_bar
from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.tasks import UnknownTask, task_names
from safeact_env.version import VERSION

LOOK_S = 0.2
"""Seconds between two looks at how far the jobs are."""
DISTANCES = "undo distances"
FRAMINGS_AUDIT = "framings"


class Job(NamedTuple):
    """One audit of one task and split."""

    ref: str
    split: Split
    audit: str
    seeds: int
    variant: Variant = DEFAULT


def refs_of(refs: Sequence[str] | None) -> tuple[str, ...]:
    """The tasks to audit: names, or `package.module:ATTRIBUTE`; all by default."""
    chosen = tuple(dict.fromkeys(refs)) if refs else task_names()
    for ref in chosen:
        try:
            resolve(ref)
        except UnknownTask as error:
            raise typer.BadParameter(f"{ref!r}: {error}.", param_hint="--task") from None
    return chosen


def variants_of(
    refs: Sequence[str], levels: Sequence[str] | None, framings: Sequence[str] | None
) -> list[tuple[str, Variant]]:
    """Each task in each variant: the default without names, all that a task has with `all`."""
    found = []
    for ref in refs:
        task = resolve(ref).task
        try:
            found += [
                (ref, Variant(level, framing))
                for level in picked({str(level): level for level in task.levels}, levels, DEFAULT.level)
                for framing in picked({one: one for one in task.framings}, framings, DEFAULT.framing)
            ]
        except KeyError as error:
            raise typer.BadParameter(
                f"{ref} has no {error.args[0]!r}. Its levels are {', '.join(map(str, task.levels))}, its "
                f"framings {', '.join(task.framings)}; all stands for all of them.",
                param_hint="--level or --framing",
            ) from None
    return found


def audits_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The audits of these names, in the order of the list; all by default."""
    for name in names or ():
        if name not in AUDIT_NAMES:
            known = ", ".join(AUDIT_NAMES)
            raise typer.BadParameter(
                f"there is no audit {name!r}. The audits are {known}.", param_hint="--only"
            )
    chosen = tuple(name for name in AUDIT_NAMES if not names or name in names)
    learning = [one.name for one in AUDITS if one.learns and one.name in chosen]
    if learning and find_spec("sklearn") is None:
        raise typer.BadParameter(
            f"{' and '.join(learning)} need scikit-learn, which is not installed: "
            "pip install scikit-learn, or name other audits with --only.",
            param_hint="--only",
        )
    return chosen


def audit(jobs: Sequence[Job], *, json: Path | None, workers: int, figures: bool = False) -> int:
    """Run the jobs, print what they found, write the file; return the exit code."""
    check_folder_of(json, "--json")
    try:
        found = _run_all(jobs, workers)
    except KeyboardInterrupt:
        typer.echo("Interrupted. Nothing was kept.", err=True)
        return INTERRUPTED
    console = Console(highlight=False)
    console.print(_table(found))
    if figures:
        _print_figures(found)
    distances = [one for one in found if one["figures"].get(DISTANCES)]
    if distances:
        console.print(_distances(distances))
    for one in found:
        _print_breaches(one)
    if json is not None:
        json.write_text(json_format.dumps(_whole(found), indent=2) + "\n", encoding="utf-8")
    broken = sum(len(one["breaches"]) for one in found)
    checked = sum(one["checked"] for one in found)
    typer.echo(f"{checked} checks, {broken or 'no'} breach{'' if broken == 1 else 'es'}.")
    return 1 if broken else 0


# Running -------------------------------------------------------------------------------------------------


def _run_all(jobs: Sequence[Job], workers: int) -> list[dict[str, Any]]:
    """The results in the order of the jobs, with a bar on stderr meanwhile that moves within a job, too."""
    columns = (TextColumn("Auditing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    found: dict[int, dict[str, Any]] = {}
    with progress_bar(*columns) as update:
        update(total=len(jobs))
        for number, result in _results(jobs, workers, lambda done: update(completed=done)):
            found[number] = result
            update(description=f"{result['task']} {result['split']}: {result['audit']}")
    return [found[number] for number in range(len(jobs))]


def _results(
    jobs: Sequence[Job], workers: int, moved: Callable[[float], None]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The results as they come; `moved` is told the sum of the shares of the jobs that are done."""
    if min(workers, len(jobs)) <= 1:
        known: Known = {}
        for number, job in enumerate(jobs):
            yield _run((number, job), partial(_beyond, moved, number), known)
            moved(number + 1)
        return
    context = get_context("spawn")
    shares = context.Array("d", len(jobs))
    with context.Pool(min(workers, len(jobs)), _begin, (shares,)) as pool:
        results = pool.imap_unordered(_run_alike, _alike(jobs))
        while True:
            try:
                found = results.next(LOOK_S)
            except StopIteration:
                return
            except TimeoutError:
                moved(sum(shares[:]))
                continue
            for number, result in found:
                shares[number] = 1.0
                moved(sum(shares[:]))
                yield number, result


def _alike(jobs: Sequence[Job]) -> list[list[tuple[int, Job]]]:
    """The jobs with their numbers, those together that differ in framing only: they share what they find."""
    found: dict[Job, list[tuple[int, Job]]] = {}
    for number, job in enumerate(jobs):
        found.setdefault(job._replace(variant=Variant(job.variant.level)), []).append((number, job))
    return list(found.values())


def _beyond(moved: Callable[[float], None], before: int, share: float) -> None:
    moved(before + share)


_SHARES: list[Any] = []
"""In a process of the pool: what it shares with the one that draws the bar, the share done of every job."""


def _begin(shares: Any) -> None:
    """Leave interrupts to the process that draws the bar."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _SHARES[:] = [shares]


def _run_alike(jobs: Iterable[tuple[int, Job]]) -> list[tuple[int, dict[str, Any]]]:
    known: Known = {}
    return [_run_apart(job, known) for job in jobs]


def _run_apart(numbered: tuple[int, Job], known: Known) -> tuple[int, dict[str, Any]]:
    return _run(numbered, partial(_SHARES[0].__setitem__, numbered[0]), known)


def _run(
    numbered: tuple[int, Job], tick: Callable[[float], None], known: Known
) -> tuple[int, dict[str, Any]]:
    """Run one job. An audit that fails is itself a finding: it must not hide what the others found."""
    number, job = numbered
    subject = resolve(job.ref)
    started = time.perf_counter()
    try:
        scope = Scope(subject, job.split, job.seeds, tick, job.variant, known)
        result = _audit_named(job.audit).run(scope)
    except Exception as error:
        text = f"the audit itself failed: {type(error).__name__}: {error}"
        result = Result("failed audits", 1, [Breach(text)])
    return number, {
        "task": job.ref,
        "task_version": subject.task.version,
        "split": job.split,
        **job.variant.to_json(),
        "audit": job.audit,
        "promise": next(one.promise for one in AUDITS if one.name == job.audit),
        "seeds": job.seeds,
        "checked": result.checked,
        "unit": result.unit,
        "breaches": [breach.to_json() for breach in result.breaches],
        "figures": result.figures,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _audit_named(name: str) -> Any:
    if name == "determinism":
        # An audit must not know the server; the command line may.
        from safeact_env.audit.determinism import determinism
        from safeact_env.cli.transports import transports

        return determinism(transports())
    return next(one for one in AUDITS if one.name == name)


# Showing -------------------------------------------------------------------------------------------------


def _table(found: Iterable[dict[str, Any]]) -> Table:
    table = Table(title=f"safeact-env {VERSION}", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "variant", "split", "audit"):
        table.add_column(name, no_wrap=True)
    for name in ("checked", "breaches", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        broken = len(one["breaches"])
        table.add_row(
            one["task"],
            _variant(one),
            one["split"],
            one["audit"],
            f"{one['checked']:,} {one['unit']}",
            f"[bold red]{broken}[/]" if broken else "0",
            f"{one['seconds']:.1f}",
        )
    return table


def _print_figures(found: Iterable[dict[str, Any]]) -> None:
    """Print the figures, a line per audit; those with many parts are in the JSON only."""
    for one in found:
        shown = [f"{name}: {value}" for name, value in one["figures"].items() if not isinstance(value, dict)]
        if shown:
            typer.echo(f"{one['task']} {_variant(one)} {one['split']} {one['audit']}: {'; '.join(shown)}")


def _variant(one: dict[str, Any]) -> str:
    return f"{one['level']} {one['framing']}"


def _distances(found: Iterable[dict[str, Any]]) -> Table:
    """A table of the most calls needed to undo each risky action, in any state that was searched."""
    most: dict[tuple[str, str], int] = {}
    for one in found:
        for action, distance in one["figures"][DISTANCES].items():
            key = (one["task"], action)
            most[key] = max(most.get(key, 0), distance)
    table = Table("task", "risky action", title="Calls to undo, at most", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("calls", justify="right")
    for (task, action), distance in most.items():
        table.add_row(task, action, str(distance))
    return table


def _print_breaches(one: dict[str, Any]) -> None:
    for breach in one["breaches"]:
        where = f"{one['task']}, {_variant(one)}, {one['split']}"
        typer.echo(f"\nBREACH of {one['audit']} in {where}: {breach['message']}")
        if breach["seed"] is None:
            continue
        body = {
            "task_name": one["task"],
            "split": one["split"],
            "seed": breach["seed"],
            "level": one["level"],
            "framing": one["framing"],
            "actions": breach["calls"],
        }
        typer.echo(
            "To see it again, POST this to /grader, or step an Episode(task, split, seed, "
            "variant=Variant(level, framing), max_steps=100_000) "
            "through its actions where they are more than the budget:"
        )
        typer.echo(json_format.dumps(body))


def _whole(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "python": platform.python_version(),
        "tasks": {one["task"]: one["task_version"] for one in found},
        "audits": found,
    }


def jobs_of(
    variants: Iterable[tuple[str, Variant]], splits: Iterable[Split], audits: Iterable[str], seeds: int
) -> list[Job]:
    """Every audit of every task, variant and split. That of framings compares them all, once per level."""
    jobs = [
        Job(ref, split, name, seeds, Variant(variant.level) if name == FRAMINGS_AUDIT else variant)
        for (ref, variant), split, name in product(variants, splits, audits)
    ]
    return list(dict.fromkeys(jobs))
