"""The import arrows of ARCHITECTURE section 1, read from the source."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import safeact_env
from safeact_env.tasks import OFFICIAL

ROOT = Path(safeact_env.__file__).parent
PYDANTIC = {"pydantic", "pydantic_core", "typing_extensions"}
CORE = PYDANTIC | {"safeact_env.core", "safeact_env.call"}
WEB = {"fastapi", "starlette", "uvicorn", "openenv", "gymnasium", "gradio"}

ALLOWED: dict[str, set[str]] = {
    "safeact_env.call": set(),
    "safeact_env.core": CORE,
    "safeact_env.tasks": CORE | {"safeact_env.tasks"},
    "safeact_env.policies": CORE | {"safeact_env.policies"},
    "safeact_env.models": PYDANTIC | {"openenv", "safeact_env._openenv", "safeact_env.call"},
    "safeact_env._openenv": {"openenv"},
    # What plays and what reads observations must not be able to name a fact.
    **{
        f"safeact_env.tasks.{task}.{part}": {f"safeact_env.core.{core}" for core in ("playbook", "features")}
        for task in OFFICIAL
        for part in ("playbook", "features")
    },
}
"""Beside the standard library, all that a layer may import."""

FORBIDDEN: dict[str, set[str]] = {
    "safeact_env.core": {"sqlite3", "time", "socket", "secrets", "asyncio", "threading", "subprocess"},
    "safeact_env.policies": WEB,
    "safeact_env.audit": WEB | {"safeact_env.server", "safeact_env.client"},
    "safeact_env.evaluation": WEB | {"safeact_env.server", "safeact_env.client", "safeact_env.llm"},
    "safeact_env.sessions": WEB | {"safeact_env.server", "safeact_env.client", "safeact_env.evaluation"},
    "safeact_env.server": {"safeact_env.client"},
    "safeact_env.llm": WEB | {"safeact_env.server", "safeact_env.audit"},
    "safeact_env.integrations": {"safeact_env.server", "safeact_env.audit", "safeact_env.sessions"},
    "safeact_env.exports": WEB
    | {"safeact_env.server", "safeact_env.client", "safeact_env.sessions", "safeact_env.audit"},
    "safeact_env.client": {"fastapi"}
    | {
        f"safeact_env.{name}"
        for name in ("core", "tasks", "policies", "evaluation", "sessions", "server", "llm")
    },
}
"""What a layer may not import although it may import much."""

CLI = {"safeact_env.cli", "safeact_env.__main__"}


def modules() -> dict[str, str]:
    """Source of every module of the package, by name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["safeact_env", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


MODULES = modules()


def imports(source: str) -> Iterator[str]:
    """The modules that a source imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports in this package are absolute"
            for alias in node.names:
                part = f"{node.module}.{alias.name}"
                yield part if part in MODULES or node.module == "safeact_env" else str(node.module)


def within(module: str, layers: set[str]) -> bool:
    return any(module == layer or module.startswith(f"{layer}.") for layer in layers)


def breaches(module: str, source: str) -> set[str]:
    """The imports of a module that the arrows do not allow."""
    names = set(imports(source))
    others = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    found: set[str] = set()
    for layer, allowed in ALLOWED.items():
        if within(module, {layer}):
            found |= {name for name in others if not within(name, allowed)}
    for layer, forbidden in FORBIDDEN.items():
        if within(module, {layer}):
            found |= {name for name in names if within(name, forbidden)}
    if not within(module, CLI):
        found |= {name for name in names if within(name, CLI)}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_the_arrows_are_kept(module: str) -> None:
    assert not breaches(module, MODULES[module])


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("safeact_env.core.episode", "import fastapi"),
        ("safeact_env.core.episode", "import numpy as np"),
        ("safeact_env.core.episode", "from safeact_env.tasks import get_task"),
        ("safeact_env.core.episode", "from safeact_env import tasks"),
        ("safeact_env.core.episode", "def f():\n    import safeact_env.policies.calls"),
        ("safeact_env.core.episode", "import time"),
        ("safeact_env.core.episode", "from openenv.core import Env"),
        ("safeact_env.tasks.easy", "from safeact_env.policies.calls import question"),
        ("safeact_env.tasks.easy", "import httpx"),
        ("safeact_env.policies.reference", "from safeact_env.server import app"),
        ("safeact_env.policies.reference", "from safeact_env.tasks import get_task"),
        ("safeact_env.tasks.easy.playbook", "from safeact_env.tasks.easy import TASK"),
        ("safeact_env.evaluation.run", "import fastapi"),
        ("safeact_env.evaluation.run", "def f():\n    from safeact_env.llm import run"),
        ("safeact_env.llm.run", "import safeact_env.server.app"),
        ("safeact_env.llm.run", "from safeact_env import cli"),
        ("safeact_env.sessions.service", "from openenv.core import server"),
        ("safeact_env.sessions.service", "import safeact_env.server.app"),
        ("safeact_env.client", "from safeact_env.core.episode import Episode"),
        ("safeact_env.client", "from safeact_env.server import app"),
        ("safeact_env.models", "from safeact_env.core.episode import Episode"),
        ("safeact_env.call", "from safeact_env.core.episode import Episode"),
        ("safeact_env.models", "from safeact_env.core import episode"),
        ("safeact_env.integrations.trl", "from safeact_env.server.app import create_app"),
        ("safeact_env.exports.pairs", "from safeact_env.audit.rollouts import verdict"),
        ("safeact_env.exports.export", "def f():\n    import openenv"),
        ("safeact_env.server.app", "from safeact_env import cli"),
        ("safeact_env.server.app", "from safeact_env.cli import main"),
    ],
)
def test_a_planted_breach_is_caught(module: str, source: str) -> None:
    assert breaches(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("safeact_env.core.episode", "import json\nfrom safeact_env.core import state"),
        ("safeact_env.core.task", "from pydantic import BaseModel\nfrom collections.abc import Mapping"),
        ("safeact_env.tasks.medium", "import sqlite3\nfrom safeact_env.core.action import Action"),
        ("safeact_env.models", "from safeact_env.call import MAX_STRING"),
        ("safeact_env.core.episode", "from safeact_env import call"),
        ("safeact_env.client", "from safeact_env.models import SafeActAction"),
        ("safeact_env.sessions.service", "from safeact_env.core.episode import Episode"),
    ],
)
def test_what_is_allowed_is_not_caught(module: str, source: str) -> None:
    assert not breaches(module, source)
