"""Reads envelopes as a client does, whatever servers of earlier versions have stored."""

from typing import Any

import msgspec

from itemwire.wire.payloads import payload_of


def read_envelope(frame: str | bytes) -> dict[str, Any]:
    """Return an envelope as Python values.

    A server of an earlier version may have stored a payload out of today's bounds, which Python
    cannot read (5,000 digits) or reads as something else (`1e999`). Such a payload is returned as
    its JSON text. Raise ValueError for a frame that is no envelope, or is nested too deeply.
    """
    fields = _raw(frame, dict[str, msgspec.Raw])
    return {name: _value(name, bytes(raw)) for name, raw in fields.items()}


def _value(name: str, raw: bytes) -> Any:  # noqa: ANN401 - any JSON value
    if name == "messages" and raw.startswith(b"["):  # a reply with history: each has a payload
        return [read_envelope(bytes(one)) for one in _raw(raw, list[msgspec.Raw])]
    try:
        payload_of(msgspec.Raw(raw))
        return msgspec.json.decode(raw)
    except ValueError:
        return raw.decode()


def _raw(text: str | bytes, shape: Any) -> Any:  # noqa: ANN401 - whatever the shape says
    try:
        return msgspec.json.decode(text, type=shape)
    except RecursionError:
        raise ValueError("it is nested too deeply to be read") from None
