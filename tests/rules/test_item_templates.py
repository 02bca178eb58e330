"""Which ids the patterns of two channels share, as TypeScript sees it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.rules.item_templates import ItemTemplate, Symbol, shadows
from itemwire.rules.patterns import Pattern


def template(text: str) -> ItemTemplate:
    """Make the template of a pattern; parameters that begin with `n` are numbers."""
    pattern = Pattern.parse(text)
    return ItemTemplate.of(pattern, [one for one in pattern.parameters if one.startswith("n")])


@pytest.mark.parametrize(
    ("text", "written", "is_fixed"),
    [
        ("lobby", "lobby", True),
        ("order:{number}", "order:${number}", False),
        ("room:{name_of_it}", "room:${number}", False),
        ("a:{x}:b:{rest:path}", "a:${string}:b:${string}", False),
        ("{x}", "${string}", False),
    ],
)
def test_writes_a_pattern(text: str, written: str, is_fixed: bool) -> None:
    """Literally, but for its parameters."""
    assert (template(text).text, template(text).is_fixed) == (written, is_fixed)


@pytest.mark.parametrize(
    ("one", "other", "overlaps", "covers"),
    [
        ("lobby", "lobby", True, True),
        ("lobby", "lobbx", False, False),
        ("order:{x}", "order:{n}", True, True),
        ("order:{n}", "order:{x}", True, False),
        ("order:{n}", "order:{n}:lines", False, False),
        ("order:{x}", "order:{x}:lines", True, True),
        ("order:{n}", "order:7", True, True),
        ("order:{n}", "order:x", False, False),
        ("{x}:a", "b:{x}", True, False),
        ("{x}:a", "{x}:b", False, False),
        ("{n}", "a:{x}", False, False),
        ("a:{x}", "b:{x}", False, False),
    ],
)
def test_compares_two_patterns(one: str, other: str, overlaps: bool, covers: bool) -> None:
    """Overlapping goes both ways, and covering is one way of it."""
    first, second = template(one), template(other)

    assert first.overlaps(second) is second.overlaps(first) is overlaps
    assert first.covers(second) is covers


PARTS = st.lists(st.sampled_from(["a", "7", Symbol.ANY, "#"]), max_size=5)


def made_of(parts: list[str | Symbol]) -> ItemTemplate:
    """Make a template; `#` is a number."""
    found: list[str | Symbol] = []
    for part in parts:
        found += [Symbol.DIGIT, Symbol.DIGITS] if part == "#" else [part]
    return ItemTemplate("", tuple(found))


def regex_of(parts: list[str | Symbol]) -> re.Pattern[str]:
    """Write the same as a regular expression."""
    written: dict[str | Symbol, str] = {Symbol.ANY: ".*", "#": "7+"}
    return re.compile("".join(written.get(part, str(part)) for part in parts))


def words(length: int) -> list[str]:
    """List all words of two letters, up to a length."""
    found = [""]
    for word in found:
        if len(word) < length:
            found += [word + "a", word + "7"]
    return found


WORDS = words(7)


@given(PARTS, PARTS)
def test_agrees_with_looking_at_every_word(
    one: list[str | Symbol], other: list[str | Symbol]
) -> None:
    """A word of the one and of the other; what is said to cover does."""
    first, second = regex_of(one), regex_of(other)
    shared = any(first.fullmatch(word) and second.fullmatch(word) for word in WORDS)

    if shared:
        assert made_of(one).overlaps(made_of(other))
    if made_of(one).covers(made_of(other)):
        assert all(first.fullmatch(word) for word in WORDS if second.fullmatch(word))


@pytest.mark.parametrize(
    ("earlier", "later", "is_shadowed"),
    [
        ("order:{x}", "order:all", True),
        ("order:all", "order:{x}", False),
        ("order:{x}", "order:{n}", True),
        ("order:{x}", "order:{x}:lines", False),
        ("order:{rest:path}", "order:{x}:lines", True),
        ("order:{rest:path}", "order:{x}", True),
        ("order:{x}", "order:{rest:path}", False),
        ("order:{rest:path}", "order:{other:path}", True),
        ("order:{rest:path}", "order", False),
        ("{x}", "lobby", True),
        ("a:{x}", "b:{x}", False),
    ],
)
def test_tells_which_pattern_never_decides(earlier: str, later: str, is_shadowed: bool) -> None:
    """By segments, as the server matches, and not as TypeScript does."""
    assert shadows(Pattern.parse(earlier), Pattern.parse(later)) is is_shadowed
