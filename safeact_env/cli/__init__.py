"""The command line: `safeact serve | play | eval | verify | replay | export | audit | tasks | new`.

Owns commands and their arguments. Must not know how anything is done: each command imports what it needs
when it runs, so that `safeact --help` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from safeact_env.version import VERSION

__all__ = ["app", "main"]

app = typer.Typer(
    name="safeact",
    help="Train and measure agents on telling reversible actions from irreversible ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _named(metavar: str, about: str, *names: str, **more: Any) -> Any:
    """An option whose value is shown as `metavar`; called as its parameter unless there are names."""
    return typer.Option(*names, metavar=metavar, help=about, **more)


def main() -> None:
    """Run the command line."""
    app(prog_name="safeact")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"safeact-env {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    pass


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def serve(context: typer.Context) -> None:
    """Start the server."""
    from safeact_env.cli.serve import command

    # The settings are this command's options, and are imported only here.
    command()(args=context.args, prog_name="safeact serve")


@app.command()
def play(
    task: Annotated[str, _named("TASK", "Task to play; `safeact tasks` lists them.")] = "easy",
    seed: Annotated[
        int | None, _named("SEED", "Scenario to play, from 0; without it a fresh one is drawn.")
    ] = None,
    split: Annotated[str, _named("SPLIT", "train or test.")] = "train",
    reveal: Annotated[
        bool, typer.Option("--reveal", help="After each action tell its hidden risk class.")
    ] = False,
) -> None:
    """Play an episode yourself, in the terminal."""
    from rich.console import Console

    from safeact_env.cli.arguments import checked_seed, splits_of, tasks_of
    from safeact_env.cli.play import Game, fresh_seed

    (name,), (one,) = tasks_of([task]), splits_of(split, ("train", "test"))
    start = fresh_seed() if seed is None else checked_seed(seed)
    code = Game(name, one, start, Console(highlight=False), reveal=reveal).run()
    raise typer.Exit(code)


FIXED_BY_A_SUITE = ("task", "seeds", "split", "attempts", "workers", "ray", "json", "markdown")
"""Parameters of `eval` that cannot be combined with `--suite`."""


@app.command("eval")
def eval_(
    context: typer.Context,
    policy: Annotated[
        list[str] | None, _named("NAME", "Policy to evaluate; repeat for several (default: all).")
    ] = None,
    task: Annotated[
        list[str] | None, _named("NAME", "Task to evaluate on; repeat for several (default: all).")
    ] = None,
    seeds: Annotated[str, _named("SEEDS", "Seeds of the scenarios, such as 0-9,12.")] = "0-19",
    split: Annotated[str, _named("SPLIT", "train, test or both.")] = "both",
    attempts: Annotated[int, _named("K", "Episodes per policy and scenario.", min=1, max=1000)] = 1,
    workers: Annotated[int, _named("N", "Processes to play in.", min=1, max=256)] = 2,
    ray: Annotated[
        str | None,
        _named("ADDRESS", "Play on a Ray cluster instead: auto, ray://HOST:10001, or local for --workers."),
    ] = None,
    suite: Annotated[
        str | None,
        _named("NAME", "Play an official suite (v1) with one --policy; its report goes to the folder --out."),
    ] = None,
    out: Annotated[
        Path | None,
        _named("PATH", "Record every episode in this file, a JSON line each; with --suite a folder."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with what --out holds, or start it again.")
    ] = True,
    json: Annotated[
        Path | None, _named("FILE", "Write all metrics and intervals as JSON.", dir_okay=False)
    ] = None,
    markdown: Annotated[Path | None, _named("FILE", "Write the tables as Markdown.", dir_okay=False)] = None,
) -> None:
    """Evaluate the reference policies: grades, mistakes and questions, with 95% intervals."""
    from safeact_env.cli.arguments import (
        is_given,
        mapper_at,
        policies_of,
        seeds_of,
        splits_of,
        suite_of,
        tasks_of,
    )
    from safeact_env.cli.evaluate import evaluate, evaluate_suite
    from safeact_env.evaluation import Selection

    if suite is not None:
        found, folder = suite_of(suite, out, [name for name in FIXED_BY_A_SUITE if is_given(context, name)])
        chosen = policies_of(policy)
        if len(chosen) != 1:
            raise typer.BadParameter("a report is about one agent; name one policy.", param_hint="--policy")
        raise typer.Exit(evaluate_suite(found, chosen[0], folder, resume=resume))
    if out is not None and out.is_dir():
        raise typer.BadParameter(f"{out} is a folder; name a file in it.", param_hint="--out")
    selection = Selection(
        policies=policies_of(policy),
        tasks=tasks_of(task),
        splits=splits_of(split, ("train", "test", "both")),
        seeds=seeds_of(seeds),
        attempts=attempts,
    )
    options: dict[str, Any] = {"out": out, "resume": resume, "workers": workers}
    options["mapper"] = mapper_at(ray, workers)
    raise typer.Exit(evaluate(selection, json=json, markdown=markdown, **options))


@app.command()
def verify(
    report: Annotated[
        Path, typer.Argument(metavar="REPORT", help="The report of a suite, or the folder it lies in.")
    ],
) -> None:
    """Check somebody's report of a suite: play every episode again, work out every number again.

    Exit code 0: all holds. 1: something does not, and is named. 2: it cannot be checked here.
    """
    from safeact_env.cli.verify import verify as run

    raise typer.Exit(run(report))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A trajectory: JSON, or a line of JSONL.")],
    line: Annotated[int | None, _named("N", "The line of the episode to replay.", min=1)] = None,
    every: Annotated[bool, typer.Option("--all", help="Replay every line, and print one for each.")] = False,
) -> None:
    """Replay recorded episodes and compare them with what was recorded."""
    from rich.console import Console

    from safeact_env.cli.replay import replay as replay_file

    raise typer.Exit(replay_file(file, line, Console(highlight=False), every=every))


@app.command()
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made if it is not there.")],
    source: Annotated[
        list[Path] | None,
        _named("FILE", "Export recorded episodes, JSON lines or .gz; repeat for several.", "--from"),
    ] = None,
    policy: Annotated[str, _named("NAME", "Without --from: policy that plays the episodes.")] = "expert",
    task: Annotated[
        list[str] | None, _named("NAME", "Without --from: task to play; repeat for several (default: all).")
    ] = None,
    seeds: Annotated[str, _named("SEEDS", "Without --from: seeds to play, such as 0-9,12.")] = "0-19",
    split: Annotated[str, _named("SPLIT", "Without --from: train, or test with --force-test.")] = "train",
    ray: Annotated[
        str | None, _named("ADDRESS", "Without --from: play on a Ray cluster: auto, ray://HOST:10001, local.")
    ] = None,
    form: Annotated[
        list[str] | None, _named("FORM", "sft, dpo or kto; repeat for several (default: all).")
    ] = None,
    prompt: Annotated[str, _named("NAME", "What the system message says: neutral or hinted.")] = "neutral",
    pairs: Annotated[int, _named("N", "Most preference pairs per episode.", min=1, max=1000)] = 4,
    min_score: Annotated[
        float, _named("GRADE", "Least grade of an episode for sft.", min=0.0, max=1.0)
    ] = 1.0,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet as well; needs pyarrow.")] = False,
    force_test: Annotated[
        bool, typer.Option("--force-test", help="Export the split test although it is there to measure with.")
    ] = False,
) -> None:
    """Write episodes as data to train on: chats, preference pairs, rated answers, and a dataset card."""
    from safeact_env.cli.arguments import (
        forms_of,
        is_given,
        mapper_at,
        policies_of,
        prompt_of,
        seeds_of,
        splits_of,
        tasks_of,
    )
    from safeact_env.cli.export import Fresh
    from safeact_env.cli.export import export as run
    from safeact_env.exports import Export

    (player,), (part,) = policies_of([policy]), splits_of(split, ("train", "test"))
    fresh = Fresh(player, tasks_of(task), part, seeds_of(seeds), mapper_at(ray))
    if source and (given := [f"--{name}" for name in FOR_PLAYING if is_given(context, name)]):
        raise typer.BadParameter(f"{', '.join(given)} cannot be combined with --from.")
    wanted = Export(forms_of(form), prompt_of(prompt), pairs, min_score, parquet, force_test)
    raise typer.Exit(run(folder, source or fresh, wanted))


FOR_PLAYING = ("policy", "task", "seeds", "split", "ray")
"""Parameters of `export` that cannot be combined with `--from`."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the task, such as print_queue.")],
    title: Annotated[str | None, _named("TITLE", "For people (default: made from the name).")] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Write a task of your own package here.", file_okay=False),
    ] = None,
) -> None:
    """Start a task of your own: a small one that works, to change."""
    from safeact_env.cli.new import create

    typer.echo(create(name, title, folder))


@app.command()
def audit(
    task: Annotated[
        list[str] | None,
        _named(
            "TASK", "Task to audit, by name or package.module:ATTRIBUTE; repeat for several (default: all)."
        ),
    ] = None,
    split: Annotated[str, _named("SPLIT", "train, test or both.")] = "both",
    seeds: Annotated[int, _named("N", "Scenarios per task and split.", min=1, max=100_000)] = 20,
    only: Annotated[
        list[str] | None, _named("NAME", "Audit to run; repeat for several (default: all).")
    ] = None,
    json: Annotated[Path | None, _named("FILE", "Write everything as JSON.", dir_okay=False)] = None,
    workers: Annotated[int, _named("N", "Processes to run in.", min=1, max=256)] = 2,
    figures: Annotated[bool, typer.Option("--figures", help="Print every figure, a line per audit.")] = False,
) -> None:
    """Check what the environment promises; exit code 1 on a breach, with the calls that show it."""
    from safeact_env.cli.arguments import splits_of
    from safeact_env.cli.audit import audit as run
    from safeact_env.cli.audit import audits_of, jobs_of, refs_of

    splits = splits_of(split, ("train", "test", "both"))
    jobs = jobs_of(refs_of(task), splits, audits_of(only), seeds)
    raise typer.Exit(run(jobs, json=json, workers=workers, figures=figures))


@app.command()
def tasks() -> None:
    """List the tasks."""
    from rich.console import Console

    from safeact_env.cli.tasks import task_table

    Console(highlight=False).print(task_table())
