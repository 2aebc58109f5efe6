"""`inference.py`: plays a model, or a reference policy, and prints a line per step and a table at the end.

Owns the options, what may be combined, and the exit codes: 0 if every episode was played, 1 if some were
not, 2 if the options, the credentials or the endpoint are wrong, 130 after an interrupt. Must not know how a
model is asked.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from safeact_env.cli.arguments import is_given, seeds_of, splits_of, suite_of, tasks_of
from safeact_env.cli.model_run import Run, kept, play, report
from safeact_env.evaluation import Prices, ReportError, Selection, StoreError
from safeact_env.llm.client import RetryPolicy
from safeact_env.llm.errors import LLMError
from safeact_env.llm.model import Model
from safeact_env.llm.player import EPISODE, Limits
from safeact_env.llm.probe import Wanted
from safeact_env.llm.prompts import PROMPTS, get_prompt
from safeact_env.llm.settings import LLMSettings, endpoint_of
from safeact_env.policies.reference import POLICIES

__all__ = ["app", "main"]

WRONG, INTERRUPTED = 2, 130
"""Exit codes beside those of a run."""
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
COST = "What it costs, in any one currency"


FIXED_BY_A_SUITE = (
    *("task", "seeds", "split", "attempts", "prompt", "json"),
    *("max_calls", "max_tokens", "max_seconds"),
)
"""Parameters that cannot be combined with `--suite`: it says what they would."""


@app.command()
def infer(
    context: typer.Context,
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
    suite: Annotated[
        str | None,
        _named("NAME", "Play an official suite (v1) instead; its report and records go to the folder --out."),
    ] = None,
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
    price_in: Annotated[
        float | None,
        _named("P", "Price of a million tokens that the model reads.", min=0, rich_help_panel=COST),
    ] = None,
    price_out: Annotated[
        float | None,
        _named("P", "Price of a million tokens that it writes, likewise.", min=0, rich_help_panel=COST),
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
    prices, limits = _prices(price_in, price_out), Limits(max_calls, max_tokens, max_seconds)
    fixed = None
    if suite is not None:
        given = [name for name in FIXED_BY_A_SUITE if is_given(context, name)]
        fixed, out = suite_of(suite, out, given)
        prompt, limits = fixed.prompt, Limits(fixed.limits.calls, fixed.limits.tokens, fixed.limits.seconds)
    try:
        model = None
        if agent not in POLICIES:
            model = _model(agent, prompt, mode, temperature, limits)
            model = _asked(model, window, answer_tokens, answer_seconds, retries)
        name = model.endpoint.model if model else str(agent)
        run = Run(
            selection=fixed.selection(name) if fixed else _selection(name, task, split, seeds, attempts),
            model=model,
            suite=fixed,
            limits=Limits(run_calls, run_tokens, run_seconds),
            prices=prices,
            url=url,
            concurrency=concurrency,
            out=out,
            resume=resume,
        )
        code = report(run, asyncio.run(play(run)), json)
    except (LLMError, ReportError, StoreError) as error:
        typer.echo(str(error), err=True)
        code = WRONG
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. {kept(out)}", err=True)
        code = INTERRUPTED
    raise typer.Exit(code)


def _prices(tokens_in: float | None, tokens_out: float | None) -> Prices | None:
    """Both prices or none."""
    if tokens_in is None and tokens_out is None:
        return None
    if tokens_in is None or tokens_out is None:
        missing = "--price-in" if tokens_in is None else "--price-out"
        raise typer.BadParameter("is needed as well: tokens read and written both cost.", param_hint=missing)
    return Prices(tokens_in=tokens_in, tokens_out=tokens_out)


def _selection(agent: str, task: list[str] | None, split: str, seeds: str, attempts: int) -> Selection:
    """What the options name."""
    splits = splits_of(split, ("train", "test", "both"))
    return Selection((agent,), tasks_of(task), splits, seeds_of(seeds), attempts)


def _model(agent: str | None, prompt: str, mode: str, temperature: float, limits: Limits) -> Model:
    endpoint = endpoint_of(LLMSettings.load(), agent)
    wanted: Wanted = mode  # type: ignore[assignment]  # checked before
    return Model(endpoint, wanted, get_prompt(prompt), temperature, limits)


def _asked(
    model: Model, window: int | None, answer: int | None, seconds: float | None, retries: int
) -> Model:
    """The model with what the options say of how it is asked."""
    endpoint = model.endpoint
    wait = LOCAL_WAIT_S if endpoint.kind == "local" else RetryPolicy().timeout_s
    endpoint = replace(
        endpoint,
        window=window or endpoint.window,
        answer=min(answer or endpoint.answer, (window or 10**9) // 2),
    )
    return replace(model, endpoint=endpoint, retry=RetryPolicy(seconds or wait, retries))
