"""The engine of one process: every bound of its memory, by a clock that tests control."""

from __future__ import annotations

import secrets

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.engines import memory
from itemwire.engines.base import KEY_SECONDS, Bounds, EngineError, History, Sink, Span
from itemwire.engines.memory import MemoryEngine
from itemwire.messages import Payload, Position, Publication
from tests.fakes import CHANNEL, NOW, Clock, complete, draft


class Engine(MemoryEngine):
    """A memory engine that returns its answers, which all come at once."""

    def __init__(
        self, messages: int = 100, size: int = 100_000, seconds: float = 60, total: int = 0
    ) -> None:
        self.clock = Clock()
        bounds = Bounds(messages, size, seconds, total)
        super().__init__(bounds, clock=self.clock, unix_clock=self.clock)

    def add(self, data: Payload = "hello", key: str | None = None, at: str = CHANNEL) -> Position:
        """Publish."""
        answers: list[Position | EngineError] = []
        self.publish(at, draft(data, key), answers.append)
        (position,) = answers
        assert isinstance(position, Position)
        return position

    def get(self, span: Span = Span(1000), at: str = CHANNEL) -> History:  # noqa: B008 - frozen
        """Read."""
        answers: list[History | EngineError] = []
        self.read(at, span, answers.append)
        (history,) = answers
        assert isinstance(history, History)
        return history

    def offsets(self) -> list[int]:
        """List what is kept."""
        return [one.offset for one in self.get().publications]

    def hear(self, at: str = CHANNEL) -> None:
        """Subscribe."""
        answers: list[EngineError | None] = []
        self.subscribe(at, answers.append)
        assert answers == [None]


def test_keeps_the_newest_of_so_many_messages() -> None:
    """The oldest go first."""
    engine = Engine(messages=3)
    for _ in range(5):
        engine.add()

    assert engine.offsets() == [3, 4, 5]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("x" * 40, id="text"),
        pytest.param(b"x" * 40, id="binary"),
        pytest.param(msgspec.Raw(b"[" + b"1," * 18 + b"111]"), id="json"),
        pytest.param("😀" * 10, id="four-bytes-a-character"),
    ],
)
def test_keeps_the_newest_of_so_many_bytes(data: Payload) -> None:
    """Bytes are bytes as they are stored: characters would let emoji take four times as much."""
    engine = Engine(size=100)
    for _ in range(5):
        engine.add(data)

    assert engine.offsets() == [4, 5]


def test_keeps_nothing_that_is_larger_than_all_its_room() -> None:
    """The message is delivered and counted all the same."""
    engine = Engine(size=100)
    engine.add("small")
    position = engine.add("x" * 101)

    assert position.offset == 2
    assert engine.offsets() == []
    assert not engine.get().complete


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
def test_keeps_messages_for_so_many_seconds(heard: bool) -> None:
    """Also where nothing new comes that would push the old out."""
    engine = Engine(seconds=60)
    if heard:
        engine.hear()
    engine.add()
    engine.clock.now = NOW + 59
    engine.add()
    engine.clock.now = NOW + 61

    assert engine.offsets() == [2]
    assert engine.get().position.offset == 2


@given(
    published=st.lists(st.tuples(st.integers(0, 50), st.floats(0, 30)), max_size=30),
    messages=st.integers(0, 10),
    size=st.integers(0, 100),
    span=st.builds(
        Span,
        limit=st.integers(0, 12),
        after=st.none() | st.integers(0, 35),
        before=st.none() | st.integers(0, 35),
    ),
)
def test_reads_what_a_naive_model_reads(
    published: list[tuple[int, float]], messages: int, size: int, span: Span
) -> None:
    """History is the longest newest run within all three bounds; a span is a slice of it."""
    engine = Engine(messages, size, seconds=60)
    stored: list[tuple[float, int]] = []
    for length, pause in published:
        engine.clock.now += pause
        engine.add("x" * length)
        stored.append((engine.clock.now, length))
    history = engine.get(span)

    lowest = span.after or 0
    highest = len(stored) + 1 if span.before is None else span.before
    kept = naively_kept(stored, messages, size, engine.clock.now - 60)
    within = [offset for offset in kept if lowest < offset < highest]
    found = within[: span.limit]
    if span.after is None:
        found = within[max(len(within) - span.limit, 0) :]
    asked = [one for one in range(1, len(stored) + 1) if lowest < one < highest]
    assert [one.offset for one in history.publications] == found
    assert history.complete == (found == asked)
    assert history.position.offset == len(stored)


def naively_kept(
    stored: list[tuple[float, int]], messages: int, size: int, oldest: float
) -> list[int]:
    """List the offsets within the bounds, as one would on paper: bounds hold at every time."""
    kept: list[int] = []
    for offset, (now, _) in enumerate(stored, 1):
        kept.append(offset)
        while kept and (
            len(kept) > messages
            or sum(stored[one - 1][1] for one in kept) > size
            or stored[kept[0] - 1][0] < now - 60
        ):
            kept.pop(0)
    return [offset for offset in kept if stored[offset - 1][0] >= oldest]


def test_remembers_a_key_for_five_minutes_and_then_no_longer() -> None:
    """Within that time a retry makes no second message; without an end it would be a leak."""
    engine = Engine()
    engine.hear()
    first = engine.add(key="k")
    engine.clock.now = NOW + KEY_SECONDS - 0.1
    within = engine.add(key="k")
    engine.clock.now = NOW + KEY_SECONDS + 0.1
    after = engine.add(key="k")

    assert (within, after.offset) == (first, 2)


def test_remembers_a_key_longer_than_its_message() -> None:
    """The answer is the first one though history has let go of what it speaks of."""
    engine = Engine(messages=0, seconds=1)
    first = engine.add(key="k")
    engine.clock.now = NOW + 200
    engine.add(at="item:other")

    assert engine.add(key="k") == first


def test_bounds_the_keys_it_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of fresh keys takes no more memory than this, and the newest are kept."""
    monkeypatch.setattr(memory, "MAX_KEYS", 10)
    engine = Engine()
    for number in range(25):
        engine.add(key=str(number))

    assert [engine.add(key=str(number)).offset for number in range(15, 25)] == list(range(16, 26))
    assert engine.add(key="14").offset == 26


def test_forgets_a_channel_that_is_idle_and_begins_anew() -> None:
    """The new epoch says that the count is another one (requirement 101)."""
    engine = Engine()
    before = engine.add()
    engine.clock.now = NOW + 301
    engine.add(at="item:other")
    after = engine.add()

    assert after.offset == 1
    assert after.epoch != before.epoch


def test_does_not_forget_a_channel_before_its_time() -> None:
    """The twin: a client that comes back soon resumes."""
    engine = Engine()
    before = engine.add()
    engine.clock.now = NOW + 299
    engine.add(at="item:other")

    assert engine.add() == Position(before.epoch, 2)


def test_never_forgets_a_channel_that_somebody_hears() -> None:
    """A quiet channel is still a channel: its count must not begin anew under its subscribers."""
    engine = Engine()
    engine.hear()
    before = engine.add()
    for hours in range(1, 24):
        engine.clock.now = NOW + hours * 3600
        engine.add(at=f"item:{hours}")

    assert engine.add() == Position(before.epoch, 2)


def test_counts_idleness_from_the_last_who_subscribed() -> None:
    """Who loses the connection after a quiet hour has the same time to come back as any other."""
    engine = Engine()
    engine.hear()
    before = engine.add()
    engine.clock.now = NOW + 3600
    engine.unsubscribe(CHANNEL)
    engine.clock.now = NOW + 3600 + 299
    engine.add(at="item:other")

    assert engine.add().epoch == before.epoch


def test_keeps_idle_channels_as_long_as_its_history_when_that_is_longer() -> None:
    """What the bounds say is remembered is remembered."""
    engine = Engine(seconds=3600)
    engine.add()
    engine.clock.now = NOW + 3599
    engine.add(at="item:other")

    assert engine.offsets() == [1]


def test_holds_no_more_channels_than_were_used_of_late() -> None:
    """Anyone who may name items must not be able to fill the memory with their names."""
    engine = Engine()
    for number in range(1000):
        engine.add(at=f"item:{number}")
        engine.clock.now += 10

    assert len(engine._idle) <= 31


def test_leaves_a_channel_that_it_never_subscribed_without_complaint() -> None:
    """A join that failed half-way is taken back whole."""
    engine = Engine()
    engine.unsubscribe(CHANNEL)

    assert engine.add().offset == 1


def test_delivers_before_it_answers_and_only_between_start_and_stop() -> None:
    """Storing and delivering are one step."""
    engine = Engine()
    seen: list[object] = []

    def deliver(_channel: str, news: Publication) -> None:
        seen.append(news.offset)

    engine.hear()
    engine.add()
    complete(engine.start(Sink(deliver)))
    engine.publish(CHANNEL, draft(), lambda _: seen.append("answer"))
    complete(engine.stop())
    engine.add()

    assert seen == [2, "answer"]
    assert engine.offsets() == [1, 2, 3]


def test_names_its_epochs_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart must never look like the life before it."""
    assert Engine().add().epoch != Engine().add().epoch
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: "epoch")
    assert Engine().add().epoch == "epoch"


def test_keeps_a_notice_until_its_time_and_no_longer() -> None:
    """What has ended is not told to who starts later, and takes no memory."""
    engine = Engine()
    heard: list[bytes] = []
    for number in range(100):
        engine.post(b"%d" % number, NOW + number, lambda _: None)
    engine.clock.now = NOW + 98

    complete(engine.start(Sink(apply=heard.append)))

    assert heard == [b"99"]
    assert len(engine._notices) == 1


def test_refuses_a_notice_that_it_has_no_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropping one in silence would let a revoked token in after a restart."""
    monkeypatch.setattr(memory, "MAX_NOTICES", 2)
    engine = Engine()
    answers: list[EngineError | None] = []
    for until in (NOW + 9, NOW + 9, NOW + 9, NOW):
        engine.post(b"", until, answers.append)

    assert [answer is None for answer in answers] == [True, True, False, True]


def keep(engine: Engine, key: str, value: bytes = b"v", seconds: float = 30) -> bool:
    """Put a value, and tell whether it was kept."""
    answers: list[EngineError | None] = []
    engine.put(key, value, seconds, answers.append)
    (answer,) = answers
    return answer is None


def taken(engine: Engine, key: str) -> bytes | None:
    """Take a value."""
    answers: list[bytes | EngineError | None] = []
    engine.take(key, answers.append)
    (answer,) = answers
    assert not isinstance(answer, EngineError)
    return answer


def test_keeps_a_value_for_so_many_seconds() -> None:
    """Whichever was put first: each has its own time."""
    engine = Engine()
    for key, seconds in (("long", 60), ("short", 10), ("middle", 30), ("late", 30)):
        keep(engine, key, seconds=seconds)
    engine.clock.now = NOW + 9.9
    short = taken(engine, "short")
    engine.clock.now = NOW + 30
    rest = [taken(engine, key) for key in ("middle", "late", "long")]

    assert (short, rest) == (b"v", [None, None, b"v"])


def test_a_value_that_was_replaced_lives_by_its_new_time() -> None:
    """The end of the old one is not the end of the new one."""
    engine = Engine()
    keep(engine, "k", b"old", seconds=10)
    keep(engine, "k", b"new", seconds=60)
    engine.clock.now = NOW + 30

    assert taken(engine, "k") == b"new"


def test_bounds_the_values_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood is refused, not stored in place of what is waiting; time makes room again."""
    monkeypatch.setattr(memory, "MAX_VALUES_BYTES", 10 * (memory.VALUE_BYTES + 10))
    engine = Engine()
    kept = [keep(engine, str(number), b"x" * 10) for number in range(12)]
    engine.clock.now = NOW + 30

    assert kept == [True] * 10 + [False] * 2
    assert [keep(engine, str(number), b"x" * 10) for number in range(11)] == [True] * 10 + [False]


def test_forgets_values_altogether() -> None:
    """Taken, replaced or out of time: nothing of them stays."""
    engine = Engine()
    for number in range(1000):
        keep(engine, str(number % 700), b"x" * number, seconds=number % 7 + 1)
        taken(engine, str(number // 2))
    engine.clock.now = NOW + 8
    taken(engine, "any")

    values = engine._values
    assert (values._bytes, len(values._kept), len(values._ends)) == (0, 0, 0)
