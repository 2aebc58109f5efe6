"""Tests of integrations are collected where their library is: in the environments of `make integrations`."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tools.compat.integrations import pinned


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


collect_ignore = [
    f"test_{path.stem}.py"
    for path in (Path(__file__).parent / "requirements").glob("*.txt")
    if not _is_installed(pinned(path).packages[0])
]
# These need environments in which no other test can run.
collect_ignore.append("test_beside.py")
if not _is_installed("datasets"):
    collect_ignore.append("test_datasets.py")
