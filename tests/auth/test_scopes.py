"""Tests of scopes.py: rights compare whole words and whole segments, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action, Scope, is_item_id, matches, parse_scope

SUBSCRIBE, PUBLISH = Action.SUBSCRIBE, Action.PUBLISH


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        pytest.param("items:subscribe", [Scope("*", SUBSCRIBE)], id="every-item"),
        pytest.param("items:42:publish", [Scope("42", PUBLISH)], id="one-item"),
        pytest.param("items:a:*:c:publish", [Scope("a:*:c", PUBLISH)], id="pattern"),
        pytest.param(
            "items:publish:subscribe", [Scope("publish", SUBSCRIBE)], id="item-named-publish"
        ),
        pytest.param("items::publish", [], id="empty-pattern"),
        pytest.param("items:subscriber", [], id="longer-action"),
        pytest.param("items:subscrib", [], id="shorter-action"),
        pytest.param("items:Subscribe", [], id="other-case"),
        pytest.param("items:*", [Scope("*", action) for action in Action], id="every-action"),
        pytest.param(
            "items:a:*:*",
            [Scope("a:*", action) for action in Action],
            id="every-action-of-a-pattern",
        ),
        pytest.param(
            "items:a:*", [Scope("a", action) for action in Action], id="the-last-word-is-the-action"
        ),
        pytest.param("items:**", [], id="two-stars-are-no-action"),
        pytest.param("items::*", [], id="every-action-of-no-pattern"),
        pytest.param("items:", [], id="nothing"),
        pytest.param("items", [], id="prefix-alone"),
        pytest.param("myitems:subscribe", [], id="other-prefix"),
        pytest.param("openid", [], id="other-word"),
        pytest.param("", [], id="empty"),
    ],
)
def test_reads_one_word(text: str, scopes: list[Scope]) -> None:
    """Words of others are ignored, and names compare whole (requirement 60)."""
    assert list(parse_scope(text)) == scopes


@pytest.mark.parametrize(
    ("pattern", "item_id", "allowed"),
    [
        pytest.param("42", "42", True, id="same"),
        pytest.param("42", "421", False, id="prefix"),
        pytest.param("42", "4", False, id="longer-than-item"),
        pytest.param("a", "A", False, id="case"),
        pytest.param("*", "42", True, id="star-one-segment"),
        pytest.param("*", "a:b:c", True, id="star-many-segments"),
        pytest.param("a:*", "a:b", True, id="trailing-one"),
        pytest.param("a:*", "a:b:c", True, id="trailing-many"),
        pytest.param("a:*", "a", False, id="trailing-none"),
        pytest.param("a:*", "ab:c", False, id="trailing-other-prefix"),
        pytest.param("a:*:c", "a:b:c", True, id="middle-one"),
        pytest.param("a:*:c", "a:b:b:c", False, id="middle-is-one-only"),
        pytest.param("a:*:c", "a:c", False, id="middle-is-not-none"),
        pytest.param("*:c", "b:c", True, id="leading-one"),
        pytest.param("*:c", "a:b:c", False, id="leading-is-one-only"),
        pytest.param("*:*", "a", False, id="two-stars-need-two"),
        pytest.param("*:*", "a:b:c", True, id="two-stars"),
        pytest.param("a*", "ab", False, id="star-within-a-word"),
        pytest.param("a*", "a*", True, id="star-within-a-word-is-literal"),
        pytest.param("a:b*:c", "a:bx:c", False, id="star-within-a-segment"),
        pytest.param("a.b", "axb", False, id="dot-is-no-regex"),
        pytest.param("a?", "ab", False, id="question-mark-is-no-glob"),
        pytest.param("**", "ab", False, id="double-star-is-literal"),
        pytest.param("a:", "a:", True, id="empty-last-segment"),
        pytest.param("a:", "a", False, id="empty-last-segment-counts"),
    ],
)
def test_matches_whole_segments(pattern: str, item_id: str, allowed: bool) -> None:
    """A pattern reaches what it says and not one character more (requirement 61)."""
    by_word = ScopeSet.of_claims(f"items:{pattern}:publish")
    by_map = ScopeSet.of_claims(items={pattern: ["publish"]})

    assert by_word.allows(PUBLISH, item_id) is allowed
    assert by_map.allows(PUBLISH, item_id) is allowed
    assert not by_word.allows(SUBSCRIBE, item_id)


segments = st.sampled_from(["", "a", "b", "ab", "*", "a*", "**"])
patterns = st.lists(segments, min_size=1, max_size=5).map(":".join).filter(bool)
item_ids = st.lists(st.sampled_from(["", "a", "b", "ab"]), min_size=1, max_size=6).map(":".join)


def naive_match(pattern: list[str], segments: list[str]) -> bool:
    """Follow the grammar's words by recursion, one segment at a time."""
    if not pattern or not segments:
        return not pattern and not segments
    if pattern == ["*"]:
        return True
    return pattern[0] in ("*", segments[0]) and naive_match(pattern[1:], segments[1:])


@given(patterns, item_ids)
def test_agrees_with_the_grammar(pattern: str, item_id: str) -> None:
    """The fast matcher and a plain reading of the grammar say the same of everything."""
    rights = ScopeSet.of_claims(items={pattern: ["publish"]})

    assert rights.allows(PUBLISH, item_id) is naive_match(pattern.split(":"), item_id.split(":"))


@pytest.mark.parametrize(
    ("text", "may_be"),
    [
        pytest.param("42", True, id="plain"),
        pytest.param("A-z0.9_~:x", True, id="whole alphabet"),
        pytest.param("x" * 128, True, id="longest"),
        pytest.param("...", True, id="three dots"),
        pytest.param("x" * 129, False, id="too long"),
        pytest.param("", False, id="empty"),
        pytest.param(".", False, id="dot segment"),
        pytest.param("..", False, id="parent segment"),
        pytest.param("a b", False, id="blank"),
        pytest.param("a\n", False, id="line break at the end"),
        pytest.param("a/b", False, id="slash"),
        pytest.param("a%2Fb", False, id="encoded twice"),
        pytest.param("*", False, id="pattern"),
        pytest.param("a\x00", False, id="nul"),
        pytest.param("\ufffd", False, id="bad utf-8"),
        pytest.param("\u202eb", False, id="right-to-left mark"),
        pytest.param("é", False, id="letter beyond ascii"),
        pytest.param("\uff14\uff12", False, id="wide digits"),
        pytest.param("{a}", False, id="hash slot"),
        pytest.param("a'b", False, id="quote"),
    ],
)
def test_an_item_id_is_one_of_a_small_alphabet(text: str, *, may_be: bool) -> None:
    """No store, log, pattern or URL gives any of its characters a meaning of its own."""
    assert is_item_id(text) is may_be


def test_a_pattern_is_split_as_an_item_id_is() -> None:
    """The answer is a truth value, which applications may show."""
    assert [matches("a:*", item_id) for item_id in ("a:b", "a", "b:a")] == [True, False, False]
    assert [matches("a", item_id) for item_id in ("a", "a:b")] == [True, False]
