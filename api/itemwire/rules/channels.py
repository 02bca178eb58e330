"""The channels of an application, in the order in which it declared them."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final, Literal, get_args

from typing_extensions import override

from itemwire.authorization.asking import AskedCall
from itemwire.channels.limits.item_rules import NO_RULES, ItemRules
from itemwire.channels.names import RESERVED, item_of
from itemwire.engines.base import Bounds, ChannelBounds
from itemwire.rules.declared_types import numbers_of
from itemwire.rules.handlers import Handlers
from itemwire.rules.patterns import Pattern
from itemwire.rules.shared import OWN_BOUNDS, largest_of

UnknownItems = Literal["policy", "forbid"]
"""What decides about items that no rule is declared for: the policy of the settings, or nobody."""

UNKNOWN_ITEMS: Final[tuple[str, ...]] = get_args(UnknownItems)

CACHED: Final = 10_000  # items whose rules are remembered


@dataclass(frozen=True, slots=True)
class ChannelRule:
    """What an application declares about the items of one pattern.

    `authorize` says who may do what; without it the rights of the caller's token decide.
    """

    pattern: Pattern
    authorize: AskedCall | None
    item_rules: ItemRules = NO_RULES
    handlers: Handlers = field(default_factory=Handlers)
    description: str = ""
    model: object = None  # what messages must be, as `item_rules` check it
    numbers: frozenset[str] = frozenset()  # the parameters that `authorize` takes as numbers

    @classmethod
    def of(
        cls,
        text: str,
        authorize: Callable[..., Any] | None,
        item_rules: ItemRules = NO_RULES,
        *,
        model: object = None,
    ) -> "ChannelRule":
        """Return the rule of a function with dependencies; ValueError for a text that is wrong."""
        pattern = Pattern.parse(text)
        asked = None if authorize is None else AskedCall(authorize, pattern.parameters)
        description = "" if authorize is None else inspect.getdoc(authorize) or ""
        handlers = Handlers(pattern.parameters)
        numbers = numbers_of(authorize, pattern.parameters) if authorize else frozenset[str]()
        return cls(pattern, asked, item_rules, handlers, description, model, numbers)


class ChannelRules:
    """The rules of an application: the first one whose pattern matches decides."""

    def __init__(self) -> None:
        self._rules: list[ChannelRule] = []
        self._unknown: UnknownItems = "policy"
        self.of_item = lru_cache(CACHED)(self._of_item)

    def __len__(self) -> int:
        """Return how many there are, which tells one state of them from another."""
        return len(self._rules)

    def __iter__(self) -> Iterator[ChannelRule]:
        return iter(self._rules)

    def add(self, rule: ChannelRule) -> None:
        """Add a rule, which is asked after those that are there; ValueError if it never would be.

        That is so for a pattern that is there already.
        """
        if any(rule.pattern.text == other.pattern.text for other in self._rules):
            raise ValueError(f"the channel {rule.pattern.text!r} is declared twice")
        self._rules.append(rule)
        self.of_item.cache_clear()

    @property
    def unknown(self) -> UnknownItems:
        """What decides about items that no channel is declared for.

        Setting it raises ValueError for any other word, which would otherwise forbid nothing.
        """
        return self._unknown

    @unknown.setter
    def unknown(self, value: UnknownItems) -> None:
        if value not in UNKNOWN_ITEMS:
            raise ValueError(f"unknown={value!r} must be one of {', '.join(UNKNOWN_ITEMS)}")
        self._unknown = value

    @property
    def has_public(self) -> bool:
        """Return whether a rule makes its items public."""
        return any(rule.item_rules.anonymous for rule in self._rules)

    def find(self, item_id: str) -> tuple[ChannelRule, dict[str, str]] | None:
        """Return the rule of an item and its parameters; None if none is declared."""
        for rule in self._rules:
            parameters = rule.pattern.match(item_id)
            if parameters is not None:
                return rule, parameters
        return None

    def _of_item(self, item_id: str) -> ItemRules:
        if item_id.startswith(RESERVED):  # no item, though a pattern may match its name
            return NO_RULES
        found = self.find(item_id)
        return NO_RULES if found is None else found[0].item_rules


class RuledBounds(ChannelBounds):
    """The bounds of each channel's history: by the rule of its item, or the settings.

    All channels are declared before an engine asks for the first time.
    """

    def __init__(self, default: Bounds, rules: ChannelRules) -> None:
        self._default = default
        self._rules = rules
        self._find_cached = lru_cache(CACHED)(self._find)
        self._find_largest_cached = cache(self._find_largest)

    @override
    def of(self, channel: str, /) -> Bounds:
        return self._find_cached(channel)

    @property
    @override
    def largest(self) -> Bounds:
        # An engine may ask when it is made, before the application declares its channels.
        return self._find_largest_cached(len(self._rules))

    def _find_largest(self, _count: int) -> Bounds:
        """Return bounds that no channel exceeds: the default itself if no rule exceeds it."""
        return largest_of(self._default, [rule.item_rules for rule in self._rules])

    def _find(self, channel: str) -> Bounds:
        own = OWN_BOUNDS.get(channel)
        if own is not None:
            return own
        return self._rules.of_item(item_of(channel)).bounds(self._default)
