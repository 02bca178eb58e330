"""How engines store a message: as bytes, without its offset."""

from typing import Final

import msgspec

from itemwire.messages import Draft, Payload, Publication

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


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Packed)


def pack(draft: Draft) -> bytes:
    """Return a draft as bytes."""
    kind, data = bytes_of(draft.data)
    return _encoder.encode(_Packed(draft.item, draft.sender or "", draft.sent_at, kind, data))


def unpack(packed: bytes, offset: int) -> Publication:
    """Return a stored message with its offset; ValueError if it cannot be read."""
    try:
        stored = _decoder.decode(packed)
        data = payload_of(stored.kind, stored.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"message {offset} cannot be read: {error}") from error
    draft = Draft(stored.item, stored.sender or None, stored.sent_at, data)
    return Publication.of(draft, offset)


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
