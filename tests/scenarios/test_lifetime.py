"""How long a socket lives: as long as its token, and as long as the server."""

import contextlib
import time
from contextlib import ExitStack

from websockets.exceptions import ConnectionClosed

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PLAIN,
    Envelope,
    JsonClient,
    closed,
    item_path,
    json_client,
    token,
)
from tests.scenarios.conftest import Serve

WITHIN_SECONDS = 2.0  # requirement 68


def test_a_socket_ends_with_its_token(server: LiveServer, item_id: str) -> None:
    """A token that is no longer good must not be good for as long as one stays connected."""
    with ExitStack() as stack:
        staying = stack.enter_context(json_client(server, item_id, scope=EVERYTHING))
        brief = token("bob", lifetime=2)
        expires_at = int(time.time()) + 2  # at the latest: the token was minted just before
        path = item_path(item_id, {"token": brief})
        sockets = [
            stack.enter_context(server.connect(path, subprotocols=(PLAIN,))),
            stack.enter_context(server.connect(path, subprotocols=(JSON,))),
            stack.enter_context(server.connect(f"/ws/echo?token={brief}")),
        ]
        ends = [closed(socket) for socket in sockets]
        ended_at = time.time()
        told = [staying.read() for _ in range(4)]

        assert ends == [(1008, "token_expired")] * 3
        assert expires_at - 1 <= ended_at <= expires_at + WITHIN_SECONDS
        assert [envelope["type"] for envelope in told] == ["joined", "joined", "left", "left"]
        assert staying.ask("publish", data="still here")["offset"] == 1


def test_the_closing_envelope_tells_what_to_do(server: LiveServer, item_id: str) -> None:
    """A close frame has no room for a verdict: fetch a new token, then come back."""
    path = item_path(item_id, {"token": token("bob", lifetime=1)})
    with server.connect(path, subprotocols=(JSON,)) as connection:
        client = JsonClient(connection)
        closing = client.read()

        assert closed(connection) == (1008, "token_expired")
    assert closing == {
        "type": "closing",
        "code": 1008,
        "reason": "token_expired",
        "retry": "token",
        "retry_after_ms": 0,
    }


def test_no_message_reaches_a_socket_after_its_token_expired(
    server: LiveServer, item_id: str
) -> None:
    """While others go on talking: what comes last is the end."""
    path = item_path(item_id, {"token": token("bob", lifetime=1), "replay": 0})
    with (
        json_client(server, item_id) as alice,
        server.connect(path, subprotocols=(JSON,)) as connection,
    ):
        bob = JsonClient(connection)
        heard: list[Envelope] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                alice.ask("publish", data="tick")
                heard.append(bob.read())
        alice.messages(alice.ask("publish", data="too late")["offset"])

        assert closed(connection) == (1008, "token_expired")
    assert heard[0]["data"] == "tick"
    assert {message.get("data") for message in heard} <= {"tick", None}


def test_an_expired_token_does_not_come_back(server: LiveServer, item_id: str) -> None:
    """At the door every fault of a token is the same."""
    path = item_path(item_id, {"token": token("bob", lifetime=1)})
    with server.connect(path) as connection:
        closed(connection)
    refusal = server.refusal(path)

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
