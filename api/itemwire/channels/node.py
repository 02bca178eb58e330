"""One server process: its connections, its subscriptions, and the engine they share."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from msgspec import UNSET, UnsetType

from itemwire.channels.client_options import NO_OPTIONS, ClientOptions
from itemwire.channels.cluster.cluster import Cluster
from itemwire.channels.cluster.control import Control
from itemwire.channels.cluster.exchange import Exchange, NoExchange, SharedExchange
from itemwire.channels.cluster.questions import Questions
from itemwire.channels.connection import ENDED, Connection, Subscription
from itemwire.channels.connection_log import ConnectionLog
from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.delivery.resume import ResumeProofs
from itemwire.channels.direct import DirectMessages
from itemwire.channels.environment import Environment, new_connection_id
from itemwire.channels.hinted_connection import HintedConnection
from itemwire.channels.hub import Hub
from itemwire.channels.idempotency import key_of
from itemwire.channels.join import FIRST_PAGE, ChannelParts, Joined, begin_join, leave
from itemwire.channels.lifecycle.draining import Draining
from itemwire.channels.lifecycle.expiry import Expiry, send_expiring
from itemwire.channels.lifecycle.heartbeats import Heartbeats
from itemwire.channels.lifecycle.rechecks import Rechecks
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.channels.limits.bounds import DEFAULTS, Limits, NodeOptions
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.limits.item_rules import RulesOf, no_rules
from itemwire.channels.limits.requests import RequestRates, presence_budget
from itemwire.channels.listening import Listening
from itemwire.channels.names import channel_of, item_of
from itemwire.channels.overview import Overview
from itemwire.channels.presence.info import with_info
from itemwire.channels.presence.presence import Page, Presence
from itemwire.channels.publishing import Publishing
from itemwire.channels.reauthorization import Denied
from itemwire.channels.rights import rights_of
from itemwire.channels.timely_answers import TimelyAnswers
from itemwire.close_reasons import DRAINING, TOKEN_REVOKED
from itemwire.counters import ChannelCounters
from itemwire.engines.base import Answer, Engine, History, Span
from itemwire.engines.faults import EngineFault
from itemwire.messages import NO_EXTRAS, Draft, Extras, Payload, Position, Ref
from itemwire.wire.base import Codec
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.revocation import Revocation, Revocations
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")

T = TypeVar("T")


class Node:
    """Connects sockets to channels and channels to the engine.

    It belongs to the event loop that `start` was awaited on; any thread may publish. With
    `shared_slots` members and each caller's sockets are counted together with other nodes'.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        options: NodeOptions = DEFAULTS,
        *,
        environment: Environment | None = None,
        revocations: Revocations | None = None,
        counters: ChannelCounters | None = None,
        rates: RequestRates | None = None,
        shared_slots: ConnectionSlots | None = None,
        rules_of: RulesOf = no_rules,
    ) -> None:
        self.environment = environment = environment or Environment()
        clock, timers = environment.clock, environment.timers
        self.limits = limits
        self.rules_of = rules_of
        self.rates = rates  # None: nothing is limited
        self.drain_seconds = options.drain_seconds
        self.counters = counters or ChannelCounters()
        self.connection_log = ConnectionLog(self.counters)
        self.revocations = Revocations(clock=clock) if revocations is None else revocations
        self._engine = engine
        self._registry = ConnectionRegistry()
        self.direct = DirectMessages(engine, self._registry)
        self._hub = Hub(timers, self.counters, self.direct.receive)
        self.pending = self._hub.pending
        may_tell = presence_budget(rates, self._hub.watchers)
        how_many, how_long = limits.presence_limit, limits.presence_grace
        self._presence = Presence(
            self._hub.announce, how_many, how_long, self._is_counted, may_tell
        )
        self._expiry = Expiry(options.lifetime, options.leeway, clock)
        every, chance = options.recheck_interval, environment.random
        self.rechecks = Rechecks(every, self._expiry, clock, chance) if every else None
        self.heartbeats = Heartbeats()
        self._draining: Draining | None = None
        self._is_started = False
        self._id = new_connection_id()  # tells this node's own notices from those of others
        self._control = Control(
            self._id,
            engine,
            self.revocations,
            registry=self._registry,
            expiry=self._expiry,
            end_all=self._hub.end_all,
            clock=clock,
        )
        self._exchange: Exchange = NoExchange(engine)
        if shared_slots is not None:
            self._exchange = SharedExchange(
                self._id,
                engine,
                presence=self._presence,
                registry=self._registry,
                slots=shared_slots,
                grace=limits.presence_grace,
                call_later=timers.call_later,
                hub=self._hub,
            )
        self.answers = TimelyAnswers(timers)
        self.publishing = Publishing(
            self._id,
            engine,
            self._hub,
            limits=limits,
            answers=self.answers,
            environment=environment,
            rates=rates,
            rules_of=rules_of,
            is_shared=shared_slots is not None,
        )
        self.questions = Questions(self._id, engine, self.counters)
        self.overview = Overview(self._id, self._hub, self._registry, self._presence)
        receive = self.publishing.receive
        self._cluster = Cluster(
            self._control, self._exchange, self.counters, receive, self.questions
        )
        self._proofs = ResumeProofs()
        self._parts = ChannelParts(
            engine,
            self.answers,
            self._hub,
            self._presence,
            self.counters,
            clock,
            watch_members=self._exchange.follow,
            unhear=self._exchange.unhear,
            find_moved=self._exchange.find_moved,
            proofs=self._proofs,
            log=self.connection_log,
            rules_of=rules_of,
        )
        self.listening = Listening(self._parts, self._id, self.publishing.watched)

    @property
    def channels(self) -> int:
        """Return the number of channels that have a subscriber here."""
        return len(self._hub)

    @property
    def is_ready(self) -> bool:
        """Return whether sockets can be served: started, not draining, the engine available."""
        return self._is_started and not self.is_draining and self._engine.is_available

    @property
    def fault(self) -> EngineFault | None:
        """Return why nothing can be stored at present though sockets can be served, or None."""
        return self._engine.fault if self.is_ready else None

    @property
    def is_started(self) -> bool:
        """Return whether it runs: its engine was started, and is not stopped yet."""
        return self._is_started

    @property
    def is_draining(self) -> bool:
        """Return whether the node goes out of service and accepts no connection any more."""
        return self._draining is not None

    async def start(self) -> None:
        """Start the engine, and take the running event loop as the node's."""
        self.environment.timers.start()
        self._hub.start()
        await self._engine.start(self._cluster.sink(self._hub.fan_out, self._lose))
        await self._proofs.start(self._engine)
        self._is_started = True
        self._cluster.start()

    async def stop(self) -> None:
        """Tell the other nodes that this one stops, and stop the engine."""
        self._is_started = False
        await self._cluster.stop()
        await self._engine.stop()

    def tick(self) -> None:
        """Do what is due for connections and their members; called about once a second."""
        due = self._expiry.pop_due()
        self._hub.end_all(due.ended)
        send_expiring(due.warned)
        self.heartbeats.tick()
        self._presence.tick(self.environment.clock())
        if self.rechecks is not None:
            self.rechecks.tick()
        self._cluster.tick()
        self.listening.tick()
        self.direct.tick()
        self._proofs.tick(self._engine)
        if self.rates is not None:
            self.rates.forget_idle()

    def drain(self, seconds: float | None = None, done: Callable[[], None] = lambda: None) -> int:
        """Go out of service, for good; return how many connections are going to end.

        They end within so many seconds, those of the options unless given; then `done` is called.
        A connection that comes in meanwhile is ended at once.
        """
        seconds = self.drain_seconds if seconds is None else seconds
        if self._draining is None:
            logger.info("draining connections=%d seconds=%g", len(self._registry), seconds)
            call_later, chance = self.environment.timers.call_later, self.environment.random
            connections = self._registry.all()
            self._draining = Draining(connections, self._hub.end_all, call_later, chance)
        return self._draining.end_within(seconds, done)

    def revoke(self, revocation: Revocation, answer: Answer[int], *, margin: float = 0) -> None:
        """Revoke tokens, here at once and then on every node; answer how many end here.

        When this returns their sockets have ended, whatever the engine is going to answer, and no
        further message reaches them. The tokens are refused until the revocation's `until`; if
        that is past, their clients may connect again at once.

        With a margin, in seconds, the sockets end when it is over, unless they are refreshed with
        a token that is not revoked. No new socket is opened with a revoked token from now on.
        """
        self._control.revoke(revocation, margin, self._in_time(answer))

    def disconnect(self, connection_id: str, answer: Answer[int]) -> None:
        """End a connection, on whichever node it is; answer how many ended here."""
        self._control.disconnect(connection_id, self._in_time(answer))

    def connections(self, limit: int, after: str = "") -> list[Connection]:
        """List at most so many connections of this node, by id, from the one after `after` on."""
        return self._registry.page(limit, after)

    def connect(
        self,
        principal: Principal,
        codec: Codec,
        transport: Transport,
        options: ClientOptions = NO_OPTIONS,
    ) -> Connection:
        """Return the connection of an accepted socket.

        It has ended already if its token was revoked, or the node began to drain, since the
        handshake checked.
        """
        kind = HintedConnection if options.hints else Connection
        connection = kind(
            self,
            connection_id=self.environment.new_id(),
            principal=principal,
            codec=codec,
            transport=transport,
            since=int(self.environment.clock()),
            session_ends_at=self._expiry.session_end(),
        )
        self._expiry.watch(connection)
        self._registry.add(connection)
        if options.heartbeat:
            self.heartbeats.watch(connection, options.heartbeat)
        self.connection_log.opened(connection)
        if self.revocations.revokes(principal):
            connection.end(TOKEN_REVOKED)
        if self.is_draining:
            connection.end(DRAINING)
        return connection

    def renew(self, connection: Connection, principal: Principal) -> Denied | None:
        """Give a connection another token of its caller, and with it another expiry.

        Return why not, if the token was revoked while its rights were worked out.
        """
        if self.revocations.revokes(principal):
            return Denied(TOKEN_REVOKED, principal)
        self._expiry.renew(connection, principal)
        self.counters.refreshes["accepted"] += 1
        return None

    def change_rights(self, subscription: Subscription, grant: Grant) -> None:
        """Let a subscriber do something else than before, from the next message on."""
        before, subscription.can = subscription.can, grant.can
        subscription.member = with_info(subscription.member, grant.info)
        identity = subscription.connection.principal.identity
        self._presence.change(subscription.channel, identity, subscription.member)
        if (Action.PRESENCE in before) != (Action.PRESENCE in grant.can):
            self._hub.change_lane(subscription)
        logger.debug(
            "refreshed channel=%s connection=%s can=%s expires_at=%s",
            subscription.channel,
            subscription.connection.id,
            ",".join(rights_of(grant.can)),
            subscription.connection.expiry,
        )

    def join(
        self,
        subscription: Subscription,
        start: StartPoint,
        joined: Joined,
        ref: Ref | UnsetType = UNSET,
    ) -> None:
        """Put a subscription on its channel: it gets `welcome`, what it missed, then the live.

        `joined` is called once the client is welcomed, or with why it cannot be, perhaps before
        this returns; it is not called at all if the client leaves meanwhile.
        """
        if subscription.connection.phase is not ENDED:
            begin_join(self._parts, self.limits, subscription, start, joined, ref=ref)

    def leave(self, subscription: Subscription) -> None:
        """Take a subscription off its channel for good, and tell the others that it left."""
        if subscription.is_current:
            del subscription.connection.subscriptions[subscription.channel]
            leave(self._parts, subscription, may_return=False)

    def publish(
        self,
        by: Principal,
        item_id: str,
        data: Payload,
        key: str | None,
        answer: Answer[Position],
        *,
        connection: Connection | None = None,
        extras: Extras = NO_EXTRAS,
    ) -> None:
        """Publish to an item in the name of a verified caller; answer once it is stored.

        Each caller has idempotency keys of its own. Any thread may call this; the answer is given
        on the node's event loop, and tells what `Publishing.publish` tells.
        """
        own_key = None if key is None else key_of(by.identity, key)
        now = self.environment.now_in_ms()
        draft = Draft(item_id, by.subject, now, data, own_key, extras.meta, extras.end)
        self.publishing.publish(draft, answer, connection)

    def history(self, item_id: str, span: Span, answer: Answer[History]) -> None:
        """Answer a part of an item's history, of at most so many messages as are kept."""
        span = span.at_most(self.rules_of(item_id).most_read(self.limits.history_limit))
        self._engine.read(channel_of(item_id), span, self._in_time(answer))

    def members(
        self, item_id: str, answer: Answer[Page], *, limit: int = FIRST_PAGE, after: str = ""
    ) -> None:
        """Answer at most so many members of an item, by id, from the one after `after` on.

        They are those of all nodes. One that does not say within two seconds which members it has
        makes the page a partial one; so does an engine that is away, and then at once.
        """
        channel = channel_of(item_id)

        def asked(is_complete: bool) -> None:
            page = self._presence.page(channel, limit, after)
            answer(page if is_complete else replace(page, is_partial=True))

        self._exchange.ask_members(channel, asked)

    def released(self, connection: Connection, *, may_return: bool) -> None:
        """Forget a connection, which has just ended, and take it off all of its channels."""
        self._expiry.forget(connection)
        self._registry.discard(connection)
        self.heartbeats.forget(connection)
        if self.rechecks is not None:
            self.rechecks.forget(connection)
        if self.rates is not None:
            self.rates.release(connection)
        for subscription in connection.subscriptions.values():
            leave(self._parts, subscription, may_return=may_return)
        connection.subscriptions.clear()

    def _in_time(self, answer: Answer[T]) -> Answer[T]:
        """Have a request answered in time; an engine that answers at once needs no watching."""
        return answer if self._engine.answers_at_once else self.answers.limit(answer)

    def _is_counted(self, channel: str) -> bool:
        """Return whether the members of a channel are counted, and not announced."""
        return self.rules_of(item_of(channel)).presence != "on"

    def _lose(self, channel: str, position: Position) -> None:
        logger.error("messages_lost channel=%s position=%s", channel, position)
        self.direct.report_loss(channel, position)
        self._hub.report_loss(channel, item_of(channel), position)
