"""The marker `quick`: what it promises is guarded, so that it stays true."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable

import pytest

Act = Callable[[], object]


def listen() -> None:
    """Do what every server does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()


SERVING = [
    pytest.param(listen, id="socket"),
    pytest.param(lambda: subprocess.run([sys.executable, "-V"], check=True), id="process"),
    pytest.param(lambda: sqlite3.connect(":memory:").close(), id="database"),
]


@pytest.mark.parametrize("act", SERVING)
def test_a_quick_test_that_starts_a_server_fails(request: pytest.FixtureRequest, act: Act) -> None:
    """Anyone who writes one learns it at once, with the marker to use."""
    assert request.node.get_closest_marker("quick")
    with pytest.raises(pytest.fail.Exception, match="mark it `server`"):
        act()


@pytest.mark.server
@pytest.mark.parametrize("act", SERVING)
def test_a_test_that_is_marked_may_start_one(request: pytest.FixtureRequest, act: Act) -> None:
    """And is none of the quick ones."""
    act()

    assert not request.node.get_closest_marker("quick")
