"""The engine of one server with a file: groups, order, bounds, start and stop."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from itemwire.engines.base import Bounds, EngineError, Sink, Span
from itemwire.engines.sqlite import engine as sqlite_engine
from itemwire.engines.sqlite import writer
from itemwire.engines.sqlite.engine import SqliteEngine, open_engine
from itemwire.engines.sqlite.file import SqliteFile
from itemwire.messages import Position
from tests.conformance.asked_engine import BOUNDS, Asked
from tests.engines.sqlite.scenes import on, statements_of, stuck, until
from tests.fakes import Clock, draft


@pytest.fixture
def engine(tmp_path: Path) -> SqliteEngine:
    """An engine on a file of its own."""
    return open_engine(f"sqlite:///{tmp_path}/itemwire.db", BOUNDS)


def test_stores_all_that_waits_as_one(engine: SqliteEngine) -> None:
    """One wait for the disk for a thousand messages, and few statements."""

    async def scene(asked: Asked) -> tuple[list[str], list[int]]:
        statements = statements_of(engine)
        answers: list[Position | EngineError] = []
        for number in range(1000):
            engine.publish(f"item:{number % 10}", draft("x", str(number)), answers.append)
        await until(lambda: len(answers) == 1000)
        return statements, [one.offset for one in answers if isinstance(one, Position)]

    statements, offsets = on(engine, scene)

    assert len([one for one in statements if one == "COMMIT"]) == 1
    assert len(statements) < 40
    assert offsets == [number // 10 + 1 for number in range(1000)]


def test_makes_no_transaction_without_end(engine: SqliteEngine) -> None:
    """The first request does not wait for thousands behind it."""

    async def scene(asked: Asked) -> int:
        statements = statements_of(engine)
        answers: list[Position | EngineError] = []
        for _ in range(2500):
            engine.publish(asked.channel, draft("x"), answers.append)
        await until(lambda: len(answers) == 2500)
        return statements.count("COMMIT")

    assert on(engine, scene) >= 3


def test_answers_in_the_order_in_which_it_was_asked(engine: SqliteEngine) -> None:
    """A read is between the messages that were published before and after it."""

    async def scene(asked: Asked) -> list[object]:
        seen: list[object] = []
        await engine.start(Sink(lambda _channel, news: seen.append(news.data)))
        await asked.subscribe()
        for number in range(3):
            engine.publish(asked.channel, draft(f"m{number}"), lambda _: seen.append("stored"))
            engine.read(asked.channel, Span(9), lambda h: seen.append(len(h.publications)))  # type: ignore[union-attr]
        await until(lambda: len(seen) == 9)
        return seen

    assert on(engine, scene) == ["m0", "stored", 1, "m1", "stored", 2, "m2", "stored", 3]


def test_tells_nobody_before_it_is_stored(engine: SqliteEngine) -> None:
    """What a subscriber has seen must not be gone after a crash."""

    async def scene(asked: Asked) -> int:
        await asked.subscribe()
        with stuck(engine):
            publishing = asyncio.create_task(asked.publish())
            await asyncio.sleep(0.05)  # nothing comes: that is what this is about
            before = asked.delivered.qsize()
        await publishing
        await asked.hear(1)
        return before

    assert on(engine, scene) == 0


def test_the_failure_of_one_asker_is_not_the_end_of_the_others(
    engine: SqliteEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """They are answered in one call, and none of them knows of the rest."""
    seen: list[str] = []

    def fail(*told: object) -> None:
        seen.append(type(told[-1]).__name__)
        raise RuntimeError("a mistake")

    async def scene(asked: Asked) -> Position:
        await engine.start(Sink(fail))
        await asked.subscribe()
        engine.publish(asked.channel, draft("x"), fail)
        return await asked.publish()

    assert on(engine, scene).offset == 2
    assert seen == ["Publication", "Position", "Publication"]
    assert "a mistake" in caplog.text


@pytest.mark.parametrize(
    ("limit", "value", "size"),
    [
        pytest.param("MAX_REQUESTS", 4, 1, id="count"),
        pytest.param("MAX_BYTES", 3900, 1000, id="bytes"),
    ],
)
def test_refuses_at_once_what_the_disk_does_not_take(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, size: int
) -> None:
    """A queue without an end would be the memory's end; what is in it is done all the same."""

    async def scene(asked: Asked) -> tuple[list[bool], int]:
        answers: list[Position | EngineError] = []
        stored: list[Position | EngineError] = []
        with stuck(engine):
            await asyncio.sleep(0)
            monkeypatch.setattr(sqlite_engine, limit, value)  # one of the requests is the stuck one
            for _ in range(3):
                engine.publish(asked.channel, draft("x" * size), stored.append)
            engine.publish(asked.channel, draft("x" * size), answers.append)
        await until(lambda: len(stored) == 3)
        engine.publish(asked.channel, draft("x" * size), stored.append)
        await until(lambda: len(stored) == 4)
        last = stored[-1]
        assert isinstance(last, Position)
        return [isinstance(one, EngineError) for one in answers], last.offset

    assert on(engine, scene) == ([True], 4)


def test_does_not_start_without_its_notices(engine: SqliteEngine, tmp_path: Path) -> None:
    """It would let in whom they keep out (requirement 70); the file is free again after that."""
    connection = sqlite3.connect(tmp_path / "itemwire.db", isolation_level=None)
    connection.execute("ALTER TABLE notices RENAME TO hidden")
    connection.close()

    with pytest.raises(EngineError, match="notices"):
        on(engine, lambda asked: asked.publish())
    connection = sqlite3.connect(tmp_path / "itemwire.db", isolation_level=None)
    connection.execute("ALTER TABLE hidden RENAME TO notices")
    connection.close()

    assert on(engine, lambda asked: asked.publish()).offset == 1


def test_refuses_what_is_no_text(engine: SqliteEngine) -> None:
    """Half a surrogate pair has no bytes; those who asked beside it are not harmed."""

    async def scene(asked: Asked) -> Position:
        with pytest.raises(EngineError, match="text"):
            await asked.publish("\ud800")
        with pytest.raises(EngineError, match="text"):
            await asked.publish("x", key="\ud800")
        return await asked.publish("x")

    assert on(engine, scene).offset == 1


def test_answers_what_was_asked_before_it_stops_and_refuses_after(engine: SqliteEngine) -> None:
    """Nobody waits for ever, and it can be started again."""

    async def scene(asked: Asked) -> list[Position | EngineError]:
        answers: list[Position | EngineError] = []
        engine.publish(asked.channel, draft("x"), answers.append)
        await engine.stop()
        engine.publish(asked.channel, draft("x"), answers.append)
        assert not engine.is_available
        await engine.start(Sink())
        engine.publish(asked.channel, draft("x"), answers.append)
        await until(lambda: len(answers) == 3)
        return answers

    first, refused, again = on(engine, scene)

    assert isinstance(refused, EngineError)
    assert isinstance(first, Position)
    assert again == Position(first.epoch, first.offset + 1)


def test_does_not_wait_for_ever_for_a_disk_when_it_stops(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A supervisor would end it the hard way."""
    monkeypatch.setattr(sqlite_engine, "STOP_SECONDS", 0.05)

    async def scene(asked: Asked) -> list[Position | EngineError]:
        answers: list[Position | EngineError] = []
        with stuck(engine):
            engine.publish(asked.channel, draft("x"), answers.append)
            await engine.stop()
        return answers

    assert [type(one) for one in on(engine, scene)] == [EngineError]
    assert "engine_stuck" in caplog.text


def test_prunes_beside_the_publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a busy channel is as large as its history, not as its past."""
    monkeypatch.setattr(writer, "UPKEEP_PUBLISHES", 1000)
    monkeypatch.setattr(writer, "UPKEEP_SECONDS", 0.05)
    url = f"sqlite:///{tmp_path}/itemwire.db?synchronous=normal"  # a busy disk is no fault
    engine = open_engine(url, Bounds(10, 1_000_000, 300))

    async def scene(asked: Asked) -> int:
        assert engine._writer is not None
        connection = engine._writer._connection
        for _ in range(25):
            await asyncio.gather(*(asked.publish("x" * 1000) for _ in range(200)))
        count = "SELECT count(*) FROM messages"
        await until(lambda: connection.execute(count).fetchone() == (10,))
        return (tmp_path / "itemwire.db").stat().st_size

    assert on(engine, scene) < 4_000_000  # five were published


def test_forgets_no_channel_that_is_heard_or_was_just_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its count must not begin anew under its subscribers; an idle one's may."""
    monkeypatch.setattr(writer, "UPKEEP_SECONDS", 0.02)
    clock = Clock()
    engine = SqliteEngine(SqliteFile(tmp_path / "itemwire.db"), BOUNDS, clock=clock)

    async def scene(asked: Asked) -> list[bool]:
        names = ["heard", "left", "idle"]
        before = [(await asked.publish(channel=name)).epoch for name in names]
        for name in ("heard", "left"):
            await asked.subscribe(name)
        assert engine._writer is not None
        connection = engine._writer._connection
        clock.now += 301
        count = "SELECT count(*) FROM channels"
        await until(lambda: connection.execute(count).fetchone() == (2,))
        clock.now += 301
        engine.unsubscribe("left")
        touched = "SELECT count(*) FROM channels WHERE used_at = ?"
        await until(lambda: connection.execute(touched, (clock.now,)).fetchone() == (2,))
        after = [(await asked.publish(channel=name)).epoch for name in names]
        return [one == other for one, other in zip(before, after, strict=True)]

    assert on(engine, scene) == [True, True, False]


@pytest.mark.parametrize("step", [-3600.0, 3600.0], ids=["back", "forward"])
def test_a_step_of_the_clock_costs_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Forward it forgets what the time would have ended, and says so; back it keeps it (109)."""
    monkeypatch.setattr(writer, "UPKEEP_SECONDS", 0.02)
    clock = Clock()
    engine = SqliteEngine(SqliteFile(tmp_path / "itemwire.db"), BOUNDS, clock=clock)

    async def scene(asked: Asked) -> None:
        await asked.subscribe()
        first = await asked.publish("first", key="first")
        clock.now += step
        again = await asked.publish("first", key="first")
        last = await asked.publish("last")
        history = await asked.read(Span(10, after=0))

        assert {first.epoch, again.epoch, last.epoch} == {first.epoch}
        if step < 0:
            assert (again, last.offset) == (first, 2)
            assert [one.offset for one in history.publications] == [1, 2]
        else:  # a repetition after an hour is a new message
            assert (again.offset, last.offset) == (2, 3)
            assert [one.offset for one in history.publications] == [2, 3]
            assert not history.complete

    on(engine, scene)
