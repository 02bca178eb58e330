"""Writes what application code publishes as the payload that is stored."""

from typing import Final

import msgspec
from pydantic import BaseModel

from itemwire.messages import Payload
from itemwire.wire.payloads import payload_of

WHAT_CAN: Final = "Pydantic models, msgspec structs, dataclasses, lists, dicts and texts can"


def _encode_model(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON; {WHAT_CAN}")


_encode: Final = msgspec.json.Encoder(enc_hook=_encode_model).encode


def encoded(data: object) -> Payload:
    """Return text and bytes as they are, and anything else as its JSON text.

    Raises TypeError for what has no JSON form, and ValueError for JSON that clients could not read
    (`itemwire.wire.payloads`), and for text with half of a surrogate pair, which no frame carries.
    """
    if isinstance(data, str):
        data.encode()
    if isinstance(data, str | bytes):
        return data
    return payload_of(msgspec.Raw(_encode(data)))


def as_json(value: object) -> msgspec.Raw:
    """Return any value as its JSON text; raises what `encoded` raises."""
    raw = msgspec.Raw(_encode(value))
    payload_of(raw)
    return raw
