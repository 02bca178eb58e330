"""The processor time of a server, as Linux counts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from itemwire.bench.processor import ServerClock, family_of, figures_per

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])"


@contextmanager
def child(code: str) -> Iterator[tuple[subprocess.Popen[bytes], ServerClock]]:
    """Run a program, and measure it from its start."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        try:
            yield process, ServerClock(process.pid)
        finally:
            process.kill()


def test_counts_what_a_process_computes() -> None:
    """And not what it waits for."""
    with child(BUSY) as (process, clock):
        assert process.stdout is not None
        process.stdout.readline()
        first = sum(clock.stop())
        second = sum(clock.stop())

    assert 0.2 < first <= second < 5


def test_knows_the_children_of_a_process() -> None:
    """A server may do its work in them."""
    with child(PARENT) as (process, _):
        assert process.stdout is not None
        process.stdout.readline()
        family = family_of(process.pid)
        assert process.stdin is not None
        process.stdin.write(b"\n")

    assert family[0] == process.pid
    assert len(family) == 2


@pytest.mark.parametrize("pid", [None, 2**22 + 1])
def test_measures_nothing_without_a_process(pid: int | None) -> None:
    """A load may be put on a server of another machine."""
    assert ServerClock(pid).stop() == (0, 0)


def test_tells_the_time_of_one_operation() -> None:
    """In microseconds; nothing where nothing was measured."""
    assert figures_per(1000, (0.5, 0.25)) == {"user_us": 500, "sys_us": 250}
    assert figures_per(0, (0.5, 0.25)) == figures_per(1000, (0, 0)) == {}


def test_measures_this_process() -> None:
    """Both kinds of time are read from the fields that the system has."""
    clock = ServerClock(os.getpid())
    before = os.times()
    while os.times().user - before.user < 0.2:
        pass
    user, system = clock.stop()

    assert user >= 0.15
    assert system >= 0
