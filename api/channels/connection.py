"""One accepted socket: whose it is, what it hears, how it ends."""

from collections.abc import Callable
from typing import Final, Protocol

from api.channels.lanes import Lane
from api.channels.limits import Limits
from api.channels.names import channel_of
from api.channels.outbox import Chunk, Framing, Outbox, Transport, Writer
from api.closing import (
    CLOSE_REASONS,
    DRAINING,
    MESSAGES_LOST,
    SLOW_CONSUMER,
    TOKEN_EXPIRED,
    TOKEN_REVOKED,
    CloseReason,
    Retry,
)
from api.messages import Closing, Event, Frame, Member, Publication
from api.wire.base import Codec
from auth.principal import Grant, Principal

# Nothing more may reach these: one does not read, the others no longer may.
WITHOUT_FLUSH: Final = frozenset({SLOW_CONSUMER, TOKEN_EXPIRED, TOKEN_REVOKED})

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
        "codec",
        "due_at",
        "id",
        "is_heard",
        "is_open",
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
        self.unanswered = 0  # of what it has published
        self.subscriptions: dict[str, Subscription] = {}
        self.writer: Writer = transport.write
        self._transport = transport
        self._outbox: Outbox | None = None
        self._is_paused = False
        self._home = home

    @property
    def expires_at(self) -> int:
        """Tell when it ends at the latest, unless it is refreshed."""
        ends = (self.principal.expires_at, self.session_ends_at, self.revoked_at)
        return min(end for end in ends if end is not None)

    @property
    def is_welcomed(self) -> bool:
        """Tell whether it is live on a channel: it can be told things, and be refreshed."""
        return any(one.lane is not None for one in self.subscriptions.values())

    @property
    def framing(self) -> Framing:
        """Tell what its writer takes frames as."""
        return self._transport.framing

    def push(self, frame: Frame) -> None:
        """Send a frame to this client alone, after whatever its channels have sent it so far."""
        self._catch_up()
        self.writer(self._transport.framing.render(frame))

    def send(self, event: Event) -> None:
        """Tell the client of one event, if its codec has a word for it."""
        if self.is_open:
            frame = self.codec.encode(event)
            if frame is not None:
                self.push(frame)

    def replay(self, publication: Publication) -> None:
        """Send a message of the past, which the client asked for."""
        frame = self.codec.encode(publication)
        if frame is not None and self.is_open:
            self._push_uncounted(self._transport.framing.render(frame))

    def paused(self) -> None:
        """Keep what is sent from here on: the transport has enough."""
        self._is_paused = True
        if self._outbox is None and self.is_open:
            self._outbox = Outbox(self._home.limits.outbox_bytes)
            self._write_by(self._keep)

    def writable(self) -> None:
        """Send what was kept, until the transport has enough again."""
        self._is_paused = False
        while self._outbox is not None and not self._is_paused:
            chunk = self._outbox.take()
            if chunk is None:
                self._outbox = None
                self._write_by(self._transport.write)
            else:
                self._transport.write(chunk)

    def end(self, reason: CloseReason) -> None:
        """Leave every channel, tell the client why, close. Ending twice is ending once."""
        if not self.is_open:
            return
        if reason in WITHOUT_FLUSH:
            self._outbox = None
            self._transport.discard()
        else:
            self._catch_up()
        self.lost()
        while self._outbox is not None and (chunk := self._outbox.take()) is not None:
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

    def fail(self, reason: CloseReason) -> None:
        """End soon: once all that is being sent has gone out to the others."""
        self._home.failed(self, reason)

    def lost(self) -> None:
        """Leave every channel: the socket is gone."""
        if self.is_open:
            self.is_open = self.is_heard = False
            self._home.released(self)

    def _keep(self, chunk: Chunk) -> None:
        if self._outbox is not None and not self._outbox.keep(chunk, self._transport.unsent()):
            self.fail(SLOW_CONSUMER)

    def _push_uncounted(self, chunk: Chunk) -> None:
        if self._outbox is None:
            self._transport.write(chunk)
        else:
            self._outbox.keep_uncounted(chunk)

    def _catch_up(self) -> None:
        for subscription in self.subscriptions.values():
            if subscription.lane is not None:
                subscription.lane.catch_up(subscription)

    def _write_by(self, writer: Writer) -> None:
        self.writer = writer
        for subscription in self.subscriptions.values():
            if subscription.lane is not None:
                subscription.lane.reroute(subscription)


class Subscription:
    """A connection hearing a channel, and what it may do there.

    `lane` is where its messages come by, once it is live.
    """

    __slots__ = ("can", "channel", "connection", "item_id", "lane", "member")

    def __init__(self, connection: Connection, grant: Grant) -> None:
        self.connection = connection
        self.channel = channel_of(grant.item_id)
        self.item_id = grant.item_id
        self.can = grant.can
        self.member = Member(connection.id, connection.principal.subject)
        self.lane: Lane | None = None

    @property
    def writer(self) -> Writer:
        """Give what takes chunks for its connection just now."""
        return self.connection.writer

    def fail(self, reason: CloseReason) -> None:
        """End its connection soon."""
        self.connection.fail(reason)

    @property
    def is_current(self) -> bool:
        """Tell whether it is what its connection hears of the channel: it was not left."""
        return self.connection.subscriptions.get(self.channel) is self
