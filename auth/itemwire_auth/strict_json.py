"""Parses JSON of strangers; what two parsers could read differently is refused."""

from __future__ import annotations

import json
import math
import re
from typing import Final, cast

MAX_DEPTH: Final = 16  # a claims set nests three or four deep
MAX_DIGITS: Final = 20  # enough for 64-bit integers; int() is quadratic (CVE-2020-10735)

STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
OPENING: Final = ("[", "{")
CLOSING: Final = ("]", "}")
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse_object(data: bytes) -> dict[str, object]:
    """Return one JSON object, or raise ValueError with a message that shows none of the data."""
    try:
        text = data.decode("utf-8")  # RFC 8259 section 8.1: UTF-8 only, so no UTF-16 and no UTF-32
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if _is_deep(text):
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # The error object holds the whole text: it must not travel on as a cause.
        raise ValueError(f"it is not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise ValueError("it is JSON, but not an object")  # noqa: TRY004 - one fault among others
    members = cast("dict[str, object]", value)
    if _SURROGATE_ESCAPE.search(text):
        _refuse_lone_surrogates(members)
    return members


def _is_deep(text: str) -> bool:
    """Return whether a text nests too deep for the recursive parser."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for match in STRING_OR_BRACKET.finditer(text):
        first = match[0][0]
        if first != '"':
            depth += 1 if first in OPENING else -1
            if depth > MAX_DEPTH:
                return True
    return False


def _refuse_lone_surrogates(value: dict[str, object]) -> None:
    """Refuse halves of surrogate pairs: no such text can be sent, logged or stored as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("it holds a lone surrogate (RFC 7493 section 2.1)") from None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a repeated name in an object (RFC 7519 section 4): which counts is a guess."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("it holds an object with a name twice")
    return members


def _integer(digits: str) -> int:
    """Refuse integers that are long: parsing them costs more than they can mean."""
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it holds an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    """Refuse numbers such as 1e400, which Python reads as infinity."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError("it holds a number out of range")
    return number


def _constant(name: str) -> float:
    """Refuse NaN and Infinity, which are Python's own additions to JSON."""
    raise ValueError(f"it holds {name}, which is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_number, parse_constant=_constant
)
