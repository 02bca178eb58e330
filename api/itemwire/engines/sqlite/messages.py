"""Messages as the SQLite engine stores them: JSON, so that a history is read as one text."""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.messages import Draft, MessageMeta, Payload, Publication


class _Message(msgspec.Struct):
    item: str
    sender: str
    sent_at: float
    data: Any
    encoding: Literal["base64"] | UnsetType = UNSET
    meta: MessageMeta | UnsetType = UNSET
    end: bool | UnsetType = UNSET


class _Read(_Message):
    data: msgspec.Raw


_Row = tuple[int, _Read]

_decode_rows: Final = msgspec.json.Decoder(list[_Row]).decode
_decode_row: Final[Callable[[bytes], _Row]] = msgspec.json.Decoder(_Row).decode

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKENS: Final = re.compile(rb"%s|[\[{]++|[\]}]++" % _STRING, re.DOTALL)
_DEEP_ROW: Final = re.compile(
    rb'(\[[0-9]+,\{"item":%s,"sender":%s,"sent_at":[^,]+,"data":)(.*)\}\]' % (_STRING, _STRING),
    re.DOTALL,
).fullmatch


def encode_message(draft: Draft) -> str:
    """Return a message as it is stored; UnicodeError if its text cannot be encoded."""
    encoding: Literal["base64"] | UnsetType = "base64" if type(draft.data) is bytes else UNSET
    message = _Message(
        draft.item, draft.sender or "", draft.sent_at, draft.data, encoding, draft.meta, draft.end
    )
    return msgspec.json.encode(message).decode()


def decode_history(rows: bytes) -> list[Publication]:
    """Return the history in a JSON array of `[offset, message]`, which may be in any order."""
    try:
        found = _decode_rows(rows)
    except RecursionError:  # an earlier version stored a payload that is nested so deeply
        found = [_decode_deep(row) for row in _split(rows)]
    return [
        Publication(
            one.item,
            offset,
            one.sender or None,
            one.sent_at,
            _payload(one),
            one.encoding,
            one.meta,
            one.end,
        )
        for offset, one in sorted(found, key=lambda row: row[0])
    ]


def _split(rows: bytes) -> Iterator[bytes]:
    """Yield each `[offset, message]` of the array; it may be nested as deeply as it likes."""
    depth = start = 0
    for token in _TOKENS.finditer(rows):
        if token[0][:1] in b"[{":
            if depth < 2:  # noqa: PLR2004 - the array is one level, a row the second
                start = token.end() - 1
            depth += len(token[0])
        elif token[0][:1] in b"]}":
            depth -= len(token[0])
            if depth < 2:  # noqa: PLR2004
                yield rows[start : token.end() - (1 - depth)]


def _decode_deep(row: bytes) -> _Row:
    """Return a row whose payload no parser may take; its other fields come before the payload."""
    try:
        return _decode_row(row)
    except RecursionError:
        parts = _DEEP_ROW(row)
        if parts is None:
            raise
        offset, message = _decode_row(parts[1] + b"null}]")
        message.data = msgspec.Raw(parts[2])
        return offset, message


def _payload(stored: _Read) -> Payload:
    raw = bytes(stored.data)
    if stored.encoding == "base64":
        return base64.b64decode(raw[1:-1])
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else msgspec.Raw(raw)
