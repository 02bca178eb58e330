"""Which connections of this process hear which channel, and the fan-out. Synchronous throughout."""

from collections.abc import Iterable

from api.channels.connection import Subscription
from api.channels.recovery import Recovery
from api.closing import OVERLOADED, SLOW_CONSUMER
from api.messages import Event, Frame, Publication
from api.wire.base import Codec
from auth.scopes import Action


class Hub:
    """The subscriptions of this process, by channel.

    A subscription is first held (what is published meanwhile is kept for it) and then live.
    """

    def __init__(self) -> None:
        self._audiences: dict[str, _Audience] = {}

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

    def fan_out(self, channel: str, publication: Publication) -> None:
        """Send a publication to everyone who hears the channel, encoded once per codec."""
        audience = self._audiences.get(channel)
        if audience is None:
            return
        lost = [
            subscription
            for subscription, recovery in audience.held.items()
            if not recovery.hold(publication)
        ]
        _send(publication, audience.live)
        for subscription in lost:
            subscription.connection.end(OVERLOADED)

    def announce(self, channel: str, event: Event) -> None:
        """Send a presence event to those on the channel who may see it."""
        audience = self._audiences.get(channel)
        if audience is not None:
            _send(event, audience.watching)


class _Audience:
    """Who hears one channel."""

    __slots__ = ("held", "live", "watching")

    def __init__(self) -> None:
        self.held: dict[Subscription, Recovery] = {}
        self.live: dict[Subscription, None] = {}
        self.watching: dict[Subscription, None] = {}


def _send(event: Event, subscriptions: Iterable[Subscription]) -> None:
    frames: dict[Codec, Frame | None] = {}
    too_slow: list[Subscription] = []
    for subscription in subscriptions:
        connection = subscription.connection
        codec = connection.codec
        if codec in frames:
            frame = frames[codec]
        else:
            frame = frames[codec] = codec.encode(event)
        if frame is not None and not connection.push(frame):
            too_slow.append(subscription)
    # Ending one tells the others that it left: only after the walk, so the order is one for all.
    for subscription in too_slow:
        subscription.connection.end(SLOW_CONSUMER)
