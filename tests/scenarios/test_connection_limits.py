"""The limits of sockets on a real server, and that each slot is released."""

import asyncio
import base64
import json
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from itemwire.assembly import Assembly
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire_auth.dependencies import authorize_item
from itemwire_auth.principal import Grant
from tests.conftest import SECRET
from tests.scenarios.clients import JSON, PATIENCE, item_path, json_client, plain_client, token
from tests.scenarios.conftest import Serve
from tests.timing import BUSY_SECONDS

CONNECTION_LIMIT = Refusal(101, 1008, "connection_limit")
OVERLOADED = Refusal(101, 1013, "overloaded")


@pytest.fixture(scope="module")
def small(serve: Serve) -> Iterator[LiveServer]:
    """Run a server with five slots: three for an address, two for a subject."""
    settings = Settings(
        secret=SECRET,
        max_connections=5,
        max_address_connections=3,
        max_subject_connections=2,
        ping_interval=0.2,
        ping_timeout=BUSY_SECONDS,
        _env_file=None,
    )
    with serve(settings) as running:
        yield running


def slots_of(server: LiveServer) -> ConnectionSlots:
    """Find what counts the sockets of a server in this process."""
    app = server.server.config.app
    return Assembly.of(app).slots  # type: ignore[arg-type] # FastAPI's


def came_from(address: str) -> dict[str, str]:
    """Say where a client is, as a proxy on this machine does."""
    return {"X-Forwarded-For": address}


def emptied(server: LiveServer) -> bool:
    """Wait until every slot is released; False if that takes too long."""
    slots, patience = slots_of(server), time.monotonic() + PATIENCE
    while slots.in_use and time.monotonic() < patience:
        server.refusal("/items/7/ws")  # a round trip, in which the server gets on
    return (slots.in_use, slots.by_address, slots.by_subject) == (0, {}, {})


def test_a_subject_has_so_many_sockets(small: LiveServer, item_id: str) -> None:
    """Another may come in meanwhile, and the same once one is closed (requirement 96)."""
    path = item_path(item_id, {"token": token("alice")})
    with json_client(small, item_id, "alice"), json_client(small, item_id, "bob"):
        with json_client(small, item_id, "alice"):
            assert small.refusal(path) == CONNECTION_LIMIT
            assert small.refusal(path, subprotocols=(JSON,)) == CONNECTION_LIMIT
        with json_client(small, item_id, "alice") as again:
            assert again.ask("ping")["type"] == "pong"

    assert emptied(small)


@pytest.mark.parametrize("path", ["/ws/echo?", "/ws?"])
def test_it_is_so_on_every_route(small: LiveServer, item_id: str, path: str) -> None:
    """A limit with a way around it is none."""
    with json_client(small, item_id, "alice"), json_client(small, item_id, "alice"):
        refusal = small.refusal(f"{path}token={token('alice')}", subprotocols=(JSON,))

    assert refusal == CONNECTION_LIMIT
    assert emptied(small)


def test_an_address_has_so_many_sockets_before_its_token_is_looked_at(
    small: LiveServer, item_id: str
) -> None:
    """What it presents makes no difference; another address may come in (requirement 96)."""
    here, elsewhere = came_from("192.0.2.7"), came_from("192.0.2.8")
    with ExitStack() as stack:
        for number in range(3):
            path = item_path(item_id, {"token": token(f"s{number}")})
            stack.enter_context(small.connect(path, headers=here))
        bad = item_path(item_id, {"token": "garbage"})

        assert small.refusal(bad, headers=here) == CONNECTION_LIMIT
        assert small.refusal(bad, headers=elsewhere).reason == "credentials_invalid"
        good = item_path(item_id, {"token": token("s9")})
        with small.connect(good, headers=elsewhere, subprotocols=(JSON,)) as other:
            assert json.loads(other.recv(timeout=PATIENCE))["type"] == "welcome"

    assert emptied(small)


def test_there_are_so_many_sockets_in_all(small: LiveServer, item_id: str) -> None:
    """Then `overloaded`, to everybody alike; health still answers (requirement 96)."""
    with ExitStack() as stack:
        for number in range(5):
            stack.enter_context(json_client(small, item_id, f"s{number}"))

        assert small.refusal(item_path(item_id, {"token": "garbage"})) == OVERLOADED

    assert emptied(small)
    with json_client(small, item_id) as alice:
        assert alice.ask("ping")["type"] == "pong"


def test_denied_over_http_they_say_when_to_come_again(serve: Serve, item_id: str) -> None:
    """429 for anyone who has too many, 503 when there is no room (requirement 96)."""
    settings = Settings(
        secret=SECRET,
        refusal="http",
        max_connections=2,
        max_subject_connections=1,
        _env_file=None,
    )
    with serve(settings) as server:
        alice = item_path(item_id, {"token": token("alice")})
        with json_client(server, item_id, "alice"):
            subject = server.refusal(alice)
            with json_client(server, item_id, "bob"):
                in_all = server.refusal(alice)

    assert (subject.status, in_all.status) == (429, 503)
    assert b'"reason":"connection_limit","retry":"later"' in subject.body
    assert b'"reason":"overloaded","retry":"later"' in in_all.body


def test_an_address_may_come_so_often_before_its_token_is_looked_at(
    serve: Serve, item_id: str
) -> None:
    """Then 429, with when to come again; another address gets in meanwhile (requirement 96)."""
    settings = Settings(secret=SECRET, refusal="http", address_handshake_rate=0.01, _env_file=None)
    good, bad = (item_path(item_id, {"token": one}) for one in (token(), "garbage"))
    here, elsewhere = came_from("192.0.2.7"), came_from("192.0.2.8")
    with serve(settings) as server:
        first = server.refusal(bad, headers=here)
        with pytest.raises(InvalidStatus) as refused:
            server.connect(good, headers=here)
        with server.connect(good, headers=elsewhere, subprotocols=(JSON,)) as other:
            welcome = json.loads(other.recv(timeout=PATIENCE))

    answer = refused.value.response
    assert (first.status, answer.status_code) == (401, 429)
    assert answer.headers["Retry-After"] == "1"
    assert b'"reason":"rate_limited","retry":"later"' in (answer.body or b"")
    assert welcome["type"] == "welcome"


def test_so_many_may_come_in_all_and_those_who_are_there_stay(serve: Serve, item_id: str) -> None:
    """A storm is told `overloaded`, whatever it presents, by streams too (requirement 96)."""
    settings = Settings(secret=SECRET, handshake_rate=0.01, _env_file=None)
    with serve(settings) as server, json_client(server, item_id) as alice:
        refused = server.refusal(item_path(item_id, {"token": "garbage"}))
        stream = httpx.get(
            f"{server.url}/items/{item_id}/events",
            headers={"Authorization": f"Bearer {token()}"},
            timeout=PATIENCE,
        )
        heard = alice.ask("ping")["type"]

    assert refused == OVERLOADED
    assert (stream.status_code, stream.headers["Retry-After"]) == (503, "1")
    assert heard == "pong"


def test_every_slot_is_released_whatever_became_of_its_socket(
    small: LiveServer, item_id: str
) -> None:
    """Clients that go by the book, that vanish, and that never were let in (requirement 99)."""
    for number in range(40):
        _come_and_go(small, item_id, number)

    assert emptied(small)


class Slow:
    """An application's own rule: it thinks until it is told, and then fails."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.told = threading.Event()

    async def __call__(self, item_id: str) -> Grant:
        """Decide about an item."""
        self.begun.set()
        await asyncio.to_thread(self.told.wait, PATIENCE)
        raise LookupError(item_id)


def test_a_slot_is_released_after_a_rule_fails_and_after_a_client_leaves_early(
    serve: Serve, item_id: str
) -> None:
    """The handshake was not finished, and still holds a slot (requirement 99)."""
    settings, rule = Settings(secret=SECRET, max_connections=2, _env_file=None), Slow()
    app = create_app(settings)
    app.dependency_overrides[authorize_item] = rule
    path = item_path(item_id, {"token": token()})
    with serve(settings, app) as server:
        slots = Assembly.of(app).slots
        _vanish(server, path, after_answer=False, half=False, until=rule.begun)
        assert slots.in_use == 1
        rule.told.set()

        assert server.refusal(path) == Refusal(101, 1011, "internal")
        patience = time.monotonic() + PATIENCE
        while slots.in_use and time.monotonic() < patience:
            server.refusal(path)
        assert slots.in_use == 0


def _come_and_go(server: LiveServer, item_id: str, number: int) -> None:
    way = number % 5
    if way == 0:
        with plain_client(server, item_id, f"s{number}") as client:
            client.send("bye")
    elif way == 1:
        server.refusal(item_path(item_id, {"token": "garbage"}))
    else:
        good = item_path(item_id, {"token": token(f"s{number}")})
        _vanish(server, good, after_answer=way == 2, half=way == 3)


def _vanish(
    server: LiveServer,
    path: str,
    *,
    after_answer: bool,
    half: bool,
    until: threading.Event | None = None,
) -> None:
    """Open a socket by hand, and reset it: when it is open, in its head, or in the middle."""
    address = urlsplit(server.url)
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    head = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as raw:
        raw.sendall(head[: len(head) // 2] if half else head)
        if after_answer:
            raw.recv(1)
        if until is not None:
            assert until.wait(PATIENCE)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_stream_takes_a_slot_as_a_socket_does(small: LiveServer, item_id: str) -> None:
    """Server-sent events last as long: past its share a subject is refused, and later let in."""
    url = f"{small.url}/items/{item_id}/events"
    headers = {"Authorization": f"Bearer {token('carol')}"}
    with (
        json_client(small, item_id, "carol"),
        httpx.stream("GET", url, headers=headers, timeout=PATIENCE) as stream,
    ):
        refused = httpx.get(url, headers=headers, timeout=PATIENCE)
        assert stream.status_code == 200
        assert slots_of(small).in_use == 2

    assert (refused.status_code, refused.json()["code"]) == (429, "connection_limit")
    assert emptied(small)
