"""Which connections of this process hear which channel, and the synchronous fan-out."""

import time
from collections.abc import Callable, Iterable

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.lanes import Lane
from itemwire.channels.delivery.outbox import Chunk, Framing
from itemwire.channels.delivery.recovery import Recovery
from itemwire.channels.limits.bounds import Limits
from itemwire.close_reasons import MESSAGES_LOST, CloseReason
from itemwire.counters import ChannelCounters
from itemwire.messages import Event, Gap, Position, Publication
from itemwire.wire.base import Codec
from itemwire_auth.scopes import Action


class Hub:
    """The subscriptions of this process, by channel.

    A subscription is first held (what is published meanwhile is kept for it) and then live. What
    is sent to the live ones waits for `flush`, which `call_soon` is asked to call in this tick.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        counters: ChannelCounters | None = None,
    ) -> None:
        self._call_soon = call_soon
        self._counters = counters or ChannelCounters()
        self._audiences: dict[str, _Audience] = {}
        self.pending: list[Lane] = []  # that wait for the flush; always the same list
        self._failed: dict[Connection, CloseReason] = {}
        self._is_scheduled = False

    def __len__(self) -> int:
        return len(self._audiences)

    def has_room(self, channel: str, limits: Limits) -> bool:
        """Tell whether one subscription more to a channel is within the limits."""
        audience = self._audiences.get(channel)
        if audience is None:
            return not limits.channels or len(self._audiences) < limits.channels
        return not limits.listeners or audience.size < limits.listeners

    def hold(self, subscription: Subscription, recovery: Recovery) -> None:
        """Keep the channel's publications for a subscription that is not live yet."""
        audience = self._audiences.get(subscription.channel)
        if audience is None:
            audience = self._audiences[subscription.channel] = _Audience(subscription.channel)
        audience.held[subscription] = recovery

    def go_live(self, subscription: Subscription, position: Position) -> None:
        """Deliver to a held subscription from now on; it has seen what is up to a position."""
        audience = self._audiences[subscription.channel]
        del audience.held[subscription]
        if not audience.held:
            audience.held = {}  # a dict that had something in it keeps its room
        audience.reach(position)
        subscription.lane = audience.lane_for(subscription)
        subscription.lane.add(subscription)

    def remove(self, subscription: Subscription) -> bool:
        """Deliver no more; True: nobody here hears the channel any longer."""
        audience = self._audiences.get(subscription.channel)
        if audience is None:
            return False
        audience.held.pop(subscription, None)
        self.mute(subscription)
        if audience.lanes or audience.held:
            return False
        del self._audiences[subscription.channel]
        return True

    def mute(self, subscription: Subscription) -> None:
        """Send it nothing more, not even that others left: its end is near."""
        lane, subscription.lane = subscription.lane, None
        if lane is not None:
            lane.remove(subscription)
            if not lane.writers:
                self._audiences[subscription.channel].lanes.remove(lane)

    def change_lane(self, subscription: Subscription) -> None:
        """Move a live subscription to the lane of what it may see now, between two messages.

        One that is not live yet gets its lane when it goes live.
        """
        if subscription.lane is None:
            return
        subscription.lane.catch_up(subscription)
        self.mute(subscription)
        subscription.lane = self._audiences[subscription.channel].lane_for(subscription)
        subscription.lane.add(subscription)

    def fail(self, connection: Connection, reason: CloseReason) -> None:
        """End a connection with the next flush; the first reason counts."""
        self._failed.setdefault(connection, reason)
        if not self._is_scheduled:
            self._schedule()

    def fan_out(self, channel: str, publication: Publication) -> None:
        """Send a publication to everyone who hears the channel."""
        audience = self._audiences.get(channel)
        if audience is None:
            return
        audience.offset = publication.offset
        for recovery in audience.held.values():
            recovery.hold(publication)
        self._send(publication, audience.lanes, Position(audience.epoch, publication.offset))
        for lane in audience.lanes:
            self._counters.delivered += len(lane.writers)

    def lose(self, channel: str, item_id: str, position: Position) -> None:
        """Tell everyone who hears the channel that all up to a position is lost to them."""
        audience = self._audiences.get(channel)
        if audience is None:
            return
        for recovery in audience.held.values():
            recovery.is_broken = True
        goes_on = audience.epoch == position.epoch
        first = audience.offset + 1 if goes_on else 1
        audience.reach(position)
        gap = Gap(item_id, position.epoch, first, position.offset)
        self._send(gap, audience.lanes)
        for lane in audience.lanes:
            if lane.codec.encode(gap) is None:  # it has no word for it, and must not be silent
                lane.fail(MESSAGES_LOST)

    def announce(self, channel: str, event: Event) -> None:
        """Send a presence event to those on the channel who may see it."""
        audience = self._audiences.get(channel)
        if audience is not None:
            self._send(event, [lane for lane in audience.lanes if lane.shows_presence])

    def flush(self) -> None:
        """Write what this tick has sent, and end who could not keep up.

        Their end is announced, and may find others too slow: a stalled proxy makes a whole
        audience too slow at once, so this is a loop and not a recursion.
        """
        self._is_scheduled = False
        began = time.perf_counter()
        while self.pending or self._failed:
            pending = self.pending.copy()
            self.pending.clear()
            for lane in pending:
                lane.flush()
            while self._failed:
                connection, reason = self._failed.popitem()
                connection.end(reason)
        self._counters.fan_out.observe(time.perf_counter() - began)

    def _send(self, event: Event, lanes: Iterable[Lane], position: Position | None = None) -> None:
        """Hand one event to each lane, encoded once per codec and framing.

        With a position it is a message, which a client that is behind may have to do without.
        """
        chunks: dict[tuple[Codec, Framing], Chunk | None] = {}
        for lane in lanes:
            kind = (lane.codec, lane.framing)
            if kind not in chunks:
                frame = lane.codec.encode(event)
                chunks[kind] = None if frame is None else lane.framing.render(frame)
            chunk = chunks[kind]
            if chunk is None:
                continue
            if lane.send(chunk, position):
                self.pending.append(lane)
                if not self._is_scheduled:
                    self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._call_soon(self.flush)


class _Audience:
    """Who hears one channel."""

    __slots__ = ("_channel", "epoch", "held", "lanes", "offset")

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self.held: dict[Subscription, Recovery] = {}
        self.lanes: list[Lane] = []
        self.epoch = ""
        self.offset = 0  # of the newest message that was sent to its lanes

    @property
    def size(self) -> int:
        """Count those who hear it, and those who soon will."""
        return len(self.held) + sum(len(lane.writers) for lane in self.lanes)

    def reach(self, position: Position) -> None:
        """Note that all who are live have what is up to a position, or were told."""
        self.epoch = self.epoch or position.epoch
        if self.epoch != position.epoch or self.offset < position.offset:
            self.epoch, self.offset = position.epoch, position.offset

    def lane_for(self, subscription: Subscription) -> Lane:
        """Find the lane of its kind, or open one."""
        codec, framing = subscription.connection.codec, subscription.connection.framing
        shows_presence = Action.PRESENCE in subscription.can
        for lane in self.lanes:
            if (lane.codec, lane.framing, lane.shows_presence) == (codec, framing, shows_presence):
                return lane
        lane = Lane(codec, framing, shows_presence=shows_presence, channel=self._channel)
        self.lanes.append(lane)
        return lane
