"""How long a socket lives: as long as its token, and as long as the server."""

import contextlib
import time
from contextlib import ExitStack

from websockets.exceptions import ConnectionClosed

from itemwire.settings import Settings
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    PLAIN,
    Envelope,
    JsonClient,
    closed,
    item_path,
    json_client,
    token,
)
from tests.scenarios.conftest import Serve, Timed
from tests.timing import BUSY_SECONDS

WITHIN_SECONDS = 2.0  # requirement 68
LIFETIME = 100  # of a token that is to expire, in seconds; others live for three times that


def test_a_socket_ends_with_its_token(timed: Timed, item_id: str) -> None:
    """A token that is no longer good must not be good for as long as one stays connected."""
    server, clock = timed.server, timed.clock
    with ExitStack() as stack:
        staying = stack.enter_context(json_client(server, item_id, scope=EVERYTHING))
        sooner, brief = token("carol", lifetime=LIFETIME // 2), token("bob", lifetime=LIFETIME)
        path = item_path(item_id, {"token": brief})
        first = stack.enter_context(server.connect(f"/ws/echo?token={sooner}"))
        sockets = [
            stack.enter_context(server.connect(path, subprotocols=(PLAIN,))),
            stack.enter_context(server.connect(path, subprotocols=(JSON,))),
            stack.enter_context(server.connect(f"/ws/echo?token={brief}")),
        ]
        clock.advance(LIFETIME // 2)
        first_end = closed(first)  # the server has looked, and the others are not due
        are_open = [socket.ping().wait(PATIENCE) for socket in sockets]
        clock.advance(LIFETIME // 2)
        expired_at = time.monotonic()
        ends = [closed(socket) for socket in sockets]
        took = time.monotonic() - expired_at
        told = [staying.read() for _ in range(4)]

        assert (first_end, are_open) == ((1008, "token_expired"), [True] * 3)
        assert ends == [(1008, "token_expired")] * 3
        assert took <= WITHIN_SECONDS + BUSY_SECONDS
        assert [envelope["type"] for envelope in told] == ["joined", "joined", "left", "left"]
        assert staying.ask("publish", data="still here")["offset"] == 1


def test_the_closing_envelope_tells_what_to_do(timed: Timed, item_id: str) -> None:
    """A close frame has no room for a verdict: fetch a new token, then come back."""
    path = item_path(item_id, {"token": token("bob", lifetime=LIFETIME)})
    with timed.server.connect(path, subprotocols=(JSON,)) as connection:
        client = JsonClient(connection)
        timed.clock.advance(LIFETIME)
        closing = client.read()

        assert closed(connection) == (1008, "token_expired")
    assert closing == {
        "type": "closing",
        "code": 1008,
        "reason": "token_expired",
        "retry": "token",
        "retry_after_ms": 0,
    }


def test_no_message_reaches_a_socket_after_its_token_expired(timed: Timed, item_id: str) -> None:
    """While others go on talking: what comes last is the end."""
    path = item_path(item_id, {"token": token("bob", lifetime=LIFETIME), "replay": 0})
    with (
        json_client(timed.server, item_id) as alice,
        timed.server.connect(path, subprotocols=(JSON,)) as connection,
    ):
        bob = JsonClient(connection)
        heard: list[Envelope] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                alice.ask("publish", data="tick")
                heard.append(bob.read())
                if len(heard) == 10:
                    timed.clock.advance(LIFETIME)
        alice.messages(alice.ask("publish", data="too late")["offset"])

        assert closed(connection) == (1008, "token_expired")
    assert heard[0]["data"] == "tick"
    assert {message.get("data") for message in heard} <= {"tick", None}


def test_an_expired_token_does_not_come_back(timed: Timed, item_id: str) -> None:
    """At the door every fault of a token is the same."""
    path = item_path(item_id, {"token": token("bob", lifetime=LIFETIME)})
    with timed.server.connect(path) as connection:
        timed.clock.advance(LIFETIME)
        closed(connection)
    refusal = timed.server.refusal(path)

    assert (refusal.code, refusal.reason) == (1008, "credentials_invalid")


def test_a_server_that_stops_says_so(serve: Serve, settings: Settings, item_id: str) -> None:
    """1012 is worth coming back for: another server may be there (requirement 107)."""
    assert _ends_at_shutdown(serve, settings, item_id) == [(1012, "draining")] * 3


def _ends_at_shutdown(serve: Serve, settings: Settings, item_id: str) -> list[tuple[int, str]]:
    """Stop a server that has a socket of each kind, and tell how each ended."""
    with ExitStack() as stack:
        server = stack.enter_context(serve(settings))
        path = item_path(item_id, {"token": token()})
        sockets = [
            stack.enter_context(server.connect(path, subprotocols=(PLAIN,))),
            stack.enter_context(server.connect(path, subprotocols=(JSON,))),
            stack.enter_context(server.connect(f"/ws/echo?token={token()}")),
        ]
        server.server.should_exit = True

        return [closed(socket) for socket in sockets]
