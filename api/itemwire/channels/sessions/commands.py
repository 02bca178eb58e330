"""Everything a client may ask: one class each, one table."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Protocol, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Subscription
from itemwire.channels.delivery.recovery import Start
from itemwire.channels.limits.requests import Kind
from itemwire.channels.reauthorization import Denied
from itemwire.close_reasons import OVERLOADED, RATE_LIMITED, SCOPE_MISSING
from itemwire.engines.base import EngineError, History, Span
from itemwire.messages import (
    Error,
    Frame,
    HistoryReply,
    MembersReply,
    Pong,
    Position,
    PublishReply,
    Ref,
    Reply,
    payload_of,
    read_position,
)
from itemwire.wire import CODECS
from itemwire.wire.base import Codec
from itemwire_auth.scopes import Action

if TYPE_CHECKING:
    from itemwire.channels.sessions.many_items import ManyItemsSession
    from itemwire.channels.sessions.session import ChannelSession

Offset = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


S_contra = TypeVar("S_contra", contravariant=True)


class Command(Protocol[S_contra]):
    """A request of a client, read and valid in form."""

    @property
    def kind(self) -> Kind:
        """Tell by which rate it is limited."""
        ...

    @property
    def ref(self) -> Ref | UnsetType:
        """Give what comes back in the answer."""
        ...

    @property
    def item(self) -> str | UnsetType:
        """Tell the item it names."""
        ...

    def run(self, session: S_contra) -> None:
        """Do it if the client may, and answer."""
        ...


class _Envelope(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """What every request envelope may have: a `ref` that comes back in the answer."""

    kind: ClassVar[Kind] = Kind.OTHER

    ref: Ref | UnsetType = UNSET
    item: str | UnsetType = UNSET  # for sockets with many items; a socket of one ignores it

    def deny(
        self, session: "ChannelSession", code: str, detail: str, *, temporary: bool = False
    ) -> None:
        """Tell the client that this is not done."""
        session.send(Error(code, temporary=temporary, detail=detail, ref=self.ref))


class _OfItem(_Envelope, frozen=True):
    """A request about an item that the client hears."""

    def on_item(
        self,
        session: "ChannelSession",
        act: Callable[["ChannelSession", Subscription], None],
    ) -> None:
        """Do something with the item this is about, or say why not."""
        subscription = session.find(self.item)
        if subscription is not None:
            act(session, subscription)
        elif self.item is UNSET:
            self.deny(session, "payload_invalid", "Say which `item` this is about.")
        else:
            self.deny(session, "not_joined", "Join the item first.")

    def refused(
        self, session: "ChannelSession", subscription: Subscription, action: Action
    ) -> bool:
        """Tell the client if it may not do this; True: it was told."""
        if action in subscription.can:
            return False
        session.lacks(subscription, action)
        self.deny(session, SCOPE_MISSING.reason, f"This needs the right to {action} on this item.")
        return True

    def failed(self, session: "ChannelSession", problem: EngineError) -> None:
        """Tell the client that the engine could not; the operator reads why in the log."""
        session.failed(problem)
        detail = "The engine could not take this now; ask again."
        self.deny(session, OVERLOADED.reason, detail, temporary=True)


class Publish(_OfItem, frozen=True, kw_only=True, tag="publish"):
    """Publish to the item; the answer comes once the message is stored."""

    kind: ClassVar[Kind] = Kind.PUBLISH

    data: msgspec.Raw
    key: Key | UnsetType = UNSET

    def run(self, session: "ChannelSession") -> None:
        """Answer the message's `offset` in its `epoch`."""
        self.on_item(session, self._act)

    def _act(self, session: "ChannelSession", subscription: Subscription) -> None:
        if self.refused(session, subscription, Action.PUBLISH):
            return

        def answer(position: Position | EngineError) -> None:
            if isinstance(position, EngineError):
                self.failed(session, position)
            else:
                session.send(PublishReply(self.ref, epoch=position.epoch, offset=position.offset))

        session.publish(subscription, payload_of(self.data), self.key or None, answer)


class ReadHistory(_OfItem, frozen=True, kw_only=True, tag="history"):
    """Read back: the newest `limit` messages, or the oldest after `after`."""

    kind: ClassVar[Kind] = Kind.HISTORY

    after: Offset | UnsetType = UNSET
    before: Offset | UnsetType = UNSET
    limit: Annotated[int, msgspec.Meta(ge=1, lt=2**53)] = 100

    def run(self, session: "ChannelSession") -> None:
        """Answer `messages`, oldest first, and whether they are `complete`."""
        self.on_item(session, self._act)

    def _act(self, session: "ChannelSession", subscription: Subscription) -> None:
        if self.refused(session, subscription, Action.HISTORY):
            return

        def answer(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                self.failed(session, history)
                return
            # A refresh may have taken the right meanwhile.
            if self.refused(session, subscription, Action.HISTORY):
                return
            session.send(
                HistoryReply(
                    self.ref,
                    epoch=history.position.epoch,
                    offset=history.position.offset,
                    messages=history.publications,
                    complete=history.complete,
                )
            )

        span = Span(self.limit, _or_none(self.after), _or_none(self.before))
        session.history(subscription, span, answer)


class ListMembers(_OfItem, frozen=True, kw_only=True, tag="members"):
    """Ask who is there: so many, from the one after `after` on; none, to have them counted."""

    limit: Offset = 100
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""

    def run(self, session: "ChannelSession") -> None:
        """Answer `members` and their `count`, and the `next` to ask for if there are more."""
        self.on_item(session, self._act)

    def _act(self, session: "ChannelSession", subscription: Subscription) -> None:
        if self.refused(session, subscription, Action.PRESENCE):
            return
        page = session.members(subscription, self.limit, self.after)
        following = UNSET if page.next is None else page.next
        reply = MembersReply(self.ref, members=page.members, count=page.count, next=following)
        session.send(reply)


class Refresh(_Envelope, frozen=True, kw_only=True, tag="refresh"):
    """Offer a newer token of the same caller; one at a time."""

    token: str

    def run(self, session: "ChannelSession") -> None:
        """Answer `expires_at` and what may be done, which hold from then on."""
        if not session.can_refresh:
            self.deny(session, "not_supported", "Connect again with the new token.")
        elif session.is_refreshing:
            detail = "Another refresh is under way; ask again when it is answered."
            self.deny(session, RATE_LIMITED.reason, detail, temporary=True)
        else:
            session.refresh(self.token, partial(self._answer, session))

    def _answer(self, session: "ChannelSession", denied: Denied | None) -> None:
        if denied is None:
            session.send(session.renewed(self.ref))
            return
        session.not_refreshed(denied)
        # One sentence for every fault: the log has the rest.
        detail = "The token was not accepted; the connection is as it was."
        self.deny(session, denied.reason.reason, detail, temporary=denied.is_temporary)


class Join(_Envelope, frozen=True, kw_only=True, tag="join"):
    """Hear one item more."""

    kind: ClassVar[Kind] = Kind.JOIN

    since: str | UnsetType = UNSET
    replay: Offset = 0

    def run(self, session: "ManyItemsSession") -> None:
        """Answer `welcome`, once it is worked out what the client may do with the item."""
        try:
            since = None if self.since is UNSET else read_position(self.since)
        except ValueError as error:
            self.deny(session, "payload_invalid", f"since: {error}")
            return
        if self.item is UNSET:
            self.deny(session, "payload_invalid", "Say which `item` to join.")
        else:
            session.join(self.item, Start(since, self.replay), self.ref)


class Leave(_OfItem, frozen=True, tag="leave"):
    """Hear an item no longer."""

    def run(self, session: "ChannelSession") -> None:
        """Answer `reply`, after which nothing of the item comes any more."""
        self.on_item(session, self._act)

    def _act(self, session: "ChannelSession", subscription: Subscription) -> None:
        session.leave(subscription)
        session.send(Reply(self.ref))


class Ping(_Envelope, frozen=True, tag="ping"):
    """Ask for a sign of life that a browser's script can see."""

    def run(self, session: "ChannelSession") -> None:
        """Answer `pong`."""
        session.send(Pong(self.ref))


COMMANDS: Final[dict[str, type[Command["ChannelSession"]]]] = {
    "publish": Publish,
    "history": ReadHistory,
    "members": ListMembers,
    "refresh": Refresh,
    "ping": Ping,
}
"""What may be asked on a socket of one item."""

COMMANDS_OF_MANY: Final[dict[str, type[Command["ManyItemsSession"]]]] = {
    **COMMANDS,
    "join": Join,
    "leave": Leave,
}
"""What may be asked on a socket of many items."""


class Send:
    """What a plain client's frame asks: publish me. It has no words for an answer."""

    __slots__ = ("_frame",)

    kind: ClassVar[Kind] = Kind.PUBLISH
    ref: ClassVar[UnsetType] = UNSET
    item: ClassVar[UnsetType] = UNSET

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def run(self, session: "ChannelSession") -> None:
        """Publish; what cannot be done ends the connection, the only way to say so."""
        subscription = session.find(UNSET)
        if subscription is None or Action.PUBLISH not in subscription.can:
            session.connection.end(SCOPE_MISSING)
            return

        def answer(position: Position | EngineError) -> None:
            if isinstance(position, EngineError):
                session.failed(position)
                session.connection.end(OVERLOADED)

        session.publish(subscription, self._frame, None, answer)


DECODERS: Final[dict[Codec, Callable[[Frame], Command["ChannelSession"]]]] = {
    codec: codec.decoder(COMMANDS, Send) for codec in CODECS.values()
}

DECODERS_OF_MANY: Final[dict[Codec, Callable[[Frame], Command["ManyItemsSession"]]]] = {
    codec: codec.decoder(COMMANDS_OF_MANY, Send) for codec in CODECS.values() if codec.has_envelopes
}


def _or_none(offset: int | UnsetType) -> int | None:
    return None if offset is UNSET else offset
