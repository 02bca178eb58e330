"""What happens to a client that reads too slowly: a policy for each pattern of items."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from itemwire_auth.scopes import ANY, matches

PATTERN: Final = re.compile(r"(\*|[A-Za-z0-9._~-]+)(:(\*|[A-Za-z0-9._~-]+))*")


class SlowConsumerPolicy(StrEnum):
    """What happens once too many bytes wait for a client."""

    DISCONNECT = "disconnect"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


@dataclass(frozen=True, slots=True)
class SlowConsumerPolicies:
    """Rules in their order, each an item pattern and a policy: the first match applies."""

    rules: tuple[tuple[str, SlowConsumerPolicy], ...] = ()

    @property
    def drops(self) -> bool:
        """Return whether messages of any item may be dropped."""
        return any(policy is not SlowConsumerPolicy.DISCONNECT for _, policy in self.rules)

    def of_item(self, item_id: str) -> SlowConsumerPolicy:
        """Return the policy for an item."""
        return _find(self.rules, item_id)


DISCONNECT_ALL: Final = SlowConsumerPolicies()


def parse_slow_consumers(text: str) -> SlowConsumerPolicies:
    """Parse rules such as `telemetry:*=drop_oldest,*=disconnect`, or raise ValueError.

    A policy without a pattern applies to every item.
    """
    rules: list[tuple[str, SlowConsumerPolicy]] = []
    for rule in text.split(","):
        if rules and rules[-1][0] == ANY:
            raise ValueError(f"{rule.strip()!r} comes after a rule for every item: put it first")
        rules.append(_read_rule(rule.strip()))
    return SlowConsumerPolicies(tuple(rules))


def _read_rule(rule: str) -> tuple[str, SlowConsumerPolicy]:
    pattern, _, word = rule.rpartition("=")
    pattern = pattern if "=" in rule else ANY
    if not PATTERN.fullmatch(pattern):
        raise ValueError(f"{rule!r}: {pattern!r} matches no item; `*` stands for a whole segment")
    if word not in set(SlowConsumerPolicy):
        raise ValueError(f"{rule!r}: {word!r} is none of {', '.join(SlowConsumerPolicy)}")
    return pattern, SlowConsumerPolicy(word)


@lru_cache(maxsize=4096)
def _find(rules: tuple[tuple[str, SlowConsumerPolicy], ...], item_id: str) -> SlowConsumerPolicy:
    found = (policy for pattern, policy in rules if matches(pattern, item_id))
    return next(found, SlowConsumerPolicy.DISCONNECT)
