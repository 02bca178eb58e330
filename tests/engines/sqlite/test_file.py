"""The SQLite engine's file: it has one server, and an unusable file gets a clear error."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.engines.sqlite import file
from itemwire.engines.sqlite.engine import open_engine
from itemwire.engines.sqlite.file import SqliteFile, UnusableFile, check_file, close_file, open_file
from itemwire.engines.sqlite.store import MessageEntry, SqliteStore
from tests.fakes import BOUNDS, Clock

NOBODY = 65_534


@pytest.fixture
def sqlite_file(tmp_path: Path) -> SqliteFile:
    """A sqlite_file where nothing is yet."""
    return SqliteFile(tmp_path / "itemwire.db")


@pytest.mark.parametrize(
    ("url", "path", "survives"),
    [
        pytest.param("sqlite:///a.db", Path("a.db"), True, id="relative"),
        pytest.param("sqlite:///b/a.db", Path("b/a.db"), True, id="in-a-folder"),
        pytest.param("sqlite:////b/a.db", Path("/b/a.db"), True, id="absolute"),
        pytest.param("sqlite:////b/a%20%3F.db", Path("/b/a ?.db"), True, id="escaped"),
        pytest.param("sqlite:////a.db?synchronous=full", Path("/a.db"), True, id="full"),
        pytest.param("sqlite:////a.db?synchronous=normal", Path("/a.db"), False, id="normal"),
    ],
)
def test_reads_a_place_from_a_url(url: str, path: Path, survives: bool) -> None:
    """Three slashes and four, as others write it."""
    assert SqliteFile.of(url) == SqliteFile(path.absolute(), survives)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite://", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite:///folder/", "sqlite:///relative.db"),
        ("sqlite://host/a.db", "sqlite:///relative.db"),
        ("sqlite:///a.db#x", "sqlite:///relative.db"),
        ("sqlite:///%00", "sqlite:///relative.db"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///a.db?mode=ro", "synchronous=full"),
        ("sqlite:///a.db?synchronous=off", "synchronous=full"),
        ("sqlite:///a.db?synchronous", "synchronous=full"),
        ("sqlite:///a.db?synchronous=full&x=y", "synchronous=full"),
    ],
)
def test_refuses_a_url_that_is_none_and_says_what_to_write(url: str, hint: str) -> None:
    """An option that is not known is a mistake, not a wish."""
    with pytest.raises(ValueError, match="ITEMWIRE_ENGINE_URL") as refused:
        SqliteFile.of(url)

    assert hint in str(refused.value)


def test_makes_a_file_that_others_cannot_read(sqlite_file: SqliteFile) -> None:
    """Messages are in it, and its log is as private."""
    connection = open_file(sqlite_file)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in sqlite_file.path.parent.iterdir()]
    close_file(connection)

    assert modes == [0o600, 0o600]
    assert list(sqlite_file.path.parent.iterdir()) == [
        sqlite_file.path
    ]  # the log is gone in the end


def test_takes_a_file_again_that_it_has_made(sqlite_file: SqliteFile) -> None:
    """The twin of all that is refused."""
    check_file(sqlite_file)
    check_file(sqlite_file)


def not_a_database(path: Path) -> None:
    """Write a file that is not a SQLite database."""
    path.write_bytes(b"hello" * 2000)


def damaged(path: Path) -> None:
    """Make a file of ours and overwrite its middle."""
    check_file(SqliteFile(path))
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\xff" * 8192 + data[16384:])


def cut_short(path: Path) -> None:
    """Make a file of ours and lose its end."""
    check_file(SqliteFile(path))
    path.write_bytes(path.read_bytes()[:20_000])


def of_another_application(path: Path) -> None:
    """Make a database that has tables of its own."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id)")
    connection.close()


def of_a_newer_version(path: Path) -> None:
    """Make a file of ours, of the time to come."""
    check_file(SqliteFile(path))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=2")
    connection.close()


def a_folder(path: Path) -> None:
    """Have a folder of this name."""
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (not_a_database, "is not a SQLite database"),
        (damaged, "is damaged"),
        (cut_short, "is damaged"),
        (of_another_application, "is the database of another application"),
        (of_a_newer_version, "was written by a newer version (schema 2, this one knows 1)"),
        (a_folder, "is a folder"),
    ],
)
def test_refuses_a_file_that_it_cannot_use(
    sqlite_file: SqliteFile, make: object, fault: str
) -> None:
    """One line at start-up, with the file's name; what is in it is left as it is."""
    make(sqlite_file.path)  # type: ignore[operator]
    before = sqlite_file.path.read_bytes() if sqlite_file.path.is_file() else b""
    with pytest.raises(UnusableFile) as refused:
        open_engine(f"sqlite:///{sqlite_file.path}", BOUNDS)

    assert str(refused.value).startswith(f"ITEMWIRE_ENGINE_URL: {sqlite_file.path} {fault}")
    assert "\n" not in str(refused.value)
    assert not sqlite_file.path.is_file() or sqlite_file.path.read_bytes() == before


def test_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It is not made: the name is more likely wrong than new."""
    with pytest.raises(UnusableFile, match="its folder does not exist"):
        check_file(SqliteFile(tmp_path / "none" / "itemwire.db"))

    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder_of_others() -> Iterator[Path]:
    """A folder that this process may read and not write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_file(SqliteFile(folder / "itemwire.db"))
        (folder / "itemwire.db").chmod(0o444)
        folder.chmod(0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
            folder.chmod(0o755)


@pytest.mark.parametrize("name", ["itemwire.db", "new.db"])
def test_refuses_what_it_may_not_write(folder_of_others: Path, name: str) -> None:
    """A file that is there, and one that is to be made."""
    with pytest.raises(UnusableFile, match="this process may not write to it or its folder"):
        check_file(SqliteFile(folder_of_others / name))


def test_keeps_other_processes_out_for_as_long_as_it_is_open(
    sqlite_file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers on one file would be two worlds of subscribers (and two orders)."""
    monkeypatch.setattr(file, "LOCK_SECONDS", 0.05)
    code = f"""
import pathlib
from itemwire.engines.sqlite import file
file.LOCK_SECONDS = 0.05
try:
    file.check_file(file.SqliteFile(pathlib.Path({str(sqlite_file.path)!r})))
except file.UnusableFile as refused:
    print(refused)
"""

    def other_process() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout

    connection = open_file(sqlite_file)
    with pytest.raises(UnusableFile, match="is in use"):  # in this process
        check_file(sqlite_file)
    while_open = other_process()
    close_file(connection)

    assert f"{sqlite_file.path} is in use: a file belongs to one server at a time" in while_open
    assert other_process() == ""


def test_refuses_a_sqlite_that_is_too_old(
    sqlite_file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said at start-up, not by a statement that fails at night."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    with pytest.raises(UnusableFile, match=r"needs SQLite 3\.32"):
        check_file(sqlite_file)


def epoch_after(
    sqlite_file: SqliteFile, *, ends_well: bool, boot: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Publish, end, and tell the epoch that the next one finds, in this boot."""
    connection = open_file(sqlite_file)
    store = SqliteStore(connection, BOUNDS, Clock())
    with store.transaction():
        ((position, _),) = store.publish([MessageEntry("item:1", None, 1, '{"x":1}')])
    if ends_well:
        close_file(connection)
    else:
        connection.close()
    monkeypatch.setattr(file, "_boot", lambda: boot)
    return position.epoch


@pytest.mark.parametrize(
    ("survives", "ends_well", "boot", "is_same"),
    [
        pytest.param(False, False, "another", False, id="power-lost"),
        pytest.param(False, False, "this", True, id="killed"),
        pytest.param(False, True, "another", True, id="ended-well"),
        pytest.param(True, False, "another", True, id="power-lost-but-full"),
    ],
)
def test_begins_new_epochs_where_answered_publishes_may_be_gone(
    sqlite_file: SqliteFile,
    monkeypatch: pytest.MonkeyPatch,
    *,
    survives: bool,
    ends_well: bool,
    boot: str,
    is_same: bool,
) -> None:
    """Offsets would be given out again: a client must not take other messages for its own."""
    monkeypatch.setattr(file, "_boot", lambda: "this")
    sqlite_file = SqliteFile(sqlite_file.path, survives)
    before = epoch_after(sqlite_file, ends_well=ends_well, boot=boot, monkeypatch=monkeypatch)
    after = epoch_after(sqlite_file, ends_well=True, boot=boot, monkeypatch=monkeypatch)

    assert (before == after) is is_same


def test_takes_each_start_for_another_boot_where_it_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new epoch costs a reload; an old one might lie."""
    monkeypatch.setattr(file, "BOOT_ID", tmp_path / "boot_id")
    unknown = {file._boot() for _ in range(2)}
    (tmp_path / "boot_id").write_text("this one\n")
    known = {file._boot() for _ in range(2)}

    assert len(unknown) == 2
    assert known == {"this one"}


@pytest.mark.parametrize(("survives", "level"), [(True, 2), (False, 1)], ids=["full", "normal"])
def test_waits_for_the_disk_as_it_is_told(
    sqlite_file: SqliteFile, survives: bool, level: int
) -> None:
    """What survives a loss of power is the default."""
    connection = open_file(SqliteFile(sqlite_file.path, survives))
    found = connection.execute("PRAGMA synchronous").fetchone()
    connection.close()

    assert found == (level,)
