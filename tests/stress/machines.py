"""Servers with a small disk and a clock of their own, as on a machine that can be spoiled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from itemwire.engines.postgres.engine import init_store
from tests.nats_server import NatsServer
from tests.postgres_server import PostgresServer, execute, give_to_server, server_folder
from tests.redis_server import RedisServer
from tests.server_clock import ServerClock
from tests.server_process import START_SECONDS
from tests.small_disk import SmallDisk, can_mount, small_disk
from tests.stress.engines import EngineServer, Process, cannot

DISK_MEGABYTES: Final = 192
CLOCK_SECONDS: Final = 60.0  # less than a step, and more than a busy machine takes to tell


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineServer(EngineServer):
    """A server whose disk can be filled, and whose clock can be moved if it has its own."""

    disk: SmallDisk
    when_full: str  # why nodes say that they are degraded
    heals: bool = True  # once there is room, without a restart
    end_when_full: Callable[[], object] = cannot  # let a full disk end it, as it may
    wait_until_recovered: Callable[[], None] = cannot  # or ended, where that cannot be
    clock: ServerClock | None = None
    now: Callable[[], float] = time.time  # by its clock

    def move_clock(self, seconds: float) -> None:
        """Let its clock be so many seconds ahead of this machine's, and wait until it is."""
        assert self.clock is not None
        self.clock.move_to(seconds)
        deadline = time.monotonic() + START_SECONDS
        while abs(self.now() - time.time() - seconds) > CLOCK_SECONDS:
            assert time.monotonic() < deadline, "its clock does not move"
            time.sleep(0.01)  # Redis looks at it now and then only


class SqliteFile:
    """A file in the place of a server: only the node itself can start and end."""

    port = 0

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/itemwire.db"

    def start(self) -> None:
        """Do nothing."""

    def kill(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def paused(self) -> AbstractContextManager[None]:
        """There is no process that could stand still."""
        raise NotImplementedError


@contextmanager
def on_sqlite_machine(folder: Path) -> Iterator[MachineServer]:
    """Have a file on a small disk."""
    with _disk_of(folder / "disk") as disk:
        file = SqliteFile(disk.folder)
        yield MachineServer(
            process=file, is_durable=True, is_proxied=False, disk=disk, when_full="full"
        )


@contextmanager
def on_redis_machine(folder: Path) -> Iterator[MachineServer]:
    """Run one that appends what it has to a file."""
    with _disk_of(folder / "disk") as disk:
        server = RedisServer(folder, "--appendonly", "yes", "--dir", str(disk.folder))
        clock = ServerClock(folder)
        server.environment = clock.environment
        with _running(server):
            yield MachineServer(
                process=server,
                is_durable=False,
                disk=disk,
                when_full="failing",
                end_when_full=lambda: _append_always(server),
                wait_until_recovered=server.wait_until_ended,
                clock=clock,
                now=lambda: float(server.ask("TIME").split()[2]),
            )


def _append_always(server: RedisServer) -> None:
    """Let no answer be given before the file has it, which a server does not do without."""
    with suppress(OSError):  # it may end before it answers
        assert not server.ask("CONFIG", "SET", "appendfsync", "always").startswith(b"-")
        server.ask("SET", "a-write", "in-vain")


@contextmanager
def on_postgres_machine(_folder: Path) -> Iterator[MachineServer]:
    """Run one with its data and its log on one disk."""
    with server_folder() as folder, _disk_of(folder / "data") as disk:
        give_to_server(disk.folder)
        server = PostgresServer(folder, "-F", "-c", "max_wal_size=64MB")
        clock = ServerClock(folder)
        server.environment = clock.environment
        with _running(server):
            init_store(server.url)
            yield MachineServer(
                process=server,
                is_durable=True,
                disk=disk,
                when_full="full",
                end_when_full=lambda: asyncio.run(_exhaust_log(server)),
                wait_until_recovered=server.wait_until_recovered,
                clock=clock,
                now=lambda: asyncio.run(_now_of(server.url)),
            )


async def _exhaust_log(server: PostgresServer) -> None:
    """Have new segments of the write-ahead log begun until there is no room for one."""
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        while True:
            await execute(server.url, "SELECT pg_logical_emit_message(true, '', '')")
            await execute(server.url, "SELECT pg_switch_wal()")


async def _now_of(url: str) -> float:
    (row,) = await execute(url, "SELECT extract(epoch FROM clock_timestamp())::float8")
    return float(row[0])


@contextmanager
def on_nats_machine(folder: Path) -> Iterator[MachineServer]:
    """Run one that answers when the disk has it; it knows no clock but the machine's."""
    server = NatsServer(folder, jetstream="sync_interval: always")
    with _disk_of(server.store) as disk, _running(server):
        server.url += "?sync=always"
        yield MachineServer(
            process=server,
            is_durable=True,
            disk=disk,
            when_full="silent",
            heals=False,
        )


@contextmanager
def _disk_of(folder: Path) -> Iterator[SmallDisk]:
    """Put a small disk beneath a folder, where that is possible; see `can_mount`."""
    folder.mkdir()
    if can_mount():
        with small_disk(folder, DISK_MEGABYTES) as disk:
            yield disk
    else:
        yield SmallDisk(folder)  # which no fault fills


@contextmanager
def _running(process: Process) -> Iterator[None]:
    process.start()
    try:
        yield
    finally:
        process.kill()


MACHINES: Final[dict[str, Callable[[Path], AbstractContextManager[MachineServer]]]] = {
    "nats+machine": on_nats_machine,
    "postgresql+machine": on_postgres_machine,
    "redis+machine": on_redis_machine,
    "sqlite+machine": on_sqlite_machine,
}
"""Each is given an empty folder, and runs for as long as it is entered."""
