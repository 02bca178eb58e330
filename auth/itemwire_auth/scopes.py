"""Parses scopes: single rights, written as words.

    items:subscribe                subscribe to every item
    items:order-7:publish          publish to the item order-7
    items:team:*:history           read the history of team:a, of team:b:c, not of team
    items:team:*:chat:publish      publish to team:a:chat, not to team:a:b:chat
    items:*                        take every action on every item
    items:team:*:*                 take every action on team:a, on team:b:c
    admin                          use the admin API

A pattern is compared segment by segment; colons separate segments. A segment `*` stands for one
whole segment, and as the last one for one or more. Anywhere else, as in `team*`, an asterisk is
an ordinary character. The word behind the last colon is always the action; `*` is every action.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

PREFIX: Final = "items:"
ADMIN: Final = "admin"
ANY: Final = "*"

ITEM_ID: Final = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
ITEM_ID_RULE: Final = "an item id is 1 to 128 of A-Z a-z 0-9 . _ ~ : - but not . or .."

# RFC 3986 section 5.2.4: resolving a URL removes these segments, so no URL could name such an item.
DOT_SEGMENTS: Final = frozenset({".", ".."})


class Action(StrEnum):
    """What a caller can do with an item."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    HISTORY = "history"
    PRESENCE = "presence"


ACTIONS: Final = {action.value: action for action in Action}

# One shared object for each set of actions: ten thousand sockets with equal rights hold one set.
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


def is_item_id(text: str) -> bool:
    """Return whether a text may name an item; no other text reaches a channel or a store."""
    return ITEM_ID.fullmatch(text) is not None and text not in DOT_SEGMENTS


def parse_scope(text: str) -> tuple[Scope, ...]:
    """Return the rights that one word of a `scope` claim grants, or () if none."""
    if not text.startswith(PREFIX):
        return ()
    pattern, _, action = text.removeprefix(PREFIX).rpartition(":")
    # `items:publish` has no pattern; `items::publish` has an empty one, which no item matches.
    return make_scope(pattern if text.count(":") > 1 else ANY, action)


def make_scope(pattern: str, action: str) -> tuple[Scope, ...]:
    """Return the rights; () for an empty pattern and for an action this version does not know."""
    if not pattern:
        return ()
    if action == ANY:
        return tuple(Scope(pattern, each) for each in Action)
    known = ACTIONS.get(action)
    return (Scope(pattern, known),) if known else ()


def matches(pattern: str, item_id: str) -> bool:
    """Return whether a pattern names an item."""
    return segments_match(pattern.split(":"), item_id.split(":"))


def segments_match(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    """Return whether a split pattern names a split item id, in linear time."""
    if pattern[-1] == ANY:
        pattern = pattern[:-1]
        if len(segments) <= len(pattern):
            return False
    elif len(segments) != len(pattern):
        return False
    return all(ours in (ANY, theirs) for ours, theirs in zip(pattern, segments, strict=False))
