"""What a client that asked for hints is told beyond what every client is."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from itemwire.channels.client_options import ClientOptions
from itemwire.channels.connection import Connection
from itemwire.channels.hinted_connection import HintedConnection
from itemwire.channels.limits.bounds import RateLimits
from itemwire.close_reasons import CLOSE_REASONS, CloseReason
from itemwire.messages import Error
from tests.fakes import EVERYTHING, ITEM, NOW, PLAIN, ItemRules, Stage

HINTS = ClientOptions(hints=True)


def test_says_hello_before_all_else() -> None:
    """A proof that the handshake was accepted, before any item is joined."""
    peer = Stage().open(ItemRules({ITEM: EVERYTHING}), options=ClientOptions(True, 25))

    assert peer.sees == [
        {
            "type": "hello",
            "connection": peer.connection.id,
            "subject": "alice",
            "expires_at": int(NOW) + 3600,
            "server_time": NOW,
            "ping_interval": 20.0,
            "max_message_bytes": 10_000,
            "max_items": 100,
            "heartbeat": 25,
        }
    ]


def test_says_hello_ahead_of_the_welcome_to_an_item() -> None:
    """It has no bound of items, for it is on one."""
    hello, welcome = Stage().join(options=HINTS).sees

    assert (hello["type"], "max_items" in hello, "heartbeat" in hello) == ("hello", False, False)
    assert (welcome["type"], welcome["server_time"]) == ("welcome", NOW)


@pytest.mark.parametrize("options", [HINTS, ClientOptions()], ids=["hints", "none"])
def test_a_refresh_tells_the_time_to_those_who_asked(options: ClientOptions) -> None:
    """A client whose clock was set meanwhile would take the new end for one that has passed."""
    peers = (Stage().join(options=options), Stage().open(ItemRules({}), options=options))
    told = {peer.session.refreshed(UNSET).server_time for peer in peers}

    assert told == {NOW if options.hints else UNSET}


def test_a_client_that_asks_for_nothing_gets_nothing_of_it() -> None:
    """Neither at its start, nor with an error, nor at its end."""
    stage = Stage()
    peer = stage.join()
    error = peer.says("sing")
    peer.connection.end(CLOSE_REASONS["draining"])

    assert peer.sees[0]["type"] == "welcome"
    assert "server_time" not in peer.sees[0]
    assert "retry" not in error
    assert peer.transport.reasons == ["draining"]


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_a_close_has_its_verdict(row: CloseReason) -> None:
    """For plain clients too, which no envelope could tell it."""
    stage = Stage()
    peers = [stage.join(options=HINTS), stage.join(options=HINTS, codec=PLAIN)]
    for peer in peers:
        peer.connection.end(row)

    assert [peer.transport.reasons for peer in peers] == [[f"{row.reason};retry={row.retry}"]] * 2
    assert peers[0].saw("closing")[0]["reason"] == row.reason


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        pytest.param(Error("forbidden", temporary=False, detail=""), "never", id="of_the_table"),
        pytest.param(Error("token_revoked", temporary=False, detail=""), "token", id="token"),
        pytest.param(Error("overloaded", temporary=True, detail=""), "later", id="later"),
        pytest.param(Error("already_joined", temporary=False, detail=""), "never", id="final"),
        pytest.param(Error("busy", temporary=True, detail=""), "later", id="temporary"),
        pytest.param(Error("forbidden", temporary=True, detail=""), "later", id="for_now"),
        pytest.param(Error("x", temporary=False, detail="", retry="token"), "token", id="own"),
    ],
)
def test_an_error_has_its_verdict(error: Error, retry: str) -> None:
    """What a client does next never depends on a table of its own."""
    peer = Stage().join(options=HINTS)
    peer.connection.send(error)

    assert peer.sees[-1]["retry"] == retry


def test_the_verdict_on_a_rate_comes_with_the_time_to_wait() -> None:
    """As that on a join does (requirement 96)."""
    stage = Stage(rate_limits=RateLimits(request=1))
    peer = stage.join(options=HINTS)
    answers = [peer.says("ping", ref=n) for n in range(3)]

    assert [one["type"] for one in answers] == ["pong", "pong", "error"]
    assert (answers[2]["retry"], answers[2]["retry_after_ms"]) == ("later", 1000)


def test_takes_no_memory_beyond_that_of_any_connection() -> None:
    """It has no field of its own, so nobody pays for what others asked for."""
    assert HintedConnection.__slots__ == ()
    assert HintedConnection.__basicsize__ == Connection.__basicsize__
