"""The SQLite engine's thread, on a disk that is full, fails or does not answer."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from pathlib import Path

import pytest

from itemwire.engines.base import EngineError, Span
from itemwire.engines.sqlite import engine as sqlite_engine
from itemwire.engines.sqlite import writer
from itemwire.engines.sqlite.engine import SqliteEngine, open_engine
from itemwire.engines.sqlite.upkeep import SqliteUpkeep
from itemwire.engines.sqlite.writer import StoreCall
from itemwire.messages import Position, Publication
from tests.conformance.asked_engine import BOUNDS, Asked
from tests.engines.sqlite.scenes import on, stuck, until
from tests.timing import BUSY_SECONDS

LARGE = "x" * 60_000


@pytest.fixture
def engine(tmp_path: Path) -> SqliteEngine:
    """An engine on a file of its own."""
    return open_engine(f"sqlite:///{tmp_path}/itemwire.db", BOUNDS)


def test_answers_in_time_when_the_disk_does_not(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told; messages stored after all are delivered, and readiness returns."""
    monkeypatch.setattr(sqlite_engine, "ANSWER_SECONDS", 1.0)

    def fail(_answer: object) -> None:
        raise RuntimeError("a mistake")

    async def scene(asked: Asked) -> tuple[bool, float, bool, Publication]:
        await asked.subscribe()
        with stuck(engine):
            engine.read(asked.channel, Span(1), fail)
            asked_at = time.monotonic()
            with pytest.raises(EngineError, match="in time"):
                await asked.publish("late")
            seconds, was_available = time.monotonic() - asked_at, engine.is_available
        (heard,) = await asked.hear(1)
        return was_available, seconds, engine.is_available, heard

    was_available, seconds, is_available, heard = on(engine, scene)

    assert (was_available, is_available) == (False, True)
    assert seconds < 1.0 + BUSY_SECONDS
    assert heard.data == "late"


def test_a_full_disk_fails_publishes_until_there_is_room(engine: SqliteEngine) -> None:
    """Nothing is answered that is not stored; it can be read, and it comes back by itself."""

    async def scene(asked: Asked) -> None:
        assert engine._writer is not None
        connection = engine._writer._connection
        await asked.publish("first")
        connection.execute("PRAGMA max_page_count=1")  # as many as there are
        refused = await asyncio.gather(
            *(asked.publish(LARGE) for _ in range(20)), return_exceptions=True
        )
        assert {str(one) for one in refused} == {"database or disk is full"}
        assert engine.is_available
        newest = (await asked.read(Span(1))).position
        assert newest.offset == 1
        connection.execute("PRAGMA max_page_count=100000")
        assert await asked.publish("then") == Position(newest.epoch, newest.offset + 1)

    on(engine, scene)


def test_a_disk_that_fails_is_the_same(engine: SqliteEngine) -> None:
    """Here the system refuses the writes themselves."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def scene(asked: Asked) -> list[str]:
        await asked.publish("first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
        try:
            with pytest.raises(EngineError):
                await asked.publish(LARGE + LARGE)
            assert engine.is_available
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await asked.publish("then")
        return [str(one.data) for one in (await asked.read(Span(9))).publications]

    assert on(engine, scene) == ["first", "then"]


def test_upkeep_that_fails_is_tried_again(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It writes too; what fails again and again is logged once."""
    monkeypatch.setattr(writer, "UPKEEP_SECONDS", 0.02)
    failures: list[Exception] = [
        RuntimeError("a mistake"),
        *(sqlite3.OperationalError("no disk") for _ in range(3)),
    ]
    tidy = SqliteUpkeep.tidy

    def fail(upkeep: SqliteUpkeep) -> bool:
        if failures:
            raise failures.pop()
        return tidy(upkeep)

    async def scene(asked: Asked) -> Position:
        monkeypatch.setattr(SqliteUpkeep, "tidy", fail)
        await until(lambda: not failures)
        return await asked.publish()

    assert on(engine, scene).offset == 1
    assert "a mistake" in caplog.text
    assert caplog.text.count("engine_upkeep_failed problem=the file cannot be used: no disk") == 1


def test_refuses_reads_and_writes_of_a_file_that_has_gone_wrong(
    engine: SqliteEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for an answer that cannot come, and it can still be stopped."""

    async def scene(asked: Asked) -> None:
        assert engine._writer is not None
        for table in ("channels", "state"):
            engine._writer._connection.execute(f"DROP TABLE {table}")
        with pytest.raises(EngineError, match="channels"):
            await asked.read(Span(1))
        with pytest.raises(EngineError, match="channels"):
            await asked.publish()

    on(engine, scene)

    assert "engine_close_failed" in caplog.text


@pytest.mark.parametrize("only_reads", [False, True], ids=["a write", "a read"])
def test_survives_what_nobody_thought_of(
    engine: SqliteEngine, caplog: pytest.LogCaptureFixture, *, only_reads: bool
) -> None:
    """A mistake of ours fails those who asked; the thread goes on."""

    def fail(_store: object) -> None:
        raise RuntimeError("a mistake")

    async def scene(asked: Asked) -> tuple[EngineError | None, Position]:
        answers: list[EngineError | None] = []
        engine._ask(StoreCall(answer=answers.append, run=fail, only_reads=only_reads))
        await until(lambda: bool(answers))
        return answers[0], await asked.publish()

    problem, position = on(engine, scene)

    assert isinstance(problem, EngineError)
    assert position.offset == 1
    assert "a mistake" in caplog.text
