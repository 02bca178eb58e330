"""The supervisor, in cases that real workers cannot show; `tests/scenarios` has those."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from itemwire.serving import workers
from itemwire.serving.listening import bind
from itemwire.serving.workers import Supervisor
from itemwire.settings import Settings


class Spawning:
    """Makes workers that are no processes; `at_start` is called as each is started."""

    def __init__(self) -> None:
        self.made: list[Spawned] = []
        self.at_start: Callable[[], None] = lambda: None

    def Process(self, *, target: object, args: tuple[Any, ...]) -> Spawned:  # noqa: N802, ARG002 - as theirs is called
        """Make a worker."""
        _, listener, *_ = args
        self.made.append(Spawned(self, listener))
        return self.made[-1]


class Spawned:
    """A worker that notes what becomes of it."""

    def __init__(self, maker: Spawning, listener: socket.socket) -> None:
        self._maker = maker
        self._listener = listener
        self.had_listener = False
        self.is_told = False

    def start(self) -> None:
        """Start, after whatever the test lets happen in between."""
        self._maker.at_start()
        self.had_listener = self._listener.fileno() != -1

    def terminate(self) -> None:
        """Note that it is to end."""
        self.is_told = True


@pytest.fixture
def spawning(monkeypatch: pytest.MonkeyPatch) -> Spawning:
    """Replace real processes and signal handlers by fakes."""
    spawning = Spawning()
    monkeypatch.setattr(workers, "_spawn", spawning)
    monkeypatch.setattr(signal, "signal", lambda _number, _handler: None)
    return spawning


@pytest.fixture
def supervisor(settings: Settings) -> Iterator[Supervisor]:
    """Make a supervisor of two workers."""
    with bind(settings.model_copy(update={"port": 0})) as listener:
        yield Supervisor(settings.model_copy(update={"workers": 2}), listener)


def test_a_signal_while_a_worker_is_started_ends_it_too(
    spawning: Spawning, supervisor: Supervisor
) -> None:
    """The worker is being given the listener: closing that would crash the supervisor."""
    spawning.at_start = lambda: supervisor._stop(signal.SIGTERM, None)
    supervisor._start()

    (worker,) = spawning.made
    assert worker.had_listener
    assert worker.is_told
    assert supervisor._listener.fileno() == -1


def test_ends_those_there_are_if_one_cannot_be_started(
    spawning: Spawning, supervisor: Supervisor
) -> None:
    """If the machine cannot start another, the others would serve on without a supervisor."""

    def start() -> None:
        if len(spawning.made) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")

    spawning.at_start = start
    with pytest.raises(BlockingIOError):
        supervisor.run()

    assert [worker.is_told for worker in spawning.made] == [True, False]
    assert supervisor._listener.fileno() == -1
