"""`accept` of `itemwire_auth` alone: a socket ends with its caller's login, and with its server."""

import asyncio
import sys
import threading
import warnings
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketException

from itemwire.serving.server import FASTPATH, Protocols
from itemwire.testing import ChannelClient, Clock, LiveServer
from itemwire.testing.clients import WAIT_SECONDS
from itemwire.testing.servers import STOCK, live_application
from itemwire_auth import (
    AuthSettings,
    CurrentPrincipal,
    Forbidden,
    Principal,
    accept,
    build_authenticator,
    drain,
    handled_socket,
    install_auth,
    revoke,
)
from itemwire_auth.closing import TOKEN_EXPIRED, Close
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.open_sockets import OpenSockets
from itemwire_auth.revocation import Revocation
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import mint
from tests.conftest import SECRET
from tests.scenarios.processes import started

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with httpx
    from fastapi.testclient import TestClient

pytestmark = pytest.mark.server

CLASSES: Final[dict[str, Protocols]] = {"fastpath": FASTPATH, "stock": STOCK}

LEEWAY: Final = 30


@dataclass
class Alone:
    """An application without channels, and what its handlers have noted."""

    clock: Clock = field(default_factory=Clock)
    sessions: int = 0
    notes: dict[str, threading.Event] = field(default_factory=dict[str, threading.Event])
    server: LiveServer = field(init=False)

    @property
    def tokens(self) -> TokenFactory:
        """Return what makes tokens, by the clock of the application."""
        return TokenFactory(signing_key_from_secret(SECRET), clock=self.clock)

    def note(self, name: str) -> threading.Event:
        """Return the event of something that is noted."""
        return self.notes.setdefault(name, threading.Event())

    def path(self, path: str, subject: str = "ann", **claims: object) -> str:
        """Return a path with the token of a caller."""
        return f"{path}?token={self.tokens.good(sub=subject, **claims)}"

    def socket(self, path: str, subject: str = "ann", **claims: object) -> Any:  # noqa: ANN401
        """Open a socket of a caller."""
        return self.server.client(self.path(path, subject, **claims), subprotocols=())

    def refusal(self, path: str) -> tuple[int | None, str]:
        """Return the code and reason with which a socket is refused."""
        refusal = self.server.refusal(path)
        return refusal.code, refusal.reason


FAULTS: Final = {
    "word": WebSocketException(4000, "my own"),
    "unusable": WebSocketException(1006, "never sent"),
    "auth": Forbidden("of a test"),
    "fault": LookupError("a fault of the handler"),
}


def add_echo(app: FastAPI, alone: Alone) -> None:
    """Add a handler that answers with the number of sessions that are open."""

    async def session() -> AsyncGenerator[None]:
        alone.sessions += 1
        yield
        alone.sessions -= 1

    @app.websocket("/echo")
    async def echo(
        websocket: WebSocket, principal: CurrentPrincipal, _: Annotated[None, Depends(session)]
    ) -> None:
        async with accept(websocket, principal, subprotocol="chat") as socket:
            async for text in socket.iter_text():
                await socket.send_text(f"{principal.subject} {text} {alone.sessions}")
        alone.note("echo").set()


def add_handlers(app: FastAPI, alone: Alone) -> None:
    """Add handlers that do something else than to read their socket."""

    @app.websocket("/deaf")
    async def deaf(websocket: WebSocket, principal: CurrentPrincipal) -> None:
        async with accept(websocket, principal) as socket:
            await socket.send_text("here")
            await asyncio.Event().wait()
        alone.note("deaf").set()

    @app.websocket("/slow")
    async def slow(websocket: WebSocket, principal: CurrentPrincipal) -> None:
        alone.clock.advance(10_000)  # the token expires between its check and the handler
        async with accept(websocket, principal):
            raise AssertionError

    @app.websocket("/fails/{how}")
    async def fails(websocket: WebSocket, principal: CurrentPrincipal, how: str) -> None:
        async with accept(websocket, principal):
            if how in FAULTS:
                raise FAULTS[how]


def add_routes(app: FastAPI) -> None:
    """Add what an operator calls."""

    @app.post("/revoke/{subject}")
    async def take_back(subject: str) -> int:
        return await revoke(app, subject)

    @app.post("/drain")
    async def go_away() -> None:
        await drain(app)


def make_app(alone: Alone) -> FastAPI:
    """Make an application with sockets on `accept`."""
    app = FastAPI()
    add_echo(app, alone)
    add_handlers(app, alone)
    add_routes(app)
    tokens = alone.tokens
    settings = AuthSettings(
        secret=SECRET,
        issuer=tokens.issuer,
        audience=(tokens.audience,),
        token_types=(tokens.token_type,),
        leeway=LEEWAY,
        _env_file=None,
    )
    install_auth(app, build_authenticator(settings, clock=alone.clock))
    return app


@pytest.fixture(params=list(CLASSES), scope="module")
def alone(request: pytest.FixtureRequest) -> Iterator[Alone]:
    """Run the application."""
    made = Alone()
    with (
        pytest.MonkeyPatch.context() as patch,
        live_application(make_app(made), protocols=CLASSES[request.param]) as made.server,
    ):
        patch.setattr(handled_socket, "LEAVE_SECONDS", 0.2)
        yield made


def told(client: ChannelClient) -> tuple[int | None, str]:
    """Return how a connection ended."""
    ending = client.ending()
    return ending.code, ending.reason


def test_gives_the_handler_starlettes_socket(alone: Alone) -> None:
    """It pins no session while it is open, answers the handler's subprotocol, and goes on after."""
    alone.note("echo").clear()
    with alone.server.client(alone.path("/echo"), subprotocols=("chat",)) as client:
        client.send("hello")
        assert (client.subprotocol, client.receive()) == ("chat", "ann hello 0")
    assert alone.note("echo").wait(WAIT_SECONDS)


@pytest.mark.parametrize("path", ["/echo", "/deaf"])
def test_ends_with_the_token_and_no_earlier(alone: Alone, path: str) -> None:
    """Its leeway included; also where the handler looks at nothing, whose block ends then."""
    note = alone.note(path[1:])
    note.clear()
    ends = int(alone.clock()) + 100
    with (
        alone.socket(path, exp=ends) as client,
        alone.socket("/echo", exp=ends + 5) as twin,  # which is looked at just as often
    ):
        client.send("1")
        client.receive()
        alone.clock.advance(100 + LEEWAY + 1)
        assert told(client) == (1008, "token_expired")
        twin.send("2")
        assert twin.receive() == "ann 2 0"
    assert note.wait(WAIT_SECONDS)


@pytest.mark.parametrize("path", ["/echo", "/deaf"])
def test_ends_when_its_caller_is_revoked(alone: Alone, path: str) -> None:
    """At once, with the same word as a new handshake, and nobody else's socket ends."""
    subject = f"eve{path[1:]}"
    with alone.socket(path, subject) as client, alone.socket("/echo") as twin:
        client.send("1")
        client.receive()
        assert httpx.post(f"{alone.server.url}/revoke/{subject}").json() == 1
        assert told(client) == (1008, "token_revoked")
        assert alone.refusal(alone.path(path, subject)) == (1008, "token_revoked")
        twin.send("2")
        assert twin.receive() == "ann 2 0"


def test_refuses_a_login_that_has_ended_before_the_handler_began(alone: Alone) -> None:
    """Its dependencies may have taken a while."""
    assert alone.refusal(alone.path("/slow")) == (1008, "credentials_invalid")


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("return", 1000, ""),
        ("word", 4000, "my own"),
        ("unusable", 1011, "internal"),
        ("auth", 1008, "forbidden"),
        ("fault", 1011, "internal"),
    ],
)
def test_closes_as_the_handler_leaves(alone: Alone, how: str, code: int, reason: str) -> None:
    """By its own exception or its end, in words that a browser shows."""
    with alone.socket(f"/fails/{how}") as client:
        assert told(client) == (code, reason)


@pytest.mark.parametrize("protocols", CLASSES.values(), ids=CLASSES)
def test_drains(protocols: Protocols) -> None:
    """All sockets are told, and new ones are sent to another server."""
    alone = Alone()
    with live_application(make_app(alone), protocols=protocols) as alone.server:
        with alone.socket("/echo") as client:
            client.send("1")
            client.receive()
            httpx.post(f"{alone.server.url}/drain")
            assert told(client) == (1012, "draining")
        assert alone.refusal(alone.path("/echo")) == (1012, "draining")


APPLICATION: Final = """
from fastapi import FastAPI, WebSocket
from itemwire_auth import AuthSettings, CurrentPrincipal, accept, install_auth

app = FastAPI()
install_auth(app, AuthSettings())

@app.get("/health/ready")
async def ready() -> None: ...

@app.websocket("/ws")
async def echo(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    async with accept(websocket, principal) as socket:
        async for text in socket.iter_text():
            await socket.send_text(text)
"""

SERVERS: Final = {
    "uvicorn": "--ws auto",
    "our-classes": "--http itemwire.fastpath.http:HttpProtocol "
    "--ws itemwire.fastpath.protocol:WebSocketProtocol",
}


@pytest.mark.parametrize("options", SERVERS.values(), ids=SERVERS)
def test_ends_with_a_word_when_its_server_stops(tmp_path: Path, options: str) -> None:
    """By the signal of a supervisor; uvicorn itself would say nothing."""
    (tmp_path / "alone.py").write_text(APPLICATION)
    uvicorn = str(Path(sys.executable).with_name("uvicorn"))
    token = mint(signing_key_from_secret(SECRET), subject="ann", lifetime=60)
    with (
        started([uvicorn, "alone:app", "--port", "0", *options.split()], tmp_path) as running,
        running.server.client(f"/ws?token={token}", subprotocols=()) as client,
    ):
        client.send("hello")
        assert client.receive() == "hello"
        running.stop()
        assert told(client) == (1012, "draining")


def test_works_in_tests_with_starlettes_client() -> None:
    """As an application's own tests have it, with its lifespan; without, it says what to do."""
    alone = Alone()
    with (
        TestClient(make_app(alone)) as client,
        client.websocket_connect(alone.path("/echo")) as socket,
    ):
        socket.send_text("hello")
        assert socket.receive_text() == "ann hello 0"
    with (
        pytest.raises(RuntimeError, match="with TestClient"),
        TestClient(make_app(alone)).websocket_connect(alone.path("/echo")),
    ):
        pass


def test_finds_what_was_revoked_in_another_way() -> None:
    """An application may keep revocations itself: the look of each second finds them."""
    alone = Alone()
    app = make_app(alone)
    with live_application(app) as alone.server, alone.socket("/echo") as client:
        client.send("1")
        client.receive()
        app.state.auth.authenticator.revocations.add(Revocation(alone.clock() + 60, subject="ann"))
        assert told(client) == (1008, "token_revoked")


def test_goes_on_looking_after_a_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without further looks no socket would ever end."""
    alone, closes = Alone(), iter([TOKEN_EXPIRED])

    def end_of(_sockets: OpenSockets, _principal: Principal) -> Close:
        if "look_failed" not in caplog.text:
            raise LookupError("a fault of the look")
        return next(closes)

    monkeypatch.setattr(OpenSockets, "_end_of", end_of)
    with live_application(make_app(alone)) as alone.server, alone.socket("/echo") as client:
        assert told(client) == (1008, "token_expired")


def test_says_what_is_missing() -> None:
    """Without `install_auth`, and where the application does not run."""
    bare, app = FastAPI(), make_app(Alone())

    with pytest.raises(LookupError, match="call install_auth"):
        asyncio.run(revoke(bare, "ann"))
    with pytest.raises(RuntimeError, match="does not run"):
        asyncio.run(drain(app))
