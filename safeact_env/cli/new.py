"""`safeact new`: a small task that works, as a module and a data file to change.

Owns the names and places of new tasks. Must not know what is in the templates, but for the words it fills in.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import typer

import safeact_env.tasks
from safeact_env.tasks import ENTRY_POINTS, task_names

__all__ = ["create", "render"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.'()&/-]{0,49}", re.ASCII)
TASKS = Path(safeact_env.tasks.__file__).parent

INSIDE = {
    "load": 'load_data("$name")',
    "load_imports": "",
    "path_import": "",
    "tasks_import": "from safeact_env.tasks import load_data\n",
}
"""How a task of this package reads its data file."""

APART = {
    "load": 'tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))',
    "load_imports": "import tomllib\n",
    "path_import": "from pathlib import Path\n",
    "tasks_import": "",
}
"""How a task of another package does."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task goes: its module, and its data file."""

    module: Path
    data: Path


def create(name: str, title: str | None, folder: Path | None) -> str:
    """Write the task; return what to tell its author.

    Args:
        name: Of the task: a lower-case identifier that is not taken.
        title: For people; by default made from the name.
        folder: Of another package; without one, the tasks of this checkout.

    Raises:
        typer.BadParameter: If a name is not usable or something is in the way. Nothing was written.
    """
    title = title or name.replace("_", " ").strip().title()
    _check(name, title)
    place = _place(name, folder)
    for path in (place.module, place.data):
        if path.exists():
            raise typer.BadParameter(f"{path} is there already; choose another name.", param_hint="NAME")
    module, data = render(name, title, inside=folder is None)
    try:
        place.module.parent.mkdir(parents=True, exist_ok=True)
        place.module.write_text(module, encoding="utf-8")
        place.data.write_text(data, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot write {error.filename}: {error.strerror}.") from None
    return _advice(name, place, inside=folder is None)


def render(name: str, title: str, *, inside: bool) -> tuple[str, str]:
    """The texts of the module and the data file, for a task of this package or of another one."""
    folder = files("safeact_env.cli") / "templates"
    values = {"name": name, "title": title}
    access = INSIDE if inside else APART
    values |= {key: Template(text).substitute(name=name) for key, text in access.items()}
    module, data = (
        Template((folder / template).read_text(encoding="utf-8")).substitute(values)
        for template in ("task.py.txt", "task.toml.txt")
    )
    return module, data


def _check(name: str, title: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name == "data":
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


def _place(name: str, folder: Path | None) -> Place:
    if folder is not None:
        return Place(folder / f"{name}.py", folder / f"{name}.toml")
    if not (TASKS.parents[1] / "pyproject.toml").is_file():
        raise typer.BadParameter(
            "this is an installed package, not a checkout; say with --dir where your own package is.",
            param_hint="--dir",
        )
    return Place(TASKS / f"{name}.py", TASKS / "data" / f"{name}.toml")


def _advice(name: str, place: Place, *, inside: bool) -> str:
    lines = [f"Written: {place.module}", f"         {place.data}", ""]
    if not inside:
        lines += [
            "Add to the pyproject.toml of the package, and install it beside safeact-env:",
            "",
            "# the tasks that this package adds to SafeAct-Env",
            f'[project.entry-points."{ENTRY_POINTS}"]',
            f'{name} = "{_dotted(place.module)}:TASK"',
            "",
        ]
    return "\n".join(
        [
            *lines,
            "It is a complete small task. Play it, check it, then change it:",
            f"  safeact play --task {name}",
            f"  safeact audit --task {name}",
            f"  safeact eval --task {name}",
            *([f"  pytest tests/tasks/test_conformance.py -k {name}"] if inside else []),
        ]
    )


def _dotted(module: Path) -> str:
    """The name under which a module is imported, as far as the folders around it are packages."""
    parts = [module.stem]
    folder = module.resolve().parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)
