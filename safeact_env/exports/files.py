"""Files of rows: JSON lines, and Parquet beside them if asked for.

Owns the bytes. Must not know what rows mean. Messages have no fixed shape, as every tool has its own
arguments; in Parquet each is JSON, marked so that `datasets` reads it as an object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["NO_PARQUET", "RowFile", "has_parquet"]

NO_PARQUET = (
    "Parquet is written by pyarrow, which is not installed: pip install 'openenv-safeact-env[parquet]'."
)
BATCH = 512
"""Rows that are written as one group."""


def has_parquet() -> bool:
    """Whether Parquet can be written here."""
    return find_spec("pyarrow") is not None


class RowFile:
    """Writes rows, one after the other. Use it as a context manager.

    Args:
        folder: An existing folder.
        name: Name of the files, without `.jsonl` or `.parquet`.
        parquet: Whether to write Parquet as well.
    """

    def __init__(self, folder: Path, name: str, *, parquet: bool) -> None:
        self.rows = 0
        self._lines: BinaryIO = (folder / f"{name}.jsonl").open("wb")
        self._table = _Table(folder / f"{name}.parquet") if parquet else None

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row. All rows of a file have the same keys."""
        self._lines.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
        if self._table is not None:
            self._table.append(row)
        self.rows += 1

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._lines.close()
        if self._table is not None and kind is None:
            self._table.close()


class _Table:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[Mapping[str, Any]] = []
        self._writer: Any = None

    def append(self, row: Mapping[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= BATCH:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        first = self._waiting[0]
        if self._writer is None:
            fields = [(name, _arrow_type(pa, value)) for name, value in first.items()]
            about = {"info": {"features": {name: _feature(value) for name, value in first.items()}}}
            schema = pa.schema(fields, metadata={"huggingface": json.dumps(about)})
            self._writer = pq.ParquetWriter(self._path, schema)
        columns = [_column(pa, [row[name] for row in self._waiting]) for name in first]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._writer.schema))
        self._waiting.clear()


def _arrow_type(pa: Any, value: Any) -> Any:
    if isinstance(value, list):
        return pa.list_(pa.json_())
    return {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}.get(type(value), pa.string())


def _feature(value: Any) -> dict[str, Any]:
    """A column as `datasets` describes it."""
    if isinstance(value, list):
        return {"feature": {"decode": True, "_type": "Json"}, "_type": "List"}
    names = {bool: "bool", int: "int64", float: "float64"}
    return {"dtype": names.get(type(value), "string"), "_type": "Value"}


def _column(pa: Any, values: Sequence[Any]) -> Any:
    """The values of a column."""
    if not isinstance(values[0], list):
        return pa.array(values, _arrow_type(pa, values[0]))
    ends = accumulate((len(value) for value in values), initial=0)
    texts = pa.array([json.dumps(one, ensure_ascii=False) for value in values for one in value], pa.string())
    marked = pa.ExtensionArray.from_storage(pa.json_(), texts)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), marked, type=pa.list_(pa.json_()))
