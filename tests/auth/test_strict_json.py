"""Tests of strict_json.py: what two parsers could read differently is refused."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire_auth.strict_json import MAX_DEPTH, MAX_DIGITS, parse_object
from itemwire_auth.testing.attacks import JSON_FAULTS


def nested(depth: int) -> bytes:
    """Write an object that nests this deep in all."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize("spoil", [pytest.param(f, id=name) for name, f in JSON_FAULTS.items()])
def test_refuses_what_is_not_one_plain_object(spoil: object) -> None:
    """Each fault is a way to show two readers two things (requirements 36, 37, 38)."""
    assert callable(spoil)
    data = spoil('{"sub": "alice"}')

    with pytest.raises(ValueError, match=r"^it ") as refused:
        parse_object(data)

    assert refused.value.__cause__ is None
    assert "alice" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(b"{}", {}, id="empty"),
        pytest.param(b' {"a": 1}\n', {"a": 1}, id="white-space"),
        pytest.param('{"a": "é€𝄞"}'.encode(), {"a": "é€𝄞"}, id="utf-8"),
        pytest.param(b'{"a": "\\ud834\\udd1e"}', {"a": "𝄞"}, id="surrogate-pair"),
        pytest.param(b'{"a": "\\\\ud800"}', {"a": "\\ud800"}, id="escaped-backslash"),
        pytest.param(b'{"a": {"b": 1}, "b": 2}', {"a": {"b": 1}, "b": 2}, id="name-on-two-levels"),
        pytest.param(b'{"a": -1.5e3}', {"a": -1500.0}, id="number"),
        pytest.param(b'{"a": ' + b"9" * MAX_DIGITS + b"}", {"a": 10**MAX_DIGITS - 1}, id="digits"),
        pytest.param(b'{"a": "' + b"[" * 99 + b'"}', {"a": "[" * 99}, id="brackets-in-a-string"),
        pytest.param(b'{"a": "\\"' + b"[" * 99 + b'"}', {"a": '"' + "[" * 99}, id="quote-within"),
        pytest.param(b'{"a": [' + b"[]," * 99 + b"1]}", {"a": [[]] * 99 + [1]}, id="wide"),
    ],
)
def test_accepts_a_plain_object(data: bytes, value: dict[str, object]) -> None:
    """Strict is not narrow: all of JSON that has one meaning is read."""
    assert parse_object(data) == value


def test_bounds_depth_exactly() -> None:
    """Recursion is bounded here, not by the interpreter's mood (GHSA-8wjv)."""
    parse_object(nested(MAX_DEPTH))

    with pytest.raises(ValueError, match="deeper"):
        parse_object(nested(MAX_DEPTH + 1))


def test_counts_depth_and_not_brackets() -> None:
    """However many there are: siblings, and brackets in strings, make nothing deeper."""
    parse_object(nested(MAX_DEPTH)[:-1] + b',"b":[],"c":[{}],"[[[[":"]"}')

    with pytest.raises(ValueError, match="deeper"):
        parse_object(b'{"b":[],"c":"]]",' + nested(MAX_DEPTH + 1)[1:])


@given(st.binary(max_size=200))
def test_raises_nothing_but_value_error(data: bytes) -> None:
    """Whatever a stranger sends, the caller has one exception to expect."""
    try:
        parse_object(data)
    except ValueError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.booleans())
def test_reads_what_json_writes(value: dict[str, object], escaped: bool) -> None:
    """Good claims are never lost to strictness."""
    assert parse_object(json.dumps(value, ensure_ascii=escaped).encode()) == value


def test_an_unterminated_string_is_read_once() -> None:
    """Tried again from each of its quotes, 8 KiB of a stranger's token took 35 ms."""

    def seconds(repeats: int) -> float:
        data = b"[" * 17 + b'"' + b'\\"' * repeats
        began = time.thread_time()
        with pytest.raises(ValueError, match="nested deeper"):
            parse_object(data)
        return time.thread_time() - began

    short = min(seconds(250) for _ in range(5))

    # Quadratic would be 256 times as long.
    assert min(seconds(4_000) for _ in range(5)) < 100 * short
