"""What runs as long as an engine does: repeated work, and connections kept open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count, islice

import pytest
from typing_extensions import override

from itemwire.engines import tasks
from itemwire.engines.base import EngineError
from itemwire.engines.tasks import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    ReconnectingLink,
    StillStarting,
    backoff,
    end,
    repeat,
)


def test_pauses_grow_up_to_a_bound_and_are_never_the_same() -> None:
    """Nodes that lost one server must not all come back to it at once."""
    first, second = (list(islice(backoff(), 12)) for _ in range(2))
    bounds = [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(12)]

    assert all(most / 2 <= pause <= most for pause, most in zip(first, bounds, strict=True))
    assert first != second


def test_goes_on_after_a_fault_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    """A task that nobody waits for ends without a word."""
    turns: list[int] = []
    enough = asyncio.Event()

    async def do() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise ZeroDivisionError
        enough.set()

    async def scene() -> None:
        task = asyncio.create_task(repeat(0, do))
        await enough.wait()
        await end(task)

    asyncio.run(scene())

    assert turns[:2] == [0, 1]
    assert caplog.text.count("engine_failed") == 1


def test_waits_until_all_have_ended() -> None:
    """What a task does at its end is done when this returns; nothing to end is no fault."""
    ended: list[str] = []

    async def run(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    async def scene() -> None:
        running = [asyncio.create_task(run(name)) for name in ("a", "b")]
        await asyncio.sleep(0)  # they have begun
        await end(None)
        await end(*running, None)

    asyncio.run(scene())

    assert sorted(ended) == ["a", "b"]


class Link(ReconnectingLink):
    """A link whose attempts and breaks are the test's."""

    def __init__(self) -> None:
        super().__init__("test")
        self.log: list[str] = []
        self.refusal = ""
        self.breaks: asyncio.Queue[str | BaseException] = asyncio.Queue()
        self.is_dead = False
        self.is_starting = False
        self.swallows_cancellation = False
        self.fault_at_close: BaseException | None = None
        self.changed = asyncio.Event()

    @property
    @override
    def _is_alive(self) -> bool:
        return not self.is_dead

    @override
    async def _open(self) -> None:
        self._note(f"refused {self.refusal}" if self.refusal else "opened")
        if self.refusal:
            raise (StillStarting if self.is_starting else EngineError)(self.refusal)

    @override
    async def _serve(self) -> str:
        try:
            end = await self.breaks.get()
        except asyncio.CancelledError:
            if self.swallows_cancellation:
                return "broke as it was stopped"
            raise
        if isinstance(end, BaseException):
            raise end
        return end

    @override
    async def _close(self, problem: str) -> None:
        self._note(f"closed {problem} {'away' if self.is_away else 'soon back'}")
        if self.fault_at_close is not None:
            raise self.fault_at_close

    def _note(self, entry: str) -> None:
        self.log.append(entry)
        self.changed.set()

    async def until(self, entry: str) -> None:
        """Wait until something has been noted last."""
        await self.until_so(lambda: self.log[-1:] == [entry])

    async def until_so(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not is_so():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 5)


def link_scene(scene: Callable[[Link], Awaitable[None]]) -> None:
    """Play a scene on a link that has been started and is stopped at the end."""

    async def play() -> None:
        link = Link()
        link.start()
        try:
            await scene(link)
        finally:
            await link.stop()

    asyncio.run(play())


def test_a_link_that_breaks_is_away_only_once_an_attempt_has_failed() -> None:
    """A moment without a connection is no reason to refuse anybody."""

    async def scene(link: Link) -> None:
        await link.first_attempt()
        assert link.is_connected
        link.refusal = "no"
        link.breaks.put_nowait("cut")
        await link.until("closed cut soon back")
        assert (link.is_connected, link.is_away) == (False, False)
        await link.until("closed no away")
        assert link.is_away
        link.refusal = ""
        await link.until("opened")
        assert (link.is_connected, link.is_away) == (True, False)

    link_scene(scene)


def test_a_link_is_not_connected_once_its_library_would_not_use_it() -> None:
    """Before anybody is told, and though nobody ever is (141)."""

    async def scene(link: Link) -> None:
        await link.first_attempt()
        link.is_dead = True
        assert not link.is_connected
        link.is_dead = False
        assert link.is_connected

    link_scene(scene)


@pytest.mark.parametrize("fault", [ZeroDivisionError(), asyncio.CancelledError()], ids=repr)
def test_a_link_tries_again_after_whatever_its_library_raises(fault: BaseException) -> None:
    """Only `stop` ends it: a CancelledError may be about a task of the library (141)."""

    async def scene(link: Link) -> None:
        await link.first_attempt()
        link.breaks.put_nowait(fault)
        await link.until("closed see the log soon back")
        await link.until("opened")
        assert link.is_connected

    link_scene(scene)


@pytest.mark.parametrize("fault", [ZeroDivisionError(), asyncio.CancelledError()], ids=repr)
def test_a_link_tries_again_though_its_library_cannot_close(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """nats-py raises where nothing was connected yet; the engine was away for ever (141)."""

    async def scene(link: Link) -> None:
        await link.first_attempt()
        link.fault_at_close = fault
        link.breaks.put_nowait("the server went")
        await link.until("closed the server went soon back")
        await link.until("opened")
        assert link.is_connected

    link_scene(scene)

    assert caplog.text.count("engine_failed") == 2  # when it broke, and when it was stopped


def test_a_link_stops_though_what_it_waited_for_has_forgotten_that() -> None:
    """`wait_for` and task groups do, if they end at the same moment: a server would never stop."""

    async def scene(link: Link) -> None:
        await link.first_attempt()
        link.swallows_cancellation = True
        await asyncio.sleep(0)  # it is being served
        await asyncio.wait_for(link.stop(), 5)

        assert link.log[-1] == "closed the engine was stopped away"

    link_scene(scene)


def test_a_link_says_why_its_first_attempt_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    """To its caller, who reports it: the log would say it a second time."""

    async def scene(link: Link) -> None:
        link.refusal = "no such server"
        with pytest.raises(EngineError, match="no such server"):
            await link.first_attempt()

    link_scene(scene)

    assert caplog.text == ""


def test_a_first_attempt_waits_for_a_server_that_starts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says once what it waits for; a refusal that comes then is final (141)."""
    monkeypatch.setattr(tasks, "FIRST_PAUSE", 0.001)

    async def scene(link: Link) -> None:
        link.refusal, link.is_starting = "it recovers", True
        attempt = asyncio.create_task(link.first_attempt())
        await link.until_so(lambda: link.log.count("refused it recovers") >= 3)
        assert not attempt.done()
        link.refusal, link.is_starting = "no such user", False
        with pytest.raises(EngineError, match="no such user"):
            await attempt

    link_scene(scene)

    assert caplog.text.count("engine_starting link=test problem=it recovers") == 1


def test_a_link_is_opened_again_after_any_fault(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody expected must not leave the engine away for ever."""

    async def scene(link: Link) -> None:
        await link.first_attempt()
        link.breaks.put_nowait(ZeroDivisionError("unexpected"))
        await link.until("closed see the log soon back")
        await link.until("opened")

    link_scene(scene)

    assert "ZeroDivisionError: unexpected" in caplog.text


def test_a_link_logs_each_problem_of_an_outage_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour without a server must not fill the log with one sentence."""
    monkeypatch.setattr(tasks, "FIRST_PAUSE", 0.001)

    async def scene(link: Link) -> None:
        await link.first_attempt()
        link.refusal = "refused"
        link.breaks.put_nowait("cut")
        await link.until_so(lambda: link.log.count("refused refused") >= 5)
        link.refusal = ""
        await link.until("opened")
        link.breaks.put_nowait("cut")
        await link.until("closed cut soon back")

    link_scene(scene)

    problems = [record.message for record in caplog.records if "engine_lost" in record.message]
    assert problems == [
        f"engine_lost link=test problem={each}" for each in ("cut", "refused", "cut")
    ]


def test_a_link_that_is_refused_again_at_once_is_not_tried_ever_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that accepts and hangs up would be asked twenty times a second by each node."""
    pauses: list[float] = []

    def counted() -> Iterator[float]:
        for number in count():
            pauses.append(number)
            yield 0

    monkeypatch.setattr(tasks, "backoff", counted)

    async def scene(link: Link) -> None:
        for number in range(1, 5):
            link.breaks.put_nowait("hung up")
            await link.until_so(lambda number=number: link.log.count("opened") > number)  # type: ignore[misc] # a default is how a loop's lambda keeps its value

    link_scene(scene)

    assert pauses[:3] == [0, 1, 2]
