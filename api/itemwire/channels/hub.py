"""The subscriptions of this process by channel, and the synchronous fan-out to them."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from threading import get_ident
from typing import NamedTuple

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.lanes import Lane
from itemwire.channels.delivery.outbox import Chunk, Framing
from itemwire.channels.delivery.own_messages import OwnMessages
from itemwire.channels.delivery.recovery import Recovery
from itemwire.channels.delivery.time_slice import TimeSlice
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.timers import Timers
from itemwire.close_reasons import MESSAGES_LOST, SLOW_CONSUMER, CloseReason
from itemwire.counters import ChannelCounters
from itemwire.messages import NOT_STORED, Draft, Ephemeral, Event, Gap, Position, Publication
from itemwire.wire.base import Codec
from itemwire_auth.scopes import Action


def _discard(_channel: str, _publication: Publication) -> None: ...


class Reach(NamedTuple):
    """How many subscriptions a channel has on a node, and the newest position known there."""

    subscriptions: int
    position: Position


class Hub:
    """Delivers what is published on a channel to its subscriptions in this process.

    A subscription is first held: what is published meanwhile is kept for it. Then it is live. What
    is sent to live ones waits in their lanes until `flush`, which is called at the end of the tick.

    It belongs to one thread, the one that starts it. A publication that comes in on another thread
    is handed over to that one. `without_audience` takes those of channels without a subscription.
    """

    def __init__(
        self,
        timers: Timers,
        counters: ChannelCounters | None = None,
        without_audience: Callable[[str, Publication], None] = _discard,
    ) -> None:
        self._timers = timers
        self._counters = counters or ChannelCounters()
        self._without_audience = without_audience
        self._audiences: dict[str, _Audience] = {}
        self.pending: list[Lane[Subscription]] = []  # lanes with something to write; never replaced
        self._failed: dict[Connection, CloseReason] = {}  # to be ended by the flush
        self._is_scheduled = False
        self._time_slice = TimeSlice()  # of the flush that is being done
        self._own: OwnMessages[Connection] = OwnMessages()
        self.thread = get_ident()

    def __len__(self) -> int:
        """Return the number of channels that have a subscription here."""
        return len(self._audiences)

    def start(self) -> None:
        """Belong to the thread that calls this, and to the event loop that runs on it now."""
        self.thread = get_ident()
        self._is_scheduled = False  # an earlier loop may have been closed with a call left to make

    def add(self, subscription: Subscription, recovery: Recovery, limits: Limits) -> bool:
        """Hold a subscription: have a recovery receive what is published on its channel.

        Return False where the limits leave no room for one more.
        """
        audience = self._audiences.get(subscription.channel)
        if audience is None:
            if limits.max_channels and len(self._audiences) >= limits.max_channels:
                return False
            audience = self._audiences[subscription.channel] = _Audience(subscription.channel)
        elif limits.max_subscribers and audience.size >= limits.max_subscribers:
            return False
        # Each handshake has made these strings anew, and they stay for as long as its socket does.
        subscription.channel = audience.channel
        subscription.item_id = audience.item_id = audience.item_id or subscription.item_id
        audience.held[subscription] = recovery
        return True

    def listen(self, channel: str, hear: Callable[[Publication | Gap], None]) -> None:
        """Call back with what is published on a channel, at once, and with what of it is lost."""
        audience = self._audiences.setdefault(channel, _Audience(channel))
        audience.listeners = (*audience.listeners, hear)

    def unlisten(self, channel: str, hear: Callable[[Publication | Gap], None]) -> bool:
        """Call back no longer; return whether the channel has no subscription here any more."""
        audience = self._audiences.get(channel)
        if audience is None:
            return False
        audience.listeners = tuple(one for one in audience.listeners if one != hear)
        return self._forget_if_unheard(audience, channel)

    def advance(self, channel: str, position: Position) -> None:
        """Note that the listeners of a channel have all up to a position."""
        audience = self._audiences.get(channel)
        if audience is not None:
            audience.advance_to(position)

    def hears(self, channel: str) -> bool:
        """Return whether a channel has a subscription here, or a callback."""
        return channel in self._audiences

    def watchers(self, channel: str) -> int:
        """Return the number of subscriptions here that are told of a channel's members."""
        audience = self._audiences.get(channel)
        lanes = () if audience is None else audience.lanes
        return sum(len(lane.writers) for lane in lanes if lane.shows_presence)

    def subscribers(self, channel: str) -> int:
        """Return the number of subscriptions that a channel has here."""
        audience = self._audiences.get(channel)
        if audience is None:
            return 0
        count = len(audience.held)
        for lane in audience.lanes:  # without a generator: this runs for every publish
            count += len(lane.writers)
        return count

    def audiences(self) -> dict[str, int]:
        """Return the number of subscriptions of each channel that has any here."""
        sizes = ((channel, audience.size) for channel, audience in self._audiences.items())
        return {channel: size for channel, size in sizes if size}

    def names(self) -> list[str]:
        """Return the names of the channels that have a subscription here."""
        return list(self._audiences)

    def reach(self, channel: str) -> Reach:
        """Return how many subscriptions a channel has here, and where its stream stands."""
        audience = self._audiences.get(channel)
        if audience is None:
            return Reach(0, Position("", 0))
        return Reach(audience.size, Position(audience.epoch, audience.offset))

    def go_live(self, subscription: Subscription, position: Position) -> None:
        """Deliver to a held subscription from now on; it has everything up to a position."""
        audience = self._audiences[subscription.channel]
        del audience.held[subscription]
        if not audience.held:
            audience.held = {}  # a dict keeps the room of what it once held
        audience.advance_to(position)
        subscription.lane = audience.lane_for(subscription)
        subscription.lane.add(subscription)

    def remove(self, subscription: Subscription) -> bool:
        """Deliver no more; return whether this was the last subscription of its channel here."""
        audience = self._audiences.get(subscription.channel)
        if audience is None:
            return False
        audience.held.pop(subscription, None)
        self._stop_delivery(subscription)
        return self._forget_if_unheard(audience, subscription.channel)

    def _forget_if_unheard(self, audience: "_Audience", channel: str) -> bool:
        if audience.lanes or audience.held or audience.listeners:
            return False
        del self._audiences[channel]
        return True

    def change_lane(self, subscription: Subscription) -> None:
        """Move a live subscription, between two messages, to the lane for what it may see now.

        One that is held gets its lane when it goes live.
        """
        if subscription.lane is None:
            return
        subscription.lane.catch_up(subscription)
        self._stop_delivery(subscription)
        subscription.lane = self._audiences[subscription.channel].lane_for(subscription)
        subscription.lane.add(subscription)

    def fan_out(self, channel: str, publication: Publication) -> None:
        """Send a publication to every subscription of its channel."""
        if get_ident() != self.thread:
            self._timers.hand_over(partial(self.fan_out, channel, publication))
            return
        audience = self._audiences.get(channel)
        if audience is None:
            self._without_audience(channel, publication)
            return
        audience.offset = publication.offset
        if audience.held:
            for recovery in audience.held.values():
                recovery.receive(publication)
        for hear in audience.listeners:
            hear(publication)
        for lane in audience.lanes:
            self._counters.delivered += len(lane.writers)
        position = Position(audience.epoch, publication.offset)
        muted = self._own.publisher_of(channel, publication) if self._own.expected else None
        self._send(publication, audience.lanes, position, muted)

    def mute(self, channel: str, draft: Draft, publisher: Connection) -> None:
        """Keep a message that is about to be published from the connection that publishes it."""
        self._own.add(channel, draft, publisher, time.monotonic())

    def send_ephemeral(
        self, channel: str, message: Ephemeral, muted: Connection | None = None
    ) -> None:
        """Send a message that is stored nowhere to the live subscriptions, but that of one."""
        audience = self._audiences.get(channel)
        if audience is not None:
            for lane in audience.lanes:
                self._counters.delivered += len(lane.writers)
            self._send(message, audience.lanes, NOT_STORED, muted)

    def report_loss(self, channel: str, item_id: str, position: Position) -> None:
        """Tell every subscription of a channel that all messages up to a position are lost."""
        audience = self._audiences.get(channel)
        if audience is None:
            return
        for recovery in audience.held.values():
            recovery.is_broken = True
        first = audience.offset + 1 if audience.epoch == position.epoch else 1
        audience.advance_to(position)
        gap = Gap(item_id, position.epoch, first, position.offset)
        for hear in audience.listeners:
            hear(gap)
        # A client whose codec has no word for a gap would not see it, so its connection ends.
        for lane in audience.lanes:
            if lane.codec.encode(gap) is None:
                self._fail(lane.writers, MESSAGES_LOST)
        self._send(gap, audience.lanes)

    def announce(self, channel: str, event: Event) -> None:
        """Send a presence event to the subscriptions of a channel that may see it."""
        audience = self._audiences.get(channel)
        if audience is not None:
            self._send(event, [lane for lane in audience.lanes if lane.shows_presence])

    def end_all(self, ends: Mapping[Connection, CloseReason]) -> int:
        """End connections together; return how many they are."""
        # Delivery stops for all of them first: nothing more may reach them, not even the news that
        # the ones before have left.
        for connection in ends:
            for subscription in connection.subscriptions.values():
                self._stop_delivery(subscription)
        for connection, reason in ends.items():
            connection.end(reason)
        return len(ends)

    def flush(self) -> None:
        """Write what this tick has sent, then end the connections that could not keep up.

        What takes longer than a slice of time goes on in the next tick.

        An end is news for the others of its channels, and that news may be more than another slow
        client has room for. A stalled proxy makes a whole audience too slow at once, so this is a
        loop and not a recursion.
        """
        self._is_scheduled = True  # what an end sends to others is written by the loop below
        began = time.perf_counter()
        try:
            time_slice = self._time_slice
            time_slice.restart()
            while (self.pending and not time_slice.is_over) or self._failed:
                self._flush_lanes(time_slice)
                while self._failed:
                    connection, reason = self._failed.popitem()
                    connection.end(reason)
        finally:
            self._is_scheduled = False
        self._counters.fan_out.observe(time.perf_counter() - began)
        self._schedule_flush()

    def _flush_lanes(self, time_slice: TimeSlice) -> None:
        flushed = 0
        try:
            for lane in self.pending:
                if time_slice.is_over:
                    break
                flushed += 1
                try:
                    failed = lane.flush(time_slice)
                finally:
                    if lane.is_pending:  # it comes after the others, and so delays none of them
                        self.pending.append(lane)
                if failed:
                    self._fail(failed, SLOW_CONSUMER)
        finally:  # a lane that raises must not keep the others from being flushed another time
            del self.pending[:flushed]

    def _fail(self, subscriptions: Iterable[Subscription], reason: CloseReason) -> None:
        """Have connections ended by the next flush, each for the first reason that there is."""
        for subscription in subscriptions:
            self._failed.setdefault(subscription.connection, reason)

    def _send(
        self,
        event: Event,
        lanes: Sequence[Lane[Subscription]],
        position: Position | None = None,
        muted: Connection | None = None,
    ) -> None:
        """Hand an event to each lane, encoded once per codec and framing.

        With a position it is a message, which a client that is behind may have to do without. A
        connection that is `muted` gets nothing of it.
        """
        try:
            if len(lanes) == 1:  # as nearly always: without a table of what is encoded already
                self._hand_to(lanes[0], _chunk_for(lanes[0], event), position, muted)
                return
            chunks: dict[tuple[Codec, Framing], Chunk | None] = {}
            for lane in lanes:
                kind = (lane.codec, lane.framing)
                if kind not in chunks:
                    chunks[kind] = _chunk_for(lane, event)
                self._hand_to(lane, chunks[kind], position, muted)
        finally:
            # Also for what is left from before: an earlier call for it may have been refused.
            if not self._is_scheduled:
                self._schedule_flush()

    def _hand_to(
        self,
        lane: Lane[Subscription],
        chunk: Chunk | None,
        position: Position | None,
        muted: Connection | None,
    ) -> None:
        if chunk is None:
            return
        if not lane.is_pending:
            self.pending.append(lane)
        own = None if muted is None else muted.subscriptions.get(lane.channel)
        lane.send(chunk, position, muted=own)

    def _schedule_flush(self) -> None:
        if not self._is_scheduled and (self.pending or self._failed):
            self._timers.call_soon(self.flush)
            self._is_scheduled = True  # and not before: a refused call is to be asked for again

    def _stop_delivery(self, subscription: Subscription) -> None:
        """Send a subscription nothing more, not even that others left: its end is near."""
        lane, subscription.lane = subscription.lane, None
        if lane is not None:
            lane.remove(subscription)
            if not lane.writers:
                self._audiences[subscription.channel].lanes.remove(lane)


def _chunk_for(lane: Lane[Subscription], event: Event) -> Chunk | None:
    """Return an event in the form that a lane takes; None if its codec cannot express it."""
    frame = lane.codec.encode(event)
    return None if frame is None else lane.framing.render(frame)


class _Audience:
    """The subscriptions of one channel."""

    __slots__ = ("channel", "epoch", "held", "item_id", "lanes", "listeners", "offset")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.item_id = ""  # from its first subscription on
        self.held: dict[Subscription, Recovery] = {}
        self.lanes: list[Lane[Subscription]] = []
        self.listeners: tuple[Callable[[Publication | Gap], None], ...] = ()  # code, not sockets
        self.epoch = ""
        self.offset = 0  # of the newest message that was sent to its lanes

    @property
    def size(self) -> int:
        """Return the number of subscriptions, live and held."""
        return len(self.held) + sum(len(lane.writers) for lane in self.lanes)

    def advance_to(self, position: Position) -> None:
        """Note that live subscriptions have all up to a position, or were told it is lost."""
        self.epoch = self.epoch or position.epoch
        if self.epoch != position.epoch or self.offset < position.offset:
            self.epoch, self.offset = position.epoch, position.offset

    def lane_for(self, subscription: Subscription) -> Lane[Subscription]:
        """Find the lane of a subscription's kind, or open one."""
        codec, framing = subscription.connection.codec, subscription.connection.framing
        shows_presence = Action.PRESENCE in subscription.can
        for one in self.lanes:
            if (one.codec, one.framing, one.shows_presence) == (codec, framing, shows_presence):
                return one
        lane: Lane[Subscription] = Lane(
            codec, framing, shows_presence=shows_presence, channel=self.channel
        )
        self.lanes.append(lane)
        return lane
