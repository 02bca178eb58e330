"""The payload in a publisher's JSON, within what every reader of JSON can read back.

RFC 8259 section 9 lets a parser limit depth, range and precision, and parsers do. Python refuses
integers of more than 4,300 digits (CVE-2020-10735) and runs out of stack near depth 1,000.
`1e999` is infinite where numbers are IEEE 754 doubles, as section 6 expects, and is then written as
`Infinity` or `null`. One such message in a history would break each client that reads it.
"""

import re
from typing import Final

import msgspec

from itemwire.messages import Payload

MAX_DEPTH: Final = 64
"""Levels of arrays and objects in each other: the narrowest limits in use are about 100."""

MAX_DIGITS: Final = 308
"""Digits in a row in a number: an integer of so many is always finite as a double."""

# Below, `_translate` tables flatten the text at C speed, so that a publish pays next to nothing.
# A number whose exponent has three digits has `9e999` in the flat text, with `+` as a digit.
_FLAT: Final = bytes(
    ord("9") if byte in b"0123456789+" else ord("e") if byte in b"eE" else ord(" ")
    for byte in range(256)
)
# A number that is out of range without such an exponent has 200 digits or more in a row. They
# cover 16 places in a row at a multiple of 184, so nothing else has to be looked at.
_MANY_DIGITS: Final = re.compile(rb"(?s:(?:.{184}(?![0-9]{16}))*+.{184})").match
_MANY: Final = 200

_E, _CAPITAL_E = b"eE"

_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b'[]{}"\\'))
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_LONG_NUMBER: Final = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))

_decode: Final = msgspec.json.Decoder().decode


def payload_of(data: msgspec.Raw) -> Payload:
    """Return a JSON string as the text it stands for, any other JSON value as it is.

    Raise ValueError for a value that is nested deeper than `MAX_DEPTH`, and for a number of more
    than `MAX_DIGITS` digits or that is not finite as a double. `data` must be well-formed JSON.
    """
    raw = bytes(data)
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str)
    size = len(raw)
    if size > 2 * MAX_DEPTH and _opens_often(raw):
        _check_depth(raw)
    # `in` is fast for one byte, but for several, `rfind` takes half the time of `in` and `find`.
    may_be_large = _E in raw or _CAPITAL_E in raw
    if (may_be_large and raw.translate(_FLAT).rfind(b"9e999") >= 0) or (
        size > _MANY and _MANY_DIGITS(raw)
    ):
        _check_numbers(raw)
    return msgspec.Raw(raw)


def _opens_often(raw: bytes) -> bool:
    """Return whether there are enough brackets to nest too deeply."""
    rest = raw.replace(b"[", b"", MAX_DEPTH + 1).replace(b"{", b"", MAX_DEPTH + 1)
    return len(raw) - len(rest) > MAX_DEPTH


def _check_depth(raw: bytes) -> None:
    """Raise ValueError if the value is nested too deeply."""
    shape = raw.translate(_BRACKETS, _NO_BRACKETS).replace(b'""', b"")
    if b'"' in shape or b"\\" in shape:  # a string holds a bracket or an escape
        shape = _STRING.sub(b"", raw).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not shape:
            return
        shape = shape.replace(b"[]", b"")  # peels off the innermost level
    if shape:
        raise ValueError(f"data: nested deeper than {MAX_DEPTH} levels")


def _check_numbers(raw: bytes) -> None:
    """Raise ValueError if a number is too long, or infinite as a double."""
    if _LONG_NUMBER.search(raw) and _LONG_NUMBER.search(_STRING.sub(b"", raw)):
        raise ValueError(f"data: a number of more than {MAX_DIGITS} digits")
    try:
        _decode(raw)
    except msgspec.DecodeError:
        raise ValueError("data: a number out of the range of a double") from None
