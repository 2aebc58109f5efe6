"""Read-only SQL on a table of the simulated database.

Owns what SQL is accepted, how much of it is run, and how rows become text. Must not know facts: it works
on a name, columns and rows that are handed in. Everything that may differ from one build of SQLite to the
next, or from one moment to the next, is refused, so that an answer is the same on any machine.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from threading import get_ident

from safeact_env.core.action import clip

Value = int | str
"""What a cell of a table holds."""

MAX_ROWS = 20
"""Most rows in an answer."""
MAX_FETCHED = 200
"""Most rows a query may produce before the answer is cut to `MAX_ROWS`."""
MAX_CELL = 60
"""Longest cell in an answer, in characters."""
MAX_SQL = 500
"""Longest query, in characters."""
MAX_WORDS = 60
"""Most words in a query: names, functions and keywords."""
MAX_SELECTS = 2
"""Most SELECTs in a query."""
MAX_STEPS = 5_000
"""Most instructions of SQLite's virtual machine in one run. A count, as a clock would not be repeatable. One
instruction may be a function on a text, so texts and patterns are short as well."""
STEPS_PER_CALL = 500

FAILED = "The query was stopped: it failed while running or went beyond the limits of the read replica."
"""The one answer to a query that was accepted and did not get through."""

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 120,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * MAX_SQL + 100,
    sqlite3.SQLITE_LIMIT_COLUMN: 32,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 20_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 10,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 20,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

# ValueError: text that SQLite cannot take at all. Warning: two statements, before 3.12. MemoryError: what
# Python makes of more instructions than the limit.
REFUSED = (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError)

# A list of what is allowed, not of what is not: dates read the clock, random() its own state, others the
# version or the way SQLite was compiled, and new functions come with every release.
FUNCTIONS = {
    *("abs", "avg", "coalesce", "count", "glob", "ifnull", "instr", "length", "like", "lower", "ltrim"),
    *("max", "min", "nullif", "replace", "round", "rtrim", "substr", "sum", "total", "trim", "typeof"),
    "upper",
}

TOKENS = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*")|(?P<name>`(?:[^`]|``)*`|\[[^\]]*\])"""
    r"""|(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<word>[^\W\d]\w*)""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class View:
    """A table as a query sees it.

    Attributes:
        name: Its name.
        columns: Its columns; the first is the key, an integer.
        rows: Its rows, each with a value per column.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def is_accepted(view: View, sql: str) -> bool:
    """Whether `sql` is one plain SELECT that reads this table and nothing else. Runs nothing of it."""
    if not _is_plain(view, sql):
        return False
    replica = _replica(view, get_ident())
    try:
        replica.execute(f"EXPLAIN {sql}").close()
    except REFUSED:
        return False
    return replica.was_read


def run(view: View, sql: str) -> str:
    """Run an accepted SELECT and answer with its rows as text, sorted by value; `FAILED` if it breaks off."""
    try:
        with closing(_replica(view, get_ident()).execute(sql)) as cursor:
            rows = cursor.fetchmany(MAX_FETCHED + 1)
    except REFUSED:
        return FAILED
    if len(rows) > MAX_FETCHED:
        return FAILED
    shown = sorted(rows, key=_sort_key)[:MAX_ROWS]
    count = f"{len(shown)} of {len(rows)}" if len(rows) > MAX_ROWS else str(len(rows))
    noun = "row" if count == "1" else "rows"
    return (
        f"{count} {noun}: {'; '.join(' | '.join(map(_text, row)) for row in shown)}." if shown else "0 rows."
    )


def _is_plain(view: View, sql: str) -> bool:
    """Short, begins with SELECT, has no WITH, and puts double quotes around names of the table only.

    A name for an expression stands for it wherever it is used, so a SELECT within another one multiplies the
    work of preparing a statement, and so does a WITH; only their number and that of words bound it. A double
    quoted word that names nothing is an error in some builds of SQLite and text in others.
    """
    if len(sql) > MAX_SQL:
        return False
    names = {view.name, *view.columns}
    words: list[str] = []
    for token in TOKENS.finditer(sql):
        quoted, word = token["quoted"], token["word"]
        if quoted is not None and quoted[1:-1].lower() not in names:
            return False
        if word is not None:
            words.append(word.lower())
    selects = words.count("select")
    return (
        words[:1] == ["select"] and selects <= MAX_SELECTS and len(words) <= MAX_WORDS and "with" not in words
    )


class _Replica:
    """An in-memory database with one table, locked down before any statement of an agent reaches it."""

    def __init__(self, view: View) -> None:
        self._table = view.name
        self.was_read = False
        self._ticks = 0
        columns = ", ".join(
            f'"{name}" {"INTEGER PRIMARY KEY" if number == 0 else _type(view, number)}'
            for number, name in enumerate(view.columns)
        )
        # No statement is kept: SQLite authorises one when it is prepared, so each must be prepared anew. The
        # thread is not checked, as the last reference may go away in another one.
        self._connection = connection = sqlite3.connect(
            ":memory:", isolation_level=None, cached_statements=0, check_same_thread=False
        )
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f'CREATE TABLE "{view.name}" ({columns})')
        marks = ", ".join("?" * len(view.columns))
        connection.executemany(f'INSERT INTO "{view.name}" VALUES ({marks})', view.rows)
        for limit, value in LIMITS.items():
            connection.setlimit(limit, value)
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._tick, STEPS_PER_CALL)

    def __del__(self) -> None:
        self._connection.close()

    def execute(self, sql: str) -> sqlite3.Cursor:
        """Start a statement with all of the work it may do before it."""
        self.was_read, self._ticks = False, 0
        return self._connection.execute(sql)

    def _authorize(self, code: int, first: str | None, second: str | None, *_: str | None) -> int:
        allowed = code == sqlite3.SQLITE_SELECT
        if code == sqlite3.SQLITE_READ and (first or "").lower() == self._table:
            self.was_read = allowed = True
        elif code == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() in FUNCTIONS
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _tick(self) -> bool:
        self._ticks += 1
        return self._ticks >= MAX_STEPS // STEPS_PER_CALL


@lru_cache(maxsize=32)
def _replica(view: View, _thread: int) -> _Replica:
    """The database of a view, kept for the next query; one per thread, as SQLite's objects are."""
    return _Replica(view)


def _type(view: View, number: int) -> str:
    return "INTEGER" if all(isinstance(row[number], int) for row in view.rows) else "TEXT"


def _sort_key(row: tuple[object, ...]) -> list[tuple[int, object]]:
    # NULL, numbers, text, blobs, as SQLite itself orders them.
    return [(_RANK[type(value)], 0 if value is None else value) for value in row]


_RANK: dict[type, int] = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}


_UNPRINTABLE = re.compile(r"[^ -~]")


def _text(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = f"x'{value.hex()}'"
    else:
        # Six digits, as sums of fractions differ in the last ones between releases of SQLite; no -0.
        text = f"{value + 0.0:.6g}" if isinstance(value, float) else str(value)
    return clip(_UNPRINTABLE.sub("?", text), MAX_CELL)
