"""The supervisor of workers, where real ones cannot show it; `tests/scenarios` has those."""

from __future__ import annotations

import signal
import socket
from typing import Any

import pytest

from api import workers
from api.server import bind
from api.settings import Settings
from api.workers import Supervisor


class Interrupted:
    """Makes workers, while the first of which is started a signal comes."""

    def __init__(self) -> None:
        self.supervisor: Supervisor | None = None
        self.made: list[InterruptedWorker] = []

    def Process(self, *, target: object, args: tuple[Any, ...]) -> InterruptedWorker:  # noqa: N802, ARG002 - as theirs is called
        """Make a worker."""
        _, listener, _ = args
        self.made.append(InterruptedWorker(self, listener))
        return self.made[-1]


class InterruptedWorker:
    """A process that is being started when the signal comes."""

    def __init__(self, maker: Interrupted, listener: socket.socket) -> None:
        self._maker = maker
        self._listener = listener
        self.had_listener = False
        self.is_told = False

    def start(self) -> None:
        """Hear the signal, and only then hand the listener over."""
        assert self._maker.supervisor is not None
        self._maker.supervisor._stop(signal.SIGTERM, None)
        self.had_listener = self._listener.fileno() != -1

    def terminate(self) -> None:
        """Note that it is to end."""
        self.is_told = True


def test_a_signal_while_a_worker_is_started_ends_it_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is handed the listener just then: closed under it, the supervisor would die of that."""
    maker = Interrupted()
    monkeypatch.setattr(workers, "_spawn", maker)
    with bind(settings.model_copy(update={"port": 0})) as listener:
        supervisor = maker.supervisor = Supervisor(
            settings.model_copy(update={"workers": 2}), listener
        )
        supervisor._start()

        (worker,) = maker.made
        assert worker.had_listener
        assert worker.is_told
        assert listener.fileno() == -1
