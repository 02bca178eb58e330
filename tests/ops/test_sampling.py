"""Figures of a second, from counters that only ever go up."""

from __future__ import annotations

from itemwire.channels.connection_log import ConnectionLog
from itemwire.counters import Counters
from itemwire.ops.samples import Latency
from itemwire.ops.sampling import Sampler


class Scene:
    """Counters, and a sampler whose clock the test moves."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.now = 100.0
        self.log = ConnectionLog(self.counters.channels)
        self.sampler = Sampler(
            self.counters, self.log, unix_clock=lambda: 5.0, clock=lambda: self.now
        )


def test_gives_what_was_counted_since_by_the_time_that_has_passed() -> None:
    """The sum since the start would be no rate."""
    scene = Scene()
    counters = scene.counters
    counters.handshakes.accepted = 100
    scene.now += 1
    scene.sampler.take()

    counters.handshakes.accepted += 4
    counters.handshakes.refused["token_expired"] += 2
    counters.channels.delivered += 30
    counters.channels.open["itemwire.v1.json"] = 7
    counters.channels.ended["gone", 1000] += 3
    counters.channels.ended["gone", 1006] += 1
    counters.channels.ended["draining", 1012] += 1
    for _ in range(5):
        counters.engine["publish"].seconds.observe(0.001)
    counters.engine["publish"].errors += 1
    scene.now += 2
    sample = scene.sampler.take(lag=0.0123)

    assert (sample.at, sample.connections) == (5.0, 7)
    assert sample.handshakes_per_second == 3.0
    assert sample.deliveries_per_second == 15.0
    assert sample.publishes_per_second == 2.0
    assert sample.refusals_per_second == {"token_expired": 1.0}
    assert sample.closes_per_second == {"gone": 2.0, "draining": 0.5}
    assert sample.loop_lag_ms == 12.3
    assert sample.memory_bytes > 1_000_000


def test_leaves_out_reasons_that_did_not_occur() -> None:
    """Of forty reasons, one or two do."""
    scene = Scene()
    scene.counters.handshakes.refused["forbidden"] = 3
    scene.now += 1
    before = scene.sampler.take()
    scene.now += 1

    assert before.refusals_per_second == {"forbidden": 3.0}
    assert scene.sampler.take().refusals_per_second == {}


def test_estimates_the_latency_of_the_engine() -> None:
    """Of the answers since the last sample, between the bounds of a histogram."""
    scene = Scene()
    seconds = scene.counters.engine["read"].seconds
    for _ in range(98):
        seconds.observe(0.0004)
    scene.counters.engine["publish"].seconds.observe(0.3)
    scene.counters.engine["publish"].seconds.observe(0.3)
    latency = scene.sampler.take().engine_latency_ms
    seconds.observe(99.0)
    beyond = scene.sampler.take().engine_latency_ms

    assert latency.p50 is not None
    assert latency.p99 is not None
    assert 0.1 < latency.p50 < 0.5
    assert 250 < latency.p99 <= 500
    assert beyond == Latency(p50=10_000.0, p99=10_000.0)
    assert scene.sampler.take().engine_latency_ms == Latency(p50=None, p99=None)
