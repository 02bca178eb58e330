"""What an application is told after the fact, on a real server."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, Request

from itemwire import Channel, Itemwire, Member, Rights
from itemwire.rules import calls, hooks
from itemwire.testing.servers import live_application
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

Seen = list[tuple[object, ...]]


async def anybody() -> dict[str, str]:
    """Return the same user for everybody."""
    return {"id": "ann"}


async def database() -> AsyncGenerator[str]:
    """Open something that a hook needs."""
    yield "database"


def shop(declare: Callable[[Itemwire, Channel[..., Any]], None]) -> FastAPI:
    """Make an application with a channel, and with what a test declares."""
    live = Itemwire(user=anybody, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("order:{number}")
    async def order(number: int) -> Rights:
        return Rights("subscribe")

    declare(live, order)
    return app


def wait_for(seen: Seen, count: int) -> Seen:
    """Wait until so much was seen."""
    until = time.monotonic() + 20
    while len(seen) < count and time.monotonic() < until:
        time.sleep(0.01)
    return seen


def test_is_told_in_order() -> None:
    """Of a connection, its joins and leaves, and its end; with what its functions depend on."""
    seen: Seen = []

    def declare(live: Itemwire, order: Channel[..., Any]) -> None:
        @live.on_connect
        async def connected(member: Member) -> None:
            seen.append(("connect", member.subject))

        @order.on_join
        async def joined(
            member: Member, number: int, opened: Annotated[str, Depends(database)]
        ) -> None:
            seen.append(("join", member.subject, number, opened))

        @order.on_leave
        def left(number: int) -> None:
            seen.append(("leave", number))

        @live.on_disconnect
        def disconnected() -> None:
            seen.append(("disconnect",))

    with live_application(shop(declare)) as server, server.client("/live/ws?token=x") as client:
        client.ask("join", item="order:7")
        client.ask("leave", item="order:7")
        client.ask("join", item="order:8")
        client.close()
        wait_for(seen, 6)

    assert seen == [
        ("connect", "ann"),
        ("join", "ann", 7, "database"),
        ("leave", 7),
        ("join", "ann", 8, "database"),
        ("disconnect",) if seen[4] == ("disconnect",) else ("leave", 8),
        ("leave", 8) if seen[4] == ("disconnect",) else ("disconnect",),
    ]


def test_is_told_where_nobody_is_a_member() -> None:
    """A channel without presence has clients that join and leave, too."""
    seen: list[str] = []
    live = Itemwire(user=anybody, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("cursor:{board}", presence="off")
    async def cursor(board: str) -> Rights:
        return Rights("subscribe")

    @cursor.on_join
    async def joined(board: str) -> None:
        seen.append(f"join {board}")

    @cursor.on_leave
    async def left(board: str) -> None:
        seen.append(f"leave {board}")

    with live_application(app) as server, server.client("/live/ws?token=x") as client:
        client.ask("join", item="cursor:a")
        client.ask("leave", item="cursor:a")
        client.ask("join", item="cursor:b")

    assert seen == ["join a", "leave a", "join b", "leave b"]


def test_no_socket_waits_for_a_hook(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not for one that hangs; what one raises is logged, and the next is told."""
    monkeypatch.setattr(calls, "DECISION_SECONDS", 0.2)
    seen: Seen = []

    def declare(_live: Itemwire, order: Channel[..., Any]) -> None:
        @order.on_join
        async def hang(number: int) -> None:
            if number == 1:
                await asyncio.Event().wait()
            raise ValueError("a fault of the application")

        @order.on_leave
        async def left(number: int) -> None:
            seen.append(("leave", number))

    caplog.set_level(logging.ERROR)
    with (
        live_application(shop(declare)) as server,
        server.client("/live/items/order:1/ws?token=x") as client,
        server.client("/live/ws?token=x") as other,
    ):
        assert client.welcome()["item"] == "order:1"
        assert client.ask("ping")["type"] == "pong"
        other.ask("join", item="order:2")
        other.ask("leave", item="order:2")
        wait_for(seen, 1)
    assert "a fault of the application" in caplog.text
    assert seen[0] == ("leave", 2)


def test_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Events that are too many are dropped, which the log says once; sockets go on."""
    monkeypatch.setattr(hooks, "MAX_WAITING", 2)

    def declare(_live: Itemwire, order: Channel[..., Any]) -> None:
        @order.on_join
        async def hang() -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(hooks, "GRACE", 0.0)
    with (
        live_application(shop(declare)) as server,
        server.client("/live/ws?token=x") as client,
    ):
        for number in range(6):
            assert client.ask("join", item=f"order:{number}")["type"] == "welcome"

    assert caplog.text.count("hooks_dropped") == 1


async def with_header(x_shop: Annotated[str, Header()]) -> str:
    """Read something of a request."""
    return x_shop


async def reads_a_header(shop: Annotated[str, Depends(with_header)]) -> None:
    """Depend on what a request has."""


async def reads_the_request(request: Request) -> None:
    """Depend on a request."""


@pytest.mark.parametrize("function", [reads_a_header, reads_the_request])
def test_a_hook_cannot_read_a_handshake(function: Callable[..., Any]) -> None:
    """It is over when the hook is called: said where the hook is declared."""
    live = Itemwire(user=anybody, settings=settings_of(secret=None))

    with pytest.raises(ValueError, match="after the fact"):
        live.on_connect(function)
