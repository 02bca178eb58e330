"""Reads envelopes as a client does, whatever servers of earlier versions have stored."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from itemwire.wire.msgpack_codec import MsgpackCodec
from itemwire.wire.payloads import payload_of

# A quote in a string has a backslash before it, so this is the field and no text.
_DEEP_MESSAGE: Final = re.compile(
    r'(\{"type":"message",(?:(?!"data":).)*?),"data":(.*)\}', re.DOTALL
).fullmatch


def read_frame(frame: str | bytes, subprotocol: str | None) -> dict[str, Any]:
    """Return the envelope in a frame of a subprotocol; ValueError for a frame that has none."""
    if subprotocol != MsgpackCodec.subprotocol:
        return read_envelope(frame)
    if isinstance(frame, str):
        raise ValueError("MessagePack comes in binary frames")  # noqa: TRY004 - no envelope
    return msgspec.msgpack.decode(frame, type=dict[str, Any])


def write_frame(envelope: Mapping[str, object], subprotocol: str | None) -> str | bytes:
    """Return the frame of a client's request; TypeError for what its codec cannot hold."""
    if subprotocol == MsgpackCodec.subprotocol:
        return msgspec.msgpack.encode(envelope)
    return json.dumps(envelope)


def read_envelope(frame: str | bytes) -> dict[str, Any]:
    """Return a JSON envelope as Python values.

    A server of an earlier version may have stored a payload out of today's bounds, which Python
    cannot read (5,000 digits) or reads as something else (`1e999`). Such a payload is returned as
    its JSON text. Raise ValueError for a frame that is no envelope, or is nested too deeply and no
    message.
    """
    try:
        fields = msgspec.json.decode(frame, type=dict[str, msgspec.Raw])
    except RecursionError:
        return _read_deep(frame.decode() if isinstance(frame, bytes) else frame)
    return {name: _value(name, bytes(raw)) for name, raw in fields.items()}


def _value(name: str, raw: bytes) -> Any:  # noqa: ANN401 - any JSON value
    if name == "messages" and raw.startswith(b"["):  # a reply with history: each has a payload
        return [
            read_envelope(bytes(one)) for one in msgspec.json.decode(raw, type=list[msgspec.Raw])
        ]
    try:
        payload_of(msgspec.Raw(raw))
        return msgspec.json.decode(raw)
    except ValueError:
        return raw.decode()


def _read_deep(frame: str) -> dict[str, Any]:
    """Return a message whose payload no parser takes; `data` is the last field of a message."""
    parts = _DEEP_MESSAGE(frame)
    if parts is None:
        raise ValueError("it is nested too deeply to be read")
    return {**msgspec.json.decode(parts[1] + "}", type=dict[str, Any]), "data": parts[2]}
