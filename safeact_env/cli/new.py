"""`safeact new`: a small task that works, as a folder to change.

Owns the names and places of new tasks. Must not know what is in the templates, but for the words it fills in.
"""

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import typer

import safeact_env.tasks
from safeact_env.tasks import ENTRY_POINTS, task_names

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.'()&/-]{0,49}", re.ASCII)
TASKS = Path(safeact_env.tasks.__file__).parent


def create(name: str, title: str | None, folder: Path | None) -> str:
    """Write the task's folder; return what to tell its author.

    Args:
        name: Of the task: a lower-case identifier that is not taken.
        title: For people; by default made from the name.
        folder: Of another package; without one, the tasks of this checkout.

    Raises:
        typer.BadParameter: If a name is not usable or something is in the way. Nothing was written.
    """
    title = title or name.replace("_", " ").strip().title()
    _check(name, title)
    if folder is None and not (TASKS.parents[1] / "pyproject.toml").is_file():
        raise typer.BadParameter(
            "this is an installed package, not a checkout; say with --dir where your own package is.",
            param_hint="--dir",
        )
    task = (folder or TASKS) / name
    for path in (task, task.with_suffix(".py")):
        if path.exists():
            raise typer.BadParameter(f"{path} is there already; choose another name.", param_hint="NAME")
    texts = render(name, title)
    try:
        _write(task, texts)
    except OSError as error:
        raise typer.BadParameter(f"cannot write {task}: {error.strerror}.") from None
    return _advice(task, texts, inside=folder is None)


def render(name: str, title: str) -> dict[str, str]:
    """The text of each file of a task, by the file's name."""
    templates = (files("safeact_env.cli") / "templates" / "task").iterdir()
    return {
        template.name.removesuffix(".txt"): Template(template.read_text(encoding="utf-8")).substitute(
            name=name, title=title
        )
        for template in sorted(templates, key=lambda template: template.name)
    }


def _check(name: str, title: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise typer.BadParameter(
            "a task is named by a lower-case identifier of at most 40 letters, digits and underscores, such "
            f"as print_queue, not {name!r}.",
            param_hint="NAME",
        )
    if name in task_names():
        raise typer.BadParameter(
            f"there is a task {name} already; the tasks are {', '.join(task_names())}.", param_hint="NAME"
        )
    if not TITLE.fullmatch(title):
        raise typer.BadParameter(
            "a title has at most 50 letters, digits, spaces and simple punctuation, and no quotation marks.",
            param_hint="--title",
        )


def _write(task: Path, texts: dict[str, str]) -> None:
    """Write a folder beside its place and move it there, so that half a task is never found."""
    task.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=task.parent) as beside:
        made = Path(beside) / task.name
        made.mkdir()
        for name, text in texts.items():
            (made / name).write_text(text, encoding="utf-8")
        made.rename(task)


def _advice(task: Path, texts: dict[str, str], *, inside: bool) -> str:
    lines = [f"Written: {task}", f"         {', '.join(texts)}", ""]
    if not inside:
        lines += [
            "Add to the pyproject.toml of the package, and install it beside safeact-env:",
            "",
            "# the tasks that this package adds to SafeAct-Env",
            f'[project.entry-points."{ENTRY_POINTS}"]',
            f'{task.name} = "{_dotted(task)}:TASK"',
            "",
        ]
    return "\n".join(
        [
            *lines,
            "It is a complete small task. Play it, check it, then change it:",
            f"  safeact play --task {task.name}",
            f"  safeact audit --task {task.name}",
            f"  safeact eval --task {task.name}",
            *([f"  pytest tests/tasks/test_conformance.py -k {task.name}"] if inside else []),
        ]
    )


def _dotted(task: Path) -> str:
    """The name under which a folder is imported, as far as the folders around it are packages."""
    parts = [task.name]
    folder = task.resolve().parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)
