"""A server that is stopped under load, as its clients see it: real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire_auth.dependencies import permitted
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from tests.conftest import SECRET
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    PLAIN,
    TALKING,
    Envelope,
    closed,
    item_path,
    json_client,
    token,
)
from tests.scenarios.conftest import Serve
from tests.scenarios.processes import Started, started

BESIDE: Final = Path(sys.executable).parent
DRAINED: Final = (1012, "draining")

CROWD: Final = 300
TALKERS: Final = 30
ITEMS: Final = 10
GRACEFUL_SECONDS: Final = 10.0

UPGRADE: Final = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def serving(folder: Path, **settings: str) -> AbstractContextManager[Started]:
    """Run the command that users run."""
    return started([str(BESIDE / "itemwire"), "serve", "--port", "0"], folder, **settings)


def administrator() -> dict[str, str]:
    """Give the header of an administrator's request."""
    return {"Authorization": f"Bearer {token('root', 'admin')}"}


@dataclass(frozen=True, slots=True)
class Drained:
    """A server that was drained and runs on, and what was seen of that."""

    server: LiveServer
    mode: str
    answer: httpx.Response
    told: Envelope
    end: tuple[int, str]


@dataclass(slots=True)
class Listener:
    """A client that reads to the end and, if it talks, publishes as fast as it is answered."""

    connection: ClientConnection
    item: str
    talks: bool
    refs: Iterator[int] = field(default_factory=itertools.count)
    heard: list[Envelope] = field(default_factory=list)
    is_under_way: asyncio.Event = field(default_factory=asyncio.Event)
    end: tuple[int, str] = (0, "")

    async def run(self) -> None:
        """Go on until the server ends it."""
        await self._publish()
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(3 * PATIENCE):
                while True:
                    self.heard.append(json.loads(await self.connection.recv()))
                    if self.heard[-1]["type"] == "reply":
                        self.is_under_way.set()
                        await self._publish()
        received = self.connection.protocol.close_rcvd
        self.end = (received.code, received.reason) if received else (1006, "")

    async def _publish(self) -> None:
        if self.talks:
            request = {"type": "publish", "ref": next(self.refs), "data": "x" * 100}
            with contextlib.suppress(ConnectionClosed):  # there may be something to read still
                await self.connection.send(json.dumps(request))

    def offsets(self, kind: str) -> list[int]:
        """List the offsets of the messages it heard, or of the publishes it was answered."""
        return [envelope["offset"] for envelope in self.heard if envelope["type"] == kind]


@contextlib.asynccontextmanager
async def crowd(running: Started) -> AsyncIterator[list[Listener]]:
    """Let a crowd join, of whom some talk."""
    async with AsyncExitStack() as stack:
        listeners: list[Listener] = []
        for n in range(CROWD):
            item = f"item{n % ITEMS}"
            path = item_path(item, {"token": token(f"user{n}", TALKING)})
            connection = await stack.enter_async_context(
                connect(
                    running.server.socket_url(path),
                    subprotocols=[Subprotocol(JSON)],
                    compression=None,
                    ping_interval=None,
                    proxy=None,
                )
            )
            listeners.append(Listener(connection, item, talks=n < TALKERS))
        yield listeners


def test_no_socket_is_dropped_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """A signal amid the traffic of 300 sockets (requirements 86 and 107)."""

    async def scene(running: Started) -> tuple[list[Listener], float]:
        async with crowd(running) as listeners:
            tasks = [asyncio.create_task(listener.run()) for listener in listeners]
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(one.is_under_way.wait() for one in listeners[:TALKERS]))
            running.stop()
            stopped_at = time.monotonic()
            await asyncio.gather(*tasks)
            status = await asyncio.to_thread(running.process.wait, PATIENCE)
            assert status == 0
            return listeners, time.monotonic() - stopped_at

    with serving(tmp_path) as running:
        listeners, seconds = asyncio.run(scene(running))

    assert {one.end for one in listeners} == {DRAINED}
    last = [one.heard[-1] for one in listeners]
    assert {(told["type"], told["code"], told["retry"]) for told in last} == {
        ("closing", 1012, "now")
    }
    waits = [told["retry_after_ms"] for told in last]
    assert 0 <= min(waits) < 500
    assert 1500 < max(waits) < 2000
    assert seconds < GRACEFUL_SECONDS
    for item in {one.item for one in listeners}:
        _assert_sound([one for one in listeners if one.item == item])
    assert "Traceback" not in "".join(running.lines)


def _assert_sound(listeners: list[Listener]) -> None:
    """Each heard an unbroken row to its end, and all that was acknowledged somebody heard."""
    rows = [one.offsets("message") for one in listeners]
    for row in rows:
        assert row == list(range(row[0], row[0] + len(row)))
    acknowledged = {offset for one in listeners for offset in one.offsets("reply")}
    assert acknowledged <= {offset for row in rows for offset in row}


def test_idle_plain_echo_and_half_said_sockets_end_alike(tmp_path: Path) -> None:
    """Also one in the middle of a message, which no session knows of yet."""
    with serving(tmp_path) as running, ExitStack() as stack:
        paths = [item_path("42", {"token": token()}), f"/ws/echo?token={token()}"]
        sockets = [
            stack.enter_context(running.server.connect(path, subprotocols=(offered,)))
            for path in paths
            for offered in (PLAIN, JSON)
        ]
        for one in sockets:
            one.socket.sendall(b"\x01\x81\x00\x00\x00\x00a")  # a first fragment
        running.stop()

        assert [closed(one) for one in sockets] == [DRAINED] * 4
        assert running.process.wait(PATIENCE) == 0


def test_a_client_that_does_not_read_delays_nobody_for_longer_than_is_set(tmp_path: Path) -> None:
    """It is cut when the time is up: what it has not read by then it never gets."""
    with (
        serving(tmp_path, graceful_timeout="2") as running,
        json_client(running.server, "42") as alice,
        silent(running, item_path("42", {"token": token()})),
    ):
        for _ in range(120):  # more than the kernel keeps for one that does not read
            alice.ask("publish", data="x" * 60_000)
        running.stop()
        stopped_at = time.monotonic()

        assert closed(alice.connection) == DRAINED
        assert running.process.wait(PATIENCE) == 0
    assert time.monotonic() - stopped_at < PATIENCE / 2


def test_who_comes_while_it_stops_is_told_and_so_is_the_load_balancer(tmp_path: Path) -> None:
    """The port is open until the sockets have ended: a closed one would say nothing."""
    with (
        serving(tmp_path) as running,
        silent(running, f"/ws/echo?token={token()}") as client,
        httpx.Client(base_url=running.server.url, timeout=PATIENCE) as balancer,
    ):
        before = balancer.get("/health/ready").status_code
        running.stop()
        read_until(client, b"draining")
        answer = balancer.get("/health/ready")
        refusal = running.server.refusal(item_path("42", {"token": token()}))
        client.close()

        assert running.process.wait(PATIENCE) == 0
    assert before == 200
    assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
    assert refusal == Refusal(101, *DRAINED)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, second: signal.Signals) -> None:
    """Who asks twice does not want to wait for a client that does not answer."""
    with (
        serving(tmp_path, graceful_timeout="60") as running,
        silent(running, f"/ws/echo?token={token()}") as client,
    ):
        running.process.send_signal(signal.SIGINT)
        read_until(client, b"draining")
        running.process.send_signal(second)

        assert running.process.wait(PATIENCE) == -second


def test_plain_uvicorn_tells_what_to_do_as_well(tmp_path: Path) -> None:
    """All at once, for it has no batches; when to come back is spread all the same."""
    command = (
        "--factory itemwire:create_app --port 0 --ws itemwire.fastpath.protocol:WebSocketProtocol"
    )
    with (
        started([str(BESIDE / "uvicorn"), *command.split()], tmp_path) as running,
        json_client(running.server, "42") as alice,
    ):
        running.stop()
        told = alice.read()

        assert (told["type"], told["reason"], told["retry"]) == ("closing", "draining", "now")
        assert closed(alice.connection) == DRAINED


@pytest.fixture(scope="module", params=["close", "http"])
def drained(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Drained]:
    """Drain a server by its admin API, with a socket on it, and leave it running."""
    settings = Settings(secret=SECRET, admin=True, refusal=request.param, _env_file=None)
    with serve(settings) as server, json_client(server, "42") as alice:
        answer = httpx.post(f"{server.url}/admin/drain", headers=administrator())
        yield Drained(server, request.param, answer, alice.read(), closed(alice.connection))


def test_an_operator_drains_a_server_that_stays(drained: Drained) -> None:
    """Ahead of a signal, or on a server that ends its sockets with no reason of its own."""
    assert (drained.answer.status_code, drained.answer.json()) == (202, {"closing": 1})
    assert (drained.told["type"], drained.told["reason"]) == ("closing", "draining")
    assert drained.end == DRAINED
    assert httpx.get(f"{drained.server.url}/health/live").status_code == 200


def test_a_drained_server_is_not_ready(drained: Drained) -> None:
    """And stays so until it is restarted."""
    answer = httpx.get(f"{drained.server.url}/health/ready")

    assert (answer.status_code, answer.json()) == (503, {"status": "draining"})


@pytest.mark.parametrize("path", ["/items/42/ws?token={}", "/ws/echo", "/ws?token=bad"])
def test_a_drained_server_refuses_every_socket(drained: Drained, path: str) -> None:
    """Before it looks at a credential: nobody has to fetch a new one for this."""
    refusal = drained.server.refusal(path.format(token()), subprotocols=(JSON,))

    if drained.mode == "close":
        assert refusal == Refusal(101, *DRAINED)
    else:
        assert refusal.status == 503
        assert json.loads(refusal.body) == {"code": 1012, "reason": "draining", "retry": "now"}


@pytest.mark.parametrize("path", ["/items/42/messages", "/messages", "/auth/tickets"])
def test_a_drained_server_takes_nothing_by_http(drained: Drained, path: str) -> None:
    """What it took now nobody here would hear, and it may be gone before it is stored."""
    answer = httpx.post(f"{drained.server.url}{path}", headers=administrator(), json={})

    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert answer.headers["Retry-After"] == "1"


def test_a_drained_server_still_obeys_its_operator(drained: Drained) -> None:
    """Tokens may have to be taken back on all nodes, and the drain may be wanted sooner."""
    again = httpx.post(
        f"{drained.server.url}/admin/drain", headers=administrator(), json={"seconds": 0}
    )
    listed = httpx.get(f"{drained.server.url}/admin/connections", headers=administrator())

    assert (again.status_code, again.json()) == (202, {"closing": 0})
    assert listed.json()["connections"] == []


def test_a_handshake_under_way_ends_with_the_others(serve: Serve, item_id: str) -> None:
    """Its dependencies may take as long as they like; what it gets is no 1006."""
    settings = Settings(secret=SECRET, graceful_timeout=5, _env_file=None)
    app = create_app(settings)
    asked, may_go_on = threading.Event(), threading.Event()

    async def slow() -> Grant:
        asked.set()
        await asyncio.to_thread(may_go_on.wait, PATIENCE)
        return Grant(Principal(None, "bob", ScopeSet(), 2**33), item_id, frozenset(Action))

    app.dependency_overrides[permitted] = slow
    with serve(settings, app) as server, ThreadPoolExecutor() as pool:
        coming = pool.submit(server.refusal, item_path(item_id))
        asked.wait(PATIENCE)
        server.server.should_exit = True
        while httpx.get(f"{server.url}/health/ready").status_code != 503:
            pass
        may_go_on.set()

        assert coming.result(PATIENCE) == Refusal(101, *DRAINED)


@contextlib.contextmanager
def silent(running: Started, path: str) -> Iterator[socket.socket]:
    """Open a socket whose client neither reads nor answers by itself."""
    address = httpx.URL(running.server.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE)
        client.connect((address.host, address.port))
        lines = [f"GET {path} HTTP/1.1", "Host: x", *UPGRADE, "", ""]
        client.sendall("\r\n".join(lines).encode())
        read_until(client, b"\r\n\r\n")
        yield client


def read_until(client: socket.socket, words: bytes) -> None:
    """Read until these have come."""
    received = b""
    while words not in received:
        chunk = client.recv(4096)
        assert chunk, received
        received += chunk
