"""Logs in one SQLite file, for several processes of one machine.

Owns the tables. Must not know episodes. An append is one transaction in WAL mode with `synchronous=FULL`:
once it returns, the entry is on the disk and survives a crash or a power failure, if the disk is honest.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from safeact_env.sessions.errors import StoreUnavailable
from safeact_env.sessions.stores.base import Clock, Full, Limits, Log, NoSuchEpisode, OwnFull, Start
from safeact_env.sessions.stores.uptime import SECOND, Uptime

MAX_WAIT_SECONDS = 5.0
"""Longest wait for other writers."""
PAUSE_SECONDS = 0.01
"""Between two attempts where SQLite itself does not wait."""
READ_PRECISION = 20
"""A read counts as a use only after a twentieth of the idle time: a write costs more than a read."""
PURGED_AT_ONCE = 500

LAYOUT = 2
APPLICATION = 0x53414645
SCHEMA = """
CREATE TABLE episodes (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    start BLOB NOT NULL,
    head TEXT NOT NULL,
    length INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0,
    used INTEGER NOT NULL
);
CREATE INDEX episodes_by_use ON episodes (ended, used);
CREATE INDEX episodes_by_client ON episodes (client, ended, used);
CREATE TABLE entries (
    episode INTEGER NOT NULL REFERENCES episodes ON DELETE CASCADE,
    number INTEGER NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (episode, number)
) WITHOUT ROWID;
CREATE TABLE time (now INTEGER NOT NULL);
INSERT INTO time VALUES (0);
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL);
"""


def _write_ahead(db: sqlite3.Connection) -> None:
    """Log writes ahead. SQLite does not wait here for another process that opens a new file at the time."""
    late = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > late:
                raise
            time.sleep(PAUSE_SECONDS)


class SQLiteStore:
    """Logs in an SQLite file.

    Args:
        path: The file; it is created if it does not exist.
        limits: How much is kept.
        clock: Seconds. It may jump.

    Raises:
        StoreUnavailable: If the file cannot be opened, or is not a store of this layout.
    """

    blocking = True

    def __init__(self, path: str, limits: Limits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._uptime = Uptime(clock)
        # One connection: writers queue here in order, instead of polling each other's locks in the file.
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        try:
            self._db = sqlite3.connect(
                path, timeout=MAX_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare(self._db, path)
        except sqlite3.Error as error:
            self.close()
            raise StoreUnavailable(
                f"{path} cannot be opened: {error}; its directory must exist and be writable"
            ) from error
        except StoreUnavailable:
            self.close()
            raise

    @staticmethod
    def _prepare(db: sqlite3.Connection, path: str) -> None:
        # In one transaction, as another process may be making the tables.
        db.execute("BEGIN")
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        db.execute("COMMIT")
        if application != APPLICATION and (application or tables):
            raise StoreUnavailable(f"{path} is the database of another program; choose another file")
        _write_ahead(db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        (layout,) = db.execute("PRAGMA user_version").fetchone()
        if layout == 0:
            for statement in SCHEMA.strip().removesuffix(";").split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {LAYOUT}")
        elif layout != LAYOUT:
            db.execute("ROLLBACK")
            raise StoreUnavailable(f"{path} has layout {layout}, not {LAYOUT}; choose another file")
        db.execute("COMMIT")

    def create(self, start: Start, head: str) -> Log | None:
        """Start a log."""
        with self._writing() as (db, now):
            self._purge(db, now)
            there = self._log(db, start.id, now)
            if there is not None:
                return there
            limits, client = self._limits, start.client
            live, finished = self._counts(db, now)
            own_live, own_finished = self._counts(db, now, client)
            if live >= limits.max_live or (finished >= limits.max_finished and not own_finished):
                raise Full
            if own_live >= limits.max_live_each:
                raise OwnFull
            db.execute("DELETE FROM episodes WHERE id = ?", (start.id,))
            db.execute(
                "INSERT INTO episodes (id, client, start, head, used) VALUES (?, ?, ?, ?, ?)",
                (start.id, client, start.encode(), head, now),
            )
        return None

    def load(self, episode_id: str) -> Log | None:
        """The log with this id."""
        with self._reading() as (db, now):
            log = self._log(db, episode_id, now)
            stale = now - int(self._limits.idle_seconds * SECOND / READ_PRECISION)
            query = "SELECT 1 FROM episodes WHERE id = ? AND ended = 0 AND used < ?"
            touch = log is not None and db.execute(query, (episode_id, stale)).fetchone() is not None
        if touch:
            # If nothing can be written, reads still work.
            with contextlib.suppress(StoreUnavailable), self._writing() as (db, now):
                db.execute("UPDATE episodes SET used = ? WHERE id = ? AND ended = 0", (now, episode_id))
        return log

    def append(self, episode_id: str, expected: str, entry: bytes, head: str, *, last: bool) -> Log | None:
        """Add an entry if the log's head is the expected one."""
        with self._writing() as (db, now):
            if self._kept(db, episode_id, now) is None:
                raise NoSuchEpisode
            changed = db.execute(
                "UPDATE episodes SET head = ?, length = length + 1, ended = ?, used = ? "
                "WHERE id = ? AND head = ? AND ended = 0 RETURNING serial, length, client",
                (head, last, now, episode_id, expected),
            ).fetchall()
            if not changed:
                return self._log(db, episode_id, now)
            serial, length, client = changed[0]
            db.execute("INSERT INTO entries VALUES (?, ?, ?)", (serial, length, entry))
            if last:
                self._trim(db, now, client)
        return None

    def delete(self, episode_id: str) -> bool:
        """Delete an episode."""
        with self._writing() as (db, now):
            there = self._kept(db, episode_id, now) is not None
            db.execute("DELETE FROM episodes WHERE id = ?", (episode_id,))
        return there

    def live(self) -> int:
        """Number of unfinished episodes."""
        with self._reading() as (db, now):
            return self._counts(db, now)[0]

    def sole(self) -> str | None:
        """The id of the only unfinished episode, if no other was started after it."""
        with self._reading() as (db, now):
            query = "SELECT id, serial FROM episodes WHERE ended = 0 AND used > ? LIMIT 2"
            found = db.execute(query, (self._oldest(now)[0],)).fetchall()
            newest = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'episodes'").fetchone()
        return found[0][0] if len(found) == 1 and (found[0][1],) == newest else None

    def tick(self) -> None:
        """Let time pass, and delete expired episodes."""
        with self._writing() as (db, now):
            self._purge(db, now)

    def take(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease."""
        with self._writing() as (db, now):
            taken = db.execute(
                "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                "SET holder = excluded.holder, until = excluded.until "
                "WHERE holder = excluded.holder OR until <= ? RETURNING 1",
                (name, holder, now + int(seconds * SECOND), now),
            ).fetchall()
        return bool(taken)

    def give_back(self, name: str, holder: str) -> None:
        """Give a lease back."""
        with self._writing() as (db, _now):
            db.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=MAX_WAIT_SECONDS):
            raise StoreUnavailable("the file was busy for too long")
        try:
            if self._db is None:
                raise StoreUnavailable("the store is closed")
            try:
                self._db.execute(begin)
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreUnavailable(f"SQLite: {error}") from error
            finally:
                if self._db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
        finally:
            self._lock.release()

    @contextmanager
    def _reading(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """One state of the file, and the time of the store."""
        with self._transaction("BEGIN") as db:
            (stored,) = db.execute("SELECT now FROM time").fetchone()
            yield db, max(stored, self._uptime.look().proposed)

    @contextmanager
    def _writing(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """A transaction with its own time, later than that of every other."""
        with self._transaction("BEGIN IMMEDIATE") as db:
            look = self._uptime.look()
            ((now,),) = db.execute(
                "UPDATE time SET now = max(now + 1, ?) RETURNING now", (look.proposed,)
            ).fetchall()
            yield db, now
        self._uptime.answered(look, now)

    def _oldest(self, now: int) -> tuple[int, int]:
        """The last uses, of live and of finished episodes, that have expired by now."""
        limits = self._limits
        return now - int(limits.idle_seconds * SECOND), now - int(limits.keep_finished_seconds * SECOND)

    def _kept(self, db: sqlite3.Connection, episode_id: str, now: int) -> tuple[int, bytes, str] | None:
        query = (
            "SELECT serial, start, head FROM episodes "
            "WHERE id = ? AND used > CASE ended WHEN 0 THEN ? ELSE ? END"
        )
        found: tuple[int, bytes, str] | None = db.execute(query, (episode_id, *self._oldest(now))).fetchone()
        return found

    def _log(self, db: sqlite3.Connection, episode_id: str, now: int) -> Log | None:
        kept = self._kept(db, episode_id, now)
        if kept is None:
            return None
        serial, start, head = kept
        entries = db.execute("SELECT entry FROM entries WHERE episode = ? ORDER BY number", (serial,))
        return Log(Start.decode(episode_id, start), head, tuple(entry for (entry,) in entries))

    def _counts(self, db: sqlite3.Connection, now: int, client: str | None = None) -> list[int]:
        """Numbers of unfinished and of finished episodes, of everybody or of a client."""
        query = "SELECT count(*) FROM episodes WHERE ended = ? AND used > ?"
        of, more = (" AND client = ?", (client,)) if client is not None else ("", ())
        found = (db.execute(query + of, (end, old, *more)) for end, old in enumerate(self._oldest(now)))
        return [one.fetchone()[0] for one in found]

    def _purge(self, db: sqlite3.Connection, now: int) -> None:
        for ended, oldest in enumerate(self._oldest(now)):
            db.execute(
                "DELETE FROM episodes WHERE serial IN "
                "(SELECT serial FROM episodes WHERE ended = ? AND used <= ? LIMIT ?)",
                (ended, oldest, PURGED_AT_ONCE),
            )

    def _trim(self, db: sqlite3.Connection, now: int, client: str) -> None:
        kept = self._limits.keepable(self._counts(db, now, client)[1], self._counts(db, now)[1])
        db.execute(
            "DELETE FROM episodes WHERE serial IN (SELECT serial FROM episodes "
            "WHERE client = ? AND ended = 1 ORDER BY used DESC LIMIT -1 OFFSET ?)",
            (client, kept),
        )
