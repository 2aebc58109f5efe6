"""`inference.py`: play a model, or a reference policy; print a line per step and a table at the end.

Owns the options, what may be combined, and the exit codes: 0 if every episode was played, 1 if some were
not, 2 if the options, the credentials or the endpoint are wrong, 130 after an interrupt. Must not know how a
model is asked.
"""

import asyncio
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import typer

from safeact_env.cli import options
from safeact_env.cli.arguments import (
    INTERRUPTED,
    check_folder_of,
    is_given,
    seeds_of,
    splits_of,
    suite_of,
    tasks_of,
    variants_of,
)
from safeact_env.cli.model_run import Run, kept, play, report
from safeact_env.cli.options import named
from safeact_env.core.variant import Variant
from safeact_env.evaluation import Prices, ReportError, Selection, StoreError
from safeact_env.evaluation.cost import HIGHEST_PRICE
from safeact_env.llm.client import RetryPolicy
from safeact_env.llm.errors import LLMError, UnreadableFile
from safeact_env.llm.local_models import LOCAL_MODELS
from safeact_env.llm.model import Model
from safeact_env.llm.player import EPISODE, Limits
from safeact_env.llm.probe import Wanted
from safeact_env.llm.prompts import PROMPTS, get_prompt
from safeact_env.llm.settings import LOCAL, LLMSettings, endpoint_of
from safeact_env.policies.reference import POLICIES

WRONG = 2
"""Exit code if the options, the credentials or the endpoint are wrong."""
LOCAL_WAIT_S = 600.0
"""Seconds for one answer of the local model, which may share its cores."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the program."""
    app(prog_name="inference.py")


FIXED_BY_A_SUITE = (
    *("task", "seeds", "split", "level", "framing", "attempts", "prompt", "predict", "json"),
    *("max_calls", "max_tokens", "max_seconds"),
)
"""Parameters that cannot be combined with `--suite`, which fixes them."""

asked = partial(named, rich_help_panel="How the model is asked")
limit = partial(named, rich_help_panel="Limits of an episode")
run_limit = partial(named, rich_help_panel="Limits of the run")
price = partial(named, rich_help_panel="What it costs, in any one currency", min=0, max=HIGHEST_PRICE)
Amount = float | None
Number = int | None

AgentName = Annotated[
    str | None,
    named(
        "NAME",
        "Model to play, `local`, or a reference policy such as expert (default: MODEL_NAME; without a key or "
        "endpoint, local).",
    ),
]
LocalModelName = Annotated[
    str | None,
    named("NAME|FILE", f"Which model `local` is: {' or '.join(LOCAL_MODELS)}, or a GGUF file."),
]
Tasks = Annotated[list[str] | None, named("NAME", "Task; repeat for several (default: all).")]
Attempts = Annotated[int, named("K", "Episodes per scenario.", min=1, max=1000)]
SuiteName = Annotated[
    str | None, named("NAME", "Play an official suite (v2); its report and records go to the folder --out.")
]
PromptName = Annotated[str, named("NAME", f"Prompt of the model: {' or '.join(PROMPTS)}.")]
Predict = Annotated[
    bool,
    typer.Option(
        "--predict",
        help="Ask with each call how likely what it does could be taken back (undo_chance, 0 to 100), and "
        "hold that against what was true after the end. It changes no grade.",
    ),
]
Out = Annotated[
    Path | None, named("DIR", "Keep every episode in this folder, as soon as it ends.", file_okay=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the --out folder: play what it lacks.")]
ForPrograms = Annotated[
    bool, typer.Option("--lines", help="Print the lines for programs on a terminal, too, as into a pipe.")
]
Url = Annotated[str | None, named("URL", "Play on this SafeAct-Env server instead of in this process.")]
Concurrency = Annotated[int, named("N", "Episodes at a time.", min=1, max=256)]
Mode = Annotated[str, asked("MODE", "Call format: tools, json, text, or auto: what the endpoint supports.")]
Temperature = Annotated[float, asked("T", "Sampling temperature.", min=0, max=2)]
Window = Annotated[
    Number,
    asked(
        "TOKENS",
        "Tokens of a request and its answer together; older turns are left out to fit (default: 32768; "
        "local: 8192).",
        min=1024,
    ),
]
AnswerTokens = Annotated[Number, asked("TOKENS", "Tokens of one answer (default: 4096; local: 256).", min=16)]
AnswerSeconds = Annotated[Amount, asked("S", "Seconds for one answer (default: 120; local: 600).", min=0.1)]
Retries = Annotated[
    int, asked("N", "Times to repeat a request that got no answer, 429 or a server error.", min=0, max=100)
]
MaxCalls = Annotated[int, limit("N", "Answers of the model.", min=1)]
MaxTokens = Annotated[int, limit("N", "Tokens read and written.", min=1)]
MaxSeconds = Annotated[float, limit("S", "Seconds.", min=0.1)]
RunCalls = Annotated[Number, run_limit("N", "Answers of the model (default: any).", min=1)]
RunTokens = Annotated[Number, run_limit("N", "Tokens read and written (default: any).", min=1)]
RunSeconds = Annotated[Amount, run_limit("S", "Seconds (default: any).", min=0.1)]
PriceIn = Annotated[Amount, price("P", "Price of a million tokens that the model reads.")]
PriceOut = Annotated[Amount, price("P", "Price of a million tokens that the model writes.")]


@app.command()
def infer(
    context: typer.Context,
    agent: AgentName = None,
    local_model: LocalModelName = None,
    task: Tasks = None,
    seeds: options.Seeds = "0-2",
    split: options.Splits = "test",
    level: options.Levels = None,
    framing: options.Framings = None,
    attempts: Attempts = 1,
    suite: SuiteName = None,
    prompt: PromptName = PROMPTS[0],
    predict: Predict = False,
    out: Out = None,
    resume: Resume = False,
    json: options.Json = None,
    lines: ForPrograms = False,
    url: Url = None,
    concurrency: Concurrency = 1,
    mode: Mode = "auto",
    temperature: Temperature = 0.0,
    window: Window = None,
    answer_tokens: AnswerTokens = None,
    answer_seconds: AnswerSeconds = None,
    retries: Retries = 5,
    max_calls: MaxCalls = EPISODE.calls or 0,
    max_tokens: MaxTokens = EPISODE.tokens or 0,
    max_seconds: MaxSeconds = EPISODE.seconds or 0,
    run_calls: RunCalls = None,
    run_tokens: RunTokens = None,
    run_seconds: RunSeconds = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
) -> None:
    """Play a model on the tasks: a line per step on standard output, then a table."""
    _check(prompt, mode, json)
    if local_model is not None and (agent := agent or LOCAL) != LOCAL:
        raise typer.BadParameter(f"goes with --agent {LOCAL}, not {agent}.", param_hint="--local-model")
    if resume and out is None:
        raise typer.BadParameter("needs --out, the folder to continue.", param_hint="--resume")
    prices, limits, fixed = _prices(price_in, price_out), Limits(max_calls, max_tokens, max_seconds), None
    if suite is not None:
        given = [name for name in FIXED_BY_A_SUITE if is_given(context, name)]
        fixed, out = suite_of(suite, out, given)
        prompt, predict, limits = fixed.prompt, fixed.predict, Limits(**asdict(fixed.limits))
    elif predict and agent in POLICIES:
        raise typer.BadParameter(
            f"{agent} is a policy, and policies predict nothing.", param_hint="--predict"
        )
    try:
        model = None if agent in POLICIES else _model(agent, local_model, prompt, mode, temperature, limits)
        if model is not None:
            model = replace(model, prompt=get_prompt(prompt, predict=predict))
            model = _with_bounds(model, window, answer_tokens, answer_seconds, retries)
        name = model.endpoint.model if model else str(agent)
        variants = variants_of(tasks_of(task), level, framing)
        selection = (
            fixed.selection(name) if fixed else _selection(name, task, split, seeds, attempts, variants)
        )
        run_limits = Limits(run_calls, run_tokens, run_seconds)
        run = Run(selection, model, fixed, run_limits, prices, url, concurrency, out, resume, lines)
        code = report(run, asyncio.run(play(run)), json)
    except (LLMError, ReportError, StoreError) as error:
        typer.echo(str(error), err=True)
        code = WRONG
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. {kept(out)}", err=True)
        code = INTERRUPTED
    raise typer.Exit(code)


def _check(prompt: str, mode: str, json: Path | None) -> None:
    if prompt not in PROMPTS:
        raise typer.BadParameter(f"must be {' or '.join(PROMPTS)}, not {prompt!r}.", param_hint="--prompt")
    if mode not in get_args(Wanted):
        raise typer.BadParameter(f"must be {', '.join(get_args(Wanted))}.", param_hint="--mode")
    check_folder_of(json, "--json")


def _prices(tokens_in: float | None, tokens_out: float | None) -> Prices | None:
    """Both prices or none."""
    if tokens_in is None and tokens_out is None:
        return None
    if tokens_in is None or tokens_out is None:
        missing = "--price-in" if tokens_in is None else "--price-out"
        raise typer.BadParameter("is needed as well: tokens read and written both cost.", param_hint=missing)
    return Prices(tokens_in=tokens_in, tokens_out=tokens_out)


def _selection(
    agent: str,
    task: list[str] | None,
    split: str,
    seeds: str,
    attempts: int,
    variants: tuple[Variant, ...],
) -> Selection:
    """The episodes that the options select."""
    splits = splits_of(split, ("train", "test", "both"))
    return Selection((agent,), tasks_of(task), splits, seeds_of(seeds), attempts, variants)


def _model(
    agent: str | None, local_model: str | None, prompt: str, mode: str, temperature: float, limits: Limits
) -> Model:
    settings = _settings(agent)
    if local_model is not None:
        settings = settings.model_copy(update={"safeact_local_model": local_model})
    endpoint = endpoint_of(settings, agent)
    wanted: Wanted = mode  # type: ignore[assignment]  # checked before
    return Model(endpoint, wanted, get_prompt(prompt), temperature, limits)


def _settings(agent: str | None) -> LLMSettings:
    try:
        return LLMSettings.load()
    except UnreadableFile as error:
        if agent != LOCAL:
            raise
        typer.echo(f"{error} The local model is played without it.", err=True)
        return LLMSettings.load(None)


def _with_bounds(
    model: Model, window: int | None, answer: int | None, seconds: float | None, retries: int
) -> Model:
    """The model with the options' window, answer length, time and retries."""
    endpoint = model.endpoint
    wait = LOCAL_WAIT_S if endpoint.kind == "local" else RetryPolicy().timeout_s
    endpoint = replace(
        endpoint,
        window=window or endpoint.window,
        answer=min(answer or endpoint.answer, (window or 10**9) // 2),
    )
    return replace(model, endpoint=endpoint, retry=RetryPolicy(seconds or wait, retries))
