"""What a supervisor is told: that it serves once it does, and that it stops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from itemwire.serving.readiness import READY, STOPPING, VARIABLE, notify
from tests.conftest import SECRET
from tests.redis_server import redis_url
from tests.scenarios.clients import PATIENCE
from tests.scenarios.test_drain import serving

ITEMWIRE = str(Path(sys.executable).with_name("itemwire"))


@pytest.fixture(params=["file", "abstract"])
def supervisor(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Listen as systemd does, at a path or at a name of the abstract namespace."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path if request.param == "file" else f"\0{path}")
        listening.settimeout(3 * PATIENCE)
        monkeypatch.setenv(VARIABLE, path if request.param == "file" else f"@{path}")
        yield listening


def test_each_state_is_a_datagram(supervisor: socket.socket) -> None:
    """As `man sd_notify` has it."""
    notify(READY)
    notify(STOPPING)

    assert [supervisor.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("path", ["/nowhere/notify", "relative\0", "@" + "x" * 200])
def test_a_socket_that_is_not_there_is_a_warning(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that serves is worth more than one that can say so."""
    monkeypatch.setattr("os.environ", {VARIABLE: path})

    notify(READY)

    assert "notify_failed state=READY=1" in caplog.text


def test_nobody_is_told_where_nobody_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Outside of systemd there is no such variable."""
    monkeypatch.delenv(VARIABLE, raising=False)

    notify(READY)

    assert caplog.text == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_says_that_it_serves_when_it_does(
    workers: int, supervisor: socket.socket, tmp_path: Path
) -> None:
    """Once for all workers, and by the process that was started (requirement 137)."""
    with redis_url(tmp_path) as url:
        settings = {"workers": str(workers), "engine_url": url, "drain_seconds": "0"}
        with serving(tmp_path, **settings) as running:
            assert supervisor.recv(100) == b"READY=1"
            answers = [httpx.get(f"{running.server.url}/health/ready", timeout=PATIENCE)] * 8
            running.stop()
            assert supervisor.recv(100) == b"STOPPING=1"
            assert running.process.wait(2 * PATIENCE) == 0

    assert {answer.status_code for answer in answers} == {200}
    supervisor.setblocking(False)
    with pytest.raises(BlockingIOError):
        supervisor.recv(100)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_does_not_start_says_nothing(
    workers: int, supervisor: socket.socket, tmp_path: Path
) -> None:
    """`Listening on` was printed before the engine was reached, and the port was open."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ITEMWIRE_")}
    own |= {"ITEMWIRE_SECRET": SECRET, "ITEMWIRE_PORT": "0", "ITEMWIRE_WORKERS": str(workers)}
    own |= {"ITEMWIRE_ENGINE_URL": "redis://127.0.0.1:9/0"}

    ended = subprocess.run(
        [ITEMWIRE, "serve"], env=own, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 3
    assert "Listening" not in ended.stderr
    supervisor.setblocking(False)
    with pytest.raises(BlockingIOError):
        supervisor.recv(100)
