"""Starts a peer on a core of its own and stops it again."""

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

from benchmarks.peers.serving import HOST
from benchmarks.tokens import SECRET_VARIABLE

ROOT: Final = Path(__file__).parents[1]
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.05


class Absent(Exception):
    """A peer is not installed, or does not start; the message says why."""


class Server(NamedTuple):
    """A peer that listens."""

    port: int
    pid: int


@contextlib.contextmanager
def pinned() -> Iterator[int | None]:
    """Keep this process on the last core it may use; give the first one, for the server.

    None where that cannot be done: then they share all cores.
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
def running(peer: str, secret: str, core: int | None) -> Iterator[Server]:
    """Run a peer on a core, or any; Absent if it does not listen."""
    port = _free_port()
    with tempfile.TemporaryFile("w+") as log:
        process = _start(peer, port, secret, core, log.fileno())
        try:
            if not _listens(process, port):
                log.seek(0)
                raise Absent((log.read().strip().splitlines() or ["it does not listen"])[-1])
            yield Server(port, process.pid)
        finally:
            _stop(process)


def _start(
    peer: str, port: int, secret: str, core: int | None, log: int
) -> "subprocess.Popen[bytes]":
    own = os.sched_getaffinity(0) if core is not None else set()
    if core is not None:
        os.sched_setaffinity(0, {core})  # a child is born where its parent runs
    try:
        return subprocess.Popen(  # noqa: S603 - a module of ours
            [sys.executable, "-m", f"benchmarks.peers.{peer}", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {SECRET_VARIABLE: secret},
            stdout=log,
            stderr=log,
        )
    finally:
        if core is not None:
            os.sched_setaffinity(0, own)


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(LOOK_SECONDS)
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
