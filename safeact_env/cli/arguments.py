"""Checked arguments: names, splits, variants and seeds, or a sentence that says what was wrong.

Owns the wording of these errors. Each ends the program with exit code 2.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TypeVar, cast

import typer

from safeact_env.core.task import SPLITS, Split, check_seed
from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Variant
from safeact_env.evaluation.run import Mapper, parse_seeds
from safeact_env.evaluation.suite import SUITES, Suite
from safeact_env.exports import FORMS
from safeact_env.integrations.ray import map_episodes
from safeact_env.llm.prompts import PROMPTS
from safeact_env.policies.reference import POLICIES
from safeact_env.tasks import get_task, task_names

Job = TypeVar("Job")
Result = TypeVar("Result")

ALL = "all"
"""Stands for every level, or every framing."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""


def policies_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The policies of these names, all of them by default."""
    return _known("policy", "policies", names, tuple(POLICIES))


def tasks_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The tasks of these names, all of them by default."""
    return _known("task", "tasks", names, task_names())


def forms_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The forms of exported data of these names, all of them by default."""
    return _known("form", "forms", names, FORMS)


def prompt_of(name: str) -> str:
    """The prompt of this name."""
    return _known("prompt", "prompts", [name], PROMPTS)[0]


def _known(what: str, plural: str, names: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(
                f"there is no {what} {name!r}. The {plural} are {', '.join(known)}.", param_hint=f"--{what}"
            )
    return tuple(dict.fromkeys(names)) if names else known


def splits_of(text: str, allowed: Sequence[str]) -> tuple[Split, ...]:
    """The splits that `train`, `test` or, if allowed, `both` names."""
    if text not in allowed:
        raise typer.BadParameter(f"must be {' or '.join(allowed)}, not {text!r}.", param_hint="--split")
    return SPLITS if text == "both" else (cast(Split, text),)


def variants_of(
    tasks: Iterable[str], levels: Sequence[str] | None, framings: Sequence[str] | None
) -> tuple[Variant, ...]:
    """The variants of these levels and framings; `all` names all. Every task must have every one."""
    numbers = _chosen("level", {str(level): level for level in LEVELS}, levels, DEFAULT.level)
    words = _chosen("framing", {framing: framing for framing in FRAMINGS}, framings, DEFAULT.framing)
    variants = tuple(Variant(level, framing) for level, framing in product(numbers, words))
    for name, variant in product(tasks, variants):
        try:
            get_task(name).level(variant)
        except ValueError as error:
            raise typer.BadParameter(f"{error}.", param_hint="--level or --framing") from None
    return variants


def _chosen(what: str, known: Mapping[str, Job], names: Sequence[str] | None, default: Job) -> list[Job]:
    for name in names or ():
        if name not in known and name != ALL:
            raise typer.BadParameter(
                f"must be {', '.join(known)} or {ALL}, not {name!r}.", param_hint=f"--{what}"
            )
    return picked(known, names, default)


def picked(known: Mapping[str, Job], names: Sequence[str] | None, default: Job) -> list[Job]:
    """The options of these names, in their order, each once: all for `all`, the default without names.

    Raises:
        KeyError: With a name that is none of them.
    """
    if not names:
        return [default]
    return list(known.values()) if ALL in names else [known[name] for name in dict.fromkeys(names)]


def seeds_of(text: str) -> tuple[int, ...]:
    """The seeds of a list such as `0-9,12`."""
    try:
        return parse_seeds(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="--seeds") from None


def mapper_at(address: str | None, workers: int = 2) -> Mapper | None:
    """A mapper that fans episodes out over the Ray cluster at an address, if one is given."""
    if address is None:
        return None

    def mapper(play: Callable[[Job], Result], jobs: Iterable[Job], /) -> Iterator[Result]:
        return map_episodes(play, jobs, address=address, workers=workers)

    return mapper


def checked_seed(seed: int) -> int:
    """A seed that is in range."""
    try:
        return check_seed(seed)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="--seed") from None


def is_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def suite_of(name: str, out: Path | None, given: Sequence[str]) -> tuple[Suite, Path]:
    """The suite of this name, and the folder for its report.

    Args:
        name: Name of the suite.
        out: The folder.
        given: Parameters that were given although the suite fixes them.
    """
    if name not in SUITES:
        raise typer.BadParameter(
            f"there is no suite {name!r}. The suites are {', '.join(SUITES)}.", param_hint="--suite"
        )
    if given:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in given)
        raise typer.BadParameter(f"a suite is played and reported as it is; leave out {options}.")
    if out is None:
        raise typer.BadParameter("a suite needs a folder for its report and records.", param_hint="--out")
    return SUITES[name], out


def check_folder_of(path: Path | None, hint: str | None = None) -> None:
    """Refuse a file in a folder that does not exist, before anything is played."""
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}; make it first.", param_hint=hint)


def check_no_folder(out: Path | None) -> None:
    """Refuse a folder where a file is expected."""
    if out is not None and out.is_dir():
        raise typer.BadParameter(f"{out} is a folder; name a file in it.", param_hint="--out")
