"""Brings what a connection receives to the items, and tells the program what has changed."""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from typing_extensions import override

from itemwire.client.clock import ClientClock
from itemwire.client.connector import (
    CLOSED,
    CONNECTING,
    IDLE,
    REFUSED,
    Connector,
    ConnectorListener,
)
from itemwire.client.emitter import Emitter
from itemwire.client.envelopes import Incoming
from itemwire.client.errors import Refused
from itemwire.client.joins import Joins
from itemwire.client.link import Link
from itemwire.client.payload_types import ReadPayload, payload_reader
from itemwire.client.received import PayloadMismatch, message_of
from itemwire.client.refreshing import Refresher
from itemwire.client.subscription import ClientSubscription, SubscriptionHost

EVENTS: Final = ("state", "error", "expiring", "direct", "direct_lost", "frame")


class RoutedItem(Protocol):
    """What the router needs of an item."""

    subscription: ClientSubscription

    def tell(self, event: str, *values: object) -> None:
        """Call the functions that are registered for an event of the item."""
        ...

    def joined(self, welcome: Incoming) -> None:
        """Follow a welcome that the subscription has taken."""
        ...

    def members_changed(self) -> None:
        """Call the functions that follow the members."""
        ...

    def stop(self) -> None:
        """End what runs for this item."""
        ...


class Router(ConnectorListener, SubscriptionHost):
    """The items by id, and what to do with each type of envelope."""

    connector: Connector
    refresher: Refresher

    def __init__(self, clock: ClientClock) -> None:
        self.clock = clock
        self.joins = Joins()
        self.emitter = Emitter(EVENTS)
        self.items: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self.last_error: Exception | None = None
        self._wanted: dict[str, RoutedItem] = {}
        self._asked_for: dict[str, RoutedItem] = {}
        self._actions: dict[str, Callable[[Link, Incoming], None]] = {
            "welcome": self._welcome,
            "message": self._message,
            "gap": self._gap,
            "joined": self._members,
            "left": self._members,
            "updated": self._members,
            "count": self._members,
            "ended": self._ended,
            "error": self._error,
            "expiring": self._expiring,
            "direct": self._direct,
            "direct_lost": lambda _link, _incoming: self.emitter.emit("direct_lost"),
        }

    @property
    @override
    def link(self) -> Link | None:
        return self.connector.link

    @property
    @override
    def gives_new_tokens(self) -> bool:
        return self.refresher.has_source

    @override
    def check(self) -> None:
        self.connector.check()

    @override
    def received_frame(self, frame: str | bytes) -> None:
        if self.emitter.hears("frame"):
            self.emitter.emit("frame", frame)

    @override
    def received(self, link: Link, incoming: Incoming) -> None:
        action = self._actions.get(incoming.type)
        if action is not None:
            action(link, incoming)

    @override
    def proven(self, link: Link) -> None:
        """Do nothing more: the connector says that the connection is up."""

    @override
    def failed(self, error: Exception) -> None:
        self.last_error = error
        self.emitter.emit("error", error)

    @override
    def link_up(self, link: Link) -> None:
        self.joins.link_up(link)
        hello = link.hello
        self.refresher.set_server_time(None if hello is None else hello.server_time)
        self.refresher.expect(link, None if hello is None else hello.expires_at)
        for item in self.all_items():
            item.subscription.link_up()

    @override
    def link_down(self, link: Link) -> None:
        self.joins.link_down()
        self.refresher.stop()
        for item in self.all_items():
            item.subscription.link_down()
            item.tell("state", item.subscription.state)

    @override
    def state_changed(self, state: str) -> None:
        """Let items follow, and only then call the program's functions."""
        for item in self.all_items():
            if state == REFUSED:
                item.subscription.stream.end(self.connector.refusal)
            elif state == CONNECTING:
                item.subscription.revive()
            elif state in {CLOSED, IDLE}:
                item.subscription.drop()
                item.stop()
            item.subscription.wake()
        if state in {CLOSED, IDLE}:
            self.emitter.cancel()
        self.emitter.emit("state", state)

    @override
    def wish_changed(self, subscription: ClientSubscription) -> None:
        """Hold on to an item as long as it is wanted."""
        item = self.items.get(subscription.item_id)
        if item is None or item.subscription is not subscription:
            return
        if subscription.is_wished:
            self._wanted[subscription.item_id] = item
        else:
            self._wanted.pop(subscription.item_id, None)
        item.tell("state", subscription.state)

    @override
    def item_refused(self, subscription: ClientSubscription, refusal: Refused) -> None:
        item = self.items.get(subscription.item_id)
        if item is not None and subscription.refusal is refusal:
            item.tell("refused", refusal)
            item.tell("state", subscription.state)
        else:
            self.failed(refusal)

    @override
    def joined(self, subscription: ClientSubscription, welcome: Incoming) -> None:
        item = self.items.get(subscription.item_id)
        if item is not None:
            item.joined(welcome)

    def keep(self, item: RoutedItem) -> None:
        """Hold on to an item that the program has asked for, whether it does so or not."""
        self._asked_for[item.subscription.item_id] = item

    def let_go(self, item: RoutedItem) -> None:
        """Let an item be forgotten once nobody holds it and nothing is wanted of it."""
        self._asked_for.pop(item.subscription.item_id, None)

    def refreshed(self, reply: Incoming) -> None:
        """Follow the answer to a refresh: the rights on each item."""
        for item_id, can in (reply.items or {}).items():
            item = self.items.get(item_id)
            if item is not None:
                item.subscription.can = frozenset(can)

    def all_items(self) -> Iterable[RoutedItem]:
        """Return the items as they are now: what is told of one may add another."""
        return list(self.items.values())

    def forget_all(self) -> None:
        """Keep no item of the user who has left."""
        for item in self.all_items():
            item.subscription.forget()
        self.items.clear()
        self._wanted.clear()
        self._asked_for.clear()

    def _item(self, incoming: Incoming) -> RoutedItem | None:
        return self.items.get(incoming.item or "")

    def _welcome(self, link: Link, welcome: Incoming) -> None:
        self.joins.answered(welcome)
        item = self._item(welcome)
        if item is not None:
            item.subscription.welcomed(welcome, link)

    def _message(self, link: Link, message: Incoming) -> None:
        item = self._item(message)
        if item is not None and item.subscription.hears:
            item.subscription.stream.message(message, link.form)

    def _gap(self, link: Link, gap: Incoming) -> None:
        item = self._item(gap)
        if item is not None and item.subscription.hears:
            item.subscription.stream.gap(gap, link.form)

    def _members(self, _link: Link, event: Incoming) -> None:
        item = self._item(event)
        if item is not None and item.subscription.hears:
            item.subscription.members.change(event)
            item.members_changed()

    def _ended(self, _link: Link, ended: Incoming) -> None:
        item = self._item(ended)
        if item is not None:
            item.subscription.ended(ended)

    def _error(self, _link: Link, error: Incoming) -> None:
        for item_id in self.joins.answered(error):
            item = self.items.get(item_id)
            if item is not None:
                item.subscription.not_joined(error)

    def _expiring(self, link: Link, expiring: Incoming) -> None:
        expires_at = expiring.expires_at or 0.0
        self.emitter.emit("expiring", self.refresher.seconds_until(expires_at))
        self.refresher.begin(link, expires_at)

    def _direct(self, link: Link, direct: Incoming) -> None:
        if self.emitter.hears("direct"):
            read: ReadPayload[Any] = payload_reader(None)
            try:
                message = message_of(direct, link.form, read)
            except PayloadMismatch as error:
                self.failed(error)
            else:
                self.emitter.emit("direct", message)
