"""The SQLite engine's file: opened for this server alone, or refused with a reason."""

import os
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from itemwire.engines.sqlite.faults import FAULTS, sentence_of

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x49574952  # marks our files among those of other applications
OLDEST_SQLITE: Final = (3, 32, 0)  # the first that takes as many values per statement as are used

LOCK_SECONDS: Final = 1.0  # a server that is being stopped releases the file within them
WAL_LIMIT: Final = 16 * 1_048_576  # the size that the log shrinks to after a burst

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

SCHEMA: Final = """
CREATE TABLE channels (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,
    offset INTEGER NOT NULL, bytes INTEGER NOT NULL, keys INTEGER NOT NULL, used_at REAL NOT NULL
);
CREATE INDEX channels_by_use ON channels (used_at);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, offset INTEGER NOT NULL,
    start INTEGER NOT NULL, stored_at REAL NOT NULL, message TEXT NOT NULL
);
CREATE UNIQUE INDEX messages_by_offset ON messages (channel, offset);
CREATE TABLE keys (
    id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL,
    offset INTEGER NOT NULL, stored_at REAL NOT NULL
);
CREATE UNIQUE INDEX keys_by_key ON keys (channel, key);
CREATE INDEX keys_by_number ON keys (channel, number);
CREATE TABLE notices (id INTEGER PRIMARY KEY, until REAL NOT NULL, notice BLOB NOT NULL);
CREATE INDEX notices_by_end ON notices (until);
CREATE TABLE kept_values (key TEXT PRIMARY KEY, until REAL NOT NULL, value BLOB NOT NULL);
CREATE INDEX kept_values_by_end ON kept_values (until);
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
"""A channel counts its messages (`offset`), the bytes of all payloads (`bytes`) and its keys
(`keys`). A message knows how many bytes came before it (`start`), so that both bounds of a history
are comparisons."""

ADDED: Final = """
CREATE TABLE IF NOT EXISTS retained (
    name TEXT PRIMARY KEY, until REAL NOT NULL, epoch TEXT NOT NULL, offset INTEGER NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS retained_by_end ON retained (until);
"""
"""Tables that earlier versions did not make, and pass over."""


class UnusableFile(ValueError):
    """The engine's file cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """The path of the file, and whether each commit waits until the disk has it."""

    path: Path
    survives_power_loss: bool = True

    @classmethod
    def of(cls, url: str) -> "SqliteFile":
        """Read `sqlite:///relative.db` or `sqlite:////absolute.db`."""
        parts = urlsplit(url)
        path = unquote(parts.path.removeprefix("/"))
        if parts.netloc or parts.fragment or not path or path.endswith("/") or "\0" in path:
            raise ValueError(
                "ITEMWIRE_ENGINE_URL takes sqlite:///relative.db or sqlite:////absolute.db"
            )
        if path == ":memory:":
            raise ValueError("ITEMWIRE_ENGINE_URL: for an engine in memory, write memory://")
        option = parse_qsl(parts.query, keep_blank_values=True)
        if option not in ([], [("synchronous", "full")], [("synchronous", "normal")]):
            raise ValueError(
                "ITEMWIRE_ENGINE_URL: sqlite:// takes one option, synchronous=full or "
                "synchronous=normal"
            )
        return cls(Path(path).absolute(), option != [("synchronous", "normal")])


class OpenedFile:
    """The file and its log as they were when they were opened.

    SQLite goes on with a file that was removed, or in whose place another one is, and nobody finds
    what it stores there.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._paths: Final = (file.path, file.path.with_name(f"{file.path.name}-wal"))
        self._found: Final = self._find()

    def check(self) -> None:
        """Check that both are where they were; sqlite3.OperationalError if not."""
        if self._find() != self._found:
            raise sqlite3.OperationalError(
                "the file, or the log beside it, was removed, or another one is in its place"
            )

    def _find(self) -> list[tuple[int, int]]:
        return [_identity_of(path) for path in self._paths]


def _identity_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0  # no file has this number
    return found.st_dev, found.st_ino


def check_file(file: SqliteFile) -> None:
    """Make the file if it does not exist; UnusableFile if it cannot be used as it is."""
    connection = open_file(file)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise _unusable(file, FAULTS[sqlite3.SQLITE_CORRUPT].sentence)
    except sqlite3.Error as error:
        raise _unusable(file, sentence_of(error)) from error
    finally:
        close_file(connection)


def open_file(file: SqliteFile) -> sqlite3.Connection:
    """Return a connection to the file, which keeps every other process out."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise _unusable(file, f"needs SQLite 3.32, this Python has {sqlite3.sqlite_version}")
    if not file.path.parent.is_dir():
        raise _unusable(file, "cannot be made: its folder does not exist")
    if file.path.is_dir():
        raise _unusable(file, "is a folder: name a file in it")
    if not (_may_write(file.path.parent) and _may_write(file.path)):
        raise _unusable(file, FAULTS[sqlite3.SQLITE_READONLY].sentence)  # SQLite: "disk I/O error"
    try:
        _make_private(file.path)
        connection = sqlite3.connect(
            file.path,
            timeout=LOCK_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except (OSError, sqlite3.Error) as error:
        raise _unusable(file, sentence_of(error)) from error
    try:
        _prepare(connection, file)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(file, sentence_of(error)) from error
    except UnusableFile:
        connection.close()
        raise
    return connection


def close_file(connection: sqlite3.Connection) -> None:
    """Close the file, with everything committed in it, and note that it was closed in order."""
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("DELETE FROM state WHERE name = 'boot'")
    finally:
        connection.close()


def _unusable(file: SqliteFile, fault: str) -> UnusableFile:
    return UnusableFile(f"ITEMWIRE_ENGINE_URL: {file.path} {fault}")


def _may_write(path: Path) -> bool:
    return not path.exists() or os.access(
        path, os.W_OK, effective_ids=os.access in os.supports_effective_ids
    )


def _make_private(path: Path) -> None:
    """Make a missing file that nobody else may read; SQLite's log takes its mode from it."""
    # A file that is there is not touched: closing it would undo the lock of an engine that has it.
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, file: SqliteFile) -> None:
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # before anything is read
    is_new = _is_new(connection, file)
    if is_new:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise _unusable(file, "is where SQLite cannot keep a write-ahead log")
    connection.execute(f"PRAGMA journal_size_limit={WAL_LIMIT}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone does not reach the disk there
    connection.execute("BEGIN IMMEDIATE")
    if is_new:
        _make_tables(connection)
    for statement in ADDED.split(";"):
        connection.execute(statement)
    _begin_anew_after_power_loss(connection, file)
    connection.execute("COMMIT")
    if not file.survives_power_loss:
        connection.execute("PRAGMA synchronous=NORMAL")


def _is_new(connection: sqlite3.Connection, file: SqliteFile) -> bool:
    """Return whether the file is empty; UnusableFile if its content is not ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise _unusable(file, "is the database of another application")
    if version > SCHEMA_VERSION:
        raise _unusable(
            file,
            f"was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION})",
        )
    return bool(version == 0)


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _begin_anew_after_power_loss(connection: sqlite3.Connection, file: SqliteFile) -> None:
    """Begin new epochs if acknowledged publishes may be lost, whose offsets would be reused.

    That is so if commits did not wait for the disk and the machine went down before the file was
    closed. If only the process has died, the kernel still has everything that was written.
    """
    row = connection.execute("SELECT value FROM state WHERE name = 'boot'").fetchone()
    boot = _boot()
    if row is not None and row[0] != boot:
        connection.execute("UPDATE channels SET epoch = ?", (secrets.token_urlsafe(6),))
    connection.execute("DELETE FROM state WHERE name = 'boot'")
    if not file.survives_power_loss:
        connection.execute("INSERT INTO state VALUES ('boot', ?)", (boot,))


def _boot() -> str:
    """Return an id of the machine's current boot; where there is none, a new one each time."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_urlsafe(6)
