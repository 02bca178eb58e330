"""Starts a peer on a core of its own, and stops it."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.peers.serving import ENGINE_VARIABLE, HOST
from benchmarks.tokens import SECRET_VARIABLE

ROOT: Final = Path(__file__).parents[1]
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05


class Absent(Exception):
    """A peer is not installed or does not start; the message says why."""


class Server(NamedTuple):
    """A running peer."""

    port: int
    pid: int


@contextlib.contextmanager
def pinned() -> Iterator[int | None]:
    """Pin this process to the last core it may use, and yield the first one, for the server.

    Yields None where that is not possible: then both share all cores.
    """
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) == 1:
        yield None
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield min(before)
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def born_on(core: int | None) -> Iterator[None]:
    """Pin the processes that are started inside the block to a core; None: to none."""
    if core is None:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # a child inherits the affinity of its parent
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


@contextlib.contextmanager
def running(
    peer: str,
    secret: str,
    core: int | None,
    *,
    python: str = sys.executable,
    engine_url: str | None = None,
) -> Iterator[Server]:
    """Run a peer, pinned to a core if given; raise `Absent` if it does not listen."""
    port = _free_port()
    more = {SECRET_VARIABLE: secret} | ({ENGINE_VARIABLE: engine_url} if engine_url else {})
    command = [python, "-m", f"benchmarks.peers.{peer}", "--port", str(port)]
    with tempfile.TemporaryFile("w+") as log:
        with born_on(core):
            process = subprocess.Popen(  # noqa: S603 - one of our own modules
                command, cwd=ROOT, env=os.environ | more, stdout=log, stderr=log
            )
        try:
            if not _listens(process, port):
                log.seek(0)
                raise Absent((log.read().strip().splitlines() or ["does not listen"])[-1])
            yield Server(port, process.pid)
        finally:
            _stop(process)


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return True
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
