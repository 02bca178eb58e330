"""How a client connects, and connects again: behaviours 6 to 12 of a client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from pathlib import Path
from random import Random

import pytest

from itemwire.client import AsyncClient, ClientClosed, NotConnected, Refused, RequestTimeout
from itemwire.client.backoff import CAP_SECONDS, FIRST_SECONDS, Backoff
from itemwire.client.sockets import HandshakeDenied, SocketClosed
from tests.client.manual_clock import settle
from tests.client.scripted import Stage, data_of, scripted


def test_6_waits_are_drawn_from_a_window_that_doubles_to_a_cap() -> None:
    """Full jitter: clients of one server that ended come back apart from each other."""
    windows: list[float] = []

    def draw(low: float, high: float) -> float:
        windows.append(high)
        return low

    backoff = Backoff(1.0, 30.0, draw)
    waits = [backoff.next_wait() for _ in range(40)]
    backoff.reset()
    backoff.next_wait()

    assert windows[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert (windows[-2], windows[-1]) == (30.0, 1.0)
    assert waits == [0.0] * 40


def test_6_of_400_clients_that_lose_a_server_at_once_few_come_back_together() -> None:
    """At most 5 % within 100 ms, with what both clients do by default."""
    draw = Random(1).uniform  # noqa: S311 - no secret
    waits = sorted(Backoff(random=draw).next_wait() for _ in range(400))

    assert all(late - early >= 0.1 for early, late in zip(waits, waits[20:], strict=False))


def test_6_both_clients_have_the_same_defaults() -> None:
    """They lose the same servers."""
    script = (Path(__file__).parents[2] / "clients" / "js" / "itemwire.js").read_text()
    (found,) = re.findall(r"base: this\.#base = ([\d_]+), cap: this\.#cap = ([\d_]+)", script)

    assert [int(number) / 1000 for number in found] == [FIRST_SECONDS, CAP_SECONDS]


@pytest.mark.parametrize("hints", [True, False], ids=["hello", "pong"])
@scripted
async def test_6_the_wait_is_reset_by_a_proof_and_not_by_an_open_socket(
    stage: Stage, hints: bool
) -> None:
    """A refused handshake opens, too: a server that refuses all must be left alone longer."""
    stage.server.hints = hints
    stage.luck = 1.0
    stage.server.outcomes.extend([SocketClosed(1013, "overloaded")] * 4)
    wire = await stage.connected()
    waited: list[float] = []
    while wire.state != "connected":
        waited.append(stage.clock.waits[0])
        await stage.clock.advance(waited[-1])
    stage.server.socket.drop()
    await settle()

    assert waited == [2.0, 4.0, 8.0, 16.0]
    assert stage.clock.waits == [2.0]


@scripted
async def test_7_the_servers_advice_is_a_floor(stage: Stage) -> None:
    """It spreads the clients of a node that drains; ours is added to it."""
    stage.luck = 0.0
    await stage.connected()
    stage.server.socket.say(
        "closing", code=1012, reason="draining", retry="now", retry_after_ms=1840
    )
    stage.server.socket.drop(1012, "draining")
    await settle()

    assert stage.clock.waits == [pytest.approx(1.84)]


@scripted
async def test_7_so_is_retry_after_of_a_handshake_that_was_denied(stage: Stage) -> None:
    """A proxy or a server that refuses over HTTP says it in a header."""
    stage.luck = 0.0
    body = b'{"code":1013,"reason":"overloaded","retry":"later"}'
    stage.server.outcomes.append(HandshakeDenied(503, {"retry-AFTER": "7"}, body))
    await stage.connected()

    assert stage.clock.waits == [7.0]


@scripted
async def test_8_nothing_of_an_older_connection_reaches_a_newer_one(stage: Stage) -> None:
    """Its frames may still come while the next one is open."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    old = stage.server.socket
    old.drop()
    await stage.clock.advance(5)
    old.say("message", item="a", offset=99, sender="x", sent_at=0, data="late")
    await settle()

    with pytest.raises(RequestTimeout):
        await nothing(stage, item.receive(timeout=1.0))
    assert (wire.state, len(stage.server.sockets)) == ("connected", 2)


@scripted
async def test_8_connecting_in_a_function_is_neither_doubled_nor_lost(stage: Stage) -> None:
    """The natural place to try again is where the program hears of the end."""
    stage.server.outcomes.append(SocketClosed(1008, "forbidden;retry=never"))
    wire = stage.client()

    def again(state: str) -> None:
        if state == "refused":
            wire.connect()
            wire.connect()

    wire.on("state", again)
    wire.connect()
    await settle()

    assert stage.states == ["connecting", "refused", "connecting", "connected"]
    assert len(stage.server.requests) == 2


@scripted
async def test_9_everything_is_torn_down_before_anybody_is_told(stage: Stage) -> None:
    """A function that looks at the client finds it as the event says."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    stage.server.held.add("publish")
    asked = asyncio.ensure_future(item.publish(1))
    seen: list[tuple[str, str]] = []
    wire.on("state", lambda state: seen.append((state, item.state)))
    await settle()
    stage.server.socket.drop()
    await stage.clock.advance(5)
    await wire.close()
    await asyncio.gather(asked, return_exceptions=True)

    assert seen == [("reconnecting", "joining"), ("connected", "joining"), ("closed", "away")]


@scripted
async def test_10_a_function_that_fails_breaks_nothing(stage: Stage) -> None:
    """Neither the other functions nor the frames behind."""

    def fail(*_: object) -> None:
        raise KeyError("bug")

    async def fail_later(_: object) -> None:
        raise KeyError("bug")

    heard: list[object] = []
    wire = stage.client()
    for event in ("state", "error", "frame"):
        wire.on(event, fail)
        wire.on(event, fail_later)
    wire.connect()
    await settle()
    item = wire.item("a")
    for function in (fail, fail_later, lambda message: heard.append(message.data)):
        item.on("message", function)
    await item.join()
    stage.server.publish("a", 1)
    stage.server.publish("a", 2)
    await settle()

    assert heard == [1, 2]
    assert stage.states == ["connecting", "connected"]


@scripted
async def test_10_a_frame_that_cannot_be_read_breaks_nothing(stage: Stage) -> None:
    """The next one is read."""
    wire = await stage.connected()
    item = wire.item("a")
    await item.join()
    for frame in ("{", b"\xff", '{"type": 3}', "[" * 9000):
        stage.server.socket.say_raw(frame)
    stage.server.publish("a", 1)

    assert data_of(await item.receive()) == 1
    assert len(stage.errors) == 4


@scripted
async def test_11_a_handshake_that_nobody_answers_is_timed_out(stage: Stage) -> None:
    """A proxy may take the connection and do nothing."""
    stage.server.outcomes.append(asyncio.Event())
    wire = await stage.connected(timeout=4.0)
    await stage.clock.advance(4)
    assert [type(one) for one in stage.errors] == [NotConnected]
    await stage.clock.advance(1)

    assert wire.state == "connected"


@scripted
async def test_11_so_is_a_server_that_opens_and_says_nothing(stage: Stage) -> None:
    """An open socket is no proof that anybody is behind it."""
    stage.server.hints = False
    stage.server.is_silent = True
    wire = await stage.connected(timeout=4.0)
    await stage.clock.advance(4)
    stage.server.is_silent = False
    await stage.clock.advance(1)

    assert (wire.state, len(stage.server.sockets)) == ("connected", 2)


@scripted
async def test_12_closing_while_connecting_leaves_no_connection(stage: Stage) -> None:
    """Whatever the handshake would have come to."""
    late = asyncio.Event()
    stage.server.outcomes.append(late)
    wire = await stage.connected()
    await wire.close()
    late.set()
    await stage.clock.advance(600)

    assert (stage.server.sockets, len(stage.server.requests)) == ([], 1)
    assert wire.state == "closed"


@scripted
async def test_12_nothing_connects_again_after_the_end(stage: Stage) -> None:
    """Neither a late close frame nor waking up does."""
    wire = await stage.connected()
    await wire.close()
    stage.server.socket.drop(1012, "draining;retry=now")
    wire.wake()
    await stage.clock.advance(600)
    with pytest.raises(ClientClosed):
        wire.connect()

    assert len(stage.server.requests) == 1
    assert stage.clock.waits == []


@scripted
async def test_12_closing_while_it_waits_ends_the_wait(stage: Stage) -> None:
    """No timer is left behind."""
    stage.server.outcomes.extend([OSError("no route")] * 3)
    wire = await stage.connected()
    assert len(stage.clock.waits) == 1
    await wire.close()
    await stage.clock.advance(600)

    assert (stage.clock.waits, len(stage.server.requests)) == ([], 1)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        pytest.param(SocketClosed(1008, "blocked;retry=never"), "blocked", id="its own word"),
        pytest.param(SocketClosed(1008, "forbidden"), "forbidden", id="a server without hints"),
        pytest.param(
            HandshakeDenied(403, {}, b'{"code":1008,"reason":"tls_required","retry":"never"}'),
            "tls_required",
            id="over HTTP",
        ),
    ],
)
@scripted
async def test_a_refusal_for_good_stops_the_client(
    stage: Stage, outcome: Exception, reason: str
) -> None:
    """And tells everybody who waits."""
    stage.server.outcomes.append(outcome)
    wire = stage.client()
    wire.connect()
    joining = asyncio.ensure_future(wire.item("a").join())
    reading = asyncio.ensure_future(anext(aiter(wire.item("b"))))
    await settle()
    results = await asyncio.gather(joining, reading, return_exceptions=True)

    assert [one.reason for one in results if isinstance(one, Refused)] == [reason] * 2
    assert stage.clock.waits == []


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(SocketClosed(1008, "a word of tomorrow"), id="a reason"),
        pytest.param(SocketClosed(4999, ""), id="a code"),
        pytest.param(HandshakeDenied(502, {}, b"<html>"), id="a proxy"),
        pytest.param(HandshakeDenied(403, {}, b'{"reason": 3}'), id="a body"),
        pytest.param(OSError("no route to host"), id="no network"),
    ],
)
@scripted
async def test_34_what_is_not_known_is_tried_again_later(stage: Stage, outcome: Exception) -> None:
    """A server of a later version has reasons that this client has not."""
    stage.server.outcomes.append(outcome)
    wire = await stage.connected()
    assert wire.state == "connecting"
    await stage.clock.advance(5)

    assert wire.state == "connected"


@scripted
async def test_a_server_without_hints_is_understood(stage: Stage) -> None:
    """It says no hello, knows no lists of joins, and proves itself by an answer."""
    stage.server.hints = False
    wire = await stage.connected()
    items = [wire.item(name) for name in "abc"]
    await asyncio.gather(*(item.join() for item in items))

    assert stage.server.socket.sent[0]["type"] == "ping"
    assert [one["item"] for one in stage.server.socket.of_type("join")] == ["a", "b", "c"]


@scripted
async def test_asks_for_hints_and_heartbeats_with_its_token_in_a_header(stage: Stage) -> None:
    """A query is logged by proxies; a header is not."""
    await stage.connected(token="t", headers={"X-Trace": "7"})

    (request,) = stage.server.requests
    assert request.url == "wss://wire.example.com/ws?hints=1&heartbeat=22"
    assert request.headers == {"X-Trace": "7", "Authorization": "Bearer t"}
    assert "Bearer" not in repr(request)


@pytest.mark.parametrize("url", ["wire.example.com", "ftp://x", "wss://", "wss://x/?token=1"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    """And not at the first attempt, somewhere in a log."""
    with pytest.raises(ValueError, match="URL"):
        AsyncClient(url)


async def nothing(stage: Stage, reading: Awaitable[object]) -> object:
    """Await something while a second passes."""
    task = asyncio.ensure_future(reading)
    await stage.clock.advance(1.0)
    return await task
