"""The values that travel: what is published and stored, and the envelopes for clients.

The envelopes are msgspec structs, which codecs encode as they are. A field that is `UNSET` is
absent on the wire.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import override

Frame = str | bytes
"""One WebSocket message: `str` is a text frame, `bytes` a binary one."""

Payload = str | bytes | msgspec.Raw
"""The data of a message: text, binary, or any other JSON value as its JSON text."""

Ref = Annotated[str, msgspec.Meta(max_length=64)] | Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
"""A client's own correlation id, returned as it came; an integer is one JavaScript can hold."""


def frame_size(frame: Frame) -> int:
    """Return the bytes of a frame's payload on the wire."""
    return len(frame.encode()) if isinstance(frame, str) and not frame.isascii() else len(frame)


def payload_size(data: Payload) -> int:
    """Return the bytes of a payload as it is stored."""
    return len(data.encode()) if isinstance(data, str) and not data.isascii() else len(data)


class Position(msgspec.Struct, frozen=True):
    """A place in a channel's order: `offset` counts 1, 2, 3… within one `epoch`.

    Clients write it `<epoch>:<offset>`.
    """

    epoch: str
    offset: int

    @override
    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"


NOT_STORED: Final = Position("", 0)
"""Answers a message that was only delivered: it is ephemeral."""

_POSITION: Final = re.compile(r"([A-Za-z0-9_-]{1,64}):([0-9]{1,15})")  # JavaScript counts to 2**53


def read_position(written: str) -> Position:
    """Return the position that is written as `<epoch>:<offset>`, or raise ValueError."""
    parts = _POSITION.fullmatch(written)
    if parts is None:
        raise ValueError("a position is written <epoch>:<offset>")
    return Position(parts[1], int(parts[2]))


MAX_META: Final = 16
META_BYTES: Final = 1024

MessageMeta = Annotated[dict[str, str], msgspec.Meta(max_length=MAX_META)]
"""What goes with the data of a message for the programs that handle it, such as a trace id."""


def meta_size(meta: MessageMeta | UnsetType) -> int:
    """Return the bytes of all names and values."""
    if meta is UNSET:
        return 0
    return sum(len(name.encode()) + len(value.encode()) for name, value in meta.items())


class Extras(msgspec.Struct, frozen=True):
    """What a publisher may give beside the data: `meta`, and that nothing follows (`end`).

    Raises ValueError for more entries than `MAX_META`, or more bytes than `META_BYTES`.
    """

    meta: MessageMeta | UnsetType = UNSET
    end: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse a map past its bounds, whoever made it."""
        if self.meta is not UNSET and len(self.meta) > MAX_META:
            raise ValueError(f"meta: more than {MAX_META} entries")
        if meta_size(self.meta) > META_BYTES:
            raise ValueError(f"meta: more than {META_BYTES} bytes")

    @property
    def size(self) -> int:
        """Return the bytes that count beside those of the payload."""
        return meta_size(self.meta)

    @classmethod
    def of(cls, meta: Mapping[str, str] | UnsetType | None, *, end: bool) -> "Extras":
        """Return what was given; an empty map is none."""
        if not meta and not end:
            return NO_EXTRAS
        return cls(dict(meta) if meta else UNSET, True if end else UNSET)


NO_EXTRAS: Final = Extras()


class Draft(msgspec.Struct, frozen=True):
    """A message to which the engine has not given an offset yet; its sender is a subject."""

    item: str
    sender: str | None
    sent_at: float
    data: Payload
    key: str | None = None
    meta: MessageMeta | UnsetType = UNSET
    end: bool | UnsetType = UNSET


class Member(msgspec.Struct, frozen=True):
    """A member of a channel: the id of the connection it first joined with, and its subject.

    `info` is what the application lets others know of it, a JSON object.
    """

    connection: str
    subject: str
    info: msgspec.Raw | UnsetType = UNSET


class Event(msgspec.Struct, frozen=True, tag_field="type"):
    """An envelope from the server to a client."""


class Publication(Event, frozen=True, tag="message"):
    """A message with its place in the channel; all get the same bytes, its sender too."""

    item: str
    offset: int
    sender: str | None
    sent_at: float
    data: Payload
    encoding: Literal["base64"] | UnsetType = UNSET
    meta: MessageMeta | UnsetType = UNSET
    end: bool | UnsetType = UNSET

    @classmethod
    def of(cls, draft: Draft, offset: int) -> "Publication":
        """Return a draft as the message with this offset."""
        encoding: Literal["base64"] | UnsetType = "base64" if type(draft.data) is bytes else UNSET
        return cls(
            draft.item,
            offset,
            draft.sender,
            draft.sent_at,
            draft.data,
            encoding,
            draft.meta,
            draft.end,
        )


def message_size(message: Draft | Publication) -> int:
    """Return the bytes of a message that count: its payload and its `meta`."""
    size = payload_size(message.data)
    return size if message.meta is UNSET else size + meta_size(message.meta)


class Direct(Event, frozen=True, tag="direct"):
    """A message to one caller, on all of its sockets; it belongs to no item."""

    sender: str | None
    sent_at: float
    data: Payload
    encoding: Literal["base64"] | UnsetType = UNSET


class DirectLost(Event, frozen=True, tag="direct_lost"):
    """Direct messages to this caller may be lost: its node was away for too long.

    It is no `gap`: a client of one item takes each of those for its own item's.
    """


class Ephemeral(Event, frozen=True, tag="message"):
    """A message that is not stored: it has no offset, and nobody can read it later."""

    item: str
    ephemeral: Literal[True]
    sender: str | None
    sent_at: float
    data: Payload
    encoding: Literal["base64"] | UnsetType = UNSET
    meta: MessageMeta | UnsetType = UNSET
    end: bool | UnsetType = UNSET

    @classmethod
    def of(cls, message: Publication) -> "Ephemeral":
        """Return a message without its offset."""
        content = message.sender, message.sent_at, message.data, message.encoding
        return cls(message.item, True, *content, message.meta, message.end)


class Hello(Event, frozen=True, tag="hello"):
    """The first envelope for a client that asked for hints: it is connected, and as whom.

    `max_items` is absent on a socket of one item, and `heartbeat` unless the client asked for one.
    """

    connection: str
    subject: str
    expires_at: int | None
    server_time: float
    ping_interval: float
    max_message_bytes: int
    max_items: int | UnsetType = UNSET
    heartbeat: int | UnsetType = UNSET


class Welcome(Event, frozen=True, tag="welcome"):
    """The answer to a join: who the client is, and where the stream stands.

    `members` (one page of them) and `member_count` are absent without the right `presence`.
    `offset` is that of the newest message; messages that are replayed follow, up to that one. With
    `recovered` a client that asked to resume gets every message after its position. `resume` is
    what to send as `since=<resume>:<offset>` after a break. A client that asked for hints gets the
    `server_time`.
    """

    connection: str
    subject: str
    item: str
    can: list[str]
    epoch: str
    offset: int
    was_recovering: bool
    recovered: bool
    expires_at: int | None
    ping_interval: float
    max_message_bytes: int
    members: list[Member] | UnsetType = UNSET
    member_count: int | UnsetType = UNSET
    resume: str | UnsetType = UNSET
    ref: Ref | UnsetType = UNSET
    server_time: float | UnsetType = UNSET


class Joined(Event, frozen=True, tag="joined"):
    """A member joined."""

    item: str
    member: Member


class Updated(Event, frozen=True, tag="updated"):
    """The `info` of a member changed."""

    item: str
    member: Member


class Left(Event, frozen=True, tag="left"):
    """A member left."""

    item: str
    member: Member


class MemberCount(Event, frozen=True, tag="count"):
    """How many members there are, where some are counted only; it comes once a second at most."""

    item: str
    member_count: int


class Reply(Event, frozen=True, tag="reply", omit_defaults=True):
    """The answer to a request that was done; its subclasses tell more."""

    ref: Ref | UnsetType = UNSET


class PublishReply(Reply, frozen=True, kw_only=True):
    """The answer to `publish`: where the message is stored."""

    epoch: str
    offset: int


class EphemeralReply(Reply, frozen=True, kw_only=True):
    """The answer to `publish` where messages are ephemeral: it was delivered, and not stored."""

    ephemeral: bool


class HistoryReply(Reply, frozen=True, kw_only=True):
    """The answer to `history`: messages, oldest first, and the stream's position at the read.

    `complete` says that nothing within the bounds that were asked for is missing.
    """

    epoch: str
    offset: int
    messages: list[Publication]
    complete: bool


class MembersReply(Reply, frozen=True, kw_only=True):
    """The answer to `members`: one page of them, and how many members there are in all.

    `next` is the `after` of the next page, absent on the last one. `partial` is true, or absent:
    a node has not said in time which members it has.
    """

    members: list[Member]
    count: int
    next: str | UnsetType = UNSET
    partial: bool | UnsetType = UNSET


class RefreshReply(Reply, frozen=True, kw_only=True):
    """The answer to `refresh`: until when the connection may stay now, and what it may do.

    A socket of one item has `can`; a socket of many has `items`, the rights by item. A client that
    asked for hints gets the `server_time`: its own clock may have been set since its welcome.
    """

    expires_at: int | None
    can: list[str] | UnsetType = UNSET
    items: dict[str, list[str]] | UnsetType = UNSET
    server_time: float | UnsetType = UNSET


class RequestReply(Reply, frozen=True, kw_only=True):
    """The answer of the application to a `request`: whatever its handler has returned."""

    data: msgspec.Raw


class Error(Event, frozen=True, tag="error"):
    """The answer to a request that was not done: why, and whether asking again may help.

    `retry` says what to do next, where the application's own code has refused, and for every client
    that asked for hints.
    """

    code: str
    temporary: bool
    detail: str
    ref: Ref | UnsetType = UNSET
    item: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    retry: str | UnsetType = UNSET


class Gap(Event, frozen=True, tag="gap", rename={"from_": "from"}):
    """The messages of an item from one offset to another are lost to this client.

    With a new `epoch` the offsets have begun anew and all messages before are lost. `to` is then
    the newest offset of the new epoch, 0 if nothing was published yet.
    """

    item: str
    epoch: str
    from_: int
    to: int


class ItemEnded(Event, frozen=True, tag="ended"):
    """The client was taken off an item; its socket with many items goes on without it."""

    item: str
    reason: str
    retry: str


class Heartbeat(Event, frozen=True, tag="ping"):
    """A sign of life, for a client that asked for one every so often; it needs no answer."""


class Pong(Event, frozen=True, tag="pong"):
    """The answer to `ping`."""

    ref: Ref | UnsetType = UNSET


class Expiring(Event, frozen=True, tag="expiring"):
    """A warning: the connection ends at this Unix time unless it is refreshed."""

    expires_at: int


class Closing(Event, frozen=True, tag="closing"):
    """What the close frame says, with the advice on retrying that it has no room for."""

    code: int
    reason: str
    retry: str
    retry_after_ms: int
