"""How engines store a message: as bytes, without its offset."""

from typing import Final

import msgspec
from msgspec import UNSET

from itemwire.engines.base import retained_at
from itemwire.messages import Draft, Payload, Position, Publication

TEXT: Final = 0
BINARY: Final = 1
JSON: Final = 2


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    """A message as it is stored; fields that a newer node may append are ignored.

    No sender is an empty text, as earlier versions can read it.
    """

    item: str
    sender: str
    sent_at: float
    kind: int
    data: bytes


class _PackedMore(_Packed, array_like=True, frozen=True):
    """A message with what only few have beside their data; others are stored without."""

    meta: dict[str, str] | None = None
    end: bool = False


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_PackedMore)


def pack(draft: Draft) -> bytes:
    """Return a draft as bytes."""
    kind, data = bytes_of(draft.data)
    stored = (draft.item, draft.sender or "", draft.sent_at, kind, data)
    if draft.meta is UNSET and draft.end is UNSET:
        return _encoder.encode(_Packed(*stored))
    meta = None if draft.meta is UNSET else draft.meta
    return _encoder.encode(_PackedMore(*stored, meta, draft.end is True))


def unpack(packed: bytes, offset: int) -> Publication:
    """Return a stored message with its offset; ValueError if it cannot be read."""
    try:
        stored = _decoder.decode(packed)
        data = payload_of(stored.kind, stored.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"message {offset} cannot be read: {error}") from error
    meta = UNSET if stored.meta is None else stored.meta
    end = stored.end or UNSET
    draft = Draft(stored.item, stored.sender or None, stored.sent_at, data, None, meta, end)
    return Publication.of(draft, offset)


def unpack_retained(kept: bytes, position: Position) -> Publication | None:
    """Return a message that is stored as `offset epoch message`, for a reader at a position.

    One that no node has written is none: it must not keep everything else from being read.
    """
    try:
        offset, epoch, packed = kept.split(b" ", 2)
        return retained_at(position, epoch.decode(), unpack(packed, int(offset)))
    except ValueError:
        return None


def bytes_of(data: Payload) -> tuple[int, bytes]:
    """Return the kind of a payload, and its bytes."""
    if isinstance(data, str):
        return TEXT, data.encode()
    if isinstance(data, msgspec.Raw):
        return JSON, bytes(data)
    return BINARY, data


def payload_of(kind: int, data: bytes, errors: str = "strict") -> Payload:
    """Return a payload from its kind and bytes; `errors` is for bytes that are no UTF-8."""
    if kind == TEXT:
        return data.decode(errors=errors)
    return msgspec.Raw(data) if kind == JSON else data


WITH_EXTRAS: Final = 4
"""Added to the kind of a message whose bytes are an envelope of its payload and its extras."""


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    data: bytes
    meta: dict[str, str] | None
    end: bool


_open: Final = msgspec.msgpack.Decoder(_Envelope).decode


def columns_of(draft: Draft) -> tuple[int, bytes]:
    """Return the kind and the bytes of a message, for a store that has two columns for them."""
    kind, data = bytes_of(draft.data)
    if draft.meta is UNSET and draft.end is UNSET:
        return kind, data
    meta = None if draft.meta is UNSET else draft.meta
    return kind + WITH_EXTRAS, _encoder.encode(_Envelope(data, meta, draft.end is True))


def draft_of(item: str, sender: str, sent_at: float, kind: int, data: bytes) -> Draft:
    """Return the message of these columns.

    Text that no node can have written must not keep everything else from being read.
    """
    if kind < WITH_EXTRAS:
        return Draft(item, sender or None, sent_at, payload_of(kind, data, "replace"))
    try:
        opened = _open(data)
    except msgspec.MsgspecError:
        return Draft(item, sender or None, sent_at, data)
    meta = UNSET if opened.meta is None else opened.meta
    payload = payload_of(kind - WITH_EXTRAS, opened.data, "replace")
    return Draft(item, sender or None, sent_at, payload, None, meta, opened.end or UNSET)
