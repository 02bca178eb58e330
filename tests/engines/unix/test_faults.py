"""The engine that workers share, while its process is killed, stands still or is out of reach."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from itemwire.engines.unix import engine as unix_engine
from itemwire.engines.unix.words import UnsubscribeWord
from tests.conformance.network_faults_contract import NetworkFaultsContract
from tests.engine_process import EngineServerProcess, running_engine
from tests.engines.watched import Watched
from tests.fakes import CHANNEL
from tests.proxy import Proxy

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def _unlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be healed by the look that comes now and then."""
    monkeypatch.setattr(unix_engine, "CHECK_SECONDS", 1000)


class ProcessFaults(NetworkFaultsContract):
    """What a process promises that is reached by a socket."""

    module = unix_engine
    last_words = b"\xff\xff\xff\xff"  # a frame that is too large
    server: EngineServerProcess

    @contextlib.contextmanager
    @override
    def proxied(self) -> Iterator[tuple[Proxy, str]]:
        with Proxy(self.server.path).running() as proxy:
            yield proxy, f"itemwire+unix://{proxy.path}"

    @override
    async def deafen(self, watched: Watched) -> None:
        assert isinstance(watched.engine, unix_engine.UnixEngine)
        watched.engine._link.say(UnsubscribeWord(CHANNEL))


class TestInMemory(ProcessFaults):
    """One that keeps nothing: each of its lives begins new epochs."""

    epochs_go_on = False

    @pytest.fixture(autouse=True)
    def _take_server(self, tmp_path: Path) -> Iterator[None]:
        with running_engine(tmp_path) as self.server:
            self.url = self.server.url
            yield


class TestOnAFile(ProcessFaults):
    """One that goes on where it was."""

    epochs_go_on = True

    @pytest.fixture(autouse=True)
    def _take_server(self, tmp_path: Path) -> Iterator[None]:
        with running_engine(tmp_path, f"sqlite:///{tmp_path / 'itemwire.db'}") as self.server:
            self.url = self.server.url
            yield
