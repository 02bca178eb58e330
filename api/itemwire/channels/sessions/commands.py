"""Everything that a client may ask: one class for each type of request, in one table."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Subscription
from itemwire.channels.limits.item_rules import MessageRefused
from itemwire.channels.limits.requests import PastRate, RequestKind
from itemwire.channels.presence.presence import Page
from itemwire.channels.reauthorization import Denied
from itemwire.channels.sessions.checked import is_checked, publish_checked
from itemwire.channels.sessions.context import Command, Context, ManyItemsContext
from itemwire.channels.sessions.joining import Join, Leave
from itemwire.channels.sessions.requests import ClientRequest, ItemRequest, Offset, log_failure
from itemwire.close_reasons import PAYLOAD_INVALID, RATE_LIMITED, SCOPE_MISSING, CloseReason
from itemwire.engines.base import EngineError, History, Span
from itemwire.messages import (
    NOT_STORED,
    EphemeralReply,
    Extras,
    Frame,
    HistoryReply,
    MembersReply,
    MessageMeta,
    Payload,
    Pong,
    Position,
    PublishReply,
    RequestReply,
)
from itemwire.wire import CODECS
from itemwire.wire.base import Codec
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Publish(ItemRequest, frozen=True, kw_only=True, tag="publish"):
    """Publish to the item; the answer comes once the message is stored."""

    kind: ClassVar[RequestKind] = RequestKind.PUBLISH

    data: msgspec.Raw
    key: Key | UnsetType = UNSET
    meta: MessageMeta | UnsetType = UNSET
    end: bool = False

    def run(self, context: Context, subscription: Subscription | None) -> None:
        """Answer the message's `offset` in its `epoch`, or that it is `ephemeral`."""
        target = self.permitted(context, subscription, Action.PUBLISH)
        if target is None:
            return
        try:
            data = context.connection.codec.payload_of(self.data)
            extras = Extras.of(self.meta, end=self.end)
        except ValueError as error:
            self.deny(context, PAYLOAD_INVALID.reason, str(error))
            return
        if is_checked(context, target):
            publish = partial(self._publish, context, target, extras)
            refuse = partial(self.refuse, context)
            publish_checked(context, target, data, publish=publish, refuse=refuse)
        else:
            self._publish(context, target, extras, data)

    def _publish(self, context: Context, to: Subscription, extras: Extras, data: Payload) -> None:
        key = self.key or None
        position = context.node.publishing.publish_now(to, data, key, extras)
        if position is not None:
            self._answer(context, position)
            return
        connection, answer = context.connection, partial(self._answer, context)
        publish = partial(context.node.publish, connection.principal, to.item_id, data, key, answer)
        publish(connection=connection, extras=extras)

    def _answer(self, context: Context, position: Position | EngineError) -> None:
        if isinstance(position, EngineError):
            self.failed(context, position)
        elif position is NOT_STORED:
            context.connection.send(EphemeralReply(self.ref, ephemeral=True))
        else:
            reply = PublishReply(self.ref, epoch=position.epoch, offset=position.offset)
            context.connection.send(reply)


class Request(ItemRequest, frozen=True, kw_only=True, tag="request"):
    """Ask the application itself, by the name of one of its handlers."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    data: msgspec.Raw | UnsetType = UNSET

    def run(self, context: Context, subscription: Subscription | None) -> None:
        """Answer the `data` that the handler returns."""
        target = self.permitted(context, subscription, Action.SUBSCRIBE)
        if target is None:
            return
        if context.host is None:
            self.deny(context, "not_supported", "No application answers requests here.")
            return
        try:
            given, codec = self.data, context.connection.codec
            data = UNSET if given is UNSET else codec.payload_of(given)
        except ValueError as error:
            self.deny(context, PAYLOAD_INVALID.reason, str(error))
            return
        context.host.reply_to(target, self.name, data, partial(self._answer, context))

    def _answer(self, context: Context, answer: msgspec.Raw | CloseReason) -> None:
        if isinstance(answer, CloseReason):
            self.refuse(context, answer)
        else:
            context.connection.send(RequestReply(self.ref, data=answer))


class ReadHistory(ItemRequest, frozen=True, kw_only=True, tag="history"):
    """Read back: the newest `limit` messages, or the oldest after `after`."""

    kind: ClassVar[RequestKind] = RequestKind.HISTORY

    after: Offset | UnsetType = UNSET
    before: Offset | UnsetType = UNSET
    limit: Annotated[int, msgspec.Meta(ge=1, lt=2**53)] = 100

    def run(self, context: Context, subscription: Subscription | None) -> None:
        """Answer `messages`, oldest first, and whether they are `complete`."""
        target = self.permitted(context, subscription, Action.HISTORY)
        if target is None:
            return

        def answer(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                self.failed(context, history)
            # A refresh may have taken the right away meanwhile.
            elif self.permitted(context, target, Action.HISTORY) is not None:
                reply = HistoryReply(
                    self.ref,
                    epoch=history.position.epoch,
                    offset=history.position.offset,
                    messages=history.publications,
                    complete=history.complete,
                )
                context.connection.send(reply)

        span = Span(self.limit, _or_none(self.after), _or_none(self.before))
        context.node.history(target.item_id, span, answer)


class ListMembers(ItemRequest, frozen=True, kw_only=True, tag="members"):
    """Ask for so many members, from the one after `after` on; for none, to have them counted."""

    limit: Offset = 100
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""

    def run(self, context: Context, subscription: Subscription | None) -> None:
        """Answer `members` and their `count`, and the `next` to ask for if there are more."""
        target = self.permitted(context, subscription, Action.PRESENCE)
        if target is None:
            return

        def answer(page: Page | EngineError) -> None:
            if isinstance(page, EngineError):
                self.failed(context, page)
            # A refresh may have taken the right away meanwhile.
            elif self.permitted(context, target, Action.PRESENCE) is not None:
                context.connection.send(self._reply(page))

        context.node.members(target.item_id, answer, limit=self.limit, after=self.after)

    def _reply(self, page: Page) -> MembersReply:
        return MembersReply(
            self.ref,
            members=page.members,
            count=page.count,
            next=UNSET if page.next is None else page.next,
            partial=page.is_partial or UNSET,
        )


class Refresh(ClientRequest, frozen=True, kw_only=True, tag="refresh"):
    """Offer a newer token of the same caller; one at a time."""

    token: str

    def run(self, context: Context, _subscription: Subscription | None) -> None:
        """Answer `expires_at` and what may be done, which hold from then on."""
        if not context.can_refresh:
            self.deny(context, "not_supported", "Connect again with the new token.")
        elif context.is_refreshing:
            detail = "Another refresh is under way; ask again when it is answered."
            self.deny(context, RATE_LIMITED.reason, detail, temporary=True)
        else:
            context.refresh(self.token, partial(self._answer, context))

    def _answer(self, context: Context, denied: Denied | None) -> None:
        if denied is None:
            context.connection.send(context.refreshed(self.ref))
            return
        context.node.counters.refreshes["refused"] += 1
        reason = denied.reason.reason
        # The audit log has said which check of the token failed; its client is told one sentence
        # for every fault.
        logger.warning("not_refreshed connection=%s reason=%s", context.connection.id, reason)
        detail = "The token was not accepted; the connection is as it was."
        retry = context.connection.advice_on(denied.reason)
        self.deny(context, reason, detail, temporary=denied.is_temporary, retry=retry)


class Ping(ClientRequest, frozen=True, tag="ping"):
    """Ask for a sign of life that a browser's script can see."""

    def run(self, context: Context, _subscription: Subscription | None) -> None:
        """Answer `pong`."""
        context.connection.send(Pong(self.ref))


COMMANDS: Final[dict[str, type[Command[Context]]]] = {
    "publish": Publish,
    "request": Request,
    "history": ReadHistory,
    "members": ListMembers,
    "refresh": Refresh,
    "ping": Ping,
}
"""What may be asked on a socket of one item."""

COMMANDS_OF_MANY: Final[dict[str, type[Command[ManyItemsContext]]]] = {
    **COMMANDS,
    "join": Join,
    "leave": Leave,
}
"""What may be asked on a socket of many items."""


class Send:
    """The request that a plain client's frame is: publish it. There is no word for an answer."""

    __slots__ = ("_frame",)

    kind: ClassVar[RequestKind] = RequestKind.PUBLISH
    ref: UnsetType = UNSET
    item: UnsetType = UNSET

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def run(self, context: Context, subscription: Subscription | None) -> None:
        """Publish; if that cannot be done the connection ends, the only way to say so."""
        connection = context.connection
        if subscription is None or Action.PUBLISH not in subscription.can:
            connection.end(SCOPE_MISSING)
            return
        if is_checked(context, subscription):
            publish = partial(self._publish, context, subscription)
            refuse = connection.end
            publish_checked(context, subscription, self._frame, publish=publish, refuse=refuse)
        else:
            self._publish(context, subscription, self._frame)

    def _publish(self, context: Context, to: Subscription, data: Payload) -> None:
        position = context.node.publishing.publish_now(to, data)
        if position is None:
            by, connection = context.connection.principal, context.connection
            answer = partial(self._answer, context)
            context.node.publish(by, to.item_id, data, None, answer, connection=connection)
        elif isinstance(position, EngineError):
            self._answer(context, position)

    def _answer(self, context: Context, position: Position | EngineError) -> None:
        connection = context.connection
        if isinstance(position, PastRate):
            context.slow_down(position.wait, self.ref, str(position))
        elif isinstance(position, MessageRefused):
            connection.end(position.reason)
        elif isinstance(position, EngineError):
            log_failure(connection, position)
            connection.end(position.fault.refusal)


DECODERS: Final[dict[Codec, Callable[[Frame], Command[Context]]]] = {
    codec: codec.decoder(COMMANDS, Send) for codec in CODECS.values()
}

DECODERS_OF_MANY: Final[dict[Codec, Callable[[Frame], Command[ManyItemsContext]]]] = {
    codec: codec.decoder(COMMANDS_OF_MANY, Send) for codec in CODECS.values() if codec.has_envelopes
}


def _or_none(offset: int | UnsetType) -> int | None:
    return None if offset is UNSET else offset
