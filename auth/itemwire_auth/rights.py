"""Compiles the rights that a token carries, and answers whether they reach an item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from types import MappingProxyType

from itemwire_auth.member_info import written_info
from itemwire_auth.scopes import (
    ACTION_SETS,
    ACTIONS,
    ADMIN,
    ANY,
    Action,
    Scope,
    make_scope,
    parse_scope,
    segments_match,
)


class Rights:
    """What a caller may do with one item, as a rule of an application answers it.

        Rights("subscribe", "history", publish=order.seller_id == user.id)

    `info` is what the other members may know of this one: any JSON object of at most 1 KiB.

    Raises ValueError for what is the name of no action, and for an `info` that is too large.
    """

    __slots__ = ("can", "info")

    def __init__(
        self,
        *actions: str,
        subscribe: bool = False,
        publish: bool = False,
        history: bool = False,
        presence: bool = False,
        info: Mapping[str, object] | None = None,
    ) -> None:
        allowed = {
            Action.SUBSCRIBE: subscribe,
            Action.PUBLISH: publish,
            Action.HISTORY: history,
            Action.PRESENCE: presence,
        }
        named = frozenset(map(_action_of, actions))
        self.can = named | frozenset(action for action, is_allowed in allowed.items() if is_allowed)
        self.info = None if info is None else written_info(info)


def _action_of(name: str) -> Action:
    action = ACTIONS.get(name)
    if action is None:
        raise ValueError(f"{name!r} is no action: they are {', '.join(ACTIONS)}")
    return action


@dataclass(frozen=True, slots=True)
class ScopeSet:
    """All rights of a token, compiled once and asked often.

    `exact` holds actions by item id, `wild` holds them by the segments of a pattern. Where rights
    do not come from a token (`is_of_token`), no other token of the caller would help.
    """

    exact: Mapping[str, frozenset[Action]] = field(default_factory=dict[str, frozenset[Action]])
    wild: tuple[tuple[tuple[str, ...], frozenset[Action]], ...] = ()
    admin: bool = False
    is_of_token: bool = True

    @classmethod
    def of_claims(
        cls, scope: str | None = None, items: Mapping[str, Sequence[str]] | None = None
    ) -> ScopeSet:
        """Compile the claims `scope` (words) and `items` (pattern to actions) into one set."""
        # RFC 6749 section 3.3: only the space separates words; a tab or U+00A0 is part of a word.
        return cls.of_words(tuple((scope or "").split(" ")), items or {})

    @classmethod
    def of_words(cls, words: tuple[str, ...], items: Mapping[str, Sequence[str]]) -> ScopeSet:
        """Compile words of a scope and a map from pattern to actions into one set."""
        return _compile(words, items) if items else _compile_words(words)

    def actions_on(self, item_id: str) -> frozenset[Action]:
        """Return every action granted on this item."""
        granted: frozenset[Action] = self.exact.get(item_id, frozenset())
        segments = item_id.split(":")
        for pattern, actions in self.wild:
            if segments_match(pattern, segments):
                granted |= actions
        return ACTION_SETS[granted]

    def allows(self, action: Action, item_id: str) -> bool:
        """Return whether the action is granted on this item."""
        return action in self.actions_on(item_id)

    def has(self, action: Action) -> bool:
        """Return whether the action is granted on any item at all."""
        return any(action in actions for actions in self.exact.values()) or any(
            action in actions for _, actions in self.wild
        )

    def as_items_claim(self) -> dict[str, list[Action]]:
        """Return these rights, all but `admin`, as the `items` claim that grants them."""
        wild = {":".join(segments): actions for segments, actions in self.wild}
        return {pattern: sorted(actions) for pattern, actions in {**self.exact, **wild}.items()}


def _compile(words: Sequence[str], items: Mapping[str, Sequence[str]]) -> ScopeSet:
    granted: dict[str, frozenset[Action]] = {}
    for one in _scopes(words, items):
        granted[one.pattern] = granted.get(one.pattern, frozenset()) | {one.action}
    exact: dict[str, frozenset[Action]] = {}
    wild: list[tuple[tuple[str, ...], frozenset[Action]]] = []
    for pattern, actions in granted.items():
        segments = tuple(pattern.split(":"))
        if ANY in segments:
            wild.append((segments, ACTION_SETS[actions]))
        else:
            exact[pattern] = ACTION_SETS[actions]
    return ScopeSet(MappingProxyType(exact), tuple(wild), ADMIN in words)


@lru_cache(maxsize=256)
def _compile_words(words: tuple[str, ...]) -> ScopeSet:
    """Compile words once for all tokens that have them: most servers see few."""
    return _compile(words, {})


def _scopes(words: Sequence[str], items: Mapping[str, Sequence[str]]) -> Iterator[Scope]:
    """Yield the rights of both claims; what grants nothing is left out."""
    yield from chain.from_iterable(map(parse_scope, words))
    for pattern, actions in items.items():
        for action in actions:
            yield from make_scope(pattern, action)
