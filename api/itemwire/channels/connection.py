"""One accepted socket: whose it is, what it hears, how it ends."""

import logging
from collections.abc import Callable, Collection, Sequence, Sized
from typing import Final, Protocol

from itemwire.channels.connection_log import ConnectionLog
from itemwire.channels.delivery.lanes import Lane
from itemwire.channels.delivery.outbox import Chunk, Framing, Message, Outbox, Transport, Writer
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.limits.requests import TokenBucket
from itemwire.channels.limits.slow_consumers import SlowConsumerPolicy
from itemwire.channels.names import channel_of
from itemwire.close_reasons import (
    CLOSE_REASONS,
    DRAINING,
    MESSAGES_LOST,
    SLOW_CONSUMER,
    TOKEN_EXPIRED,
    TOKEN_REVOKED,
    CloseReason,
    Retry,
)
from itemwire.messages import Closing, Event, Frame, Gap, Member, Position
from itemwire.wire.base import Codec
from itemwire_auth.principal import Grant, Principal

logger = logging.getLogger("itemwire.channels")

# Nothing more may reach these: one does not read, the others no longer may.
WITHOUT_FLUSH: Final = frozenset({SLOW_CONSUMER, TOKEN_EXPIRED, TOKEN_REVOKED})

# After these ends the same client may be back at once, with the same token.
MAY_RETURN: Final = frozenset({Retry.NOW, Retry.LATER})

# A client's own goodbye: a close frame that says so, or one without a code, as a browser's
# `close()` sends it. 1001 is none: a page that is loaded again sends it.
GOODBYES: Final = frozenset({1000, 1005})

# From, to: clients that are ended together come back at random moments within, not all at once.
RETRY_WINDOWS_MS: Final = {
    **{row: (1000, 5000) for row in CLOSE_REASONS.values() if row.retry is Retry.LATER},
    DRAINING: (0, 2000),
    MESSAGES_LOST: (0, 2000),
}
AT_ONCE_MS: Final = (0, 0)


def retry_after_ms(reason: CloseReason, random: Callable[[], float]) -> int:
    """Choose when a client that may come back should do so."""
    start, end = RETRY_WINDOWS_MS.get(reason, AT_ONCE_MS)
    return start + int(random() * (end - start))


class Home(Protocol):
    """What a connection tells the node it is connected to."""

    limits: Limits
    random: Callable[[], float]  # from 0 on, below 1
    connection_log: ConnectionLog

    @property
    def pending(self) -> Collection[Lane]:
        """Give the lanes that have something to write at the end of this loop tick."""
        ...

    def failed(self, connection: "Connection", reason: CloseReason) -> None:
        """Hear that it must end, though not this instant: others are being sent to."""
        ...

    def released(self, connection: "Connection") -> None:
        """Hear, once, that it has ended and is on no channel any longer."""
        ...


class Connection:
    """A verified caller's socket. It is open until `end` or `lost`, whichever comes first.

    `writer` takes what it is to be sent: the transport itself, or the outbox while that is paused.
    """

    __slots__ = (
        "_home",
        "_is_paused",
        "_outbox",
        "_transport",
        "budget",
        "codec",
        "due_at",
        "id",
        "is_dropping",
        "is_heard",
        "is_open",
        "is_welcomed",
        "may_return",
        "principal",
        "revoked_at",
        "session_ends_at",
        "since",
        "subscriptions",
        "unanswered",
        "writer",
    )

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
        self.revoked_at: int | None = None  # when a revocation ends it that gave it a margin
        self.due_at: float = principal.expires_at  # when its node looks at it next
        self.codec = codec
        self.since = since  # Unix time
        self.is_open = True
        self.is_heard = True  # what the client says is acted on
        self.is_dropping = False  # it is behind, and of some items it can do without messages
        self.is_welcomed = False  # from then on it can be told things, and be refreshed
        self.may_return = False  # it was cut off: its members are not gone yet
        self.unanswered: Sized = ()  # of what it has published
        self.subscriptions: dict[str, Subscription] = {}
        self.budget: TokenBucket | None = None  # from its first request on, where rates are limited
        self.writer: Writer = transport.write
        self._transport = transport
        self._outbox: Outbox | None = None
        self._is_paused = False
        self._home = home

    @property
    def expires_at(self) -> int:
        """Tell when it ends at the latest, unless it is refreshed."""
        end = self.principal.expires_at
        if self.session_ends_at is not None:
            end = min(end, self.session_ends_at)
        return end if self.revoked_at is None else min(end, self.revoked_at)

    @property
    def framing(self) -> Framing:
        """Tell what its writer takes frames as."""
        return self._transport.framing

    @property
    def waiting(self) -> int:
        """Count the bytes in its outbox."""
        return 0 if self._outbox is None else self._outbox.size

    @property
    def dropped(self) -> int:
        """Count the messages that it goes without, since it fell behind."""
        return 0 if self._outbox is None else self._outbox.dropped

    def push(self, frame: Frame) -> None:
        """Send a frame to this client alone, after whatever its channels have sent it so far."""
        if self.subscriptions:
            self._catch_up()
        self.writer(self._transport.framing.render(frame))

    def send(self, event: Event) -> None:
        """Tell the client of one event, if its codec has a word for it."""
        if self.is_open:
            frame = self.codec.encode(event)
            if frame is not None:
                self.push(frame)

    def replay(self, event: Event) -> None:
        """Send a message of the past, which the client asked for, or what belongs to these."""
        frame = self.codec.encode(event)
        if frame is not None and self.is_open:
            self._push_uncounted(self._transport.framing.render(frame))

    def paused(self) -> None:
        """Keep what is sent from here on: the transport has enough."""
        self._is_paused = True
        if self._outbox is None and self.is_open:
            self._outbox = Outbox(self._home.limits.outbox_bytes)
            self._home.connection_log.fell_behind(self)
            # Without a word for a gap it would have a hole that its client does not see.
            self.is_dropping = self._home.limits.slow_consumers.drops and self.codec.has_envelopes
            self._write_by(self._keep)

    def writable(self) -> None:
        """Send what was kept, until the transport has enough again."""
        self._is_paused = False
        while self._outbox is not None and not self._is_paused:
            chunk = self._take(self._outbox)
            if chunk is None:
                self._let_go(self._outbox)
            else:
                self._transport.write(chunk)

    def end(self, reason: CloseReason) -> None:
        """Leave every channel, tell the client why, close. Ending twice is ending once."""
        if not self.is_open:
            return
        self._home.connection_log.ended(self, reason)
        if reason in WITHOUT_FLUSH:
            self._outbox = None
            self._transport.discard()
        else:
            self._catch_up()
        self._release(may_return=reason.retry in MAY_RETURN)
        while self._outbox is not None and (chunk := self._take(self._outbox)) is not None:
            self._transport.write(chunk)
        closing = self.codec.encode(
            Closing(
                code=reason.code,
                reason=reason.reason,
                retry=reason.retry,
                retry_after_ms=retry_after_ms(reason, self._home.random),
            )
        )
        if closing is not None:
            self._transport.write(self._transport.framing.render(closing))
        self._transport.close(reason.code, reason.reason)

    def hush(self) -> None:
        """Act on nothing more that the client says: its end is near."""
        self.is_heard = False

    def keep(
        self,
        stream: "Subscription",
        chunks: Sequence[Chunk],
        positions: Sequence[Position | None],
        *,
        is_newest_dropped: bool,
    ) -> None:
        """Keep chunks until the transport takes them, and drop messages past the limit."""
        unsent = self._transport.unsent()
        for chunk, position in zip(chunks, positions, strict=True):
            if position is None or self._outbox is None:
                self._keep(chunk)
            else:
                message = Message(
                    chunk, stream, stream.item_id, position, is_newest_dropped=is_newest_dropped
                )
                self._outbox.keep_or_drop(message, unsent)

    def policy_on(self, item_id: str) -> SlowConsumerPolicy:
        """Tell what becomes of it when it is too slow for an item."""
        return self._home.limits.slow_consumers.of_item(item_id)

    def fail(self, reason: CloseReason) -> None:
        """End soon: once all that is being sent has gone out to the others."""
        self._home.failed(self, reason)

    def lost(self, code: int = 1006) -> None:
        """Leave every channel: the socket is gone, closed with this code."""
        self._release(may_return=code not in GOODBYES)

    def _release(self, *, may_return: bool) -> None:
        if self.is_open:
            self.is_open = self.is_heard = False
            self.may_return = may_return
            self._home.released(self)

    def _keep(self, chunk: Chunk) -> None:
        if self._outbox is not None and not self._outbox.keep(chunk, self._transport.unsent()):
            self.fail(SLOW_CONSUMER)

    def _take(self, outbox: Outbox) -> Chunk | None:
        """Give what has waited longest, a gap as its client reads it."""
        what = outbox.take()
        if not isinstance(what, Gap):
            return what
        frame = self.codec.encode(what)
        return None if frame is None else self._transport.framing.render(frame)

    def _let_go(self, outbox: Outbox) -> None:
        if outbox.dropped:
            logger.info("caught_up connection=%s dropped=%d", self.id, outbox.dropped)
        self._home.connection_log.caught_up(self)
        self._outbox = None
        self.is_dropping = False
        self._write_by(self._transport.write)

    def _push_uncounted(self, chunk: Chunk) -> None:
        if self._outbox is None:
            self._transport.write(chunk)
        else:
            self._outbox.keep_uncounted(chunk)

    def _catch_up(self) -> None:
        pending, heard = self._home.pending, self.subscriptions
        if len(pending) < len(heard):  # a hundred items, of which one or two have news
            for lane in pending:
                subscription = heard.get(lane.channel)
                if subscription is not None and subscription.lane is lane:
                    lane.catch_up(subscription)
            return
        for subscription in heard.values():
            if subscription.lane is not None:
                subscription.lane.catch_up(subscription)

    def _write_by(self, writer: Writer) -> None:
        self.writer = writer
        for subscription in self.subscriptions.values():
            if subscription.lane is not None:
                subscription.lane.reroute(subscription)


class Subscription:
    """A connection hearing a channel, and what it may do there.

    `lane` is where its messages come by, once it is live. `member` is who it is to others: from
    its join on perhaps one of an earlier connection of the same caller.
    """

    __slots__ = ("can", "channel", "connection", "item_id", "lane", "member")

    def __init__(self, connection: Connection, grant: Grant) -> None:
        self.connection = connection
        self.channel = channel_of(grant.item_id)
        self.item_id = grant.item_id
        self.can = grant.can
        self.member = self.own_member
        self.lane: Lane | None = None

    @property
    def own_member(self) -> Member:
        """Give who it is to others unless it goes on as somebody who was there."""
        return Member(self.connection.id, self.connection.principal.subject)

    @property
    def writer(self) -> Writer:
        """Give what takes chunks for its connection just now."""
        return self.connection.writer

    @property
    def chooses(self) -> bool:
        """Tell whether messages are to be dropped for it, as it is behind."""
        connection = self.connection
        return connection.is_dropping and (
            connection.policy_on(self.item_id) is not SlowConsumerPolicy.DISCONNECT
        )

    def choose(self, chunks: Sequence[Chunk], positions: Sequence[Position | None]) -> None:
        """Keep what is sent to it, and drop messages past the limit."""
        connection = self.connection
        newest = connection.policy_on(self.item_id) is SlowConsumerPolicy.DROP_NEWEST
        connection.keep(self, chunks, positions, is_newest_dropped=newest)

    def fail(self, reason: CloseReason) -> None:
        """End its connection soon."""
        self.connection.fail(reason)

    @property
    def is_current(self) -> bool:
        """Tell whether it is what its connection hears of the channel: it was not left."""
        return self.connection.subscriptions.get(self.channel) is self
