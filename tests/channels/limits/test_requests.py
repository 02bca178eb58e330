"""Rate limits: honest clients never notice; others are told, and at last disconnected."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.channels.limits import requests as module
from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.limits.requests import (
    NEVER,
    RequestKind,
    RequestRates,
    TokenBuckets,
    build_request_rates,
)
from itemwire_auth.principal import Principal
from tests.fakes import Clock, principal

TEN: RateLimits = RateLimits(publish=10, join=10, history=10, request=10, bytes=1000)
OF_REQUESTS = [kind for kind in RequestKind if kind is not RequestKind.DELIVERY]


@dataclass
class Caller:
    """As much of a connection as its rates know."""

    principal: Principal
    id: str = "c1"
    buckets: TokenBuckets | None = None


def caller(subject: str = "alice") -> Caller:
    """Make a connection of a subject."""
    return Caller(principal(subject))


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock()


def asked(
    rates: RequestRates,
    who: Caller,
    times: int,
    kind: RequestKind = RequestKind.PUBLISH,
    size: int = 0,
) -> int:
    """Ask so often, and tell how often it was granted."""
    return sum(rates.spend(who, kind, size) == 0 for _ in range(times))


@pytest.mark.parametrize("kind", OF_REQUESTS)
def test_grants_two_seconds_worth_at_once_and_then_the_rate(
    clock: Clock, kind: RequestKind
) -> None:
    """A burst is how real clients behave; what flows in afterwards is the rate."""
    rates, alice = RequestRates(TEN, clock), caller()

    assert asked(rates, alice, 25, kind) == 20
    clock.now += 1
    assert asked(rates, alice, 25, kind) == 10


def test_who_keeps_to_the_rate_is_never_refused(clock: Clock) -> None:
    """The accepted twin of requirement 91: for as long as it likes."""
    rates, alice = RequestRates(TEN, clock), caller()

    for _ in range(1000):
        clock.now += 0.1001
        assert rates.spend(alice, RequestKind.PUBLISH, 10) == 0


def test_tells_when_to_ask_again_and_keeps_its_word(clock: Clock) -> None:
    """A hint that does not hold would teach clients to ignore it."""
    rates, alice = RequestRates(TEN, clock), caller()
    asked(rates, alice, 20)

    wait = rates.spend(alice, RequestKind.PUBLISH, 0)

    assert wait == pytest.approx(0.1, abs=1e-3)
    clock.now += wait * 0.9
    assert rates.spend(alice, RequestKind.PUBLISH, 0) > 0
    clock.now += wait * 0.2
    assert rates.spend(alice, RequestKind.PUBLISH, 0) == 0


def test_each_kind_has_a_rate_of_its_own(clock: Clock) -> None:
    """Who reads history too often may still publish."""
    rates, alice = RequestRates(TEN, clock), caller()

    assert asked(rates, alice, 25, RequestKind.HISTORY) == 20
    assert asked(rates, alice, 25, RequestKind.PUBLISH) == 20


def test_bytes_are_limited_beside_the_number(clock: Clock) -> None:
    """Few messages can be a flood too (requirement 91)."""
    rates, alice = RequestRates(TEN, clock), caller()

    assert asked(rates, alice, 10, size=400) == 5
    clock.now += 0.4
    assert asked(rates, alice, 10, size=400) == 1


def test_a_full_bucket_gives_any_amount(clock: Clock) -> None:
    """A message over two seconds' worth of bytes would never get through otherwise."""
    rates, alice = RequestRates(TEN, clock), caller()

    assert rates.spend(alice, RequestKind.PUBLISH, 50_000) == 0
    clock.now += 10
    assert rates.spend(alice, RequestKind.PUBLISH, 1) > 0
    clock.now += 40
    assert rates.spend(alice, RequestKind.PUBLISH, 1) == 0


def test_as_many_items_may_be_joined_at_once_as_a_socket_may_hear(clock: Clock) -> None:
    """Who comes back after a restart joins again whatever it heard."""
    rates, alice = RequestRates(RateLimits(join=10, join_burst=100), clock), caller()

    assert asked(rates, alice, 150, RequestKind.JOIN) == 100


@pytest.mark.parametrize("kind", OF_REQUESTS)
def test_who_goes_on_at_ten_times_the_rate_never_listens(clock: Clock, kind: RequestKind) -> None:
    """To refuse costs as well: such a client is sent away, and not before."""
    rates, alice, told = RequestRates(TEN, clock), caller(), list[float]()

    for _ in range(1000):
        clock.now += 0.005  # twenty times the rate
        told.append(rates.spend(alice, kind, 0))

    assert NEVER in told
    assert told.index(NEVER) > 200


def test_who_goes_on_at_five_times_the_rate_is_only_refused(clock: Clock) -> None:
    """Most such clients have a loop that a user can stop."""
    rates, alice = RequestRates(TEN, clock), caller()

    for _ in range(2000):
        clock.now += 0.02
        assert rates.spend(alice, RequestKind.PUBLISH, 0) != NEVER


def test_a_flood_of_bytes_is_sent_away_too(clock: Clock) -> None:
    """However few messages it is in."""
    rates, alice = RequestRates(TEN, clock), caller()
    waits = [rates.spend(alice, RequestKind.PUBLISH, 1000) for _ in range(30)]

    assert waits[0] == 0
    assert waits[-1] == NEVER


@pytest.mark.parametrize(
    ("factor", "granted"), [pytest.param(3, 60, id="three"), pytest.param(0, 100, id="any")]
)
def test_the_connections_of_a_subject_share_a_rate(
    clock: Clock, factor: float, granted: int
) -> None:
    """Else a second tab would be a second allowance; other subjects have their own."""
    rates = RequestRates(RateLimits(publish=10, subject_factor=factor), clock)
    tabs = [caller() for _ in range(5)]

    assert sum(asked(rates, tab, 25) for tab in tabs) == granted
    assert asked(rates, caller("bob"), 25) == 20


def test_connecting_anew_gives_nothing_that_one_had_not(clock: Clock) -> None:
    """A subject's bucket outlives its last connection until it is full again."""
    rates = RequestRates(RateLimits(publish=10, subject_factor=1), clock)
    first, second = caller(), caller()
    asked(rates, first, 20)
    rates.release(first)

    assert asked(rates, second, 20) == 0
    clock.now += 2
    rates.forget_idle()
    assert asked(rates, second, 25) == 20


def test_forgets_a_subject_once_its_buckets_are_full(clock: Clock) -> None:
    """Memory follows those who are there."""
    rates, alice = RequestRates(TEN, clock), caller()
    asked(rates, alice, 20)
    clock.now += 60
    rates.forget_idle()
    assert len(rates._subjects) == 1

    rates.release(alice)

    assert alice.buckets is None
    assert not rates._subjects
    assert not rates._idle


def test_keeps_no_more_idle_subjects_than_it_has_room_for(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subjects cost nothing to anyone who may mint tokens."""
    monkeypatch.setattr(module, "MAX_IDLE_SUBJECTS", 10)
    rates = RequestRates(RateLimits(publish=10, subject_factor=1), clock)

    for number in range(50):
        one = caller(f"s{number}")
        asked(rates, one, 20)
        rates.release(one)

    assert len(rates._subjects) == len(rates._idle) == 10


def test_a_connection_that_asked_nothing_has_no_budget(clock: Clock) -> None:
    """Most sockets only listen: they pay nothing for this."""
    rates, alice = RequestRates(TEN, clock), caller()

    rates.release(alice)

    assert not rates._subjects


def test_notes_one_line_a_connection_and_counts_the_rest(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit that is hit is logged once, and not once a message (requirement 104)."""
    rates, alice = RequestRates(TEN, clock), caller()

    asked(rates, alice, 25, RequestKind.HISTORY)

    (line,) = caplog.messages
    assert line == "rate_limited connection=c1 subject='alice' kind=history"
    assert rates.refused == dict.fromkeys(RequestKind, 0) | {RequestKind.HISTORY: 5}


@pytest.mark.parametrize(
    ("limits", "counts"),
    [
        pytest.param(RateLimits(subject_factor=4, join_burst=100), False, id="none"),
        pytest.param(RateLimits(bytes=1), True, id="one"),
        pytest.param(RateLimits(deliveries=1), True, id="deliveries"),
        pytest.param(RateLimits(delivered_bytes=1), True, id="delivered bytes"),
    ],
)
def test_without_a_limit_nothing_is_counted(limits: RateLimits, counts: bool) -> None:
    """A message then costs one look at None."""
    assert (build_request_rates(limits) is not None) == counts


def test_a_kind_without_a_limit_is_never_refused(clock: Clock) -> None:
    """Nought is no limit, whatever else is limited."""
    rates, alice = RequestRates(RateLimits(publish=10), clock), caller()

    assert asked(rates, alice, 1000, RequestKind.HISTORY, size=10_000) == 1000


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 300)), max_size=60))
def test_never_gives_more_than_the_rate_and_a_burst(steps: list[tuple[float, int]]) -> None:
    """Over every stretch of time, bar the one message that a full bucket always gives."""
    clock = Clock()
    rates, alice = RequestRates(RateLimits(bytes=100), clock), caller()
    taken: list[tuple[float, int]] = []
    for pause, size in steps:
        clock.now += pause
        if not rates.spend(alice, RequestKind.PUBLISH, size):
            taken.append((clock.now, size))

    for place, (began, _) in enumerate(taken):
        for end in range(place, len(taken)):
            sizes = [size for _, size in taken[place : end + 1]]
            assert sum(sizes) <= 100 * (taken[end][0] - began) + 200 + max(sizes) + 0.1


def delivered(rates: RequestRates, who: Caller, subscribers: int, sizes: list[int]) -> list[float]:
    """Publish messages of these sizes to so many subscribers, and list the waits."""
    return [rates.spend_deliveries(who, subscribers, size) for size in sizes]


def test_a_message_takes_a_delivery_for_each_subscriber(clock: Clock) -> None:
    """One message to a thousand costs what a thousand to one do (requirement 128)."""
    rates, alice = RequestRates(RateLimits(deliveries=1000), clock), caller()

    waits = delivered(rates, alice, 1000, [20] * 3)

    assert waits[:2] == [0, 0]
    assert waits[2] == pytest.approx(1)
    assert delivered(rates, alice, 1, [20])[0] > 0
    clock.now += waits[2]
    assert delivered(rates, alice, 1000, [20]) == [0]


def test_a_message_takes_its_bytes_for_each_subscriber(clock: Clock) -> None:
    """A few large messages to many are a flood as well (requirement 128)."""
    rates, alice = RequestRates(RateLimits(delivered_bytes=1000), clock), caller()

    waits = delivered(rates, alice, 10, [100, 100, 50])

    assert waits == [0, 0, pytest.approx(0.5)]
    clock.now += 0.5
    assert delivered(rates, alice, 10, [50]) == [0]


def test_all_connections_of_a_subject_share_its_deliveries(clock: Clock) -> None:
    """Another socket, or the next one, gives no more; another subject has its own."""
    rates = RequestRates(RateLimits(deliveries=100), clock)
    first, second, other = caller(), caller(), caller("bob")
    assert delivered(rates, first, 200, [1]) == [0]
    rates.release(first)

    assert delivered(rates, second, 1, [1])[0] > 0
    assert delivered(rates, other, 200, [1]) == [0]
    rates.release(second)
    rates.release(other)
    clock.now += 3
    rates.forget_idle()
    assert not rates._subjects


def test_an_audience_past_the_whole_budget_is_reached_once_it_is_full(clock: Clock) -> None:
    """Else nobody could ever publish to a large item; the wait that is told is the right one."""
    rates, alice = RequestRates(RateLimits(deliveries=100), clock), caller()
    assert delivered(rates, alice, 1000, [1]) == [0]

    (wait,) = delivered(rates, alice, 1000, [1])

    assert wait == pytest.approx(10)
    clock.now += wait / 2
    assert delivered(rates, alice, 1000, [1])[0] > 0
    clock.now += wait / 2
    assert delivered(rates, alice, 1000, [1]) == [0]


def test_who_goes_on_delivering_past_the_rate_never_listens(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused and counted, logged once, and sent away at ten times the rate."""
    rates, alice = RequestRates(RateLimits(deliveries=1000), clock), caller()

    waits = delivered(rates, alice, 1000, [1] * 40)

    assert waits[:2] == [0, 0]
    assert 0 < waits[2] < NEVER
    assert waits[-1] == NEVER
    assert rates.refused[RequestKind.DELIVERY] == 38
    assert caplog.messages == ["rate_limited connection=c1 subject='alice' kind=delivery"]


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 100)), max_size=60))
def test_never_delivers_more_than_the_rate_and_a_burst(steps: list[tuple[float, int]]) -> None:
    """Over every stretch of time."""
    clock = Clock()
    rates, alice = RequestRates(RateLimits(deliveries=100), clock), caller()
    began, total = clock.now, 0
    for seconds, subscribers in steps:
        clock.now += seconds
        if rates.spend_deliveries(alice, subscribers, 1) == 0:
            total += subscribers
        assert total <= (clock.now - began) * 100 + 200 + 0.01


def test_deliveries_without_a_limit_are_never_refused(clock: Clock) -> None:
    """Nought is no limit for them either."""
    rates, alice = RequestRates(RateLimits(publish=10), clock), caller()

    assert not rates.counts_deliveries
    assert delivered(rates, alice, 10**9, [10**9]) == [0]
