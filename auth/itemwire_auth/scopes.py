"""Parses the rights a token carries and answers whether they reach an item.

    items:subscribe                subscribe to every item
    items:order-7:publish          publish to the item order-7
    items:team:*:history           read the history of team:a, of team:b:c, not of team
    items:team:*:chat:publish      publish to team:a:chat, not to team:a:b:chat
    admin                          use the admin API

A pattern is compared segment by segment, segments being what stands between colons. A segment `*`
stands for one whole segment; as the last it stands for one or more. Anywhere else, as in `team*`,
an asterisk is an ordinary character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import combinations
from types import MappingProxyType
from typing import Final

PREFIX: Final = "items:"
ADMIN: Final = "admin"
ANY: Final = "*"


ITEM_ID: Final = re.compile(r"[A-Za-z0-9._~:-]{1,128}")

# RFC 3986 section 5.2.4: whoever resolves a URL removes these, so no item can be reached by them.
DOT_SEGMENTS: Final = frozenset({".", ".."})


ITEM_ID_RULE: Final = "an item id is 1 to 128 of A-Z a-z 0-9 . _ ~ : - but not . or .."


def is_item_id(text: str) -> bool:
    """Return whether a text may name an item; no other text reaches a channel or a store."""
    return ITEM_ID.fullmatch(text) is not None and text not in DOT_SEGMENTS


def matches(pattern: str, item_id: str) -> bool:
    """Tell whether a pattern names an item."""
    return _matches(pattern.split(":"), item_id.split(":"))


class Action(StrEnum):
    """What can be done with an item."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    HISTORY = "history"
    PRESENCE = "presence"


ACTIONS: Final = {action.value: action for action in Action}

# Ten thousand sockets that may do the same hold one set, not one each.
ACTION_SETS: Final = {
    frozenset(actions): frozenset(actions)
    for count in range(len(Action) + 1)
    for actions in combinations(Action, count)
}


@dataclass(frozen=True, slots=True)
class Scope:
    """One right: an action on the items that a pattern names."""

    pattern: str
    action: Action


def parse_scope(text: str) -> Scope | None:
    """Read one word of a `scope` claim; None if it grants nothing on items."""
    if not text.startswith(PREFIX):
        return None
    pattern, _, action = text.removeprefix(PREFIX).rpartition(":")
    # `items:publish` has no pattern; `items::publish` has an empty one, which no item matches.
    return _scope(pattern if text.count(":") > 1 else ANY, action)


def _scope(pattern: str, action: str) -> Scope | None:
    """Make a scope; an action this version does not know grants nothing."""
    known = ACTIONS.get(action)
    return Scope(pattern, known) if known and pattern else None


@dataclass(frozen=True, slots=True)
class ScopeSet:
    """All rights of a token, compiled once and then asked often."""

    exact: Mapping[str, frozenset[Action]] = field(default_factory=dict)
    wild: tuple[tuple[tuple[str, ...], frozenset[Action]], ...] = ()
    admin: bool = False

    @classmethod
    def of_claims(
        cls, scope: str | None = None, items: Mapping[str, Sequence[str]] | None = None
    ) -> ScopeSet:
        """Compile the claims `scope` (words) and `items` (pattern to actions) into one set."""
        return _compile(scope or "", items) if items else _compile_words(scope or "")

    def actions_on(self, item_id: str) -> frozenset[Action]:
        """Tell every action granted on this item."""
        granted = self.exact.get(item_id, frozenset())
        segments = item_id.split(":")
        for pattern, actions in self.wild:
            if _matches(pattern, segments):
                granted |= actions
        return ACTION_SETS[granted]

    def allows(self, action: Action, item_id: str) -> bool:
        """Tell whether the action is granted on this item."""
        return action in self.actions_on(item_id)

    def has(self, action: Action) -> bool:
        """Tell whether the action is granted on any item at all."""
        return any(action in actions for actions in self.exact.values()) or any(
            action in actions for _, actions in self.wild
        )


def _compile(scope: str, items: Mapping[str, Sequence[str]]) -> ScopeSet:
    # RFC 6749 section 3.3: the space alone separates; a tab or U+00A0 is part of the word.
    words = scope.split(" ")
    actions: dict[str, frozenset[Action]] = {}
    for right in _scopes(words, items):
        actions[right.pattern] = actions.get(right.pattern, frozenset()) | {right.action}
    exact, wild = {}, []
    for pattern, granted in actions.items():
        segments = tuple(pattern.split(":"))
        if ANY in segments:
            wild.append((segments, ACTION_SETS[granted]))
        else:
            exact[pattern] = ACTION_SETS[granted]
    return ScopeSet(MappingProxyType(exact), tuple(wild), ADMIN in words)


@lru_cache(maxsize=256)
def _compile_words(scope: str) -> ScopeSet:
    """Compile a `scope` once for all tokens that have it: most of an application's are alike."""
    return _compile(scope, {})


def _scopes(words: Sequence[str], items: Mapping[str, Sequence[str]]) -> Iterator[Scope]:
    """Yield the rights of both claims, leaving out what grants nothing."""
    yield from filter(None, map(parse_scope, words))
    for pattern, actions in items.items():
        yield from filter(None, (_scope(pattern, action) for action in actions))


def _matches(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    """Compare segment by segment, in time linear in the shorter of the two."""
    if pattern[-1] == ANY:
        pattern = pattern[:-1]
        if len(segments) <= len(pattern):
            return False
    elif len(segments) != len(pattern):
        return False
    return all(ours in (ANY, theirs) for ours, theirs in zip(pattern, segments, strict=False))
