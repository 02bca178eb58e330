"""This process: its hub, its presence, and the engine behind them."""

import logging
import random
import time
from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from typing import Final

from msgspec import UNSET, UnsetType

from itemwire.channels.cluster.cluster import Cluster
from itemwire.channels.cluster.control import Control, warn
from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.connection_log import ConnectionLog
from itemwire.channels.delivery.in_flight import InFlight, TooManyInFlight
from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.delivery.recovery import Start
from itemwire.channels.hub import Hub
from itemwire.channels.join import JoinResult, PendingJoin
from itemwire.channels.lifecycle.draining import Draining
from itemwire.channels.lifecycle.expiry import Expiry
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.channels.limits.bounds import BY_TOKEN, Lifetime, Limits
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.limits.requests import Rates
from itemwire.channels.names import channel_of, item_of, key_of
from itemwire.channels.presence.presence import Page, Presence
from itemwire.channels.reauthorization import Denied
from itemwire.channels.welcome import in_order, welcome_to
from itemwire.close_reasons import DRAINING, TOKEN_REVOKED, CloseReason
from itemwire.counters import ChannelCounters
from itemwire.engines.base import Answer, Engine, EngineError, History, Span
from itemwire.messages import Draft, Payload, Position, Ref, payload_size
from itemwire.timers import CallLater, call_later, call_soon
from itemwire.wire.base import Codec
from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocation, Revocations
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")

FIRST_PAGE: Final = 100  # members in a welcome, and in an answer that is not asked for another size


def new_connection_id() -> str:
    """Make an id that no other connection of any node has."""
    return token_urlsafe(9)


class Node:
    """Connects sockets to channels and channels to the engine."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        *,
        leeway: float = 0,
        lifetime: Lifetime = BY_TOKEN,
        revocations: Revocations | None = None,
        counters: ChannelCounters | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_connection_id,
        call_soon: Callable[[Callable[[], None]], object] = call_soon,
        call_later: CallLater = call_later,
        drain_seconds: float = 5,
        random: Callable[[], float] = random.random,
        rates: Rates | None = None,
        is_shared: bool = False,
        slots: ConnectionSlots | None = None,
    ) -> None:
        self.limits = limits
        self.rates = rates  # None: nothing is limited
        self.random = random
        self.drain_seconds = drain_seconds
        self._call_later = call_later
        self._draining: Draining | None = None
        self._engine = engine
        self.may_fall_behind = not engine.answers_at_once  # publishes may be left unanswered
        self._clock = clock
        self._new_id = new_id
        self.counters = counters or ChannelCounters()
        self.connection_log = ConnectionLog(self.counters)
        self._hub = Hub(call_soon, self.counters)
        self.pending = self._hub.pending
        self._presence = Presence(self._hub.announce, limits.presence_limit, limits.presence_grace)
        self._ends = Expiry(lifetime, leeway, clock)
        self.revocations = Revocations(clock=clock) if revocations is None else revocations
        self._unanswered = InFlight(limits.unanswered, limits.unanswered_bytes)
        self._id = new_connection_id()  # tells this node's own notices from those of others
        self._registry = ConnectionRegistry()
        self._control = Control(
            self._id,
            engine,
            self.revocations,
            registry=self._registry,
            ends=self._ends,
            end_all=self._end_all,
            clock=clock,
        )
        self._is_started = False
        self._cluster = Cluster(
            self._id,
            engine,
            self._control,
            registry=self._registry,
            end_all=self._end_all,
        )
        if is_shared:
            grace = limits.presence_grace
            self._cluster.share(self._presence, slots or ConnectionSlots(), grace, call_later)

    @property
    def channels(self) -> int:
        """Count the channels that somebody hears here."""
        return len(self._hub)

    @property
    def is_ready(self) -> bool:
        """Tell whether sockets can be served: it is started, stays, and its engine is there."""
        return self._is_started and not self.is_draining and self._engine.is_available

    @property
    def is_started(self) -> bool:
        """Return whether it runs: its engine was started, and is not stopped yet."""
        return self._is_started

    @property
    def is_draining(self) -> bool:
        """Tell whether it goes out of service: nobody is taken in any more."""
        return self._draining is not None

    async def start(self) -> None:
        """Start the engine; until then nothing is served."""
        await self._engine.start(self._hub.fan_out, self._cluster.receive, self._lose)
        self._is_started = True
        self._cluster.start()

    async def stop(self) -> None:
        """Take leave of the other nodes, and stop the engine."""
        self._is_started = False
        await self._cluster.stop()
        await self._engine.stop()

    def tick(self) -> None:
        """Do what is due for connections and their members; called about once a second."""
        due = self._ends.pop_due()
        self._end_all(due.over)
        warn(due.near)
        self._presence.converge(self._clock())
        self._cluster.tick()
        if self.rates is not None:
            self.rates.forget_idle()

    def drain(self, seconds: float | None = None, done: Callable[[], None] = lambda: None) -> int:
        """Go out of service, for good; tell how many connections are ended.

        They end within so many seconds, those of the settings unless said otherwise; then `done`
        is called. Who comes meanwhile is ended at once.
        """
        seconds = self.drain_seconds if seconds is None else seconds
        if self._draining is None:
            logger.info("draining connections=%d seconds=%g", len(self._registry), seconds)
            everybody = self._registry.everybody()
            self._draining = Draining(everybody, self._end_all, self._call_later, self.random)
        return self._draining.spread(seconds, done)

    def revoke(self, revocation: Revocation, answer: Answer[int], *, margin: float = 0) -> None:
        """Take tokens back: here at once, then on every node; answer how many it ends here.

        When this returns their sockets have ended, whatever the engine is going to answer, and no
        further message reaches them. They cannot come back before `until`: with one that is past,
        they can at once.

        With a margin, in seconds, sockets end when it is over, unless they are refreshed with a
        token that was not taken back. What was taken back opens none from now on.
        """
        self._control.revoke(revocation, margin, answer)

    def disconnect(self, connection_id: str, answer: Answer[int]) -> None:
        """End a connection, on whichever node it is; answer how many ended here."""
        self._control.disconnect(connection_id, answer)

    def connections(self, limit: int, after: str = "") -> list[Connection]:
        """List so many connections of this node, by id, from the one after `after` on."""
        return self._registry.page(limit, after)

    def connect(self, principal: Principal, codec: Codec, transport: Transport) -> Connection:
        """Take in an accepted socket; one whose token was revoked since has ended already."""
        connection = Connection(
            self,
            connection_id=self._new_id(),
            principal=principal,
            codec=codec,
            transport=transport,
            since=int(self._clock()),
            session_ends_at=self._ends.of_session(),
        )
        self._ends.watch(connection)
        self._registry.add(connection)
        self.connection_log.opened(connection)
        if self.revocations.revokes(principal):  # since the handshake looked
            connection.end(TOKEN_REVOKED)
        if self.is_draining:  # since the door was passed
            connection.end(DRAINING)
        return connection

    def renew(self, connection: Connection, principal: Principal) -> Denied | None:
        """Give a connection another token of its caller, and another end with it.

        Gives why not, where the token was taken back while its rights were worked out.
        """
        if self.revocations.revokes(principal):
            return Denied(TOKEN_REVOKED, principal)
        self._ends.forget(connection)
        connection.principal = principal
        connection.revoked_at = None  # that was about the token of before
        self._ends.watch(connection)
        self.counters.refreshes["accepted"] += 1
        logger.info(
            "renewed connection=%s subject=%r expires_at=%d",
            connection.id,
            principal.subject,
            connection.expires_at,
        )
        return None

    def change_rights(self, subscription: Subscription, can: frozenset[Action]) -> None:
        """Let a subscriber do other things than before, from the next message on."""
        seen, subscription.can = subscription.can, can
        if (Action.PRESENCE in seen) != (Action.PRESENCE in can):
            self._hub.change_lane(subscription)
        logger.debug(
            "refreshed channel=%s connection=%s can=%s expires_at=%d",
            subscription.channel,
            subscription.connection.id,
            ",".join(in_order(can)),
            subscription.connection.expires_at,
        )

    def join(
        self,
        subscription: Subscription,
        start: Start,
        joined: Callable[[EngineError | None], None],
        ref: Ref | UnsetType = UNSET,
    ) -> None:
        """Make a subscription hear its item: `welcome`, what it missed, then live.

        `joined` is called once the client is welcomed or cannot be, perhaps before this returns;
        not at all if it has left meanwhile.
        """
        if not subscription.connection.is_open:
            return

        def arrive(arrival: JoinResult | EngineError) -> None:
            if isinstance(arrival, EngineError):
                logger.error(
                    "join_failed connection=%s channel=%s problem=%s",
                    subscription.connection.id,
                    subscription.channel,
                    arrival,
                )
                joined(arrival)
            else:
                self._admit(subscription, arrival, ref)
                joined(None)

        if not self._hub.has_room(subscription.channel, self.limits):
            arrive(EngineError("this node hears as many channels, or this one is heard by as many"))
            return
        subscription.connection.subscriptions[subscription.channel] = subscription
        self.counters.subscriptions += 1
        self._cluster.hear(subscription.channel)
        PendingJoin(self._engine, self.limits, subscription, start, arrive).begin(self._hub)

    def leave(self, subscription: Subscription) -> None:
        """Send a subscriber no more of its item, and tell the others that it left."""
        if subscription.is_current:
            del subscription.connection.subscriptions[subscription.channel]
            self._leave(subscription)

    def publish(
        self, by: Principal, item_id: str, data: Payload, key: str | None, answer: Answer[Position]
    ) -> None:
        """Publish to an item, in the name of a verified caller, who has keys of its own.

        Answers `TooManyInFlight` at once while the engine has too much to answer.
        """
        own_key = None if key is None else key_of(by, key)
        sent_at = int(self._clock() * 1000) / 1000
        draft = Draft(item_id, by.subject, sent_at, data, own_key)
        counted: Answer[Position] | None = answer
        if self.may_fall_behind:
            counted = self._unanswered.count(payload_size(data), answer)
        if counted is None:
            answer(TooManyInFlight("the engine has too many messages to store"))
        else:
            self._engine.publish(channel_of(item_id), draft, counted)

    def history(self, item_id: str, span: Span, answer: Answer[History]) -> None:
        """Answer a part of an item's history, of at most `history_limit` messages."""
        self._engine.read(channel_of(item_id), span.at_most(self.limits.history_limit), answer)

    def members(self, item_id: str, limit: int = FIRST_PAGE, after: str = "") -> Page:
        """List so many of those who are on an item, from the one after `after` on."""
        return self._presence.page(channel_of(item_id), limit, after)

    def failed(self, connection: Connection, reason: CloseReason) -> None:
        """End a connection once the fan-out is through."""
        self._hub.fail(connection, reason)

    def released(self, connection: Connection) -> None:
        """Take leave, in a connection's name, of every channel it is on."""
        self.connection_log.released(connection)
        self._ends.forget(connection)
        self._registry.discard(connection)
        if self.rates is not None:
            self.rates.end(connection)
        for subscription in connection.subscriptions.values():
            self._leave(subscription)
        connection.subscriptions.clear()

    def _end_all(self, ends: Mapping[Connection, CloseReason]) -> int:
        """End connections together, and tell how many they were."""
        # Each would be told of those who end before it, though nothing more may reach it.
        for connection in ends:
            for subscription in connection.subscriptions.values():
                self._hub.mute(subscription)
        for connection, reason in ends.items():
            connection.end(reason)
        return len(ends)

    def _lose(self, channel: str, position: Position) -> None:
        logger.error("messages_lost channel=%s position=%s", channel, position)
        self._hub.lose(channel, item_of(channel), position)

    def _admit(self, subscription: Subscription, arrival: JoinResult, ref: Ref | UnsetType) -> None:
        connection, channel = subscription.connection, subscription.channel
        caller = connection.principal.identity
        subscription.member = self._presence.join(channel, caller, subscription.member)
        logger.debug(
            "joined channel=%s subject=%r connection=%s member=%s",
            channel,
            connection.principal.subject,
            connection.id,
            subscription.member.connection,
        )
        connection.is_welcomed = True
        page = self.members(subscription.item_id)
        connection.send(welcome_to(subscription, arrival, self.limits, page, ref))
        for publication in arrival.recovery.join(arrival.history):
            connection.replay(publication)
            self.counters.replayed += 1
        if connection.is_open:
            self._hub.go_live(subscription, arrival.history.position)

    def _leave(self, subscription: Subscription) -> None:
        channel, member = subscription.channel, subscription.member
        connection = subscription.connection
        self.counters.subscriptions -= 1
        # Also where members are absent: what they miss meanwhile is in the history.
        if self._hub.remove(subscription):
            self._engine.unsubscribe(channel)
            self._cluster.forget(channel)
        if connection.may_return:
            caller = connection.principal.identity
            was_there = self._presence.cut_off(channel, caller, member, self._clock())
        else:
            was_there = self._presence.leave(channel, member)
        if was_there:
            logger.debug(
                "left channel=%s subject=%r connection=%s member=%s may_return=%s",
                channel,
                member.subject,
                connection.id,
                member.connection,
                connection.may_return,
            )
