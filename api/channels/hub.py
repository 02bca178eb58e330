"""Which connections of this process hear which channel, and the synchronous fan-out."""

from collections.abc import Iterable

from api.channels.connection import Connection, Subscription
from api.channels.recovery import Recovery
from api.closing import OVERLOADED, SLOW_CONSUMER, CloseReason
from api.messages import Event, Frame, Publication, frame_size
from api.wire.base import Codec
from auth.scopes import Action


class Hub:
    """The subscriptions of this process, by channel.

    A subscription is first held (what is published meanwhile is kept for it) and then live.
    """

    def __init__(self) -> None:
        self._audiences: dict[str, _Audience] = {}
        self._failed: dict[Connection, CloseReason] = {}
        self._ending = False

    def hold(self, subscription: Subscription, recovery: Recovery) -> None:
        """Keep the channel's publications for a subscription that is not live yet."""
        audience = self._audiences.get(subscription.channel)
        if audience is None:
            audience = self._audiences[subscription.channel] = _Audience()
        audience.held[subscription] = recovery

    def go_live(self, subscription: Subscription) -> None:
        """Deliver to a held subscription from now on."""
        audience = self._audiences[subscription.channel]
        del audience.held[subscription]
        audience.live[subscription] = None
        if Action.PRESENCE in subscription.can:
            audience.watching[subscription] = None

    def remove(self, subscription: Subscription) -> bool:
        """Deliver no more; True: nobody here hears the channel any longer."""
        audience = self._audiences.get(subscription.channel)
        if audience is None:
            return False
        audience.held.pop(subscription, None)
        audience.live.pop(subscription, None)
        audience.watching.pop(subscription, None)
        if audience.live or audience.held:
            return False
        del self._audiences[subscription.channel]
        return True

    def mute(self, connection: Connection) -> None:
        """Send a connection nothing more; its end is near, and others may end before it."""
        for subscription in connection.subscriptions.values():
            audience = self._audiences.get(subscription.channel)
            if audience is not None:
                audience.mute(subscription)

    def fan_out(self, channel: str, publication: Publication) -> None:
        """Send a publication to everyone who hears the channel, encoded once per codec."""
        audience = self._audiences.get(channel)
        if audience is None:
            return
        for subscription, recovery in audience.held.items():
            if not recovery.hold(publication):
                self._failed.setdefault(subscription.connection, OVERLOADED)
        self._send(publication, audience, audience.live)

    def announce(self, channel: str, event: Event) -> None:
        """Send a presence event to those on the channel who may see it."""
        audience = self._audiences.get(channel)
        if audience is not None:
            self._send(event, audience, audience.watching)

    def _send(
        self, event: Event, audience: "_Audience", subscriptions: Iterable[Subscription]
    ) -> None:
        """Push one event to each, encoded and measured once per codec."""
        frames: dict[Codec, tuple[Frame, int] | None] = {}
        too_slow: list[Subscription] = []
        for subscription in subscriptions:
            connection = subscription.connection
            codec = connection.codec
            if codec in frames:
                encoded = frames[codec]
            else:
                encoded = frames[codec] = _encoded(codec, event)
            if encoded is not None and not connection.push(*encoded):
                too_slow.append(subscription)
        for subscription in too_slow:
            audience.mute(subscription)
            self._failed.setdefault(subscription.connection, SLOW_CONSUMER)
        self._end_failed()

    def _end_failed(self) -> None:
        """End who could not keep up. Their end is announced, and may find others too slow.

        A loop and not a recursion: a stalled proxy makes a whole audience too slow at once.
        """
        if self._ending:
            return
        self._ending = True
        try:
            while self._failed:
                connection, reason = self._failed.popitem()
                connection.end(reason)
        finally:
            self._ending = False


def _encoded(codec: Codec, event: Event) -> tuple[Frame, int] | None:
    frame = codec.encode(event)
    return None if frame is None else (frame, frame_size(frame))


class _Audience:
    """Who hears one channel."""

    __slots__ = ("held", "live", "watching")

    def __init__(self) -> None:
        self.held: dict[Subscription, Recovery] = {}
        self.live: dict[Subscription, None] = {}
        self.watching: dict[Subscription, None] = {}

    def mute(self, subscription: Subscription) -> None:
        """Send it nothing more, not even that others left; its end is near."""
        self.live.pop(subscription, None)
        self.watching.pop(subscription, None)
