"""Compiles the modules that packages import, for an image with a read-only file system.

Takes names of packages. It compiles the modules that theirs import, also inside functions, and what those
import in turn; compiling all that is installed would take several times the space. Bytecode is checked by a
hash of the source, since copies of an image need not keep times, and goes to PYTHONPYCACHEPREFIX.
"""

import ast
import importlib
import pkgutil
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path

Name = tuple[str, str | None]
"""A module, and the name imported from it."""


def modules_of(package: str) -> Iterator[tuple[str, Path]]:
    """The modules of a package, itself included, without its `__main__` modules."""
    for folder in importlib.import_module(package).__path__:
        yield package, Path(folder, "__init__.py")
        for found in pkgutil.walk_packages([folder], f"{package}."):
            path = Path(folder, *found.name.split(".")[1:])
            if not found.name.endswith("__main__"):
                yield found.name, path / "__init__.py" if found.ispkg else path.with_suffix(".py")


def imports(source: str) -> Iterator[Name]:
    """The imports of a source, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def load(name: Name) -> None:
    """Import a name if it is installed; packages may import their names lazily."""
    module, attribute = name
    try:
        loaded = importlib.import_module(module)
        if attribute is not None and not hasattr(loaded, attribute):
            importlib.import_module(f"{module}.{attribute}")
    except ImportError:
        pass


def load_server() -> None:
    """Import what a server imports only at its start or at its first request."""
    import uvicorn
    from fastapi.testclient import TestClient

    from safeact_env.server.app import create_app

    config = uvicorn.Config(create_app())
    config.load()
    config.get_loop_factory()
    with TestClient(create_app()) as client:
        client.get("/health")


def compile_loaded() -> int:
    """Compile every loaded module; return their number."""
    files = {str(getattr(module, "__file__", None)) for module in list(sys.modules.values())}
    sources = sorted(file for file in files if file.endswith(".py"))
    for file in sources:
        py_compile.compile(file, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return len(sources)


def main(packages: list[str]) -> None:
    """Import and compile the packages."""
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
