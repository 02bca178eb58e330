"""One accepted socket: whose it is, what it hears, how it ends."""

from collections.abc import Callable
from typing import Final

from api.channels.names import channel_of
from api.channels.outbox import Outbox, Transport
from api.closing import SLOW_CONSUMER, TOKEN_EXPIRED, CloseReason, Retry
from api.messages import Closing, Event, Frame, Member, Publication, frame_size
from api.wire.base import Codec
from auth.principal import Grant, Principal

# Nothing more may reach these: one does not read, the other no longer may.
WITHOUT_FLUSH: Final = frozenset({SLOW_CONSUMER, TOKEN_EXPIRED})

RETRY_AFTER_MS: Final = {Retry.LATER: 1000}


class Connection:
    """A verified caller's socket. It is open until `end` or `lost`, whichever comes first."""

    __slots__ = (
        "_outbox",
        "_released",
        "_transport",
        "codec",
        "id",
        "is_open",
        "principal",
        "subscriptions",
    )

    def __init__(
        self,
        *,
        connection_id: str,
        principal: Principal,
        codec: Codec,
        transport: Transport,
        outbox_bytes: int,
        released: Callable[["Connection"], None],
    ) -> None:
        self.id = connection_id
        self.principal = principal
        self.codec = codec
        self.is_open = True
        self.subscriptions: dict[str, Subscription] = {}
        self._transport = transport
        self._outbox = Outbox(transport, outbox_bytes)
        self._released = released

    def push(self, frame: Frame, size: int) -> bool:
        """Send a frame of so many bytes; False: the client is too slow, the connection must end."""
        return self._outbox.push(frame, size)

    def send(self, event: Event) -> None:
        """Tell the client of one event, if its codec has a word for it."""
        if not self.is_open:
            return
        frame = self.codec.encode(event)
        if frame is not None and not self.push(frame, frame_size(frame)):
            self.end(SLOW_CONSUMER)

    def replay(self, publication: Publication) -> None:
        """Send a message of the past, which the client asked for."""
        frame = self.codec.encode(publication)
        if frame is not None and self.is_open:
            self._outbox.push_uncounted(frame)

    def writable(self) -> None:
        """Go on sending."""
        self._outbox.flush()

    def end(self, reason: CloseReason) -> None:
        """Leave every channel, tell the client why, close. Ending twice is ending once."""
        if not self.is_open:
            return
        self.lost()
        flush = reason not in WITHOUT_FLUSH
        if not flush:
            self._outbox.discard()
        closing = self.codec.encode(
            Closing(
                code=reason.code,
                reason=reason.reason,
                retry=reason.retry,
                retry_after_ms=RETRY_AFTER_MS.get(reason.retry, 0),
            )
        )
        if closing is not None:
            self._outbox.push_uncounted(closing)
        self._transport.close(reason.code, reason.reason, flush=flush)

    def lost(self) -> None:
        """Leave every channel: the socket is gone."""
        if self.is_open:
            self.is_open = False
            self._released(self)


class Subscription:
    """A connection hearing a channel, and what it may do there."""

    __slots__ = ("can", "channel", "connection", "item_id", "member")

    def __init__(self, connection: Connection, grant: Grant) -> None:
        self.connection = connection
        self.channel = channel_of(grant.item_id)
        self.item_id = grant.item_id
        self.can = grant.can
        self.member = Member(connection.id, connection.principal.subject)
