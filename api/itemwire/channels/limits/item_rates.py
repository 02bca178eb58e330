"""How much one caller may publish to the items of one rule.

The buckets are those of `requests.py`: two seconds' worth, counted in seconds. A caller has them
from its first message to such an item on, for all of its connections and for HTTP together.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from itemwire.channels.limits.item_rules import ItemRules
from itemwire.channels.limits.requests import BURST_SECONDS, bucket_wait
from itemwire_auth.principal import Identity

MAX_CALLERS: Final = 10_000  # some 3 MB; a bucket that nobody has used for two seconds is full


class ItemRates:
    """The token buckets of this node's callers, by the rule of the items they publish to."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[tuple[Identity, int], tuple[float, float]] = OrderedDict()

    def spend(self, caller: Identity, rules: ItemRules, size: int) -> float:
        """Take the tokens of a message of so many bytes; return 0, or the seconds to wait."""
        now, key = self._clock(), (caller, id(rules))
        messages, of_bytes = self._full_at.pop(key, (0.0, 0.0))
        cost = 1 / rules.publish_rate if rules.publish_rate else 0.0
        bytes_cost = size / rules.bytes_rate if rules.bytes_rate else 0.0
        wait = max(
            bucket_wait(messages, now, cost, BURST_SECONDS),
            bucket_wait(of_bytes, now, bytes_cost, BURST_SECONDS),
        )
        if not wait:
            messages, of_bytes = max(messages, now) + cost, max(of_bytes, now) + bytes_cost
        self._full_at[key] = messages, of_bytes
        if len(self._full_at) > MAX_CALLERS:
            self._full_at.popitem(last=False)
        return wait
