"""The units of systemd: looked at by its own program, and the handing over of a port for real."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Final

import httpx
import pytest

from itemwire.engines.networked import CONNECT_SECONDS, START_SECONDS
from itemwire.serving.listening import BACKLOG
from itemwire.serving.server import UNFIT
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.continuous_integration import is_continuous_integration
from tests.deploy.test_examples import DEPLOY
from tests.scenarios.clients import PATIENCE

UNITS: Final = DEPLOY / "systemd"
INSTALLED: Final = "/opt/itemwire/bin/itemwire"
MISSING: Final = "the test of the units needs systemd-analyze (apt-get install systemd)"
MOST_EXPOSED: Final = 2.0  # of 10
GIVEN: Final = 3  # the first descriptor that systemd hands over: SD_LISTEN_FDS_START


def unit(name: str) -> RawConfigParser:
    """Read a unit."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names have capitals
    parser.read_string((UNITS / name).read_text())
    return parser


@pytest.fixture
def analyze(tmp_path: Path) -> list[str]:
    """Give the program that looks at units, and those to look at."""
    program = shutil.which("systemd-analyze")
    if program is None:
        if is_continuous_integration(os.environ):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    for path in UNITS.iterdir():
        text = path.read_text().replace(INSTALLED, sys.executable)  # it looks for the program
        (tmp_path / path.name).write_text(text)
    return [program]


def test_systemd_has_nothing_against_the_units(analyze: list[str], tmp_path: Path) -> None:
    """No name is misspelt, and nothing is said twice."""
    names = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run([*analyze, "verify", *names], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_may_do_little_more_than_serve(analyze: list[str], tmp_path: Path) -> None:
    """In systemd's own count of what a service could reach."""
    command = [*analyze, "security", "--offline=true", str(tmp_path / "itemwire.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    level = re.search(r"exposure level for itemwire.service: ([\d.]+)", done.stdout)

    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) <= MOST_EXPOSED


def test_times_and_statuses_are_those_of_the_server() -> None:
    """A start waits for an engine, an end for clients, and a wrong setting for its operator."""
    service = unit("itemwire.service")["Service"]
    settings = Settings(secret=SECRET, _env_file=None)

    assert service["Type"] == "notify"
    assert int(service["RestartPreventExitStatus"]) == UNFIT
    assert int(service["TimeoutStartSec"]) > CONNECT_SECONDS + START_SECONDS
    assert int(service["TimeoutStopSec"]) > settings.graceful_timeout
    assert int(unit("itemwire.socket")["Socket"]["Backlog"]) == BACKLOG


def test_the_socket_listens_where_the_proxies_look() -> None:
    """At the default of the settings, in every file."""
    settings = Settings(secret=SECRET, _env_file=None)

    assert unit("itemwire.socket")["Socket"]["ListenStream"] == f"{settings.host}:{settings.port}"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Hold a port and hear states, as systemd does for the units."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as port,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as states,
    ):
        states.bind(str(tmp_path / "notify"))
        states.settimeout(3 * PATIENCE)
        yield port, states


def start(port: socket.socket, folder: Path) -> subprocess.Popen[bytes]:
    """Run the command of the unit, with the port as its first descriptor."""
    command = unit("itemwire.service")["Service"]["ExecStart"].split()
    assert command[0] == INSTALLED
    own = {name: value for name, value in os.environ.items() if not name.startswith("ITEMWIRE_")}
    own |= {"ITEMWIRE_SECRET": SECRET, "NOTIFY_SOCKET": str(folder / "notify"), "LISTEN_FDS": "1"}
    hand_over = (
        f"import os, sys; os.dup2({port.fileno()}, {GIVEN}); os.environ['LISTEN_PID'] ="
        " str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
    )
    program = str(Path(sys.executable).with_name("itemwire"))
    return subprocess.Popen(
        [sys.executable, "-c", hand_over, program, *command[1:]],
        env=own,
        cwd=folder,
        pass_fds=[port.fileno()],
        stderr=subprocess.DEVNULL,
    )


def test_nobody_is_refused_while_the_server_restarts(
    supervisor: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    """The port stays open with systemd, and who comes meanwhile waits for the next server."""
    port, states = supervisor
    url = f"http://127.0.0.1:{port.getsockname()[1]}/health/ready"
    answers, told, statuses = [], [], []
    for _ in range(2):
        with socket.create_connection(port.getsockname(), timeout=PATIENCE) as early:
            early.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            process = start(port, tmp_path)
            told.append(states.recv(100))
            answers.append(early.recv(100).split(b"\r\n")[0])
        answers.append(str(httpx.get(url, timeout=PATIENCE).status_code).encode())
        process.terminate()
        told.append(states.recv(100))
        statuses.append(process.wait(PATIENCE))

    assert answers == [b"HTTP/1.1 200 OK", b"200"] * 2
    assert told == [b"READY=1", b"STOPPING=1"] * 2
    assert statuses == [0, 0]
