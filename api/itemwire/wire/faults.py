"""What is wrong with a frame that is no request, with its `ref` where it can be read."""

from collections.abc import Container, Iterable
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.messages import Ref
from itemwire.wire.base import MalformedFrame


class Outline(msgspec.Struct):
    """The fields of a faulty envelope that an error message uses."""

    type: object = None
    ref: Ref | UnsetType = UNSET


class Types(Container[str], Iterable[str], Protocol):
    """The types of requests that there are."""


def fault_in(outline: Outline, types: Types, error: Exception) -> MalformedFrame:
    """Return the error for an envelope that is well formed, and no valid request."""
    if isinstance(outline.type, str) and outline.type not in types:
        return MalformedFrame("not_supported", f"The types are {', '.join(types)}.", outline.ref)
    return MalformedFrame("payload_invalid", str(error), outline.ref)
