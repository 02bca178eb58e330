"""A host's own WebSocket handlers on `live.accept`: they keep what every socket of ours does."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import (
    APIRouter,
    Cookie,
    Depends,
    FastAPI,
    HTTPException,
    Query,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from starlette.requests import HTTPConnection

from itemwire import Itemwire
from itemwire.serving.server import FASTPATH, Protocols
from itemwire.testing import ChannelClient, Clock, LiveServer
from itemwire.testing.clients import WAIT_SECONDS
from itemwire.testing.refusals import Ended
from itemwire.testing.servers import STOCK, live_application
from itemwire_auth import handled_socket
from itemwire_auth.revocation import Revocation
from tests.fakes.host_ways import node_of
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

CLASSES: Final[dict[str, Protocols]] = {"fastpath": FASTPATH, "stock": STOCK}

LIFE: Final = 600


@dataclass
class User:
    """A user as an application has them."""

    id: str
    expires_at: float


@dataclass
class Host:
    """A running application with handlers of its own, and what they have noted."""

    clock: Clock
    live: Itemwire
    app: FastAPI = field(default_factory=FastAPI)
    notes: dict[str, threading.Event] = field(default_factory=dict[str, threading.Event])
    sessions: int = 0
    server: LiveServer = field(init=False)

    def note(self, name: str) -> threading.Event:
        """Return the event of something that is noted."""
        return self.notes.setdefault(name, threading.Event())

    def socket(self, path: str, **given: Any) -> Any:  # noqa: ANN401 - as `client` is
        """Open a socket without subprotocols."""
        return self.server.client(path, subprotocols=(), **given)

    def refusal(self, path: str, **given: Any) -> tuple[int | None, str]:  # noqa: ANN401
        """Return the code and reason with which a socket is refused."""
        refusal = self.server.refusal(path, **given)
        return refusal.code, refusal.reason

    def post(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Call a route of the application."""
        return httpx.post(self.server.url + path).json()


def host_of(clock: Clock, **settings: Any) -> Host:  # noqa: ANN401 - settings
    """Make an application with handlers of its own."""
    own = settings_of(secret=None, throttle_exempt=(), **settings)
    host = Host(clock, Itemwire(user=lambda: None, settings=own, clock=clock))
    host.app.state.host = host
    host.app.include_router(router)
    host.app.include_router(host.live.router, prefix="/live")
    return host


def here(connection: HTTPConnection) -> Host:
    """Return the host whose handler it is."""
    found: Host = connection.app.state.host
    return found


HostDep = Annotated[Host, Depends(here)]


def user_of(
    host: HostDep,
    name: Annotated[str | None, Query(alias="token")] = None,
    sid: Annotated[str | None, Cookie()] = None,
) -> User | None:
    """Find the user by a token or a cookie, or nobody."""
    found = name or sid
    life = -1 if found == "late" else LIFE
    return User(found, host.clock() + life) if found else None


async def session(host: HostDep) -> AsyncGenerator[None]:
    """Hold something for as long as FastAPI does."""
    host.sessions += 1
    yield
    host.sessions -= 1


CurrentUser = Annotated[User | None, Depends(user_of)]

router = APIRouter()


@router.websocket("/json")
async def echo_json(
    websocket: WebSocket, host: HostDep, user: CurrentUser, _: Annotated[None, Depends(session)]
) -> None:
    """Answer JSON, with the number of sessions that are open."""
    async with host.live.accept(websocket, user) as socket:
        async for data in socket.iter_json():
            await socket.send_json({"echo": data, "sessions": host.sessions})
    host.note("json").set()


@router.websocket("/text")
async def echo_text(websocket: WebSocket, host: HostDep, user: CurrentUser) -> None:
    """Answer text, without a thought of how it ends."""
    async with host.live.accept(websocket, user, subprotocol="chat") as socket:
        while True:
            await socket.send_text(await socket.receive_text())


@router.websocket("/deaf")
async def deaf(websocket: WebSocket, host: HostDep, user: CurrentUser) -> None:
    """Wait for something else than the socket."""
    async with host.live.accept(websocket, user) as socket:
        await socket.send_text("here")
        await asyncio.Event().wait()
    host.note("deaf").set()


FAULTS: Final = {
    "status": HTTPException(404),
    "word": WebSocketException(4000, "my own"),
    "fault": LookupError("a fault of the handler"),
    "time": TimeoutError("of the handler's own"),
    "other": WebSocketDisconnect(1006),  # of another client's socket
}


@router.websocket("/fails/{how}")
async def fails(websocket: WebSocket, host: HostDep, user: CurrentUser, how: str) -> None:
    """Leave in one way or another."""
    async with host.live.accept(websocket, user) as socket:
        if how in FAULTS:
            raise FAULTS[how]
        if how == "close":
            await socket.close(4001, "bye")


@router.websocket("/accepted")
async def accepted_before(websocket: WebSocket, host: HostDep, user: CurrentUser) -> None:
    """Accept the socket first."""
    await websocket.accept()
    async with host.live.accept(websocket, user) as socket:
        await socket.send_text("hello")


@router.post("/connections")
async def connections(host: HostDep) -> list[str]:
    """List who is connected."""
    return [one.principal.subject for one in node_of(host.live).connections(100)]


@router.post("/revoke/{subject}")
async def revoke(subject: str, host: HostDep) -> None:
    """Revoke what a user has for a minute."""
    revocation = Revocation(host.clock() + 60, subject=subject)
    node_of(host.live).revoke(revocation, lambda _count: None)


@router.post("/drain")
async def drain(host: HostDep) -> None:
    """Go out of service."""
    node_of(host.live).drain(0)


@pytest.fixture(params=list(CLASSES), scope="module")
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Give a running application."""
    made = host_of(Clock(), max_message_bytes=100, max_subject_connections=3)
    with (
        pytest.MonkeyPatch.context() as patch,
        live_application(made.app, protocols=CLASSES[request.param]) as server,
    ):
        patch.setattr(handled_socket, "LEAVE_SECONDS", 0.2)
        made.server = server
        yield made


def told(client: ChannelClient) -> tuple[int | None, str]:
    """Return how a connection ended."""
    ending = client.ending()
    return ending.code, ending.reason


def test_gives_the_handler_starlettes_socket(host: Host) -> None:
    """It is listed while it is open, pins no session, and the handler goes on behind it."""
    host.note("json").clear()
    with host.socket("/json?token=alice") as client:
        client.send('{"a": 1}')
        answer = json.loads(client.receive())
        listed = host.post("/connections")

    assert answer == {"echo": {"a": 1}, "sessions": 0}
    assert listed == ["alice"]
    assert host.note("json").wait(WAIT_SECONDS)
    assert host.post("/connections") == []


def test_answers_the_subprotocol_of_the_handler(host: Host) -> None:
    """A client that offers one and gets none fails in a browser."""
    with host.server.client("/text?token=alice", subprotocols=("chat",)) as client:
        client.send("hello")
        assert (client.subprotocol, client.receive()) == ("chat", "hello")


EVIL: Final = {"origin": "https://evil.example"}


@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        pytest.param("/json", {}, "credentials_missing", id="nobody"),
        pytest.param("/accepted", {}, "credentials_missing", id="accepted-before"),
        pytest.param("/json?token=late", {}, "credentials_invalid", id="expired"),
        pytest.param("/json", EVIL | {"cookie": "sid=alice"}, "origin_denied", id="foreign"),
        pytest.param(
            "/json?token=x", EVIL | {"cookie": "sid=alice"}, "origin_denied", id="foreign-with-junk"
        ),
        pytest.param("/fails/status?token=alice", {}, "forbidden", id="raised-inside"),
    ],
)
def test_refuses_in_words_that_a_browser_shows(
    host: Host, path: str, headers: dict[str, str], reason: str
) -> None:
    """1008 with a reason, before the handler has begun or in the middle of it."""
    assert host.refusal(path, headers=headers) == (1008, reason)


def test_lets_the_twins_of_those_in(host: Host) -> None:
    """A page of its own by a cookie, a foreign one by a token, and one accepted before."""
    own = {"origin": host.server.url, "cookie": "sid=alice"}
    for path, headers in (("/json", own), ("/json?token=alice", EVIL)):
        with host.socket(path, headers=headers) as client:
            client.send("1")
            assert json.loads(client.receive())["echo"] == 1
    with host.socket("/accepted?token=alice") as client:
        assert client.receive() == "hello"
        assert told(client)[0] == 1000


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("word", 4000, "my own"),
        ("close", 4001, "bye"),
        ("return", 1000, ""),
        ("fault", 1011, "internal"),
        ("time", 1011, "internal"),
        ("other", 1011, "internal"),
    ],
)
def test_closes_as_the_handler_leaves(host: Host, how: str, code: int, reason: str) -> None:
    """By its own exception, its own close, or its end; no slot stays behind."""
    for _ in range(4):  # more than the sockets that one user may have
        with host.socket(f"/fails/{how}?token=bob") as client:
            assert told(client) == (code, reason)


@pytest.mark.parametrize(
    ("path", "frame", "code", "reason"),
    [
        ("/json", "{", 1007, "payload_invalid"),
        ("/json", b"1", 1007, "payload_invalid"),
        ("/text", b"1", 1007, "payload_invalid"),
        ("/text", "x" * 101, 1009, "message_too_big"),
    ],
)
def test_ends_by_a_fault_of_the_client(
    host: Host, path: str, frame: str | bytes, code: int, reason: str
) -> None:
    """The handler's own loop needs no `try` for it."""
    with host.socket(f"{path}?token=alice") as client:
        client.send(frame)
        assert told(client) == (code, reason)


@pytest.mark.parametrize("path", ["/json", "/deaf"])
@pytest.mark.parametrize("reason", ["token_expired", "token_revoked"])
def test_ends_with_the_login(host: Host, path: str, reason: str) -> None:
    """Also where the handler looks at nothing: its block ends, and it goes on behind it."""
    note = host.note(path[1:])
    note.clear()
    with host.socket(f"{path}?token=eve") as client:
        client.send("1")
        client.receive()
        if reason == "token_expired":
            host.clock.advance(LIFE + 60)
        else:
            host.post("/revoke/eve")
        assert told(client) == (1008, reason)

    assert note.wait(WAIT_SECONDS)
    if reason == "token_revoked":
        assert host.refusal(f"{path}?token=eve") == (1008, reason)
        host.clock.advance(LIFE)  # until the revocation is over


def test_counts_the_sockets_of_a_user(host: Host) -> None:
    """Together with those on channels."""
    with (
        host.socket("/json?token=carol"),
        host.socket("/json?token=carol"),
        host.socket("/json?token=carol"),
    ):
        assert host.refusal("/json?token=carol") == (1008, "connection_limit")
    with host.socket("/json?token=carol") as client:
        client.send("1")
        client.receive()


def test_throttles_and_drains() -> None:
    """A stranger is stopped, and a node that goes away tells the handlers' clients so."""
    host = host_of(Clock(), slow_after_refusals=0, stop_after_refusals=3)
    with live_application(host.app) as host.server:
        with host.socket("/json?token=alice") as client:
            client.send("1")
            client.receive()
            for _ in range(3):
                assert host.refusal("/json") == (1008, "credentials_missing")
            assert host.refusal("/json?token=alice") == (1008, "rate_limited")
            host.post("/drain")
            assert told(client) == (1012, "draining")
        assert host.refusal("/json?token=alice") == (1012, "draining")


def test_limits_the_rate_of_a_client() -> None:
    """By the rates of the settings, as on channels."""
    host = host_of(Clock(), publish_rate=1)
    with live_application(host.app) as host.server, host.socket("/text?token=alice") as client:
        with contextlib.suppress(Ended):  # the close may come before all are sent
            for _ in range(500):
                client.send("x")
        assert told(client) == (1008, "rate_limited")


@pytest.mark.parametrize(("admin", "address"), [(True, "127.0.0.1"), (False, None)])
def test_is_listed_with_its_address(admin: bool, address: str | None) -> None:
    """Where operators may look at it, and only there."""
    host = host_of(Clock(), admin=admin)
    with live_application(host.app) as host.server, host.socket("/json?token=alice") as client:
        client.send("1")
        client.receive()
        registry = node_of(host.live).overview.registry
        (found,) = registry.all()
        seen = registry.address_of(found)

    assert seen == address


def test_needs_the_lifespan() -> None:
    """The handler fails, with a sentence that says what is missing."""
    live = Itemwire(user=lambda: None, settings=settings_of(secret=None))
    websocket: Any = None

    with pytest.raises(RuntimeError, match="include `router`"):
        live.accept(websocket, User("alice", 0))
