"""`safeact eval`: progress while it plays, tables when it is done; a suite with its report.

Owns what is printed and written where. Must not know how episodes are played or counted.
"""

import json as json_format
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import TimeRemainingColumn

from safeact_env.cli.arguments import INTERRUPTED, check_folder_of
from safeact_env.cli.progress import episode_bar
from safeact_env.evaluation import (
    Agent,
    Comparison,
    Group,
    Mapper,
    Predictions,
    ReportError,
    Selection,
    StoreError,
    Suite,
    compare,
    findings,
    knowing,
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
    check_folder_of(json)
    check_folder_of(markdown)
    try:
        with episode_bar(TimeRemainingColumn()) as show:
            samples = play_all(
                selection, out=out, resume=resume, workers=workers, mapper=mapper, progress=show
            )
    except StoreError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None
    except RayError as error:
        raise typer.BadParameter(str(error), param_hint="--ray") from None
    except KeyboardInterrupt:
        return _interrupted(out)
    groups = summarise(samples)
    comparisons = compare(samples)
    print_tables(selection, groups, comparisons)
    if json is not None:
        json.write_text(
            json_format.dumps(to_json(selection, groups, comparisons), indent=2) + "\n", encoding="utf-8"
        )
    if markdown is not None:
        markdown.write_text(as_markdown(selection, groups, comparisons), encoding="utf-8")
    return 0


def evaluate_suite(suite: Suite, policies: Sequence[str], out: Path, *, resume: bool) -> int:
    """Play a suite with a reference policy, print the tables; return the exit code."""
    if len(policies) != 1:
        raise typer.BadParameter("a report is about one agent; name one policy.", param_hint="--policy")
    (policy,) = policies
    agent = Agent(name=policy, kind="policy")
    try:
        with episode_bar(TimeRemainingColumn()) as show:
            report = run_suite(suite, policy_player(policy), out, agent, resume=resume, progress=show)
    except (ReportError, StoreError) as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        return _interrupted(out)
    print_tables(suite.selection(policy), report.results(), report.differences())
    typer.echo(whereabouts(out))
    return 0


def print_tables(
    selection: Selection,
    groups: Sequence[Group],
    comparisons: Sequence[Comparison] = (),
    predictions: Sequence[Predictions] = (),
) -> None:
    """Print the tables, what the comparisons and the predictions show, and the legend."""
    console = Console(highlight=False)
    for table in rich_tables(selection, groups, comparisons, predictions):
        console.print(table)
    for sentence in (*findings(comparisons), *knowing(predictions)):
        console.print(sentence)
    console.print(legend(selection), style="dim")


def _interrupted(out: Path | None) -> int:
    """Say what an interrupted run keeps; return the exit code."""
    kept = f"{out} keeps what was played; run the same command again to go on."
    typer.echo(
        f"Interrupted. {kept if out else 'Nothing was kept; to resume a run, use --out FILE.'}", err=True
    )
    return INTERRUPTED


def whereabouts(out: Path | None) -> str:
    """Say where the report of a suite is, and how to check it."""
    return f"The report and the records are in {out}; `safeact verify {out}` checks them."
