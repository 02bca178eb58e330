"""The engine process: it says when it serves, why it does not, and ends when nobody needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from itemwire.engines.base import Bounds
from itemwire.serving.engine_server import READY, START_FAILURE, EngineOptions
from tests.engine_process import running_engine
from tests.engines.watched import node, play

pytestmark = pytest.mark.server


def started(options: EngineOptions) -> subprocess.Popen[bytes]:
    """Start one as a supervisor does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "itemwire.serving.engine_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(options) + b"\n")
    process.stdin.flush()
    return process


def options_in(folder: Path, url: str = "memory://") -> EngineOptions:
    """Say where it is to listen."""
    return EngineOptions(url, str(folder / "e.sock"), 0, 0, "info", "json")


def test_ends_in_order_when_its_supervisor_is_gone(tmp_path: Path) -> None:
    """Also where that one was killed; the folder goes with it."""
    folder = tmp_path / "of-the-socket"
    folder.mkdir()
    with started(options_in(folder)) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        said = process.stdout.readline()
        process.stdin.close()
        status = process.wait(20)

    assert (said, status) == (READY, 0)
    assert not folder.exists()


def test_keeps_its_folder_while_there_is_a_supervisor(tmp_path: Path) -> None:
    """The next one listens there."""
    with started(options_in(tmp_path)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        status = process.wait(20)

    assert status == 0
    assert tmp_path.exists()


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/at/all.db", "memory:"],
    ids=["no-folder", "no-engine"],
)
def test_says_in_one_line_why_it_does_not_serve(tmp_path: Path, url: str) -> None:
    """By a status by which its supervisor knows that another try is no use."""
    with started(options_in(tmp_path, url)) as process:
        said, log = process.communicate(timeout=20)

    assert (said, process.returncode) == (b"", START_FAILURE)
    (line,) = log.splitlines()
    assert msgspec.json.decode(line)["event"] == "engine_process_failed"


def test_a_file_goes_on_with_rules_that_its_nodes_tell_anew(tmp_path: Path) -> None:
    """It starts before it knows how long a history is to last, and forgets nothing for that."""
    url = f"sqlite:///{tmp_path / 'itemwire.db'}"
    long, short = (Bounds(9, 9999, seconds) for seconds in (600, 300))

    async def scene() -> None:
        with running_engine(tmp_path, url) as process:
            async with node(process.url, long) as one, node(process.url, short):
                before = await one.publish("before")
            process.kill()
            process.start()
            async with node(process.url, short), node(process.url, long) as one:
                history = await one.read()

                assert [each.data for each in history.publications] == ["before"]
                assert history.position == before

    play(scene)
