"""Nothing is left of clients that are gone, in whichever way they left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from itemwire.assembly import Assembly
from itemwire.settings import Settings
from itemwire.testing import live_server
from tests.conformance.websocket_churn import WAYS, Door, footprint, reset
from tests.conformance.websocket_frames import text
from tests.conformance.websocket_targets import wait_until
from tests.conftest import SECRET
from tests.fakes import known_members
from tests.fastpath.served import head, read_until
from tests.scenarios.clients import item_path, token

ITEM = "churn"
VISITS = 30  # in each of the seven ways; `python -m tests.soak` makes ten thousand


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """Run Itemwire with one item that everybody visits."""
    path = item_path(ITEM, {"token": token(lifetime=3600)})
    # Who is cut off is to be gone at once: the grace time has tests of its own.
    with live_server(Settings(secret=SECRET, presence_grace=0, _env_file=None)) as live:
        with live.connect(path):
            pass  # it is up: this connected
        yield Door(live.server, path, item_path(ITEM, {"token": "not.a.token"}))


def _members(door: Door) -> int:
    app = door.server.config.app
    return known_members(Assembly.of(app).node, ITEM).count  # type: ignore[arg-type] # FastAPI's


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_of_who_has_gone(door: Door, way: str) -> None:
    """A descriptor, a task or a member left behind each time fills any machine in the end."""
    wait_until(lambda: footprint(door.server).connections == 0)
    before = footprint(door.server)
    for _ in range(VISITS):
        WAYS[way](door)

    wait_until(lambda: footprint(door.server) == before)
    assert _members(door) == 0


def test_a_reset_at_any_octet_of_the_handshake_leaves_nothing(door: Door) -> None:
    """Scanners do this; each state of the handshake has its own way to forget a client."""
    wait_until(lambda: footprint(door.server).connections == 0)
    before = footprint(door.server)
    request = head(door.path)
    for size in range(len(request) + 1):
        reset(door.dial(request[:size]))

    wait_until(lambda: footprint(door.server) == before)
    assert _members(door) == 0


def test_a_reset_at_any_octet_of_a_frame_leaves_nothing(door: Door) -> None:
    """The same once the socket is open, where no task watches it."""
    wait_until(lambda: footprint(door.server).connections == 0)
    before = footprint(door.server)
    frame = text(b"hello")
    for size in range(len(frame) + 1):
        client = door.upgrade()
        client.sendall(frame[:size])
        reset(client)

    wait_until(lambda: footprint(door.server) == before)
    assert _members(door) == 0


def test_the_server_still_serves(door: Door) -> None:
    """After all of that, one who stays is served."""
    with door.upgrade() as client:
        client.sendall(text(b"hello"))

        assert read_until(client, b"hello")
