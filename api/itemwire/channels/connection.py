"""One accepted socket: whose it is, which channels it is on, how it ends."""

import logging
from collections.abc import Collection, Sequence
from enum import IntEnum
from typing import ClassVar, Final, Protocol

from msgspec import UNSET, UnsetType

from itemwire.channels.connection_log import ConnectionLog
from itemwire.channels.delivery.in_flight import InFlight
from itemwire.channels.delivery.lanes import Lane
from itemwire.channels.delivery.outbox import (
    Chunk,
    ChunkWriter,
    Framing,
    Message,
    Outbox,
    Transport,
)
from itemwire.channels.endings import GOODBYES, MAY_RETURN, WITHOUT_FLUSH, retry_after_ms
from itemwire.channels.environment import Environment
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.limits.item_rules import RulesOf
from itemwire.channels.limits.requests import TokenBuckets
from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from itemwire.channels.names import channel_of
from itemwire.channels.presence.info import with_info
from itemwire.channels.small_table import SmallTable
from itemwire.close_reasons import SLOW_CONSUMER, CloseReason
from itemwire.engines.base import History
from itemwire.messages import NOT_STORED, Closing, Event, Frame, Gap, Member, Position, Welcome
from itemwire.wire.base import Codec
from itemwire_auth.principal import NO_EXPIRY, Grant, Principal

logger = logging.getLogger("itemwire.channels")


class Home(Protocol):
    """The node of a connection, as far as the connection knows it."""

    limits: Limits
    rules_of: RulesOf
    environment: Environment
    connection_log: ConnectionLog

    @property
    def pending(self) -> Collection["Lane[Subscription]"]:
        """Return the lanes that have something to write at the end of this loop tick."""
        ...

    def released(self, connection: "Connection", *, may_return: bool) -> None:
        """Take the connection, which has just ended, off all of its channels; called once.

        With `may_return` the same client may be back in a moment: its members are not gone yet.
        """
        ...


class ConnectionPhase(IntEnum):
    """How far a connection is in its life, which goes in this direction only."""

    OPENED = 0
    WELCOMED = 1  # its client can be told that it expires, and can refresh its token
    LEAVING = 2  # it is about to end: nothing more that its client sends is acted on
    ENDED = 3


# Found once: this is looked at for every frame, and looking in an enumeration is slow.
LEAVING: Final = ConnectionPhase.LEAVING
ENDED: Final = ConnectionPhase.ENDED


class Connection:
    """A verified caller's socket. It is open until `end` or `lost`, whichever comes first.

    While its client keeps up, `writer` takes what it is sent. While the client is behind, all of
    it waits in `outbox` instead.
    """

    __slots__ = (
        "_home",
        "_is_paused",
        "_transport",
        "buckets",
        "codec",
        "due_at",
        "id",
        "in_flight",
        "outbox",
        "phase",
        "principal",
        "revoked_at",
        "session_ends_at",
        "since",
        "subscriptions",
        "writer",
    )

    gives_hints: ClassVar[bool] = False  # whether its client asked to be told more

    def __init__(
        self,
        home: Home,
        *,
        connection_id: str,
        principal: Principal,
        codec: Codec,
        transport: Transport,
        session_ends_at: int | None = None,
        since: int = 0,
    ) -> None:
        self.id = connection_id
        self.principal = principal
        self.session_ends_at = session_ends_at
        self.revoked_at: int | None = None  # when a revocation with a margin ends it
        self.due_at: float = principal.expires_at  # when its node looks at it next
        self.codec = codec
        self.since = since  # Unix time
        self.phase = ConnectionPhase.OPENED
        self.in_flight: InFlight | None = None  # its publishes; from the first one on
        self.subscriptions: SmallTable[Subscription] = SmallTable()  # by channel
        self.buckets: TokenBuckets | None = None  # from its first rate-limited request on
        self.writer: ChunkWriter = transport.write
        self.outbox: Outbox | None = None  # from the moment its transport pauses until all is sent
        self._transport = transport
        self._is_paused = False
        self._home = home

    @property
    def is_open(self) -> bool:
        """Return whether it can still be sent anything."""
        return self.phase is not ENDED

    @property
    def is_welcomed(self) -> bool:
        """Return whether its client can be told that it expires, and may refresh its token."""
        return self.phase is ConnectionPhase.WELCOMED

    @property
    def expires_at(self) -> int:
        """Return the Unix time at which it ends at the latest, unless it is refreshed."""
        end = self.principal.expires_at
        if self.session_ends_at is not None:
            end = min(end, self.session_ends_at)
        return end if self.revoked_at is None else min(end, self.revoked_at)

    @property
    def expiry(self) -> int | None:
        """Return `expires_at` as clients are told it: None for a caller without an expiry."""
        return None if self.expires_at == NO_EXPIRY else self.expires_at

    @property
    def server_time(self) -> float | UnsetType:
        """Return the Unix time for a client that asked to be told."""
        return UNSET

    @property
    def framing(self) -> Framing:
        """Return the form in which its writer takes frames."""
        return self._transport.framing

    def mark_welcomed(self) -> None:
        """Note that its client has been told who it is and what it may do."""
        self.phase = max(self.phase, ConnectionPhase.WELCOMED)

    def ignore_input(self) -> None:
        """Act on nothing more that the client sends: its end is near."""
        self.phase = max(self.phase, ConnectionPhase.LEAVING)

    def push(self, frame: Frame) -> None:
        """Send a frame to this client alone, after all that its channels have sent it so far."""
        chunk = self._transport.framing.render(frame)
        owing = self._owing() if self.subscriptions else []
        if len(owing) == 1 and self.outbox is None:  # as nearly always: all leaves in one write
            lane, subscription = owing[0]
            chunk = self._transport.framing.join([*lane.take(subscription), chunk])
        elif owing:
            self._catch_up()
        if self.outbox is None:
            self.writer(chunk)
        elif not self.outbox.keep(chunk, self._transport.unsent()):
            self.end(SLOW_CONSUMER)

    def send(self, event: Event) -> None:
        """Send the client an event, if it is open and its codec can express the event."""
        if self.phase is not ENDED:
            frame = self.codec.encode(event)
            if frame is not None:
                self.push(frame)

    def welcome(
        self, subscription: "Subscription", welcome: Welcome | None, missed: History
    ) -> int | None:
        """Send the welcome to an item, then what its client missed; return how many that are.

        Return None if the connection has ended, perhaps by this. What was missed counts as all
        else does that waits, unless nothing waited before it: one replay alone makes no slow
        consumer, for its client had no chance to read yet.
        """
        is_alone = self.outbox is None or self.outbox.is_empty
        self.mark_welcomed()
        if welcome is not None:
            self.send(welcome)
        for publication in missed.publications:
            frame = self.codec.encode(publication)
            if frame is None or not self.is_open:
                continue
            chunk = self._transport.framing.render(frame)
            if self.outbox is None or is_alone:
                self._write_uncounted(chunk)
                continue
            position = Position(missed.position.epoch, publication.offset)
            if not self.keep(subscription, chunk, [chunk], [position]):
                self.end(SLOW_CONSUMER)
        return len(missed.publications) if self.is_open else None

    def send_after_replay(self, event: Event) -> None:
        """Send an event of a few bytes that goes with a replay, and counts towards no limit."""
        frame = self.codec.encode(event)
        if frame is not None and self.is_open:
            self._write_uncounted(self._transport.framing.render(frame))

    def _write_uncounted(self, chunk: Chunk) -> None:
        if self.outbox is None:
            self.writer(chunk)
        else:
            self.outbox.keep_uncounted(chunk)

    def keep(
        self,
        subscription: "Subscription",
        joined: Chunk,
        chunks: Sequence[Chunk],
        positions: Sequence[Position | None],
    ) -> bool:
        """Have chunks of a subscription wait until the transport takes more.

        Past the limit messages are dropped, where the policy of the item says so. Return False if
        something is past the limit that may not be dropped. `joined` is all of the chunks in one.
        """
        if self.outbox is None:  # it has ended
            return True
        unsent, policy = self._transport.unsent(), self._policy_for(subscription)
        if policy is SlowConsumerPolicy.DISCONNECT:
            return self.outbox.keep(joined, unsent)
        is_kept = True
        for chunk, position in zip(chunks, positions, strict=True):
            if position is NOT_STORED:
                self.outbox.keep(chunk, unsent)  # without room it is lost, which shows nowhere
            elif position is not None:
                message = Message(chunk, subscription, subscription.item_id, position, policy)
                self.outbox.keep_or_drop(message, unsent)
            elif not self.outbox.keep(chunk, unsent):
                is_kept = False
        return is_kept

    def paused(self) -> None:
        """Let everything wait that is sent from here on: the transport has enough."""
        self._is_paused = True
        if self.outbox is None and self.is_open:
            self.outbox = Outbox(self._home.limits.outbox_bytes)
            self._home.connection_log.fell_behind(self, self.outbox)
            self._reroute()

    def gone(self) -> None:
        """Write to nobody, as the transport does: the client is gone, and `lost` comes soon."""
        self.writer = self._transport.write
        self._reroute()

    def writable(self) -> None:
        """Send what waits, until the transport has enough again."""
        self._is_paused = False
        while self.outbox is not None and not self._is_paused:
            chunk = self._take(self.outbox)
            if chunk is None:
                self._close_outbox(self.outbox)
            else:
                self._transport.write(chunk)

    def end(self, reason: CloseReason) -> None:
        """Leave every channel, tell the client why, close. Ending twice is ending once."""
        if self.phase is ENDED:
            return
        self._home.connection_log.ended(self, reason)
        if reason in WITHOUT_FLUSH:
            self.outbox = None
            self._transport.discard()
        else:
            self._catch_up()
        self._release(may_return=reason.retry in MAY_RETURN)
        while self.outbox is not None and (chunk := self._take(self.outbox)) is not None:
            self._transport.write(chunk)
        closing = self.codec.encode(
            Closing(
                code=reason.code,
                reason=reason.reason,
                retry=reason.retry,
                retry_after_ms=retry_after_ms(reason, self._home.environment.random),
            )
        )
        if closing is not None:
            self._transport.write(self._transport.framing.render(closing))
        self._transport.close(reason.code, self._text_of(reason))

    def lost(self, code: int = 1006) -> None:
        """Leave every channel: the socket is gone, closed with this code."""
        if self.phase is not ENDED:
            self._home.connection_log.gone(self, code)
            self._release(may_return=code not in GOODBYES)

    def advice_on(self, reason: CloseReason) -> str | UnsetType:  # noqa: ARG002 - gives none
        """Return what its client should do after a refusal, if it asked to be told."""
        return UNSET

    def _text_of(self, reason: CloseReason) -> str:
        """Return what the close frame says."""
        return reason.reason

    def _release(self, *, may_return: bool) -> None:
        self.phase = ENDED  # first: nothing that its leaving sends to others may reach it
        self._home.released(self, may_return=may_return)

    def _policy_for(self, subscription: "Subscription") -> SlowConsumerPolicy:
        # A codec without a word for a gap would hide from its client that messages are missing.
        if not self.codec.has_envelopes:
            return SlowConsumerPolicy.DISCONNECT
        own = self._home.rules_of(subscription.item_id).slow_consumers
        return own or self._home.limits.slow_consumers.of_item(subscription.item_id)

    def _take(self, outbox: Outbox) -> Chunk | None:
        """Return what has waited longest, a gap as its client reads it; None if nothing waits."""
        first = outbox.take()
        if not isinstance(first, Gap):
            return first
        frame = self.codec.encode(first)
        return None if frame is None else self._transport.framing.render(frame)

    def _close_outbox(self, outbox: Outbox) -> None:
        if outbox.dropped:
            logger.info("caught_up connection=%s dropped=%d", self.id, outbox.dropped)
        self._home.connection_log.caught_up(self)
        self.outbox = None
        self._reroute()

    def _catch_up(self) -> None:
        for lane, subscription in self._owing():
            lane.catch_up(subscription)

    def _owing(self) -> "list[tuple[Lane[Subscription], Subscription]]":
        """Return its lanes that have something pending, each with its subscription."""
        pending, own = self._home.pending, self.subscriptions
        if len(pending) < len(own):  # of a hundred items, one or two have news
            found = ((lane, own.get(lane.channel)) for lane in pending)
            return [(lane, one) for lane, one in found if one is not None and one.lane is lane]
        lanes = ((one.lane, one) for one in own.values())
        return [(lane, one) for lane, one in lanes if lane is not None and lane.is_pending]

    def _reroute(self) -> None:
        for subscription in self.subscriptions.values():
            if subscription.lane is not None:
                subscription.lane.reroute(subscription)


class Subscription:
    """A connection on a channel, and what its client may do there.

    `lane` delivers its messages, once it is live. `member` is who it is to others: its own member
    until it has joined, then perhaps that of an earlier connection of the same caller.
    """

    __slots__ = ("can", "channel", "connection", "has_joined", "item_id", "lane", "member")

    def __init__(self, connection: Connection, grant: Grant) -> None:
        self.connection = connection
        self.channel = channel_of(grant.item_id)
        self.item_id = grant.item_id
        self.can = grant.can
        own = Member(connection.id, connection.principal.subject)
        self.member = own if grant.info is None else with_info(own, grant.info)
        self.lane: Lane[Subscription] | None = None
        self.has_joined = False  # its client was welcomed, or is about to be

    @property
    def own_member(self) -> Member:
        """Return who it is to others unless it continues as an earlier member."""
        return Member(self.connection.id, self.connection.principal.subject, self.member.info)

    @property
    def is_current(self) -> bool:
        """Return whether its connection is still on the channel by this subscription."""
        return self.connection.subscriptions.get(self.channel) is self

    def keep(
        self, joined: Chunk, chunks: Sequence[Chunk], positions: Sequence[Position | None]
    ) -> bool:
        """Have chunks wait for its connection, as `Connection.keep` says."""
        return self.connection.keep(self, joined, chunks, positions)
