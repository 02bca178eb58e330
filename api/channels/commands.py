"""Everything a client may ask: one class each, one table."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from api.channels.node import in_order
from api.channels.refreshing import Denied
from api.closing import OVERLOADED, RATE_LIMITED, SCOPE_MISSING
from api.engines.base import EngineError, History, Span
from api.messages import Error, Frame, Payload, Pong, Position, Ref, Reply
from api.wire import CODECS
from api.wire.base import Codec
from auth.scopes import Action

if TYPE_CHECKING:
    from api.channels.session import ItemSession

Offset = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Command(Protocol):
    """A request of a client, read and valid in form."""

    def run(self, session: "ItemSession") -> None:
        """Do it if the client may, and answer."""
        ...


class _Envelope(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """What every request envelope may have: a `ref` that comes back in the answer."""

    ref: Ref | UnsetType = UNSET
    item: str | UnsetType = UNSET  # for sockets with many items; a socket of one ignores it

    def refused(self, session: "ItemSession", action: Action) -> bool:
        """Tell the client if it may not do this; True: it was told."""
        if action in session.subscription.can:
            return False
        detail = f"This needs the right to {action} on this item."
        session.send(Error(SCOPE_MISSING.reason, temporary=False, detail=detail, ref=self.ref))
        return True

    def failed(self, session: "ItemSession", problem: EngineError) -> None:
        """Tell the client that the engine could not; the operator reads why in the log."""
        detail = "The engine could not take this now; ask again."
        session.failed(problem)
        session.send(Error(OVERLOADED.reason, temporary=True, detail=detail, ref=self.ref))


class Publish(_Envelope, frozen=True, kw_only=True, tag="publish"):
    """Publish to the item; the answer comes once the message is stored."""

    data: msgspec.Raw
    key: Key | UnsetType = UNSET

    def run(self, session: "ItemSession") -> None:
        """Answer the message's `offset` in its `epoch`."""
        if self.refused(session, Action.PUBLISH):
            return

        def answer(position: Position | EngineError) -> None:
            if isinstance(position, EngineError):
                self.failed(session, position)
            else:
                session.send(Reply(self.ref, epoch=position.epoch, offset=position.offset))

        session.publish(_payload(self.data), self.key or None, answer)


class ReadHistory(_Envelope, frozen=True, kw_only=True, tag="history"):
    """Read back: the newest `limit` messages, or the oldest after `after`."""

    after: Offset | UnsetType = UNSET
    before: Offset | UnsetType = UNSET
    limit: Annotated[int, msgspec.Meta(ge=1, lt=2**53)] = 100

    def run(self, session: "ItemSession") -> None:
        """Answer `messages`, oldest first, and whether they are `complete`."""
        if self.refused(session, Action.HISTORY):
            return

        def answer(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                self.failed(session, history)
                return
            if self.refused(session, Action.HISTORY):  # a refresh has taken the right meanwhile
                return
            session.send(
                Reply(
                    self.ref,
                    epoch=history.position.epoch,
                    offset=history.position.offset,
                    messages=history.publications,
                    complete=history.complete,
                )
            )

        session.history(Span(self.limit, _or_none(self.after), _or_none(self.before)), answer)


class ListMembers(_Envelope, frozen=True, tag="members"):
    """Ask who is there."""

    def run(self, session: "ItemSession") -> None:
        """Answer `members`."""
        if not self.refused(session, Action.PRESENCE):
            session.send(Reply(self.ref, members=session.members()))


class Refresh(_Envelope, frozen=True, kw_only=True, tag="refresh"):
    """Offer a newer token of the same caller; one at a time."""

    token: str

    def run(self, session: "ItemSession") -> None:
        """Answer `expires_at` and `can`, which hold from then on."""
        if not session.can_refresh:
            self._deny(session, "not_supported", "Connect again with the new token.")
        elif session.is_refreshing:
            detail = "Another refresh is under way; ask again when it is answered."
            self._deny(session, RATE_LIMITED.reason, detail, temporary=True)
        else:
            session.refresh(self.token, partial(self._answer, session))

    def _answer(self, session: "ItemSession", denied: Denied | None) -> None:
        if denied is None:
            can = in_order(session.subscription.can)
            session.send(Reply(self.ref, expires_at=session.connection.expires_at, can=can))
            return
        # One sentence for every fault: the log has the rest.
        detail = "The token was not accepted; the connection is as it was."
        self._deny(session, denied.reason.reason, detail, temporary=denied.is_temporary)

    def _deny(
        self, session: "ItemSession", code: str, detail: str, *, temporary: bool = False
    ) -> None:
        session.send(Error(code, temporary=temporary, detail=detail, ref=self.ref))


class Ping(_Envelope, frozen=True, tag="ping"):
    """Ask for a sign of life that a browser's script can see."""

    def run(self, session: "ItemSession") -> None:
        """Answer `pong`."""
        session.send(Pong(self.ref))


COMMANDS: Final[dict[str, type[Command]]] = {
    "publish": Publish,
    "history": ReadHistory,
    "members": ListMembers,
    "refresh": Refresh,
    "ping": Ping,
}


class Send:
    """What a plain client's frame asks: publish me. It has no words for an answer."""

    __slots__ = ("_frame",)

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def run(self, session: "ItemSession") -> None:
        """Publish; what cannot be done ends the connection, the only way to say so."""
        if Action.PUBLISH not in session.subscription.can:
            session.connection.end(SCOPE_MISSING)
            return

        def answer(position: Position | EngineError) -> None:
            if isinstance(position, EngineError):
                session.failed(position)
                session.connection.end(OVERLOADED)

        session.publish(self._frame, None, answer)


DECODERS: Final[dict[Codec, Callable[[Frame], Command]]] = {
    codec: codec.decoder(COMMANDS, Send) for codec in CODECS.values()
}


def _payload(data: msgspec.Raw) -> Payload:
    """Take a JSON string as the text it stands for, any other JSON as it is."""
    raw = bytes(data)
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else msgspec.Raw(raw)


def _or_none(offset: int | UnsetType) -> int | None:
    return None if offset is UNSET else offset
