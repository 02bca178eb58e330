"""Figures of several nodes, and of several seconds, in one."""

from __future__ import annotations

from dataclasses import fields, replace

from itemwire.ops.samples import NOTHING, Latency, Sample, condensed, of_node, total

BUSY = Sample(
    at=5.0,
    connections=10,
    handshakes_per_second=2.0,
    deliveries_per_second=100.0,
    publishes_per_second=4.0,
    refusals_per_second={"token_expired": 1.0},
    closes_per_second={"gone": 2.0},
    engine_latency_ms=Latency(p50=1.0, p99=9.0),
    loop_lag_ms=3.0,
    memory_bytes=1000,
    cpu_percent=50.0,
    outbox_bytes=70,
)
CALM = replace(
    NOTHING,
    at=4.0,
    connections=1,
    refusals_per_second={"forbidden": 3.0},
    engine_latency_ms=Latency(p50=2.0, p99=2.0),
    memory_bytes=500,
)


def test_adds_up_nodes_and_shows_the_slowest() -> None:
    """A sum of latencies would mean nothing, and a mean would hide the node that is in trouble."""
    whole = total([BUSY, CALM])

    assert (whole.at, whole.connections, whole.memory_bytes) == (5.0, 11, 1500)
    assert whole.refusals_per_second == {"forbidden": 3.0, "token_expired": 1.0}
    assert whole.engine_latency_ms == Latency(p50=2.0, p99=9.0)
    assert (whole.loop_lag_ms, whole.cpu_percent, whole.outbox_bytes) == (3.0, 50.0, 70)


def test_the_total_of_one_is_that_one_and_of_none_is_nothing() -> None:
    """Neither invents anything."""
    assert total([BUSY]) == BUSY
    assert total([]) == NOTHING
    assert total([NOTHING, NOTHING]).engine_latency_ms == Latency(p50=None, p99=None)


def test_condenses_seconds_to_their_mean_and_their_worst() -> None:
    """Counts are the last, so that a plot ends where it ends."""
    one = condensed([BUSY, replace(CALM, at=6.0)])

    assert (one.at, one.connections, one.memory_bytes) == (6.0, 1, 500)
    assert (one.handshakes_per_second, one.deliveries_per_second) == (1.0, 50.0)
    assert (one.publishes_per_second, one.cpu_percent) == (2.0, 25.0)
    assert one.refusals_per_second == {"forbidden": 1.5, "token_expired": 0.5}
    assert one.closes_per_second == {"gone": 1.0}
    assert (one.loop_lag_ms, one.outbox_bytes) == (3.0, 70)
    assert one.engine_latency_ms == Latency(p50=2.0, p99=9.0)


def test_names_the_node_of_figures() -> None:
    """With every field there is."""
    named = of_node("n1", BUSY)

    assert named.node == "n1"
    assert {one.name: getattr(named, one.name) for one in fields(Sample)} == {
        one.name: getattr(BUSY, one.name) for one in fields(Sample)
    }
