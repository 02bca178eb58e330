"""The channels of an application, in the order in which it declared them."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from itemwire.authorization.asking import AskedCall
from itemwire.rules.patterns import Pattern


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """What an application declares about the items of one pattern: who may do what."""

    pattern: Pattern
    authorize: AskedCall
    description: str = ""

    @classmethod
    def of(cls, text: str, authorize: Callable[..., Any]) -> "ChannelRule":
        """Return the rule of a function with dependencies; ValueError for a text that is wrong."""
        pattern = Pattern.parse(text)
        asked = AskedCall(authorize, pattern.parameters)
        return cls(pattern, asked, inspect.getdoc(authorize) or "")


class ChannelRules:
    """The rules of an application: the first one whose pattern matches decides."""

    def __init__(self) -> None:
        self._rules: list[ChannelRule] = []

    def __iter__(self) -> Iterator[ChannelRule]:
        return iter(self._rules)

    def add(self, rule: ChannelRule) -> None:
        """Add a rule, which is asked after those that are there; ValueError if it never would be.

        That is so for a pattern that is there already.
        """
        if any(rule.pattern.text == other.pattern.text for other in self._rules):
            raise ValueError(f"the channel {rule.pattern.text!r} is declared twice")
        self._rules.append(rule)

    def find(self, item_id: str) -> tuple[ChannelRule, dict[str, str]] | None:
        """Return the rule of an item and its parameters; None if none is declared."""
        for rule in self._rules:
            parameters = rule.pattern.match(item_id)
            if parameters is not None:
                return rule, parameters
        return None
