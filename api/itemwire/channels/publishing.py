"""Publishes messages, which the engine stores, or only carries if they are ephemeral."""

import logging
from functools import partial
from threading import get_ident
from typing import Final

from itemwire.channels.cluster.notices import Notice
from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.in_flight import InFlight, TooManyInFlight, share_of
from itemwire.channels.environment import Environment
from itemwire.channels.hub import Hub
from itemwire.channels.idempotency import NOBODY, key_of
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.limits.item_rates import ItemRates
from itemwire.channels.limits.item_rules import NO_RULES, ItemRules, MessageRefused, RulesOf
from itemwire.channels.limits.requests import (
    Requester,
    RequestRates,
    TooManyDeliveries,
    TooManyMessages,
)
from itemwire.channels.names import channel_of
from itemwire.channels.timely_answers import TimelyAnswers
from itemwire.channels.watched import Watched
from itemwire.close_reasons import MESSAGE_TOO_BIG
from itemwire.engines.base import Answer, Engine, EngineError
from itemwire.engines.storage_format import pack, unpack
from itemwire.messages import (
    NO_EXTRAS,
    NOT_STORED,
    Draft,
    Ephemeral,
    Extras,
    Payload,
    Position,
    Publication,
    message_size,
)
from itemwire_auth.principal import Identity

logger = logging.getLogger("itemwire.channels")

MAX_EPHEMERAL_BYTES: Final = 131_072  # it goes to other nodes in one notice


def too_large_to_carry(draft: Draft) -> MessageRefused | None:
    """Return why an ephemeral message is refused, or None if a notice has room for it."""
    if message_size(draft) <= MAX_EPHEMERAL_BYTES:
        return None
    detail = f"data: larger than {MAX_EPHEMERAL_BYTES} bytes, and ephemeral"
    return MessageRefused(MESSAGE_TOO_BIG, detail)


class Publishing:
    """Takes every message that is published on a node, whichever way it came.

    An ephemeral message goes to the other nodes as a notice that is not kept: to each of them,
    since no engine knows who is subscribed where. It may be lost on its way, and that shows
    nowhere. A node may receive a notice twice, and delivers it twice then.
    """

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        hub: Hub,
        *,
        limits: Limits,
        answers: TimelyAnswers,
        environment: Environment,
        rates: RequestRates | None,
        rules_of: RulesOf,
        is_shared: bool,
    ) -> None:
        self._answers = answers
        self._environment = environment
        self._rates = rates
        self._item_rates = ItemRates()
        self.watched = Watched(environment.clock)
        self._id = node_id
        self._engine = engine
        self._hub = hub
        self._limits = limits
        self._rules_of = rules_of
        self._is_shared = is_shared
        self._in_flight = InFlight(limits.max_in_flight, limits.max_in_flight_bytes)

    def publish(
        self, draft: Draft, answer: Answer[Position], connection: Connection | None = None
    ) -> None:
        """Publish a message, within the bounds of what may be in flight.

        Answer its position, `NOT_STORED` if it is ephemeral, or `MessageRefused` if it does not
        fit the rules of its item. A publish of a connection is charged to its subject's
        deliveries; past these the answer is `TooManyDeliveries`.

        Any thread may call this; the answer is given on the node's event loop.
        """
        if get_ident() != self._hub.thread:
            self._environment.timers.hand_over(partial(self.publish, draft, answer, connection))
            return
        if connection is not None:
            wait = self.spend_deliveries(connection, channel_of(draft.item), message_size(draft))
            if wait:
                answer(TooManyDeliveries(wait))
                return
        rules = self._rules_of(draft.item)
        refusal = None if rules is NO_RULES else self._refusal_by(rules, draft, connection)
        if refusal is not None:
            answer(refusal)
            return
        tracked: Answer[Position] | None = answer
        if not self._engine.answers_at_once:
            tracked = self._track(message_size(draft), answer, connection)
            tracked = None if tracked is None else self._answers.limit(tracked)
        if tracked is None:
            return
        if rules is NO_RULES and not self.watched.by_node:
            self._engine.publish(channel_of(draft.item), draft, tracked)
        else:
            self._publish_by(rules, draft, tracked, connection)

    def publish_now(
        self,
        by: Subscription,
        data: Payload,
        key: str | None = None,
        extras: Extras = NO_EXTRAS,
    ) -> Position | EngineError | None:
        """Publish what a subscriber sends to its item, and return the answer of `publish`.

        Return None, with nothing done, where more than storing has to be done or waited for: then
        `publish` does it. That is so with an engine that does not answer at once, with rules of
        the item, and while code watches.
        """
        connection, engine = by.connection, self._engine
        if not engine.answers_at_once or self.watched.by_node:
            return None
        if get_ident() != self._hub.thread or self._rules_of(by.item_id) is not NO_RULES:
            return None
        caller = connection.principal
        own_key = None if key is None else key_of(caller.identity, key)
        now = self._environment.now_in_ms()
        draft = Draft(by.item_id, caller.subject, now, data, own_key, extras.meta, extras.end)
        rates = self._rates
        if rates is not None and rates.counts_deliveries:
            wait = self.spend_deliveries(connection, by.channel, message_size(draft))
            if wait:
                return TooManyDeliveries(wait)
        return engine.publish_now(by.channel, draft)

    def from_code(
        self,
        item_id: str,
        data: Payload,
        answer: Answer[Position],
        *,
        key: str | None = None,
        sender: str | None = None,
        extras: Extras = NO_EXTRAS,
    ) -> None:
        """Publish what the application's own code sends; answer once it is stored.

        It is charged to nobody's rates, and its idempotency keys are the application's.
        """
        own_key = None if key is None else key_of(NOBODY, key)
        now = self._environment.now_in_ms()
        self.publish(
            Draft(item_id, sender or None, now, data, own_key, extras.meta, extras.end), answer
        )

    def spend_by_rule(self, caller: Identity, item_id: str, size: int) -> float:
        """Charge a message to what one caller may publish to the items of one rule.

        Return the seconds to wait, or 0. Called as `spend_deliveries` is.
        """
        rules = self._rules_of(item_id)
        return self._item_rates.spend(caller, rules, size) if rules.has_rates else 0.0

    def _refusal_by(
        self, rules: ItemRules, draft: Draft, by: Connection | None
    ) -> EngineError | None:
        """Return why the rules of its item refuse a message; None if they do not."""
        if by is not None and rules.has_rates:
            wait = self._item_rates.spend(by.principal.identity, rules, message_size(draft))
            if wait:
                return TooManyMessages(wait)
        return rules.refusal_of(draft.data)

    def spend_deliveries(self, by: Requester, channel: str, size: int) -> float:
        """Charge a message to its publisher's budget of deliveries, once per subscriber here.

        Return the seconds to wait, or `NEVER`, if it is past the budget; 0 if it is not. Those
        that publish without a connection call this first; the application's own code does not.
        """
        rates = self._rates
        if rates is None or not rates.counts_deliveries:
            return 0.0
        return rates.spend_deliveries(by, self._hub.subscribers(channel), size)

    def receive(self, notice: Notice) -> None:
        """Deliver an ephemeral message of another node, or note what that node watches."""
        if notice.watching is not None:
            self.watched.note(notice.node, notice.watching)
        if notice.message is None:
            return
        try:
            message = unpack(notice.message, 0)
        except ValueError as error:
            logger.error("notice_unreadable problem=%s", error)  # noqa: TRY400 - no fault of ours
        else:
            self._deliver(message)

    def _publish_by(
        self,
        rules: ItemRules,
        draft: Draft,
        answer: Answer[Position],
        connection: Connection | None,
    ) -> None:
        muted = None if rules.echo else connection
        if rules.is_ephemeral:
            self._carry(draft, answer, muted)
            return
        if self.watched.by_node:
            answer = self.watched.feeding(self._engine, draft, answer)
        channel = channel_of(draft.item)
        if muted is not None and channel in muted.subscriptions:
            self._hub.mute(channel, draft, muted)
        self._engine.publish(channel, draft, answer)

    def _carry(self, draft: Draft, answer: Answer[Position], muted: Connection | None) -> None:
        refusal = too_large_to_carry(draft)
        if refusal is not None:
            answer(refusal)
            return

        def carried(problem: EngineError | None) -> None:
            answer(NOT_STORED if problem is None else problem)

        self._deliver(Publication.of(draft, 0), muted)
        if self._is_shared:
            self._engine.post(Notice(self._id, message=pack(draft)).encoded(), 0, carried)
        else:
            carried(None)

    def _deliver(self, message: Publication, muted: Connection | None = None) -> None:
        self._hub.send_ephemeral(channel_of(message.item), Ephemeral.of(message), muted)

    def _track(
        self, size: int, answer: Answer[Position], connection: Connection | None
    ) -> Answer[Position] | None:
        """Count a publish into the share of its connection, then into the node's bounds.

        Return what to have the engine answer; None if there was no room, which is answered here.
        """
        if connection is not None:
            if connection.in_flight is None:
                connection.in_flight = share_of(self._limits, connection.id)
            tracked = connection.in_flight.track(size, answer)
            if tracked is None:
                answer(TooManyInFlight("this connection has too many messages in flight"))
                return None
            answer = tracked  # from here on, any answer counts it out of the share again
        tracked = self._in_flight.track(size, answer)
        if tracked is None:
            answer(TooManyInFlight("the engine has too many messages to store"))
        return tracked
