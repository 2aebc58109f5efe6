"""A run of `inference.py`, from its options to what is printed and kept.

Owns the order of steps, what is printed where, and the exit code. Must not know how a model is asked, nor how
options are read.
"""

import json as json_format
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import TimeElapsedColumn

from safeact_env.cli.evaluate import print_tables, whereabouts
from safeact_env.cli.lines import Lines, Steps
from safeact_env.cli.progress import episode_bar
from safeact_env.cli.step_log import STEPS, StepLog
from safeact_env.evaluation import (
    Agent,
    Key,
    Prices,
    Prompt,
    Report,
    Sample,
    Selection,
    Suite,
    SuiteFolder,
    compare,
    holds_episodes,
    predictions_of,
    summarise,
    to_json,
)
from safeact_env.evaluation.cost import Cost, usage
from safeact_env.evaluation.record import place_of
from safeact_env.evaluation.store import occupied
from safeact_env.llm.backends import Backend, LocalBackend, Server
from safeact_env.llm.model import Model, opened
from safeact_env.llm.player import Limits, Meter
from safeact_env.llm.run import Folder, Outcome, Playing, PolicyAgent, Watcher, play_selection

__all__ = ["MISSING", "PLAYED", "Played", "Run", "kept", "play", "report"]

PLAYED, MISSING = 0, 1
"""Exit codes: every episode was played, or some were not."""


@dataclass(frozen=True, slots=True)
class Run:
    """What to play, how, and where to keep it.

    Attributes:
        selection: Episodes of one agent.
        model: The model and its settings; `None` for a reference policy.
        suite: The suite that the selection is taken from, if any; it needs `out`.
        limits: Limits of the whole run.
        prices: Prices of tokens, if given.
        url: Address of a server to play on; `None` runs episodes in this process.
        concurrency: Episodes at a time, at least 1.
        out: Folder that keeps every episode.
        resume: Whether the folder may hold episodes already.
        lines: Whether to print the lines for programs on a terminal, too.
    """

    selection: Selection
    model: Model | None
    suite: Suite | None
    limits: Limits
    prices: Prices | None
    url: str | None
    concurrency: int
    out: Path | None
    resume: bool
    lines: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same for every episode in a folder."""
        return {"agent": self.name, **(self.model.settings if self.model else {})}

    @property
    def episodes(self) -> int:
        """How many episodes it has."""
        return sum(1 for scenario in self.selection.scenarios() for _ in self.selection.keys(scenario))

    @property
    def name(self) -> str:
        """The agent's name."""
        (agent,) = self.selection.policies
        return agent

    @property
    def agent(self) -> Agent:
        """The agent as the report of a suite names it."""
        if self.model is None:
            return Agent(name=self.name, kind="policy")
        prompt = self.model.prompt
        told = Prompt(name=prompt.name, version=prompt.version, sha256=prompt.sha256)
        # Without what the prompt and the suite say already.
        twice = {"agent", "prompt", "prompt_version", "predict", "prompt_sha256", "limits"}
        settings = {name: value for name, value in self.settings.items() if name not in twice}
        return Agent(name=self.name, kind="model", prompt=told, settings=settings)


@dataclass(frozen=True, slots=True)
class Played:
    """The result of a run.

    Attributes:
        outcome: Samples and errors of the episodes.
        used: What the model used in this run, without earlier episodes of the folder.
        settings: The run's settings, with the temperature that was in force.
        report: Report of the suite, if one was played and is complete.
    """

    outcome: Outcome
    used: Cost
    settings: dict[str, Any]
    report: Report | None = None


async def play(run: Run) -> Played:
    """Play the episodes, with a line per step on standard output.

    Raises:
        LLMError: If the model or the server cannot be used.
        StoreError: If the folder cannot.
        ReportError: If the folder holds another run of a suite.
    """
    console = Console(stderr=True, highlight=False)
    meter = Meter(run.limits)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder(run))
        backend: Callable[[], Backend] = LocalBackend
        if run.url is not None:
            server = Server(run.url, run.selection.tasks, os.environ.get("SAFEACT_API_TOKEN"))
            backend = (await stack.enter_async_context(server)).backend
        agent: Callable[[Key], Any] = PolicyAgent
        if run.model is not None:
            model = opened(run.model, run=meter, episodes=run.concurrency, say=console.print)
            agent = await stack.enter_async_context(model)
        # The bar must not catch lines that go elsewhere than to its terminal.
        bar = episode_bar(TimeElapsedColumn(), console=console, redirect_stdout=sys.stdout.isatty())
        printed = Steps if sys.stdout.isatty() and not run.lines else Lines
        watcher: Watcher = printed(live=run.concurrency == 1)
        if run.out is not None:
            log = StepLog(run.out / STEPS, watcher, run.episodes, resume=run.resume)
            watcher = stack.enter_context(log)
        outcome = await play_selection(
            run.selection,
            Playing(agent, backend, watcher),
            folder=folder,
            concurrency=run.concurrency,
            progress=stack.enter_context(bar),
        )
    report = None
    if isinstance(folder, SuiteFolder) and len(outcome.samples) == run.episodes:
        report = folder.finish(run.prices)
    used = usage(meter.latencies, meter.tokens_in, meter.tokens_out, run.prices)
    settings = folder.settings if isinstance(folder, Folder) else run.settings
    if meter.without_temperature:
        settings = {**settings, "temperature": None}
    return Played(outcome, used, settings, report)


def _folder(run: Run) -> AbstractContextManager[Folder | SuiteFolder | None]:
    """The folder that keeps the episodes, if any."""
    if run.out is None:
        return nullcontext()
    if run.suite is None:
        return Folder(run.out, run.settings, run.selection.tasks, resume=run.resume)
    if not run.resume and holds_episodes(run.out):
        raise occupied(run.out)
    return SuiteFolder(run.suite, run.out, run.agent, resume=run.resume)


def report(run: Run, played: Played, json: Path | None) -> int:
    """Print tables, usage and errors, write the file; return the exit code."""
    outcome = played.outcome
    samples = list(outcome.samples.values())
    if samples:
        selection, groups = _covered(run.selection, samples), summarise(samples)
        comparisons, predictions = compare(samples), predictions_of(samples)
        print_tables(selection, groups, comparisons, predictions)
        if json is not None:
            told = to_json(selection, groups, comparisons, predictions)
            whole = {**told, "settings": played.settings}
            json.write_text(json_format.dumps(whole, indent=2) + "\n", encoding="utf-8")
    if played.used.model_calls:
        typer.echo(_used(played.used), err=True)
    for key, problem in outcome.errors.items():
        where = place_of(f"{key.task}, {key.split}", key.seed, key.variant)
        typer.echo(f"{where}, attempt {key.attempt}: {problem}", err=True)
    if len(samples) == run.episodes:
        if played.report is not None:
            typer.echo(whereabouts(run.out))
        return PLAYED
    refused = f", {outcome.refused} refused by the endpoint" if outcome.refused else ""
    why = f": {outcome.stopped}" if outcome.stopped else ""
    typer.echo(
        f"{len(samples)} of {run.episodes} episodes were played{refused}{why}. {kept(run.out)}", err=True
    )
    return MISSING


def _used(used: Cost) -> str:
    """What this run used, as a sentence."""
    money = "" if used.money is None else f", which costs {used.money:,.4f} at the given prices"
    return (
        f"In this run the model gave {used.model_calls:,} answers; it read {used.tokens_in:,} tokens and "
        f"wrote {used.tokens_out:,}{money}."
    )


def _covered(selection: Selection, samples: list[Sample]) -> Selection:
    """As much of a selection as was played."""
    keys = [sample.key for sample in samples]
    return replace(
        selection,
        tasks=tuple(name for name in selection.tasks if any(key.task == name for key in keys)),
        splits=tuple(name for name in selection.splits if any(key.split == name for key in keys)),
        seeds=tuple(seed for seed in selection.seeds if any(key.seed == seed for key in keys)),
        attempts=min(Counter((*key[1:4], key.variant) for key in keys).values()),
        variants=tuple(one for one in selection.variants if any(key.variant == one for key in keys)),
    )


def kept(out: Path | None) -> str:
    """Say what a run that was stopped keeps, and how to resume it."""
    if out is None:
        return "Nothing was kept; to resume a run, use --out DIR."
    return f"{out} keeps what was played; run the same command with --resume to go on."
