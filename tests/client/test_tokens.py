"""The token: behaviours 1 to 5, 27 and 35 of a client (docs/python-client.md)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from itemwire.client import Refused, TokenRequest, Unauthorized
from itemwire.client.sockets import SocketClosed
from itemwire.client.token_source import TokenSource
from tests.client.manual_clock import UNIX, ManualClock, settle
from tests.client.scripted import Stage, scripted

REFUSED = SocketClosed(1008, "credentials_invalid;retry=token")


class Tokens:
    """A token source that counts, and fails when it is told to."""

    def __init__(self) -> None:
        self.asked: list[TokenRequest] = []
        self.failures: list[Exception] = []

    async def __call__(self, request: TokenRequest) -> str:
        """Return a token that was never returned before."""
        self.asked.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return f"t{len(self.asked)}"


@scripted
async def test_1_the_source_is_asked_at_every_attempt(stage: Stage) -> None:
    """A token that was good an hour ago may have ended: none is kept."""
    tokens = Tokens()
    await stage.connected(token=tokens)
    stage.server.socket.say("closing", code=1012, reason="draining", retry="now", retry_after_ms=9)
    stage.server.socket.drop(1012, "draining;retry=now")
    await stage.clock.advance(5)
    stage.server.socket.drop()
    await stage.clock.advance(5)

    assert stage.server.tokens == ["t1", "t2", "t3"]
    assert [one.reason for one in tokens.asked] == ["connect"] * 3


@scripted
async def test_2_one_call_is_under_way_and_its_late_answer_is_ignored(stage: Stage) -> None:
    """After `sign_out`, the token of the earlier user must not open a connection."""
    answers: list[asyncio.Future[str]] = []

    async def source() -> str:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    wire = await stage.connected(token=source)
    wire.connect()
    await settle()
    assert len(answers) == 1
    await wire.sign_out()
    await settle()

    assert answers[0].cancelled()
    assert stage.server.requests == []


@scripted
async def test_2_a_function_that_blocks_is_never_called_twice_at_once(stage: Stage) -> None:
    """It runs in a thread, which nothing can end; the next attempt waits for it."""
    release = threading.Event()
    calls: list[str] = []

    def source() -> str:
        calls.append("t")
        release.wait(20)
        return f"t{len(calls)}"

    await stage.connected(token=source)
    await stage.clock.advance(10)  # it hangs: timed out
    await stage.clock.advance(1)  # and asked again
    assert len(calls) == 1
    release.set()
    await stage.reached("connected")

    assert stage.server.tokens == ["t2"]


@scripted
async def test_3_a_source_that_fails_is_asked_again_later(stage: Stage) -> None:
    """Whatever the program's own function raises is one failed attempt."""
    tokens = Tokens()
    tokens.failures = [OSError("no network"), KeyError("bug")]
    wire = await stage.connected(token=tokens)
    await stage.clock.advance(30)

    assert wire.state == "connected"
    assert [str(one) for one in stage.errors] == ["no token: no network", "no token: 'bug'"]
    assert stage.server.tokens == ["t3"]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: None, id="none"),
        pytest.param(Tokens, id="raises"),
    ],
)
@scripted
async def test_3_nobody_signed_in_stops_the_client(
    stage: Stage, source: Callable[[], object]
) -> None:
    """Asking on would be a loop for as long as the program runs."""
    made = source()
    if isinstance(made, Tokens):
        made.failures = [Unauthorized("sign in first")]
    wire = stage.client(token=made if isinstance(made, Tokens) else source)
    wire.connect()
    await stage.reached("refused")

    with pytest.raises(Refused, match="unauthorized"):
        await wire.ready()
    assert (wire.state, stage.clock.waits) == ("refused", [])


@scripted
async def test_3_a_source_that_hangs_is_timed_out(stage: Stage) -> None:
    """The attempt fails like any other, and the next one works."""
    tokens = Tokens()
    calls: list[int] = []

    async def source() -> str:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.get_running_loop().create_future()
        return await tokens(TokenRequest("", 0))

    wire = await stage.connected(token=source)
    await stage.clock.advance(10)
    await stage.clock.advance(1)

    assert (wire.state, len(calls)) == ("connected", 2)


@scripted
async def test_4_a_static_token_that_ends_stops_with_a_clear_error(stage: Stage) -> None:
    """Nothing that the client can do would give it another."""
    wire = await stage.connected(token="t")
    stage.server.socket.drop(1008, "token_expired;retry=token")
    await settle()

    assert wire.state == "refused"
    with pytest.raises(Refused) as refused:
        await wire.ready()
    assert (refused.value.reason, refused.value.retry) == ("token_expired", "token")
    assert "expired while the socket was open" in str(refused.value)
    assert len(stage.server.requests) == 1


@scripted
async def test_5_a_new_token_is_tried_twice_and_no_more(stage: Stage) -> None:
    """A source whose tokens are never good must not knock for ever."""
    tokens = Tokens()
    stage.server.outcomes.extend([REFUSED] * 9)
    wire = await stage.connected(token=tokens)
    await stage.clock.advance(600)

    assert wire.state == "refused"
    assert [one.reason for one in tokens.asked] == ["connect", "refused", "refused"]


@scripted
async def test_5_a_good_token_in_between_begins_the_count_anew(stage: Stage) -> None:
    """Each hour one token ends; that is not two in a row."""
    tokens = Tokens()
    wire = await stage.connected(token=tokens)
    for _ in range(5):
        stage.server.socket.drop(1008, "token_expired;retry=token")
        await stage.clock.advance(5)

    assert wire.state == "connected"


@scripted
async def test_27_a_token_is_renewed_before_it_ends(stage: Stage) -> None:
    """And the connection stays."""
    left: list[float] = []
    tokens = Tokens()
    wire = await stage.connected(token=tokens)
    wire.on("expiring", left.append)
    stage.server.socket.say("expiring", expires_at=UNIX + 60)
    await settle()

    assert left == [60.0]
    assert [one["token"] for one in stage.server.socket.of_type("refresh")] == ["t2"]
    assert tokens.asked[-1] == TokenRequest("expiring", 1)
    assert len(stage.server.sockets) == 1


@scripted
async def test_27_a_refresh_is_tried_until_the_token_ends(stage: Stage) -> None:
    """By one chain of attempts, however often the server warns."""
    tokens = Tokens()
    await stage.connected(token=tokens)
    stage.server.held.add("refresh")
    tokens.failures = [OSError("no network")] * 3
    for _ in range(3):
        stage.server.socket.say("expiring", expires_at=UNIX + 60)
    await stage.clock.advance(8)
    refreshes = stage.server.socket.of_type("refresh")
    assert (len(tokens.asked), len(refreshes)) == (5, 1)

    await stage.clock.advance(60)  # no answer, and again, until the end
    tried = len(tokens.asked)
    await stage.clock.advance(600)

    assert tried > 6
    assert len(tokens.asked) == tried


@scripted
async def test_27_nobody_signed_in_ends_the_chain(stage: Stage) -> None:
    """The connection lasts as long as its token, and the source is left alone."""
    tokens = Tokens()
    wire = await stage.connected(token=tokens)
    tokens.failures = [Unauthorized()]
    stage.server.socket.say("expiring", expires_at=UNIX + 60)
    await stage.clock.advance(59)

    assert (wire.state, len(tokens.asked)) == ("connected", 2)
    assert [type(one) for one in stage.errors] == [Unauthorized]


@scripted
async def test_27_a_late_refresh_does_not_reach_the_next_connection(stage: Stage) -> None:
    """The next connection has its own token, and a chain of its own."""
    answers: list[asyncio.Future[str]] = []

    async def source(request: TokenRequest) -> str:
        if request.reason != "expiring":
            return "t"
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    await stage.connected(token=source)
    stage.server.socket.say("expiring", expires_at=UNIX + 60)
    await settle()
    stage.server.socket.drop()
    await stage.clock.advance(5)

    assert answers[0].cancelled()
    assert stage.server.socket.of_type("refresh") == []


@scripted
async def test_35_the_ends_of_tokens_are_read_by_the_servers_clock(stage: Stage) -> None:
    """A computer whose clock is an hour ahead would take every token for an old one."""
    stage.clock.wrong_by = 3600.0
    left: list[float] = []
    tokens = Tokens()
    wire = await stage.connected(token=tokens)
    wire.on("expiring", left.append)
    stage.server.socket.say("expiring", expires_at=UNIX + 60)
    await settle()

    assert left == [60.0]
    assert len(stage.server.socket.of_type("refresh")) == 1


def test_a_token_that_no_header_holds_is_refused_and_not_shown() -> None:
    """A line break at its end is the usual one."""
    with pytest.raises(ValueError, match="white space") as refused:
        TokenSource("secret\n", ManualClock(), 1.0)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("seconds", [1, 5, 3600])
@scripted
async def test_27_a_token_is_renewed_though_the_server_does_not_warn(
    stage: Stage, seconds: int
) -> None:
    """Of a token that ends in a moment it does not; half of what is left is for the new one."""
    stage.server.expires_at = UNIX + seconds
    tokens = Tokens()
    wire = await stage.connected(token=tokens)
    lead = min(60.0, seconds / 2)
    await stage.clock.advance(seconds - lead - 0.1)
    assert len(tokens.asked) == 1
    await stage.clock.advance(0.2)

    assert [one.reason for one in tokens.asked] == ["connect", "expiring"]
    assert len(stage.server.socket.of_type("refresh")) == 1
    assert wire.state == "connected"


@pytest.mark.parametrize("expires_at", [None, UNIX - 60])
@scripted
async def test_27_no_token_is_asked_for_without_a_pause(
    stage: Stage, expires_at: float | None
) -> None:
    """Neither for a caller without an end, nor where each answer says that it has passed."""
    stage.server.expires_at = expires_at
    stage.server.held.add("refresh")
    tokens = Tokens()
    await stage.connected(token=tokens)
    for _ in range(100):
        await stage.clock.advance(0.1)
        for one in stage.server.socket.of_type("refresh"):
            stage.server.socket.say("reply", ref=one["ref"], items={}, expires_at=expires_at)

    assert len(tokens.asked) == 1 if expires_at is None else 1 < len(tokens.asked) < 12
