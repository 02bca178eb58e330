"""Requests to join items, one or many at once, and to leave them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Subscription
from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.sessions.context import Context, ManyItemsContext
from itemwire.channels.sessions.requests import ClientRequest, ItemRequest, Offset
from itemwire.close_reasons import PAYLOAD_INVALID
from itemwire.messages import Error, Ref, Reply

SLOW_DOWN: Final = "These are more joins than the server takes in this time; slow down."


class ItemToJoin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item of a list to join, and where its messages are to begin."""

    item: str
    since: str | UnsetType = UNSET
    replay: Offset = 0


class Join(ClientRequest, frozen=True, kw_only=True, tag="join"):
    """Join one more item, or each item of a list."""

    kind: ClassVar[RequestKind] = RequestKind.JOIN

    since: str | UnsetType = UNSET
    replay: Offset = 0
    items: Annotated[list[ItemToJoin], msgspec.Meta(min_length=1)] | UnsetType = UNSET

    def run(self, context: ManyItemsContext, _subscription: Subscription | None) -> None:
        """Answer `welcome`, once the client's rights on the item are worked out."""
        if self.items is not UNSET:
            self._run_all(context, self.items)
            return
        try:
            start = _start_of(self.since, self.replay)
        except ValueError as error:
            self.deny(context, PAYLOAD_INVALID.reason, f"since: {error}")
            return
        if self.item is UNSET:
            self.deny(context, PAYLOAD_INVALID.reason, "Say which `item` to join.")
        else:
            context.join(self.item, start, self.ref)

    def _run_all(self, context: ManyItemsContext, items: list[ItemToJoin]) -> None:
        limit = context.node.limits.max_items
        if self.item is not UNSET or self.since is not UNSET or self.replay:
            self.deny(context, PAYLOAD_INVALID.reason, "Say `item` or `items`, and not both.")
        elif len(items) > limit:
            self.deny(context, PAYLOAD_INVALID.reason, f"items: more than {limit}")
        else:
            self._run_each(context, items)

    def _run_each(self, context: ManyItemsContext, items: list[ItemToJoin]) -> None:
        """Join each as if it were asked for alone; past the rate, refuse those that are left."""
        rates, wait = context.node.rates, 0.0
        for number, one in enumerate(items):
            if rates is not None and number and not wait:  # the frame has paid for the first
                wait = rates.spend(context.connection, RequestKind.JOIN, 0)
            if wait:
                context.slow_down(wait, self.ref, SLOW_DOWN, one.item)
            else:
                size = len(one.item) + len(one.since or "")
                context.submit(ListedJoin(self.ref, one.item, one.since, one.replay), size)


@dataclass(frozen=True, slots=True)
class ListedJoin:
    """The join of one item of a list; each of its answers names the item."""

    ref: Ref | UnsetType
    item: str
    since: str | UnsetType
    replay: int

    kind: ClassVar[RequestKind] = RequestKind.JOIN

    def run(self, context: ManyItemsContext, _subscription: Subscription | None) -> None:
        """Answer `welcome`, once the client's rights on the item are worked out."""
        try:
            start = _start_of(self.since, self.replay)
        except ValueError as error:
            code, detail = PAYLOAD_INVALID.reason, f"since: {error}"
            refusal = Error(code, temporary=False, detail=detail, ref=self.ref, item=self.item)
            context.connection.send(refusal)
        else:
            context.join(self.item, start, self.ref, is_listed=True)


class Leave(ItemRequest, frozen=True, tag="leave"):
    """Leave an item."""

    def run(self, context: Context, subscription: Subscription | None) -> None:
        """Answer `reply`, after which nothing more of the item comes."""
        if subscription is None:
            self.not_joined(context)
            return
        context.node.leave(subscription)
        context.connection.send(Reply(self.ref))


def _start_of(since: str | UnsetType, replay: int) -> StartPoint:
    """Return where a subscription begins; ValueError for a position that is none."""
    return StartPoint.of(None if since is UNSET else since, replay)
