"""The bounds of a payload: each refused value beside its twin that is just within them."""

from __future__ import annotations

import json
import math
from typing import Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from itemwire.wire.payloads import MAX_DEPTH, MAX_DIGITS, payload_of


def nested(opening: str, closing: str, depth: int, inside: str = "") -> str:
    """Write a value that is nested so deeply."""
    return opening * depth + inside + closing * depth


POISON: Final = {
    "an-exponent": ("[1e999]", "[1e308]"),
    "an-exponent-alone": ("1e309", "1e-999"),
    "a-negative-one": ("-1E+999", "-1E+308"),
    "the-first-that-rounds-to-infinity": ("1.7976931348623159e308", "1.7976931348623157e308"),
    "an-exponent-with-zeros": ("1e0000400", "1e0000300"),
    "an-exponent-after-many-digits": ("9" * 299 + "e20", "9" * 299 + "e8"),
    "two-digits-of-exponent-after-200": ("[" + "9" * 210 + "e99]", "[" + "9" * 199 + "e99]"),
    "an-integer": ("9" * (MAX_DIGITS + 1), "9" * MAX_DIGITS),
    "an-integer-of-5000-digits": ('{"a":-' + "9" * 5000 + "}", '{"a":"' + "9" * 5000 + '"}'),
    "an-integer-deep-in-a-text": (
        '{"a":"' + "x" * 9000 + '","b":[' + "1" * 309 + "]}",
        '{"a":"' + "x" * 9000 + '","b":[' + "1" * 308 + "]}",
    ),
    "a-fraction": ("0." + "1" * (MAX_DIGITS + 1), "0." + "1" * MAX_DIGITS),
    "arrays": (nested("[", "]", MAX_DEPTH + 1), nested("[", "]", MAX_DEPTH)),
    "objects": (
        nested('{"a":', "}", MAX_DEPTH + 1, "1"),
        nested('{"a":', "}", MAX_DEPTH, "1"),
    ),
    "arrays-of-900": (nested("[", "]", 900), json.dumps("[" * 900)),
    "wide-and-deep": (
        "[" + "[]," * 500 + nested("[", "]", MAX_DEPTH) + "]",
        "[" + "[]," * 500 + nested("[", "]", MAX_DEPTH - 1) + "]",
    ),
    "brackets-in-strings": (
        '["]]]]",' + nested("[", "]", MAX_DEPTH) + "]",
        '["[[[[",' + nested("[", "]", MAX_DEPTH - 1) + ',"\\"[\\\\"]',
    ),
    "a-bracket-after-an-escaped-quote": (
        '["\\"]",' + nested("[", "]", MAX_DEPTH) + "]",
        json.dumps(['"[' * 500, "\\", "[" * 500]),
    ),
}
"""A value that is out of the bounds, and one like it that is within them."""

REFUSED = pytest.mark.parametrize("text", [no for no, _ in POISON.values()], ids=POISON)
ACCEPTED = pytest.mark.parametrize("text", [yes for _, yes in POISON.values()], ids=POISON)


def raw(text: str) -> msgspec.Raw:
    """Parse a payload as an envelope has it: by its syntax alone."""
    return msgspec.json.decode(text.encode(), type=msgspec.Raw)


@REFUSED
def test_refuses_what_readers_cannot_read(text: str) -> None:
    """Requirement 133: it would be stored, and break each client that reads it."""
    with pytest.raises(ValueError, match=r"^data: "):
        payload_of(raw(text))


@ACCEPTED
def test_accepts_what_is_just_within_the_bounds(text: str) -> None:
    """The twins, kept to the byte, and read back by both of Python's parsers."""
    payload = payload_of(raw(text))

    if isinstance(payload, msgspec.Raw):
        assert bytes(payload) == text.encode()
    read = json.loads(text)
    assert msgspec.json.decode(text) == read
    assert json.loads(json.dumps(read, allow_nan=False)) == read


def test_returns_a_string_as_its_text() -> None:
    """So that a plain client gets it without quotes; a text has no bounds but its size."""
    assert payload_of(raw('"a\\n[1e999"')) == "a\n[1e999"
    with pytest.raises(ValueError, match="truncated"):
        payload_of(msgspec.Raw(rb'"\ud800"'))


def is_readable(text: str) -> bool:
    """Judge a value slowly, by the standard library."""

    def integer(digits: str) -> int:
        if len(digits.lstrip("-")) > MAX_DIGITS:
            raise ValueError(digits)
        return int(digits)

    def number(written: str) -> float:
        parts = written.lower().lstrip("-").replace("e", ".").replace("+", "").split(".")
        if max(len(part.lstrip("-")) for part in parts) > MAX_DIGITS:
            raise ValueError(written)
        if math.isinf(float(written)):
            raise ValueError(written)
        return float(written)

    def depth(value: object) -> int:
        inner = value.values() if isinstance(value, dict) else value
        return (
            1 + max(map(depth, inner), default=0)
            if isinstance(inner, list | type({}.values()))
            else 0
        )

    try:
        return depth(json.loads(text, parse_int=integer, parse_float=number)) <= MAX_DEPTH
    except ValueError:
        return False


DIGITS: Final = st.integers(1, 320).map("9".__mul__) | st.from_regex(
    r"[1-9][0-9]{0,4}", fullmatch=True
)
NUMBERS: Final = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "-")),
    DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.from_regex(r"[eE][+-]?[0-9]{1,4}", fullmatch=True),
)
STRINGS: Final = st.text('[]{}"\\e9+, ', max_size=8).map(json.dumps) | st.text().map(json.dumps)
VALUES: Final = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(("null", "true")),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda values: f"[{','.join(values)}]")
        | st.tuples(STRINGS, inner).map(lambda pair: f"{{{pair[0]} : {pair[1]}}}")
        | st.tuples(st.integers(55, 70), inner).map(lambda one: nested("[", "]", *one))
    ),
    max_leaves=8,
)


@given(VALUES)
@example("[" + "1," * 300 + '"' + "9" * 400 + '"]')
@example('{"a":"1e999","b":' + "9" * 184 + "}")
def test_judges_as_a_slow_judge_does(text: str) -> None:
    """What is looked at to save time never changes the verdict."""
    try:
        payload_of(raw(text))
        verdict = True
    except ValueError:
        verdict = False

    assert verdict is is_readable(text) or text.startswith('"')
