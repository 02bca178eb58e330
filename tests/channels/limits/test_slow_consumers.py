"""Policies for slow consumers, by item: the first rule that matches counts."""

from __future__ import annotations

import pytest

from itemwire.channels.limits.slow_consumers import (
    DISCONNECT_ALL,
    SlowConsumerPolicy,
    parse_slow_consumers,
)

RULES = "telemetry:*=drop_oldest, telemetry:audit=drop_newest,chat:*:log=drop_newest"


@pytest.mark.parametrize(
    ("item_id", "word"),
    [
        ("telemetry:7", SlowConsumerPolicy.DROP_OLDEST),
        ("telemetry:a:b", SlowConsumerPolicy.DROP_OLDEST),
        ("telemetry:audit", SlowConsumerPolicy.DROP_OLDEST),  # the first that matches
        ("telemetry", SlowConsumerPolicy.DISCONNECT),
        ("chat:7:log", SlowConsumerPolicy.DROP_NEWEST),
        ("chat:7:log:8", SlowConsumerPolicy.DISCONNECT),
        ("other", SlowConsumerPolicy.DISCONNECT),
    ],
)
def test_the_first_rule_that_matches_holds(item_id: str, word: SlowConsumerPolicy) -> None:
    """Patterns are those of rights, so there is one grammar to learn."""
    assert parse_slow_consumers(RULES).of_item(item_id) is word


@pytest.mark.parametrize("word", list(SlowConsumerPolicy))
def test_a_word_alone_is_for_every_item(word: SlowConsumerPolicy) -> None:
    """The usual case has nothing to tell apart."""
    assert parse_slow_consumers(word).of_item("any:item") is word
    assert parse_slow_consumers(f"*={word}") == parse_slow_consumers(word)
    assert DISCONNECT_ALL.of_item("any:item") is SlowConsumerPolicy.DISCONNECT


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        pytest.param("", "none of disconnect, drop_oldest, drop_newest", id="nothing"),
        pytest.param("drop", "'drop' is none of", id="no such word"),
        pytest.param("telemetry:*=drop_old", "'drop_old' is none of", id="no such word for items"),
        pytest.param("telemetry:*", "'telemetry:\\*' is none of", id="no word"),
        pytest.param("=drop_oldest", "'' matches no item", id="no pattern"),
        pytest.param("a::b=drop_oldest", "matches no item", id="empty segment"),
        pytest.param("team*=drop_oldest", "stands for a whole segment", id="half a segment"),
        pytest.param("a=b=drop_oldest", "matches no item", id="two words"),
        pytest.param("disconnect,a=drop_oldest", "comes after a rule for every item", id="late"),
        pytest.param("a=drop_oldest,", "is none of", id="comma at the end"),
    ],
)
def test_refuses_a_rule_that_means_nothing(rules: str, says: str) -> None:
    """A slip that leaves the default in force would be found when a client is lost."""
    with pytest.raises(ValueError, match=says):
        parse_slow_consumers(rules)
