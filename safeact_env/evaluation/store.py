"""A file of records: one JSON line per episode, appended as they finish, safe to stop and resume.

Owns the file. Must not know how records come about or what is made of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from safeact_env.evaluation.record import Key, Sample

__all__ = ["RecordFile", "StoreError", "line_of", "occupied"]


class StoreError(ValueError):
    """A file of records that cannot be used, with a sentence that says what to do."""


def occupied(folder: Path) -> StoreError:
    """What a folder with episodes is refused with, where nobody asked to go on with them."""
    return StoreError(
        f"{folder} holds episodes already. Go on with them with --resume, or give --out another folder."
    )


def line_of(record: Mapping[str, Any]) -> bytes:
    """A record as a line of the file."""
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


class RecordFile:
    """Records on disk. A last line without its end, as a killed run leaves it, is cut off.

    Args:
        path: The file; made if it is not there, together with its folder.
        versions: The package's version and that of each task: what a record must have been made with.
        resume: Whether to keep the episodes that are there; otherwise the file starts empty.

    Raises:
        StoreError: If it cannot be opened, or holds something else than records of these versions.
    """

    def __init__(self, path: Path, versions: tuple[str, Mapping[str, int]], *, resume: bool = True) -> None:
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
        """Have the operating system write what was appended to the disk: a power cut keeps it, too."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def _read(self, versions: tuple[str, Mapping[str, int]]) -> int:
        """Read what is there; return the length in bytes of the lines that are whole."""
        length = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                sample = self._sample(line, number, versions)
                self.samples[sample.key] = sample
                length += len(line)
        return length

    def _sample(self, line: bytes, number: int, versions: tuple[str, Mapping[str, int]]) -> Sample:
        package, tasks = versions
        elsewhere = "Give --out another file, or start this one again with --no-resume."
        try:
            record = json.loads(line)
            sample = Sample.of(record)
            version, task_version = record["version"], record["task_version"]
        except (KeyError, TypeError, ValueError):
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
