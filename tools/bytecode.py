"""Compiles what packages import, for an image that nothing writes to.

Takes the names of packages. Compiled are the modules that theirs import, also inside functions, and what
those import: to compile everything that is installed would take several times the room. Each is checked by a
hash of its source, not by its time, which copies of an image need not keep. The bytecode goes to where
PYTHONPYCACHEPREFIX says.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

Name = tuple[str, str | None]
"""A module, and what is taken from it."""


def modules_of(package: str) -> Iterator[tuple[str, Path]]:
    """The modules of a package, itself included, but not its programs."""
    for folder in importlib.import_module(package).__path__:
        yield package, Path(folder, "__init__.py")
        for found in pkgutil.walk_packages([folder], f"{package}."):
            path = Path(folder, *found.name.split(".")[1:])
            if not found.name.endswith("__main__"):
                yield found.name, path / "__init__.py" if found.ispkg else path.with_suffix(".py")


def imports(source: str) -> Iterator[Name]:
    """What a source imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def load(name: Name) -> None:
    """Import a name, if it is installed; packages may import what they offer only when it is asked for."""
    module, attribute = name
    try:
        loaded = importlib.import_module(module)
        if attribute is not None and not hasattr(loaded, attribute):
            importlib.import_module(f"{module}.{attribute}")
    except ImportError:
        pass


def load_server() -> None:
    """What is imported only when the server starts, or at its first request."""
    import uvicorn
    from fastapi.testclient import TestClient

    from safeact_env.server.app import create_app

    config = uvicorn.Config(create_app())
    config.load()
    config.get_loop_factory()
    with TestClient(create_app()) as client:
        client.get("/health")


def compile_loaded() -> int:
    """Compile every module that is loaded; return how many."""
    files = {str(getattr(module, "__file__", None)) for module in list(sys.modules.values())}
    sources = sorted(file for file in files if file.endswith(".py"))
    for file in sources:
        py_compile.compile(file, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return len(sources)


def main(packages: list[str]) -> None:
    """Import and compile."""
    sys.dont_write_bytecode = True
    for package in packages:
        for module, path in modules_of(package):
            load((module, None))
            for name in imports(path.read_text(encoding="utf-8")):
                load(name)
    load_server()
    print(f"{compile_loaded():,} modules compiled")


if __name__ == "__main__":
    main(sys.argv[1:])
