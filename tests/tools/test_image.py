"""The image: what the Dockerfile says, what is left out, what is compiled; all without a container engine."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest
from uv import find_uv_bin

from safeact_env.version import VERSION
from tools import bytecode
from tools.servers.container_tool import instructions, last_stage

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8")


# The Dockerfile ------------------------------------------------------------------------------------------


def environment(stage: Iterable[tuple[str, str]]) -> dict[str, str]:
    pairs = [pair.partition("=") for key, rest in stage if key == "ENV" for pair in rest.split()]
    return {name: value for name, _, value in pairs}


def faults(dockerfile: str) -> list[str]:
    """What is wrong with a Dockerfile of this project."""
    found = []
    stages: set[str] = set()
    for key, rest in instructions(dockerfile):
        if key == "FROM":
            image, *name = rest.split(" AS ")
            if image not in stages and (":" not in image or image.endswith(":latest")):
                found.append("base")
            stages.update(name)
        if key == "ADD":
            found.append("add")
    last = last_stage(dockerfile)
    values = dict(last)
    if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", values.get("USER", "")):
        found.append("user")
    if " CMD [" not in f" {values.get('HEALTHCHECK', '')}" or re.search(
        "curl|wget", values.get("HEALTHCHECK", "")
    ):
        found.append("healthcheck")
    if not values.get("CMD", "").startswith("["):
        found.append("command")
    if re.search(r"apt-get|pip install|\buv\b", " ".join(rest for key, rest in last if key == "RUN")):
        found.append("install")
    settings = environment(last)
    served = [settings.get("SAFEACT_PORT"), settings.get("SAFEACT_ALSO_PORT")]
    if values.get("EXPOSE", "").split() != served or sorted(filter(None, served)) != ["7860", "8000"]:
        found.append("ports")
    if settings.get("PYTHONDONTWRITEBYTECODE") != "1":
        found.append("writes")
    if f'org.opencontainers.image.version="{VERSION}"' not in values.get("LABEL", ""):
        found.append("version")
    return found


def test_the_dockerfile_is_sound() -> None:
    assert faults(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("USER 1000:1000", "", "user"),
        ("USER 1000:1000", "USER root", "user"),
        ("USER 1000:1000", "USER 0", "user"),
        ("\nFROM python:3.11-slim\n", "\nFROM python:latest\n", "base"),
        ("\nFROM python:3.11-slim\n", "\nFROM python\n", "base"),
        ("HEALTHCHECK ", "# ", "healthcheck"),
        ('CMD ["python", "-c",', 'CMD ["curl",', "healthcheck"),
        ("EXPOSE 7860 8000", "EXPOSE 7860", "ports"),
        ("SAFEACT_ALSO_PORT=8000", "SAFEACT_ALSO_PORT=8080", "ports"),
        ('CMD ["safeact", "serve"]', "CMD safeact serve", "command"),
        ("RUN useradd", "RUN apt-get install curl; useradd", "install"),
        ("RUN useradd", "RUN pip install uv; useradd", "install"),
        ("COPY openenv.yaml", "ADD openenv.yaml", "add"),
        ("PYTHONDONTWRITEBYTECODE=1", "PYTHONDONTWRITEBYTECODE=", "writes"),
        (f'version="{VERSION}"', 'version="0.0.1"', "version"),
    ],
)
def test_a_planted_fault_is_found(old: str, new: str, fault: str) -> None:
    assert old in DOCKERFILE
    assert fault in faults(DOCKERFILE.replace(old, new))


HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(HADOLINT is None, reason="hadolint has no build for this system")
def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "Dockerfile"
    broken.write_text(DOCKERFILE.replace("USER 1000:1000", "USER root"))
    runs = {
        path: subprocess.run([str(HADOLINT), "--no-color", str(path)], capture_output=True, text=True)
        for path in (ROOT / "Dockerfile", broken)
    }
    assert runs[ROOT / "Dockerfile"].stdout == ""
    assert "DL3002" in runs[broken].stdout


def sent(path: str, ignored: str) -> bool:
    """Whether a file of the repository goes to the build, as `.dockerignore` says: the last match decides."""
    kept = True
    for line in filter(None, ignored.splitlines()):
        if line.startswith("#"):
            continue
        pattern = line.removeprefix("!").replace("**/", "*")
        parents = [str(parent) for parent in Path(path).parents if str(parent) != "."]
        if any(fnmatch(each, pattern) for each in (path, *parents)):
            kept = line.startswith("!")
    return kept


def needed() -> set[str]:
    """What the build takes from the repository: named by the Dockerfile, or what the wheel is built from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {project["project"]["readme"], *project["project"]["license-files"], "tools/bytecode.py"}
    found |= {
        f"{name}/__init__.py" for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    }
    for key, rest in instructions(DOCKERFILE):
        words = rest.split()
        if key == "COPY" and not words[0].startswith("--") and words[0] != ".":
            found.update(words[:-1])
    return found


def test_the_build_gets_what_it_needs_and_nothing_else() -> None:
    assert {"pyproject.toml", "uv.lock", "openenv.yaml", "README.md"} <= needed()
    assert [path for path in needed() if not sent(path, IGNORED) or not (ROOT / path).exists()] == []
    for path in (".git/HEAD", ".venv/bin/python", "tests/tools/test_image.py", ".env", "safeact_env/a/b.pyc"):
        assert not sent(path, IGNORED)
    without = IGNORED.replace("!tools/bytecode.py\n", "")
    assert [path for path in needed() if not sent(path, without)] == ["tools/bytecode.py"]


# What is left out ----------------------------------------------------------------------------------------

LEFT_OUT = dict(rest.split("=") for key, rest in instructions(DOCKERFILE) if key == "ARG")["LEFT_OUT"]
PRUNED = LEFT_OUT.strip('"').split()
PAGE = "safeact_env.server.page.openenv_web"
"""The module that needs gradio; it is imported only if the page at /web is asked for."""

BLOCK = """
import sys

blocked = set(sys.argv[1:])

class LeftOut:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, LeftOut())
"""
"""Modules that are named on the command line cannot be imported."""

PROBE = """
import importlib, json
from tools.bytecode import imports, modules_of

missing = []

def load(importer, module, attribute=None):
    try:
        loaded = importlib.import_module(module)
        if attribute is not None and not hasattr(loaded, attribute):
            importlib.import_module(f"{module}.{attribute}")
    except ImportError as error:
        missing.append((importer, module))

def load_all(package):
    for module, path in modules_of(package):
        load(module, module)
        for name in imports(path.read_text(encoding="utf-8")):
            load(module, *name)
"""
"""Notes which imports fail, by importer and name."""

SERVER = """
load_all("server")
print(json.dumps(missing))
"""

IMAGE = """
for package in ("safeact_env", "server"):
    load_all(package)
for module in ("openenv.core.generic_client", "openenv.core.mcp_client", "fastmcp", "fastmcp.server.http"):
    load("openenv", module)

from fastapi.testclient import TestClient
from safeact_env.server.app import create_app

with TestClient(create_app()) as client:
    assert client.post("/reset", json={}).status_code == 200
    with client.websocket_connect("/ws") as ws:
        ws.send_json({"type": "reset", "data": {}})
        assert ws.receive_json()["type"] == "observation"
print(json.dumps(missing))
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(*pruned: str) -> set[str]:
    """The distributions that the image has if these, and what only they need, are pruned."""
    prune = [word for name in pruned for word in ("--prune", name)]
    command = [find_uv_bin(), "export", "--quiet", "--frozen", "--no-emit-project", "--no-hashes", *prune]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {canonical(name) for name in re.findall(r"(?m)^([\w.-]+)==", listed)}


def python(code: str, *arguments: str) -> str:
    """What a program prints that is run in the root."""
    run = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def pairs(printed: str) -> set[tuple[str, str]]:
    """The failed imports that the last line of what was printed tells."""
    return {(importer, name) for importer, name in json.loads(printed.splitlines()[-1])}


@cache
def modules_without(*pruned: str) -> list[str]:
    """The modules that are gone if these distributions, and what only they need, are pruned."""
    gone = locked() - locked(*pruned)
    found = packages_distributions().items()
    modules = sorted(module for module, names in found if {canonical(name) for name in names} <= gone)
    assert modules
    return modules


def is_here(module: str) -> bool:
    """Whether the tests' own environment has the distribution of a module."""
    return find_spec(module.partition(".")[0]) is not None


def test_what_is_left_out_is_locked() -> None:
    # uv says nothing about a name that it does not know.
    names = set(PRUNED)
    assert names
    assert names <= locked()
    assert names <= locked() - locked(*names)


COMPILE = """
import py_compile
from importlib.util import cache_from_source
from pathlib import Path

from tools import bytecode

folder, compile_loaded, compile_one = sys.argv.pop(), bytecode.compile_loaded, py_compile.compile

def mark(file, **options):
    # The place is enough for most: what was imported can be compiled, which takes seconds.
    place = Path(cache_from_source(file))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    if file.endswith("safeact_env/version.py"):
        compile_one(file, **options)

def compile_there():
    # Only now: what is imported is there in bytecode.
    sys.pycache_prefix, py_compile.compile = folder, mark
    return compile_loaded()

bytecode.compile_loaded = compile_there
bytecode.main(["safeact_env"])
sys.pycache_prefix = None
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[tuple[str, str]]]:
    """A folder with bytecode as the image has it, and the imports that fail without what is left out."""
    folder = tmp_path_factory.mktemp("bytecode")
    # One process, as most of the time goes into importing all there is; the bytecode first.
    printed = python(BLOCK + COMPILE + PROBE + IMAGE, *modules_without(*PRUNED), str(folder))
    return folder, pairs(printed)


def test_nothing_that_the_image_needs_is_left_out(image: tuple[Path, set[tuple[str, str]]]) -> None:
    _, missing = image
    assert (PAGE, PAGE) in missing
    # The page, and what plays with other people's libraries, have extras; the learners of two audits come
    # with `dev`. Nothing else imports them.
    learners = ("safeact_env.audit.learning", "safeact_env.audit.start", "safeact_env.audit.texts")
    optional = (PAGE, "safeact_env.integrations.", *learners)
    needed = {(who, name) for who, name in missing if not who.startswith(optional) and name != PAGE}
    assert {(who, name) for who, name in needed if is_here(name)} == set()


def test_leaving_out_what_is_needed_is_noticed() -> None:
    modules = modules_without("typer", *PRUNED)
    assert ("server.app", "server.app") in pairs(python(BLOCK + PROBE + SERVER, *modules))


# Bytecode ------------------------------------------------------------------------------------------------

LOADED = """
import sys
import safeact_env.server.main, safeact_env.server.app
for module in list(sys.modules.values()):
    file = getattr(module, "__file__", None)
    frozen = getattr(getattr(module, "__spec__", None), "origin", None) == "frozen"
    if file and file.endswith(".py") and not frozen:
        print(file)
"""


def bytecode_of(source: str, folder: Path) -> Path:
    """Where Python looks for the bytecode of a source if a folder is its cache."""
    cached = Path(cache_from_source(source))
    return folder.joinpath(*Path(source).parent.parts[1:], cached.name)


def test_a_starting_server_finds_its_bytecode(image: tuple[Path, set[tuple[str, str]]]) -> None:
    folder, _ = image
    loaded = python(LOADED).split()
    assert len(loaded) > 300
    # What a package imports may depend on where it runs; the server does not miss a module or two.
    assert len([source for source in loaded if not bytecode_of(source, folder).exists()]) < 5
    # Checked by the hash of its source: both flags are set.
    (compiled,) = folder.rglob("safeact_env/version.cpython-*.pyc")
    assert compiled.read_bytes()[4:8] == b"\x03\0\0\0"


def test_imports_inside_functions_are_found() -> None:
    source = "import a.b\ndef f():\n    from c import d, e\n    from . import own\n"
    assert list(bytecode.imports(source)) == [("a.b", None), ("c", "d"), ("c", "e")]


def test_a_program_is_not_imported() -> None:
    names = [name for name, path in bytecode.modules_of("safeact_env") if path.exists()]
    assert "safeact_env.server.app" in names
    assert "safeact_env" in names
    assert "safeact_env.__main__" not in names
