"""The public names, and what importing the package costs."""

import subprocess
import sys

import pytest

import safeact_env

PUBLIC = [
    "POLICIES",
    "Call",
    "Episode",
    "Trajectory",
    "__version__",
    "get_task",
    "make_policy",
    "play",
    "replay",
    "task_names",
]


def test_public_names_are_pinned() -> None:
    assert safeact_env.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(safeact_env, name) is not None
    assert name in dir(safeact_env)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = safeact_env.no_such_name


def test_the_example_of_the_docstring_runs() -> None:
    from safeact_env import Call, Episode, get_task

    turn = Episode(get_task("easy"), "train", 0).step(Call("list_directory", {}, "What is there?"))
    assert turn.points >= 0


@pytest.mark.parametrize("module", ["safeact_env", "safeact_env.core.episode", "safeact_env.tasks.easy"])
def test_importing_needs_the_standard_library_and_pydantic_only(module: str) -> None:
    heavy = ["fastapi", "openenv", "typer", "rich", "httpx", "openai", "uvicorn", "pydantic_settings"]
    code = f"import sys, {module}; print(*sorted(set({heavy}) & set(sys.modules)))"
    assert _run(code) == ""


def test_the_server_starts_without_what_it_has_no_use_for() -> None:
    heavy = ["fastmcp", "gradio", "matplotlib", "mcp", "openai", "redis", "requests", "rich", "uvicorn"]
    code = f"import sys, safeact_env.server.app; print(*sorted(set({heavy}) & set(sys.modules)))"
    assert _run(code) == ""


def test_environments_that_wrap_an_mcp_server_still_work_beside_it() -> None:
    code = """
import safeact_env.server.app
from fastmcp import FastMCP
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction

class Environment(MCPEnvironment):
    reset = _step_impl = state = None

server = FastMCP("adder")

@server.tool
def add(a: int, b: int) -> int:
    return a + b

found = Environment(server).step(CallToolAction(tool_name="add", arguments={"a": 1, "b": 2}))
print(found.result.data)
"""
    assert _run(code) == "3"


def test_the_help_of_the_command_line_needs_no_engine() -> None:
    code = (
        "import sys, safeact_env.cli; print(*sorted(m for m in sys.modules if m.startswith('safeact_env')))"
    )
    assert _run(code) == "safeact_env safeact_env.cli safeact_env.cli.options safeact_env.version"


def _run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
