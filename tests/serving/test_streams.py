"""Standard input, output and error in any state: the server serves, drains and ends with 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
import uvicorn

from itemwire.serving.streams import LossyFile
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.redis_server import redis_url
from tests.scenarios.clients import PATIENCE, closed, json_client
from tests.scenarios.test_drain import DRAINED
from tests.server_process import free_port

ITEMWIRE: Final = str(Path(sys.executable).with_name("itemwire"))

STATES: Final = {
    "all_closed": "<&- >&- 2>&-",
    "input_closed": "<&- >/dev/null 2>/dev/null",
    "output_closed": "</dev/null >&- 2>/dev/null",
    "error_closed": "</dev/null >/dev/null 2>&-",
    "disk_full": "</dev/null >/dev/full 2>/dev/full",
    "reader_gone": "</dev/null 2>&1 | true",
}
"""What a shell does with the three descriptors before it becomes the server."""


@contextmanager
def serving(state: str, folder: Path, **settings: str) -> Iterator[tuple[LiveServer, int]]:
    """Run the server with its descriptors in a state, until it ends; give it and its id."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ITEMWIRE_")}
    own |= {"ITEMWIRE_SECRET": SECRET, "ITEMWIRE_PORT": str(port := free_port())}
    own |= {f"ITEMWIRE_{name.upper()}": value for name, value in settings.items()}
    script = f"sh -c 'echo $$ >pid; exec \"{ITEMWIRE}\" serve' {STATES[state]}"
    status = "echo ${PIPESTATUS[0]} >status"
    with subprocess.Popen(["bash", "-c", f"{script}; {status}"], cwd=folder, env=own) as shell:
        server = LiveServer(f"http://127.0.0.1:{port}", uvicorn.Server(uvicorn.Config("")))
        deadline = time.monotonic() + 3 * PATIENCE
        while not _is_ready(server):
            assert shell.poll() is None, f"it ended with {(folder / 'status').read_text()}"
            assert time.monotonic() < deadline, "it does not serve"
        pid = int((folder / "pid").read_text())
        try:
            yield server, pid
            shell.wait(3 * PATIENCE)
        finally:
            if shell.poll() is None:
                os.kill(pid, signal.SIGKILL)


def _is_ready(server: LiveServer) -> bool:
    try:
        return httpx.get(f"{server.url}/health/ready", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        time.sleep(0.05)
        return False


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of an engine that workers share."""
    with redis_url(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.mark.parametrize(
    ("state", "workers"), [*((one, 1) for one in STATES), ("all_closed", 2), ("disk_full", 2)]
)
def test_a_server_needs_nobody_to_read_what_it_prints(
    state: str, workers: int, shared_engine: str, tmp_path: Path
) -> None:
    """It serves, its descriptors are open on no socket, and it drains (requirement 140)."""
    settings = {"workers": str(workers), "engine_url": shared_engine} if workers > 1 else {}
    with (
        serving(state, tmp_path, drain_seconds="1", log_level="debug", **settings) as (server, pid),
        json_client(server, "42") as alice,
    ):
        opened = [Path(f"/proc/{pid}/fd/{number}").readlink() for number in (0, 1, 2)]
        os.kill(pid, signal.SIGTERM)

        assert closed(alice.connection) == DRAINED
    assert not any(str(one).startswith("socket") for one in opened)
    assert (tmp_path / "status").read_text().strip() == "0"


def test_what_cannot_be_written_is_dropped_and_later_lines_are_not(tmp_path: Path) -> None:
    """A disk that was full for a while costs the lines of that while."""
    with open("/dev/full", "wb") as full, LossyFile(full.fileno(), "w", closefd=False) as file:  # noqa: PTH123
        assert file.write(b"lost") == 4
    with (tmp_path / "log").open("wb") as log, LossyFile(log.fileno(), "w", closefd=False) as file:
        assert file.write(b"kept") == 4

    assert (tmp_path / "log").read_bytes() == b"kept"
