"""How many TCP connections one server takes, and how long a refused one may stay."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from itemwire.fastpath.connection_limit import STATE_KEY, ConnectionLimit
from itemwire.fastpath.handshake import parse_head, parse_opening
from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.fastpath.shared_state import SharedState, SocketAddresses
from tests.fastpath.served import Site, close_frame, dial, head, read_all, read_until, serving

GET = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n"


def limit_of(total: int = 0, per_address: int = 0) -> ConnectionLimit:
    """Make a limit that counts each address by itself, but for an exempt one."""
    return ConnectionLimit(total, per_address, lambda host: None if host == "exempt" else host)


def test_admits_as_many_of_an_address_as_are_released() -> None:
    """The twin of the refusal: a place that is free again is taken again."""
    limit = limit_of(per_address=2)

    assert [limit.admit(1, "a") for _ in range(3)] == [None, None, 429]
    assert limit.admit(1, "b") is None
    limit.release("a")
    assert limit.admit(1, "a") is None
    assert limit.refused == {"total": 0, "address": 1}


def test_an_exempt_address_is_not_counted() -> None:
    """A proxy brings the connections of many clients."""
    limit = limit_of(per_address=1)

    assert [limit.admit(1, "exempt") for _ in range(3)] == [None] * 3


def test_a_full_server_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Until half of the connections are gone: a flood must not fill the log."""
    limit = limit_of(total=10)
    with caplog.at_level(logging.WARNING, "itemwire.fastpath"):
        statuses = [limit.admit(number, "a") for number in (10, 11, 11, 9, 11, 4, 11)]

    assert statuses == [None, 503, 503, None, 503, None, 503]
    assert len(caplog.messages) == 2
    assert "connections_full open=10 limit=10" in caplog.messages[0]


async def _no_app(_scope: object, _receive: object, _send: object) -> None:
    pass


def test_a_socket_is_given_the_state_of_the_lifespan_without_the_limit() -> None:
    """An idle socket keeps its state for a refresh: a dict of its own would be 200 bytes."""

    async def scope_with(state: dict[str, object]) -> object:
        config, server_state = Config(_no_app, ws="none", lifespan="off"), ServerState()
        config.load()
        shared = SharedState(WebSocketProtocol, config, server_state, state)
        opening = parse_opening(parse_head(head()))
        return shared.scope_of(opening, SocketAddresses(None, None, is_secure=False))["state"]

    limit = limit_of()

    assert asyncio.run(scope_with({STATE_KEY: limit})) == {}
    assert asyncio.run(scope_with({STATE_KEY: limit, "pool": 1})) == {"pool": 1}


def with_limit(site: Site, limit: ConnectionLimit) -> None:
    """Give a server a limit, as the lifespan of an application does."""
    site.server.lifespan.state[STATE_KEY] = limit


@pytest.mark.server
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_one_connection_too_many_is_told_so_whatever_the_others_are_for(loop: str) -> None:
    """Sockets, requests and connections that say nothing take a descriptor each."""
    with serving(loop=loop) as site, ExitStack() as opened:
        with_limit(site, limit_of(per_address=3))
        opened.enter_context(dial(site))
        opened.enter_context(socket := dial(site, head()))
        assert read_until(socket, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        kept = opened.enter_context(dial(site, GET))
        assert read_until(kept, b"\r\n\r\n0").startswith(b"HTTP/1.1 200 ")
        assert read_all(opened.enter_context(dial(site))).startswith(b"HTTP/1.1 429 ")
        socket.close()
        wait_for(lambda: len(site.server.server_state.connections) == 2)
        again = opened.enter_context(dial(site, GET))

        assert read_until(again, b"\r\n\r\n0").startswith(b"HTTP/1.1 200 ")


def wait_for(condition: object, seconds: float = 5) -> None:
    """Wait until something holds."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.server
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_refused_socket_that_does_not_answer_is_gone_in_two_seconds(loop: str) -> None:
    """300 of them, 9 s each and counted by nobody, used up the descriptors (requirement 124)."""
    with serving(loop=loop, close_seconds=30.0) as site, dial(site, head("/refuse")) as client:
        read_until(client, close_frame(1008, "credentials_invalid"))
        began = time.monotonic()
        wait_for(lambda: not site.server.server_state.connections)

        assert time.monotonic() - began < 2 + 3  # what a busy machine may add


@pytest.mark.server
def test_a_socket_that_was_used_has_its_time_to_answer_a_close() -> None:
    """The twin: a slow phone may take seconds to read what was sent before the close."""
    with serving(close_seconds=30.0) as site, dial(site, head("/used")) as client:
        read_until(client, close_frame(1008, "slow_consumer"))
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(asyncio.Event().wait(), 3))

        assert len(site.server.server_state.connections) == 1
