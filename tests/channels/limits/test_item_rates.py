"""What one caller may publish to the items of one rule."""

from __future__ import annotations

import pytest

from itemwire.channels.limits import item_rates
from itemwire.channels.limits.item_rates import ItemRates
from itemwire.channels.limits.item_rules import ItemRules
from tests.fakes.values import Clock

ALICE, BOB = (None, "alice"), (None, "bob")
SLOW = ItemRules(publish_rate=5)
SMALL = ItemRules(bytes_rate=100)


@pytest.fixture
def clock() -> Clock:
    """Give a clock that the test moves."""
    return Clock()


def test_lets_two_seconds_worth_pass_at_once_and_then_the_rate(clock: Clock) -> None:
    """Whoever waits as long as it is told gets through."""
    rates = ItemRates(clock)

    waits = [rates.spend(ALICE, SLOW, 1000) for _ in range(11)]
    clock.now += waits[-1]
    later = [rates.spend(ALICE, SLOW, 1000) for _ in range(2)]

    assert waits[:10] == [0] * 10
    assert waits[10] == pytest.approx(0.2, abs=1e-5)
    assert (later[0], later[1] > 0) == (0, True)


def test_counts_bytes_alone_where_only_they_have_a_rate(clock: Clock) -> None:
    """One message that is larger than a full bucket passes, and is waited for after."""
    rates = ItemRates(clock)

    waits = [rates.spend(ALICE, SMALL, size) for size in (100, 100, 1)]
    large = [rates.spend(BOB, SMALL, size) for size in (1000, 1)]

    assert (waits[:2], waits[2] > 0) == ([0, 0], True)
    assert large == pytest.approx([0, 8.01], abs=1e-5)


def test_callers_and_rules_have_their_own(clock: Clock) -> None:
    """What one has used up is another's."""
    rates = ItemRates(clock)
    for _ in range(10):
        rates.spend(ALICE, SLOW, 1)

    assert rates.spend(ALICE, SLOW, 1) > 0
    assert rates.spend(BOB, SLOW, 1) == 0
    assert rates.spend(ALICE, ItemRules(publish_rate=5, echo=False), 1) == 0


def test_remembers_so_many_callers(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that published last: a stream of new names takes no more memory than that."""
    monkeypatch.setattr(item_rates, "MAX_CALLERS", 3)
    rates = ItemRates(clock)

    for name in "abcdef":
        rates.spend((None, name), SLOW, 1)

    assert [name for (_, name), _ in rates._full_at] == ["d", "e", "f"]
