"""A file of records: one JSON line per episode, appended as they finish, safe to stop and resume.

Owns the file. Must not know how records are made or used.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from safeact_env.evaluation.record import Key, Sample
from safeact_env.tasks import get_task
from safeact_env.unique_json import RepeatedKey, unique_json
from safeact_env.version import VERSION

__all__ = ["RecordFile", "StoreError", "line_of", "occupied", "read_packed", "replace_file", "versions_of"]

MOST_UNPACKED = 2**29
"""Most bytes that a compressed file may unpack to: a small file can hold any number."""

Versions = tuple[str, Mapping[str, int]]
"""The package's version, and that of each task by name."""


class StoreError(ValueError):
    """A file of records that cannot be used, with a sentence that says what to do."""


def occupied(folder: Path) -> StoreError:
    """Return the error for a folder that holds episodes when `--resume` was not given."""
    return StoreError(
        f"{folder} holds episodes already. Continue with --resume, or give --out another folder."
    )


def versions_of(tasks: Iterable[str]) -> Versions:
    """Return the versions of this package and of these tasks."""
    return VERSION, {name: get_task(name).version for name in tasks}


def read_packed(path: Path) -> bytes:
    """The content of a file of records, unpacked if its name ends in `.gz`.

    Raises:
        OSError: If it cannot be read, or is not what its name says.
    """
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_UNPACKED + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(str(error)) from None
    if len(content) > MOST_UNPACKED:
        raise OSError(f"it unpacks to more than {MOST_UNPACKED} bytes")
    return content


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader finds the old content or the new one, never a part."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def line_of(record: Mapping[str, Any]) -> bytes:
    """A record as a line of the file."""
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


class RecordFile:
    """Records on disk. An incomplete last line, as a killed run leaves it, is cut off.

    Args:
        path: The file; created if missing, with its folder.
        versions: The versions with which each record must have been made.
        resume: Whether to keep the episodes in the file; otherwise it starts empty.

    Raises:
        StoreError: If the file cannot be opened, or holds anything but records of these versions.
    """

    def __init__(self, path: Path, versions: Versions, *, resume: bool = True) -> None:
        self.path = path
        self.samples: dict[Key, Sample] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            keep = self._read(versions) if resume and path.exists() else 0
            self._file: BinaryIO = path.open("r+b" if keep else "wb")
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}. Give --out another file.") from None
        self._file.truncate(keep)
        self._file.seek(keep)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record; it is in the file when this returns."""
        self._file.write(line_of(record))
        self._file.flush()

    def sync(self) -> None:
        """Write what was appended to the disk, so that it survives a power cut."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, versions: Versions) -> int:
        """Read the records; return the length of the complete lines in bytes."""
        length = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                sample = self._sample(line, number, versions)
                self.samples[sample.key] = sample
                length += len(line)
        return length

    def _sample(self, line: bytes, number: int, versions: Versions) -> Sample:
        package, tasks = versions
        elsewhere = "Give --out another file, or start this one again with --no-resume."
        try:
            record = unique_json(line)
            sample = Sample.of(record)
            version, task_version = record["version"], record["task_version"]
        except RepeatedKey as error:
            raise StoreError(f"{self.path}, line {number}: {error}. {elsewhere}") from None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise StoreError(
                f"{self.path}, line {number}, is not a record of an evaluation. {elsewhere}"
            ) from None
        task = sample.key.task
        if version != package:
            raise StoreError(
                f"{self.path} was recorded with version {version}, but this is {package}. {elsewhere}"
            )
        if tasks.get(task, task_version) != task_version:
            raise StoreError(
                f"{self.path} was recorded with version {task_version} of task {task}, but this is version "
                f"{tasks[task]}. {elsewhere}"
            )
        return sample
