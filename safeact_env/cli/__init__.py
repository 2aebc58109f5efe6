"""The command line: `safeact serve | play | eval | verify | replay | export | audit | tasks | new`.

Owns the commands. Must not know how anything is done: each command imports what it needs when it runs, so
that `safeact --help` stays quick.
"""

from typing import Annotated

import typer

from safeact_env.cli import options
from safeact_env.version import VERSION

app = typer.Typer(
    name="safeact",
    help="Train and measure agents on telling reversible actions from irreversible ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def serve(context: typer.Context) -> None:
    """Start the server."""
    from safeact_env.cli.serve import command

    # The settings are this command's options, and are imported only here.
    command()(args=context.args, prog_name="safeact serve")


@app.command()
def play(
    task: options.TaskName = "easy",
    seed: options.Seed = None,
    split: options.OneSplit = "train",
    level: options.OneLevel = 3,
    framing: options.OneFraming = "rules",
    reveal: options.Reveal = False,
    out: options.Saved = None,
) -> None:
    """Play an episode yourself, in the terminal."""
    from rich.console import Console

    from safeact_env.cli.arguments import checked_seed, splits_of, tasks_of, variants_of
    from safeact_env.cli.play import Game, fresh_seed

    (name,), (one,) = tasks_of([task]), splits_of(split, ("train", "test"))
    (variant,) = variants_of([name], [str(level)], [framing])
    start = fresh_seed() if seed is None else checked_seed(seed)
    code = Game(name, one, start, Console(highlight=False), variant=variant, reveal=reveal, out=out).run()
    raise typer.Exit(code)


FIXED_BY_A_SUITE = (
    *("task", "seeds", "split", "level", "framing", "attempts"),
    *("workers", "ray", "json", "markdown"),
)
"""Parameters of `eval` that cannot be combined with `--suite`."""


@app.command("eval")
def eval_(
    context: typer.Context,
    policy: options.Policies = None,
    task: options.Tasks = None,
    seeds: options.Seeds = "0-19",
    split: options.Splits = "both",
    level: options.Levels = None,
    framing: options.Framings = None,
    attempts: options.Attempts = 1,
    workers: options.Workers = 2,
    ray: options.Ray = None,
    suite: options.SuiteName = None,
    out: options.Records = None,
    resume: options.Resume = True,
    json: options.Json = None,
    markdown: options.Markdown = None,
) -> None:
    """Evaluate the reference policies: grades, mistakes and questions, with 95% intervals.

    With several framings or levels it prints what they change: differences on the same scenarios for
    framings, with the same seeds for levels.
    """
    from safeact_env.cli import arguments, evaluate
    from safeact_env.evaluation import Selection

    policies = arguments.policies_of(policy)
    if suite is not None:
        given = [name for name in FIXED_BY_A_SUITE if arguments.is_given(context, name)]
        found, folder = arguments.suite_of(suite, out, given)
        raise typer.Exit(evaluate.evaluate_suite(found, policies, folder, resume=resume))
    arguments.check_no_folder(out)
    splits = arguments.splits_of(split, ("train", "test", "both"))
    tasks = arguments.tasks_of(task)
    variants = arguments.variants_of(tasks, level, framing)
    selection = Selection(policies, tasks, splits, arguments.seeds_of(seeds), attempts, variants)
    mapper = arguments.mapper_at(ray, workers)
    raise typer.Exit(
        evaluate.evaluate(
            selection, out=out, resume=resume, workers=workers, mapper=mapper, json=json, markdown=markdown
        )
    )


@app.command()
def verify(report: options.Report) -> None:
    """Check somebody's report of a suite: replay every episode and recompute every number.

    Exit code 0: everything matches. 1: something does not, and is named. 2: it cannot be checked here.
    """
    from safeact_env.cli.verify import verify as run

    raise typer.Exit(run(report))


@app.command()
def replay(
    file: options.Trajectories,
    line: options.Line = None,
    every: options.EveryLine = False,
    follow: options.Follow = False,
) -> None:
    """Replay recorded episodes and compare them with their records, or follow a run as it is written."""
    from rich.console import Console

    if follow:
        if line is not None or every:
            raise typer.BadParameter("goes with neither --line nor --all.", param_hint="--follow")
        from safeact_env.cli.follow import follow as follow_run

        raise typer.Exit(follow_run(file, Console(highlight=False, stderr=True)))
    from safeact_env.cli.replay import replay as replay_file

    raise typer.Exit(replay_file(file, line, Console(highlight=False), every=every))


FOR_PLAYING = ("policy", "task", "seeds", "split", "level", "framing", "ray")
"""Parameters of `export` that cannot be combined with `--from`."""


@app.command()
def export(
    context: typer.Context,
    folder: options.ExportFolder,
    source: options.Sources = None,
    policy: options.ExportPolicy = "expert",
    task: options.ExportTasks = None,
    seeds: options.ExportSeeds = "0-19",
    split: options.ExportSplit = "train",
    level: options.ExportLevels = None,
    framing: options.ExportFramings = None,
    ray: options.ExportRay = None,
    form: options.Forms = None,
    prompt: options.Prompt = "neutral",
    pairs: options.Pairs = 4,
    min_score: options.MinScore = 1.0,
    parquet: options.Parquet = False,
    predict: options.Predict = False,
    force_test: options.ForceTest = False,
) -> None:
    """Write episodes as training data: chats, preference pairs, rated answers, and a dataset card."""
    from safeact_env.cli import arguments
    from safeact_env.cli.export import Fresh
    from safeact_env.cli.export import export as run
    from safeact_env.exports import Export

    (player,), (part,) = arguments.policies_of([policy]), arguments.splits_of(split, ("train", "test"))
    chosen = arguments.tasks_of(task)
    variants = arguments.variants_of(chosen, level, framing)
    fresh = Fresh(player, chosen, part, arguments.seeds_of(seeds), variants, arguments.mapper_at(ray))
    if source and (given := [f"--{name}" for name in FOR_PLAYING if arguments.is_given(context, name)]):
        raise typer.BadParameter(f"{', '.join(given)} cannot be combined with --from.")
    forms, text = arguments.forms_of(form), arguments.prompt_of(prompt)
    wanted = Export(forms, text, pairs, min_score, parquet, force_test, predict)
    raise typer.Exit(run(folder, source or fresh, wanted))


@app.command()
def new(name: options.NewName, title: options.NewTitle = None, folder: options.NewFolder = None) -> None:
    """Start a task of your own: a small one that works, to change."""
    from safeact_env.cli.new import create

    typer.echo(create(name, title, folder))


@app.command()
def audit(
    task: options.AuditTasks = None,
    split: options.Splits = "both",
    seeds: options.AuditSeeds = 20,
    only: options.Audits = None,
    level: options.AuditLevels = None,
    framing: options.AuditFramings = None,
    json: options.Json = None,
    workers: options.Workers = 2,
    figures: options.Figures = False,
) -> None:
    """Check what the environment promises; exit code 1 on a breach, with the calls that show it."""
    from safeact_env.cli.arguments import splits_of
    from safeact_env.cli.audit import audit as run
    from safeact_env.cli.audit import audits_of, jobs_of, refs_of, variants_of

    splits = splits_of(split, ("train", "test", "both"))
    jobs = jobs_of(variants_of(refs_of(task), level, framing), splits, audits_of(only), seeds)
    raise typer.Exit(run(jobs, json=json, workers=workers, figures=figures))


@app.command()
def tasks() -> None:
    """List the tasks."""
    from rich.console import Console

    from safeact_env.cli.tasks import task_table

    Console(highlight=False).print(task_table())
