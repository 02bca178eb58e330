"""Writes what application code publishes as the payload that is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from pydantic import BaseModel

from itemwire.channels.names import check_item_id
from itemwire.messages import Extras, Payload
from itemwire.tracing import with_trace
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


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message for `publish_many` that has more than its data.

    `meta` is a small map that goes with it, and `end` marks it as the last one of a stream.
    """

    item: str
    data: object
    meta: Mapping[str, str] | None = None
    end: bool = False


ManyMessages = tuple[str, object] | NewMessage
"""A message of `publish_many`: a pair of an item id and data, or with more."""


def ready(message: ManyMessages) -> tuple[str, Payload, Extras]:
    """Return the item of a message, and what is stored; raises what `Itemwire.publish` raises."""
    if isinstance(message, tuple):
        message = NewMessage(*message)
    check_item_id(message.item)
    extras = Extras.of(with_trace(message.meta), end=message.end)
    return message.item, encoded(message.data), extras


def as_json(value: object) -> msgspec.Raw:
    """Return any value as its JSON text; raises what `encoded` raises."""
    raw = msgspec.Raw(_encode(value))
    payload_of(raw)
    return raw
