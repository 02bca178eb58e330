"""The two channel clients, synchronous and asyncio, with the same cases for both."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from itemwire.main import create_app
from itemwire.testing import (
    AsyncChannelClient,
    ChannelClient,
    Clock,
    Ended,
    LiveServer,
    Refusal,
    live_application,
    settings_for,
)
from itemwire_auth.testing import TokenFactory


@pytest.fixture(scope="module")
def wire(tokens: TokenFactory) -> Iterator[LiveServer]:
    """Itemwire, as the kit starts it."""
    with live_application(create_app(settings_for(tokens))) as server:
        yield server


@pytest.fixture
def path(tokens: TokenFactory, request: pytest.FixtureRequest) -> str:
    """The way to an item of the test's own."""
    return f"/items/{request.node.name.replace('_', '-')[:60]}/ws?token={tokens.good()}"


def test_a_client_is_welcomed_publishes_and_hears_itself(wire: LiveServer, path: str) -> None:
    """The three things that nearly every test of a channel begins with."""
    with wire.client(path) as client:
        welcome = client.welcome()
        reply = client.publish({"status": "packed"})
        message = client.message(data={"status": "packed"})

    assert client.subprotocol == "itemwire.v1.json"
    assert (welcome["subject"], reply["offset"], message["offset"]) == ("alice", 1, 1)


def test_what_was_not_asked_for_yet_is_kept(wire: LiveServer, path: str) -> None:
    """A message that overtakes a reply is read later, not lost."""
    with wire.client(path) as client:
        client.publish("one")
        client.publish("two")
        second = client.message(data="two")
        kinds = [client.envelope()["type"] for _ in range(2)]

    assert second["offset"] == 2
    assert kinds == ["welcome", "message"]


def test_silence_ends_in_a_timeout_that_tells_what_came_before(wire: LiveServer, path: str) -> None:
    """A test that hangs tells nothing; a TestClient's receive waits for ever."""
    with wire.client(path) as client:
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"within 0\.\d+ s.*welcome"):
            client.expect("joined", timeout=0.2)

    assert time.monotonic() - started < 5


def test_what_comes_all_the_time_does_not_keep_a_client_waiting() -> None:
    """The timeout is for the whole wait, not for each frame of it."""

    async def talks(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.send_text('{"type": "talk"}')
                await asyncio.sleep(0.01)

    app = Starlette(routes=[WebSocketRoute("/ws", talks)])
    with live_application(app) as server, server.client("/ws") as client:
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="talk"):
            client.expect("silence", timeout=0.2)

    assert time.monotonic() - started < 5


def test_a_denied_handshake_and_a_close_end_alike(tokens: TokenFactory, wire: LiveServer) -> None:
    """One exception, and its refusal tells them apart."""
    app = create_app(settings_for(tokens, refusal="http"))
    with (
        live_application(app) as denying,
        pytest.raises(Ended) as denied,
        denying.client("/items/42/ws"),
    ):
        pass
    with wire.client("/items/42/ws") as client, pytest.raises(Ended) as closed:
        client.receive()

    assert (denied.value.refusal.status, denied.value.refusal.code) == (401, None)
    assert b"credentials_missing" in denied.value.refusal.body
    assert denied.value.refusal.browser_sees == (1006, "")
    assert closed.value.refusal == Refusal(101, 1008, "credentials_missing")
    assert closed.value.refusal.browser_sees == (1008, "credentials_missing")


def test_sending_after_the_end_tells_the_end(wire: LiveServer) -> None:
    """Not of a broken pipe."""
    with wire.client("/items/42/ws") as client:
        client.ending()
        with pytest.raises(Ended, match="credentials_missing"):
            client.send("hello")


def test_a_server_that_chooses_no_subprotocol_is_found_out() -> None:
    """Python's client goes on; Chromium shows 1006 in place of the reason."""

    async def closes(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(1008, "no")

    app = Starlette(routes=[WebSocketRoute("/ws", closes)])
    with live_application(app) as server:
        with server.client("/ws", subprotocols=("mine",)) as client:
            offered = client.ending()
        with server.client("/ws", subprotocols=()) as client:
            plain = client.ending()
        seen = server.refusal("/ws", subprotocols=("mine",)).browser_sees

    assert (offered.browser_sees, plain.browser_sees, seen) == (
        (1006, ""),
        (1008, "no"),
        (1006, ""),
    )


def test_the_clock_steps_past_the_end_of_a_token(tokens: TokenFactory) -> None:
    """Five minutes go by in one tick of the server."""
    clock = Clock()
    factory = TokenFactory(tokens.key, clock=clock)
    app = create_app(settings_for(factory), clock=clock)
    token = factory.good(exp=factory.now + 300)
    with live_application(app) as server, server.client(f"/items/42/ws?token={token}") as client:
        assert client.welcome()["expires_at"] == factory.now + 300
        clock.advance(299)
        assert client.ask("ping")["type"] == "pong"
        clock.advance(2)
        ending = client.ending()
        again = server.refusal(f"/items/42/ws?token={token}")

    assert ending.browser_sees == (1008, "token_expired")
    assert again.browser_sees == (1008, "credentials_invalid")


def test_the_asyncio_client_does_the_same(wire: LiveServer, path: str) -> None:
    """Method by method."""

    async def scenario() -> None:
        async with wire.async_client(path) as client:
            assert client.subprotocol == "itemwire.v1.json"
            assert (await client.welcome())["subject"] == "alice"
            assert (await client.publish("one"))["offset"] == 1
            assert (await client.message())["data"] == "one"
            await client.send('{"type": "ping"}')
            assert (await client.envelope())["type"] == "pong"
            with pytest.raises(TimeoutError, match="pong"):
                await client.expect("joined", timeout=0.1)
            await client.close()

    asyncio.run(scenario())


def test_the_asyncio_client_ends_the_same(tokens: TokenFactory, wire: LiveServer) -> None:
    """Denied, closed, and sending after that."""

    async def scenario(denying: LiveServer) -> None:
        with pytest.raises(Ended) as denied:
            async with denying.async_client("/items/42/ws"):
                pass
        async with wire.async_client("/items/42/ws") as client:
            ending = await client.ending()
            with pytest.raises(Ended):
                await client.send("hello")
        assert denied.value.refusal.status == 401
        assert ending == Refusal(101, 1008, "credentials_missing")

    with live_application(create_app(settings_for(tokens, refusal="http"))) as denying:
        asyncio.run(scenario(denying))


def test_the_two_clients_have_the_same_methods() -> None:
    """What one learns for the one holds for the other."""

    def methods(client: type) -> set[str]:
        return {name for name in vars(client) if not name.startswith("_")}

    assert methods(ChannelClient) == methods(AsyncChannelClient)
