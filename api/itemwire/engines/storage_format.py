"""How an engine writes a message: without its offset, which comes after."""

from typing import Final

import msgspec

from itemwire.messages import Draft, Payload, Publication

TEXT: Final = 0
BINARY: Final = 1
JSON: Final = 2


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    """A message as it is stored; fields that a newer node may add at the end are left out."""

    item: str
    sender: str
    sent_at: float
    kind: int
    data: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Packed)


def pack(draft: Draft) -> bytes:
    """Write a draft as bytes."""
    kind, data = bytes_of(draft.data)
    return _encoder.encode(_Packed(draft.item, draft.sender, draft.sent_at, kind, data))


def unpack(packed: bytes, offset: int) -> Publication:
    """Read a message and give it its offset; ValueError where it cannot be read."""
    try:
        stored = _decoder.decode(packed)
        data = payload_of(stored.kind, stored.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"message {offset} cannot be read: {error}") from error
    draft = Draft(stored.item, stored.sender, stored.sent_at, data)
    return Publication.of(draft, offset)


def bytes_of(data: Payload) -> tuple[int, bytes]:
    """Write a payload as bytes, and of which kind they are."""
    if isinstance(data, str):
        return TEXT, data.encode()
    if isinstance(data, bytes):
        return BINARY, data
    return JSON, bytes(data)


def payload_of(kind: int, data: bytes, errors: str = "strict") -> Payload:
    """Read a payload; UnicodeDecodeError for what is no text, unless `errors` says otherwise."""
    if kind == TEXT:
        return data.decode(errors=errors)
    return msgspec.Raw(data) if kind == JSON else data
