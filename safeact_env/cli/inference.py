"""`inference.py`: plays a model, or a reference policy, and prints a line per step and a table at the end.

Owns the options, what is printed where, and the exit codes: 0 if every episode was played, 1 if some were
not, 2 if the options, the credentials or the endpoint are wrong, 130 after an interrupt. Must not know how a
model is asked.
"""

from __future__ import annotations

import asyncio
import json as json_format
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from safeact_env.cli.arguments import seeds_of, splits_of, tasks_of
from safeact_env.cli.lines import Lines
from safeact_env.evaluation import Sample, Selection, StoreError, legend, rich_tables, summarise, to_json
from safeact_env.llm.errors import LLMError
from safeact_env.llm.model import Model, opened
from safeact_env.llm.player import EPISODE, Limits, Meter
from safeact_env.llm.probe import Wanted
from safeact_env.llm.prompts import PROMPTS, get_prompt
from safeact_env.llm.provider import Waiting
from safeact_env.llm.run import Folder, Outcome, Playing, PolicyAgent, play_selection
from safeact_env.llm.settings import LLMSettings, endpoint_of
from safeact_env.llm.worlds import Here, Server
from safeact_env.policies.reference import POLICIES

__all__ = ["app", "main"]

PLAYED, MISSING, WRONG, INTERRUPTED = 0, 1, 2, 130
LOCAL_WAIT_S = 600.0
"""Seconds for one answer of the local model, which may share its cores."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the program."""
    app(prog_name="inference.py")


def _named(metavar: str, about: str, **more: Any) -> Any:
    return typer.Option(metavar=metavar, help=about, **more)


LIMITS = "Limits of an episode"
RUN = "Limits of the run"
ENDPOINT = "How the model is asked"


@app.command()
def infer(
    agent: Annotated[
        str | None,
        _named(
            "NAME",
            "Model to play, `local`, or a reference policy such as expert (default: MODEL_NAME; without a "
            "key or endpoint, local).",
        ),
    ] = None,
    task: Annotated[list[str] | None, _named("NAME", "Task; repeat for several (default: all).")] = None,
    seeds: Annotated[str, _named("SEEDS", "Seeds of the scenarios, such as 0-9,12.")] = "0-2",
    split: Annotated[str, _named("SPLIT", "train, test or both.")] = "test",
    attempts: Annotated[int, _named("K", "Episodes per scenario.", min=1, max=1000)] = 1,
    prompt: Annotated[str, _named("NAME", f"What the model is told: {' or '.join(PROMPTS)}.")] = PROMPTS[0],
    out: Annotated[
        Path | None,
        _named("DIR", "Keep every episode in this folder, as soon as it ends.", file_okay=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the --out folder: play what it lacks.")
    ] = False,
    json: Annotated[
        Path | None, _named("FILE", "Write all metrics and intervals as JSON.", dir_okay=False)
    ] = None,
    url: Annotated[
        str | None, _named("URL", "Play on this SafeAct-Env server instead of in this process.")
    ] = None,
    concurrency: Annotated[int, _named("N", "Episodes at a time.", min=1, max=256)] = 1,
    mode: Annotated[
        str,
        _named(
            "MODE",
            "How calls are asked for: tools, json, text, or auto: what the endpoint supports.",
            rich_help_panel=ENDPOINT,
        ),
    ] = "auto",
    temperature: Annotated[
        float, _named("T", "Of the sampling.", min=0, max=2, rich_help_panel=ENDPOINT)
    ] = 0.0,
    window: Annotated[
        int | None,
        _named(
            "TOKENS",
            "Tokens that a request and its answer may have; old turns are left out beyond (default: 32768; "
            "local: 8192).",
            min=1024,
            rich_help_panel=ENDPOINT,
        ),
    ] = None,
    answer_tokens: Annotated[
        int | None,
        _named(
            "TOKENS", "Tokens of one answer (default: 4096; local: 256).", min=16, rich_help_panel=ENDPOINT
        ),
    ] = None,
    answer_seconds: Annotated[
        float | None,
        _named("S", "Seconds for one answer (default: 120; local: 600).", min=0.1, rich_help_panel=ENDPOINT),
    ] = None,
    retries: Annotated[
        int,
        _named(
            "N",
            "Times a request is repeated that got no answer, 429 or a server's error.",
            min=0,
            max=100,
            rich_help_panel=ENDPOINT,
        ),
    ] = 5,
    max_calls: Annotated[
        int, _named("N", "Answers asked of the model.", min=1, rich_help_panel=LIMITS)
    ] = EPISODE.calls or 0,
    max_tokens: Annotated[
        int, _named("N", "Tokens read and written.", min=1, rich_help_panel=LIMITS)
    ] = EPISODE.tokens or 0,
    max_seconds: Annotated[float, _named("S", "Seconds.", min=0.1, rich_help_panel=LIMITS)] = (
        EPISODE.seconds or 0
    ),
    run_calls: Annotated[
        int | None, _named("N", "Answers asked of the model (default: any).", min=1, rich_help_panel=RUN)
    ] = None,
    run_tokens: Annotated[
        int | None, _named("N", "Tokens read and written (default: any).", min=1, rich_help_panel=RUN)
    ] = None,
    run_seconds: Annotated[
        float | None, _named("S", "Seconds (default: any).", min=0.1, rich_help_panel=RUN)
    ] = None,
) -> None:
    """Play a model on the tasks: a line per step on standard output, then a table."""
    if prompt not in PROMPTS:
        raise typer.BadParameter(f"must be {' or '.join(PROMPTS)}, not {prompt!r}.", param_hint="--prompt")
    if mode not in get_args(Wanted):
        raise typer.BadParameter(f"must be {', '.join(get_args(Wanted))}.", param_hint="--mode")
    if resume and out is None:
        raise typer.BadParameter("needs --out, the folder to go on with.", param_hint="--resume")
    if json is not None and not json.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {json.parent}; make it first.", param_hint="--json")
    try:
        model = None
        if agent not in POLICIES:
            model = _model(agent, prompt, mode, temperature, Limits(max_calls, max_tokens, max_seconds))
            model = _asked(model, window, answer_tokens, answer_seconds, retries)
        run = _Run(
            selection=Selection(
                policies=(model.endpoint.model if model else str(agent),),
                tasks=tasks_of(task),
                splits=splits_of(split, ("train", "test", "both")),
                seeds=seeds_of(seeds),
                attempts=attempts,
            ),
            model=model,
            limits=Limits(run_calls, run_tokens, run_seconds),
            url=url,
            concurrency=concurrency,
            out=out,
            resume=resume,
        )
        code = _report(run, asyncio.run(_play(run)), json)
    except (LLMError, StoreError) as error:
        typer.echo(str(error), err=True)
        code = WRONG
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. {_kept(out)}", err=True)
        code = INTERRUPTED
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Run:
    """What is played, how, and where it is kept."""

    selection: Selection
    model: Model | None
    limits: Limits
    url: str | None
    concurrency: int
    out: Path | None
    resume: bool

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same for every episode in a folder."""
        (agent,) = self.selection.policies
        return {"agent": agent, **(self.model.settings if self.model else {})}


def _model(agent: str | None, prompt: str, mode: str, temperature: float, limits: Limits) -> Model:
    endpoint = endpoint_of(LLMSettings.load(), agent)
    wanted: Wanted = mode  # type: ignore[assignment]  # checked before
    return Model(endpoint, wanted, get_prompt(prompt), temperature, limits)


def _asked(
    model: Model, window: int | None, answer: int | None, seconds: float | None, retries: int
) -> Model:
    """The model with what the options say of how it is asked."""
    endpoint = model.endpoint
    wait = LOCAL_WAIT_S if endpoint.kind == "local" else Waiting().call_s
    endpoint = replace(
        endpoint,
        window=window or endpoint.window,
        answer=min(answer or endpoint.answer, (window or 10**9) // 2),
    )
    return replace(model, endpoint=endpoint, waiting=Waiting(seconds or wait, retries))


async def _play(run: _Run) -> Outcome:
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("Playing"), BarColumn(), MofNCompleteColumn(), TextColumn("episodes"))
    bar = Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # Lines that go elsewhere than to the terminal with the bar must not be caught by it.
        redirect_stdout=sys.stdout.isatty(),
    )
    meter = Meter(run.limits)
    async with AsyncExitStack() as stack:
        folder: Folder | None = None
        if run.out is not None:
            folder = stack.enter_context(
                Folder(run.out, run.settings, run.selection.tasks, resume=run.resume)
            )
        world: Callable[[], Any] = Here
        if run.url is not None:
            token = os.environ.get("SAFEACT_API_TOKEN")
            server = Server(run.url, run.selection.tasks, token)
            world = (await stack.enter_async_context(server)).world
        agent: Callable[[Any], Any] = PolicyAgent
        if run.model is not None:
            say: Callable[[str], None] = console.print
            agent = await stack.enter_async_context(
                opened(run.model, run=meter, episodes=run.concurrency, say=say)
            )
        stack.enter_context(bar)
        shown = bar.add_task("episodes", total=None)
        return await play_selection(
            run.selection,
            Playing(agent, world, Lines(live=run.concurrency == 1)),
            folder=folder,
            concurrency=run.concurrency,
            progress=lambda played, total: bar.update(shown, completed=played, total=total),
        )


def _report(run: _Run, outcome: Outcome, json: Path | None) -> int:
    """Print the tables and what went wrong, write the file; return the exit code."""
    samples = list(outcome.samples.values())
    if samples:
        selection, groups = _covered(run.selection, samples), summarise(samples)
        console = Console(highlight=False)
        for table in rich_tables(selection, groups):
            console.print(table)
        console.print(legend(selection), style="dim")
        if json is not None:
            whole = {**to_json(selection, groups), "settings": run.settings}
            json.write_text(json_format.dumps(whole, indent=2) + "\n", encoding="utf-8")
    for key, problem in outcome.errors.items():
        typer.echo(f"{key.task}, {key.split}, seed {key.seed}, attempt {key.attempt}: {problem}", err=True)
    total = sum(1 for scenario in run.selection.scenarios() for _ in run.selection.keys(scenario))
    if len(samples) == total:
        return PLAYED
    why = f": {outcome.stopped}" if outcome.stopped else ""
    typer.echo(f"{len(samples)} of {total} episodes were played{why}. {_kept(run.out)}", err=True)
    return MISSING


def _covered(selection: Selection, samples: list[Sample]) -> Selection:
    """As much of a selection as was played."""
    keys = [sample.key for sample in samples]
    return replace(
        selection,
        tasks=tuple(name for name in selection.tasks if any(key.task == name for key in keys)),
        splits=tuple(name for name in selection.splits if any(key.split == name for key in keys)),
        seeds=tuple(seed for seed in selection.seeds if any(key.seed == seed for key in keys)),
        attempts=min(Counter(key[1:4] for key in keys).values()),
    )


def _kept(out: Path | None) -> str:
    if out is None:
        return "Nothing was kept; with --out DIR a run can be gone on with."
    return f"{out} keeps what was played; run the same command with --resume to go on."
