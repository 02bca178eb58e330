"""Messages as the SQLite engine stores them: JSON, so that a history is read as one text."""

import base64
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.messages import Draft, Payload, Publication


class _Message(msgspec.Struct):
    item: str
    sender: str
    sent_at: float
    data: Any
    encoding: Literal["base64"] | UnsetType = UNSET


class _Read(_Message):
    data: msgspec.Raw


_decode_rows: Final = msgspec.json.Decoder(list[tuple[int, _Read]]).decode


def encode_message(draft: Draft) -> str:
    """Return a message as it is stored; UnicodeError if its text cannot be encoded."""
    encoding: Literal["base64"] | UnsetType = "base64" if type(draft.data) is bytes else UNSET
    message = _Message(draft.item, draft.sender, draft.sent_at, draft.data, encoding)
    return msgspec.json.encode(message).decode()


def decode_history(rows: bytes) -> list[Publication]:
    """Return the history in a JSON array of `[offset, message]`, which may be in any order."""
    return [
        Publication(one.item, offset, one.sender, one.sent_at, _payload(one), one.encoding)
        for offset, one in sorted(_decode_rows(rows), key=lambda row: row[0])
    ]


def _payload(stored: _Read) -> Payload:
    raw = bytes(stored.data)
    if stored.encoding == "base64":
        return base64.b64decode(raw[1:-1])
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else msgspec.Raw(raw)
