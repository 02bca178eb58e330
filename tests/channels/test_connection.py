"""A connection is open until it ends or is lost, and is sent nothing after that."""

from __future__ import annotations

import msgspec
import pytest

from itemwire.channels.connection import Connection, ConnectionPhase, Subscription
from itemwire.channels.connection_log import ConnectionLog
from itemwire.channels.delivery.lanes import Lane
from itemwire.channels.endings import WITHOUT_FLUSH
from itemwire.channels.environment import Environment
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.limits.item_rules import RulesOf, no_rules
from itemwire.close_reasons import (
    CLOSE_REASONS,
    INTERNAL,
    OVERLOADED,
    SLOW_CONSUMER,
    TOKEN_EXPIRED,
    CloseReason,
)
from itemwire.counters import ChannelCounters
from itemwire.messages import Pong
from itemwire.wire.base import Codec
from tests.fakes import JSON, PLAIN, Close, RecordingTransport, principal

MIDDLES = {"draining": 1000, "messages_lost": 1000}  # of the windows to come back in


class Opened:
    """A connection and its transport, and what it told its home."""

    def __init__(self, codec: Codec = JSON, room: int | None = None, limit: int = 1000) -> None:
        self.limits = Limits(
            max_message_bytes=1000, outbox_bytes=limit, history_limit=1, ping_interval=20
        )
        self.rules_of: RulesOf = no_rules
        self.environment = Environment(random=lambda: 0.5)
        self.pending: list[Lane[Subscription]] = []
        self.transport = RecordingTransport(room)
        self.counters = ChannelCounters()
        self.connection_log = ConnectionLog(self.counters)
        self.were_released: list[Connection] = []
        self.frames_at_release: list[int] = []
        self.connection = self.transport.connection = Connection(
            self,
            connection_id="c1",
            principal=principal(),
            codec=codec,
            transport=self.transport,
        )

    def released(self, connection: Connection, *, may_return: bool) -> None:  # noqa: ARG002
        """Note it, and what it had been sent by then."""
        self.were_released.append(connection)
        self.frames_at_release.append(len(self.transport.frames))

    def reads_again(self) -> None:
        """Let the client read all there is."""
        self.transport.room = None
        self.connection.writable()


def test_sends_an_event_as_its_codec_writes_it() -> None:
    """The connection knows no format."""
    opened = Opened()
    opened.connection.send(Pong(ref=1))

    assert opened.transport.frames == ['{"type":"pong","ref":1}']


def test_sends_nothing_for_an_event_that_its_codec_has_no_word_for() -> None:
    """A plain client gets payloads and nothing else."""
    opened = Opened(PLAIN)
    opened.connection.send(Pong(ref=1))

    assert opened.transport.frames == []


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_tells_why_it_ends_in_an_envelope_and_in_the_close_frame(row: CloseReason) -> None:
    """A close frame has no room for the retry verdict, and the envelope has."""
    opened = Opened()
    opened.connection.end(row)

    closing = msgspec.json.decode(opened.transport.frames[-1])
    assert closing == {
        "type": "closing",
        "code": row.code,
        "reason": row.reason,
        "retry": row.retry,
        "retry_after_ms": MIDDLES.get(row.reason, 3000 if row.retry == "later" else 0),
    }
    assert opened.transport.closes == [Close(row.code, row.reason)]
    assert opened.transport.discards == (row in WITHOUT_FLUSH)


def test_ends_a_plain_client_with_the_close_frame_alone() -> None:
    """An envelope would look like a message to it."""
    opened = Opened(PLAIN)
    opened.connection.end(INTERNAL)

    assert opened.transport.frames == []
    assert opened.transport.reasons == ["internal"]


def test_is_released_before_its_client_is_told() -> None:
    """Leaving first is what keeps any later message from following the news of the end."""
    opened = Opened()
    opened.connection.end(INTERNAL)

    assert opened.frames_at_release == [0]
    assert len(opened.transport.frames) == 1


def test_ends_once_for_the_first_reason() -> None:
    """A socket has one close frame, and the first reason is the cause of the others."""
    opened = Opened()
    opened.connection.end(OVERLOADED)
    opened.connection.end(INTERNAL)
    opened.connection.lost()

    assert opened.transport.reasons == ["overloaded"]
    assert opened.were_released == [opened.connection]


def test_is_lost_without_a_word() -> None:
    """There is nobody left to tell."""
    opened = Opened()
    opened.connection.lost()
    opened.connection.end(INTERNAL)
    opened.connection.lost()

    assert opened.transport.frames == []
    assert opened.transport.closes == []
    assert opened.were_released == [opened.connection]


@pytest.mark.parametrize("how", ["end", "lost"])
def test_sends_nothing_after_its_end(how: str) -> None:
    """After the server has processed an expiry no further message may reach the connection."""
    opened = Opened()
    opened.connection.end(INTERNAL) if how == "end" else opened.connection.lost()
    frames = list(opened.transport.frames)

    opened.connection.send(Pong())

    assert opened.transport.frames == frames


@pytest.mark.parametrize("row", [SLOW_CONSUMER, TOKEN_EXPIRED], ids=lambda row: row.reason)
def test_takes_back_what_waits_when_the_client_may_not_have_it(row: CloseReason) -> None:
    """A slow reader must not read on, past its expiry, what was sent before it."""
    opened = Opened(room=1)
    for ref in range(3):
        opened.connection.send(Pong(ref))
    opened.connection.end(row)

    opened.reads_again()

    assert len(opened.transport.frames) == 2
    assert '"closing"' in str(opened.transport.frames[-1])
    assert opened.transport.discards == 1


def test_sends_what_waits_before_any_other_end() -> None:
    """Who is told `internal` or `draining` did nothing wrong: what was sent still arrives."""
    opened = Opened(room=1)
    for ref in range(3):
        opened.connection.send(Pong(ref))
    opened.connection.end(INTERNAL)

    opened.reads_again()

    types = [msgspec.json.decode(frame)["type"] for frame in opened.transport.frames]
    assert types == ["pong", "pong", "pong", "closing"]
    assert opened.transport.discards == 0


def test_ends_with_slow_consumer_past_its_limit_and_not_before() -> None:
    """The limit is what bounds the memory of a server with stuck clients."""
    pong = len('{"type":"pong"}')
    opened = Opened(room=1, limit=2 * pong)
    for _ in range(3):
        opened.connection.send(Pong())
    open_at_limit = opened.connection.is_open

    opened.connection.send(Pong())

    assert open_at_limit
    assert not opened.connection.is_open
    assert opened.transport.reasons == ["slow_consumer"]


def test_says_when_it_falls_behind_and_when_it_has_caught_up() -> None:
    """So that those who read slowly are found without asking everybody."""
    opened = Opened(room=1)
    opened.connection.push("a")
    opened.connection.push("bc")
    behind = opened.connection_log.behind
    opened.reads_again()

    assert behind == (1, 2)
    assert opened.connection_log.behind == (0, 0)


def test_is_written_nothing_once_its_client_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes with was taken from its transport when that still had a client."""
    opened = Opened()
    opened.connection.push("before")
    monkeypatch.setattr(opened.transport, "write", RecordingTransport().write)
    opened.connection.gone()
    opened.connection.push("after")

    assert opened.transport.frames == ["before"]


def test_says_once_why_it_ends_or_that_it_is_gone() -> None:
    """The first of both is what became of it."""
    opened, lost = Opened(), Opened()
    opened.connection.end(INTERNAL)
    opened.connection.end(OVERLOADED)
    opened.connection.lost()
    lost.connection.lost(1001)
    lost.connection.lost(1006)
    lost.connection.end(INTERNAL)

    assert opened.counters.ended == {("internal", 1011): 1}
    assert lost.counters.ended == {("gone", 1001): 1}


def test_goes_through_its_phases_in_one_direction() -> None:
    """A welcome that comes late opens nothing again for a client that is on its way out."""
    connection = Opened().connection
    seen = [(connection.phase, connection.is_open, connection.is_welcomed)]
    for step in (connection.mark_welcomed, connection.ignore_input, connection.mark_welcomed):
        step()
        seen.append((connection.phase, connection.is_open, connection.is_welcomed))
    connection.end(INTERNAL)
    connection.mark_welcomed()
    connection.ignore_input()
    seen.append((connection.phase, connection.is_open, connection.is_welcomed))

    assert seen == [
        (ConnectionPhase.OPENED, True, False),
        (ConnectionPhase.WELCOMED, True, True),
        (ConnectionPhase.LEAVING, True, False),
        (ConnectionPhase.LEAVING, True, False),
        (ConnectionPhase.ENDED, False, False),
    ]
