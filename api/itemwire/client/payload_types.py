"""Reads payloads as the type that a program has named for an item."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

ReadPayload = Callable[[Any], T]
"""Returns a decoded payload as a type; raises ValueError where it does not fit."""


def payload_reader(wanted: type[T] | None) -> ReadPayload[T]:
    """Return what reads payloads as a type: a pydantic model, or whatever msgspec converts to.

    Without a type, a payload is what its JSON stands for, and binary ones are bytes.
    """
    if wanted is None:
        return lambda value: cast("T", value)
    validate = getattr(wanted, "model_validate", None)
    if validate is not None:
        return cast("ReadPayload[T]", validate)
    return lambda value: msgspec.convert(value, wanted)
