"""The live server, with any ASGI application, on Itemwire's classes and on uvicorn's."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire import Itemwire, create_app
from itemwire.serving.listening import bind
from itemwire.serving.server import FASTPATH, Protocols, server_of
from itemwire.settings import Settings
from itemwire.testing import live_application, live_server, servers, settings_for
from itemwire.testing.servers import STOCK
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory, signing_key
from itemwire_auth.tokens.minting import new_secret
from tests.server_process import free_port
from tests.test_startup_checks import settings_of


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without any framework, and without a lifespan."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"bare"})


@pytest.mark.parametrize("protocols", [FASTPATH, STOCK], ids=["fastpath", "stock"])
def test_runs_any_asgi_application(protocols: Protocols) -> None:
    """The kit asks nothing of what it runs."""
    with live_application(bare, protocols=protocols) as server:
        assert httpx.get(server.url).text == "bare"


def itself() -> ASGIApp:
    """Make Itemwire's own application."""
    return create_app(settings_for(TokenFactory(signing_key_from_secret(new_secret()))))


def without_channels() -> ASGIApp:
    """Make an application of somebody who has no channels."""
    return FastAPI()


def with_channels() -> ASGIApp:
    """Make an application that has channels in it, below a router of its own."""
    live = Itemwire(user=lambda: {"id": "ann"}, settings=settings_of(secret=None))
    router = APIRouter()
    router.include_router(live.router, prefix="/live")
    app = FastAPI()
    app.include_router(router, prefix="/v1")
    return app


def with_mounted_channels() -> ASGIApp:
    """Make an application that mounts another one, which has channels."""
    app = FastAPI()
    app.mount("/inner", with_channels())
    return app


@pytest.mark.parametrize(
    ("make", "is_fast"),
    [
        (lambda: bare, False),
        (without_channels, False),
        (itself, True),
        (with_channels, True),
        (with_mounted_channels, True),
    ],
    ids=["bare", "without", "own", "with", "mounted"],
)
def test_serves_an_application_as_it_is_served_at_home(
    make: Callable[[], ASGIApp], is_fast: bool
) -> None:
    """A foreign application on our classes would be tested for faults of another server."""
    with live_application(make()) as server:
        classes = server.server.config.http

    assert (classes == FASTPATH.http) is is_fast


def test_runs_the_lifespan_and_stops() -> None:
    """What an application opens at its start is open, and is closed when the test is over."""
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        seen.append("started")
        yield
        seen.append("stopped")

    with live_application(FastAPI(lifespan=lifespan)) as server:
        assert seen == ["started"]
        port = int(server.url.rpartition(":")[2])

    assert seen == ["started", "stopped"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_an_application_that_does_not_start_fails_the_test_at_once() -> None:
    """And not by a timeout of whatever connects first."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    with (
        pytest.raises(RuntimeError, match="did not start"),
        live_application(FastAPI(lifespan=lifespan)),
    ):
        pass


@pytest.mark.parametrize("protocols", [FASTPATH, STOCK], ids=["fastpath", "stock"])
def test_a_server_has_started_when_it_is_given(protocols: Protocols) -> None:
    """Else it could start beside the next one, or beside a test that changes what all see."""
    settings = settings_for(TokenFactory(signing_key_from_secret(new_secret())))
    server = server_of(settings, protocols)
    with live_server(settings, server), live_application(bare, protocols=protocols) as other:
        assert (server.started, other.server.started) == (True, True)


@pytest.mark.parametrize("protocols", [FASTPATH, STOCK], ids=["fastpath", "stock"])
def test_a_server_that_does_not_start_fails_the_test_at_once_and_leaves_no_port(
    protocols: Protocols, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port without a server would let each client wait for its time limit."""
    listeners: list[socket.socket] = []

    def noted(settings: Settings) -> socket.socket:
        listeners.append(bind(settings))
        return listeners[0]

    monkeypatch.setattr(servers, "bind", noted)
    away = f"redis://127.0.0.1:{free_port()}"
    settings = settings_for(TokenFactory(signing_key_from_secret(new_secret())), engine_url=away)
    with (
        pytest.raises(RuntimeError, match="did not start"),
        live_server(settings, server_of(settings, protocols)),
    ):
        pass

    assert [one.fileno() for one in listeners] == [-1]


def test_the_environment_of_whoever_runs_the_tests_has_no_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`ITEMWIRE_HOST` is for the server one deploys."""
    monkeypatch.setenv("ITEMWIRE_HOST", "192.0.2.1")

    with live_application(bare) as server:
        assert server.url.startswith("http://127.0.0.1:")


def test_settings_for_plain_tokens_accept_them() -> None:
    """Those of an application that puts no issuer, audience or type into its tokens."""
    key = signing_key_from_secret(new_secret())
    plain = TokenFactory(key, issuer=None, audience=None, token_type=None)
    app = create_app(settings_for(plain))
    path = f"/items/1/ws?token={plain.good()}"
    with live_application(app) as server, server.client(path) as client:
        assert client.welcome()["subject"] == "alice"


def test_settings_for_a_pair_of_keys_are_not_guessed() -> None:
    """A private key is no secret to share."""
    with pytest.raises(TypeError, match="keys_file"):
        settings_for(TokenFactory(signing_key("ES256")))


@pytest.mark.parametrize(("algorithm", "kid"), [("HS256", None), ("HS256", "k"), ("HS512", None)])
def test_settings_for_a_key_that_is_no_secret_are_refused(algorithm: str, kid: str | None) -> None:
    """A server with them would refuse each good token, or the error would show the key."""
    with pytest.raises(TypeError, match="secret"):
        settings_for(TokenFactory(signing_key(algorithm, kid)))


@pytest.mark.parametrize("protocols", [FASTPATH, STOCK], ids=["fastpath", "stock"])
def test_ends_with_its_block_and_not_with_its_next_tick(
    monkeypatch: pytest.MonkeyPatch, protocols: Protocols
) -> None:
    """A test run stops hundreds of servers; the next tick of this one is far away."""
    monkeypatch.setattr(servers, "TICK_SECONDS", 3600.0)
    with live_application(bare, protocols=protocols) as server:
        assert httpx.get(server.url).text == "bare"

    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def ask_for_ever(url: str) -> None:
    """Ask again and again, until nobody answers."""
    while True:
        httpx.get(url)


def test_ends_as_well_when_it_is_told_to_by_itself() -> None:
    """As a signal, or a limit of requests, tells it: that is seen with the next tick."""
    with live_application(bare) as server:
        server.server.should_exit = True
        with pytest.raises(httpx.TransportError):
            ask_for_ever(server.url)
