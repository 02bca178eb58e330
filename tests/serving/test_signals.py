"""Every signal, at one process and at several: it drains, or nothing happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from itemwire.serving.server import DrainingServer
from itemwire.serving.signals import (
    ALSO_DRAIN,
    IGNORED,
    drain_at_more_signals,
    ignore_signals,
    interruptible,
    may_end_at_once,
)
from tests.conftest import SECRET
from tests.redis_server import redis_url
from tests.scenarios.clients import PATIENCE, closed, json_client
from tests.scenarios.test_drain import DRAINED, serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()

NOTHING = (*IGNORED, signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGCONT)
DRAINING = (signal.SIGTERM, signal.SIGINT, *ALSO_DRAIN)


@pytest.fixture
def _own_handlers() -> Iterator[None]:
    """Give back the handlers of this process, which are those of pytest."""
    kept = {one: signal.getsignal(one) for one in (*ALSO_DRAIN, *IGNORED)}
    for one in kept:
        signal.signal(one, signal.SIG_DFL)
    yield
    for one, handler in kept.items():
        signal.signal(one, handler)


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of an engine that workers share."""
    with redis_url(tmp_path_factory.mktemp("redis")) as url:
        yield url


def settings_of(workers: int, url: str) -> dict[str, str]:
    """Say how a server is run: several workers need an engine that they share."""
    alone = {"graceful_timeout": "10", "drain_seconds": "1"}
    return alone if workers == 1 else {**alone, "workers": str(workers), "engine_url": url}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("sent", DRAINING, ids=lambda one: one.name)
def test_a_signal_that_ends_the_server_drains_it(
    sent: signal.Signals, workers: int, shared_engine: str, tmp_path: Path
) -> None:
    """Sockets are told 1012 `draining`, and the status is 0 (requirement 140)."""
    with (
        serving(tmp_path, **settings_of(workers, shared_engine)) as running,
        json_client(running.server, "42") as alice,
    ):
        running.process.send_signal(sent)

        assert closed(alice.connection) == DRAINED
        assert running.process.wait(2 * PATIENCE) == 0


SIGNALLED: Final = """
import os

class Gone:
    def __del__(self):
        os.kill(os.getpid(), {})

Gone()
"""
"""An application that is sent a signal at its import, where Python drops what is raised."""


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("sent", DRAINING, ids=lambda one: one.name)
def test_a_signal_before_the_application_starts_ends_it_at_once(
    sent: signal.Signals, workers: str, tmp_path: Path
) -> None:
    """Without a traceback, and also where Ctrl+C was lost and the server went on."""
    (tmp_path / "signalled.py").write_text(SIGNALLED.format(int(sent)))
    command = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
    ended = subprocess.run(
        [*command, "--app", "signalled:app", "--workers", workers],
        cwd=tmp_path,
        env=os.environ | {"ITEMWIRE_SECRET": SECRET},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (-sent, "")


def test_whoever_handles_ctrl_c_already_keeps_doing_so() -> None:
    """Python's own handler is put back; another one, such as that of a test, stays."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_that_means_nothing_here_does_nothing(
    workers: int, shared_engine: str, tmp_path: Path
) -> None:
    """By default two of these end a process. A terminal that is closed sends SIGHUP twice."""
    with (
        serving(tmp_path, **settings_of(workers, shared_engine)) as running,
        json_client(running.server, "42") as alice,
    ):
        for sent in NOTHING:
            running.process.send_signal(sent)
        assert alice.ask("publish", data="still here")["type"] == "reply"

        running.process.send_signal(signal.SIGHUP)
        running.process.send_signal(signal.SIGHUP)
        assert closed(alice.connection) == DRAINED
        assert running.process.wait(2 * PATIENCE) == 0


@pytest.mark.usefixtures("_own_handlers")
def test_what_was_ignored_or_handled_stays_so() -> None:
    """`nohup` has SIGHUP ignored; an application may open its log again at SIGUSR1."""

    def own(_number: int, _frame: object) -> None:
        """Do what an application does."""

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, own)

    ignore_signals()
    drain_at_more_signals(own)

    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGQUIT) is own
    assert signal.getsignal(signal.SIGUSR1) is own
    assert signal.getsignal(signal.SIGUSR2) not in (signal.SIG_DFL, signal.SIG_IGN)


@pytest.mark.usefixtures("_own_handlers")
def test_a_server_in_another_thread_leaves_signals_alone() -> None:
    """Only the main thread may handle them; the test kit runs servers beside it."""
    for call in (ignore_signals, lambda: drain_at_more_signals(print)):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    assert all(signal.getsignal(one) is signal.SIG_DFL for one in (*ALSO_DRAIN, *IGNORED))


def test_a_second_signal_ends_it_unless_the_terminal_sent_both() -> None:
    """Whoever asks twice does not want to wait; `tests/scenarios/test_drain.py` has the others."""
    assert [one for one in DRAINING if not may_end_at_once(one)] == [signal.SIGHUP]


def test_the_signals_that_drain_are_handled_by_uvicorn_or_here() -> None:
    """Each signal that ends a process by default is drained, ignored or named in the page."""
    handled = {*DRAINING, *NOTHING}
    page = {one for one in signal.Signals if f"SIG{one.name[3:]}" in PAGE}

    assert handled <= page | {signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGCONT}
    assert callable(DrainingServer.handle_exit)
