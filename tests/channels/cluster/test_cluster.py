"""What a node does with the notices of others."""

from __future__ import annotations

import logging

import pytest

from itemwire.channels.cluster.notices import Notice
from tests.channels.nodes import Crowd


def test_a_notice_that_cannot_be_read_is_logged_and_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A newer node may say what this one has no word for."""
    caplog.set_level(logging.ERROR)
    crowd = Crowd("a", "b")
    crowd.bus.post(b'{"node": "c", "gossip": {"number": 1, "lines": [{"type": "new"}]}}')
    crowd.bus.post(Notice("c", connection="nobody").encoded())
    crowd.settle()
    alice, _ = crowd.join("a"), crowd.join("b")
    crowd.settle()

    assert [one.message.partition(" ")[0] for one in caplog.records] == ["notice_unreadable"] * 2
    assert len(alice.saw("joined")) == 1


def test_each_notice_that_is_dropped_is_counted_once() -> None:
    """An operator's first sign of a node that is newer, or of a bus that is not ours alone."""
    crowd = Crowd("a")
    crowd.join("a")
    counters = crowd.stages["a"].node.counters
    before = counters.notices_dropped
    crowd.bus.post(b"{}")
    crowd.bus.post(Notice("c", connection="nobody").encoded())
    crowd.settle()

    assert counters.notices_dropped - before == 1


def test_a_notice_of_an_application_with_a_name_is_not_for_a_node_without_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is no sign of a fault, so it is neither logged nor counted; what is no name is both."""
    caplog.set_level(logging.ERROR)
    crowd = Crowd("a")
    counters = crowd.stages["a"].node.counters
    before = counters.notices_dropped
    notice = Notice("c", connection="nobody").encoded()
    for prefix in (b"shop/", b"x" * 32 + b"/"):
        crowd.bus.post(prefix + notice)
    crowd.settle()
    silent = (counters.notices_dropped - before, len(caplog.records))
    for prefix in (b"Shop/", b"x" * 33 + b"/", b"/", b"\xff/"):
        crowd.bus.post(prefix + notice)
    crowd.settle()

    assert silent == (0, 0)
    assert counters.notices_dropped - before == len(caplog.records) == 4


def test_a_connection_is_ended_from_another_node() -> None:
    """Whoever is asked to: the others are told, and do it if it is theirs."""
    crowd = Crowd("a", "b")
    alice, bob = crowd.join("a"), crowd.join("b")
    crowd.stages["a"].node.disconnect(bob.connection.id, lambda _: None)
    crowd.settle()

    assert (alice.connection.is_open, bob.connection.is_open) == (True, False)
