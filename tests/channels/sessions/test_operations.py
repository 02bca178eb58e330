"""What a connection that watches the figures does with what its client sends."""

from __future__ import annotations

from itemwire.channels.connection import Connection
from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.sessions.operations import OperationsSession
from itemwire.wire import PLAIN
from tests.fakes import RecordingTransport, Stage, principal


def watching(stage: Stage) -> tuple[OperationsSession, RecordingTransport, list[Connection]]:
    """Open a session, and give what it has begun with."""
    begun: list[Connection] = []
    transport = RecordingTransport()
    connection = stage.node.connect(principal(), PLAIN, transport)
    session = OperationsSession(stage.node, connection, begun.append)
    session.opened()
    return session, transport, begun


def test_begins_to_watch_once() -> None:
    """As soon as its socket is open."""
    session, transport, begun = watching(Stage())

    assert begun == [session.connection]
    assert (transport.frames, transport.reasons) == ([], [])


def test_drops_what_its_client_says() -> None:
    """There is nothing to ask for on this socket."""
    session, transport, _ = watching(Stage())
    session.received('{"type": "join", "item": "42"}')

    assert (transport.frames, transport.reasons) == ([], [])
    assert len(session.connection.subscriptions) == 0


def test_ends_a_client_that_says_too_much() -> None:
    """It counts against the rate of requests, as on every socket."""
    session, transport, _ = watching(Stage(rate_limits=RateLimits(request=1)))
    for _ in range(10):
        session.received("x")

    assert transport.reasons == ["rate_limited"]
