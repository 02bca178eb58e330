"""Asking a route's dependencies again without a request: verdicts and bounds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated

import pytest
from fastapi import Depends, Header, HTTPException, Query, WebSocket

from itemwire.authorization import deadline
from itemwire.channels.reauthorization import Denied, Verdict
from itemwire_auth.dependencies import CurrentPrincipal, authorize_item
from itemwire_auth.errors import Forbidden
from itemwire_auth.principal import Grant
from itemwire_auth.scopes import Action
from tests.authorization.application import FACTORY, Application


def reason_of(verdict: Verdict) -> str:
    """Tell why there is no grant."""
    assert isinstance(verdict, Denied)
    return verdict.reason.reason


def test_gives_the_grant_of_the_new_token(application: Application) -> None:
    """The same as a handshake would give."""
    verdict = application.verdict(FACTORY.good(sub="carol", scope="items:42:subscribe"))

    assert isinstance(verdict, Grant)
    assert (verdict.principal.subject, verdict.item_id) == ("carol", "42")
    assert verdict.can == {Action.SUBSCRIBE}


@pytest.mark.parametrize("presented", ["", "x", "\ud800", "a&token=b", "a b+c", "é\x00\n"])
def test_denies_what_is_no_token(application: Application, presented: str) -> None:
    """Whatever a client writes there travels as that text."""
    verdict = application.verdict(presented)

    assert reason_of(verdict) == "credentials_invalid"
    assert verdict.principal is None


@pytest.mark.parametrize(
    ("scope", "reason"), [("", "scope_missing"), ("items:7:subscribe", "forbidden")]
)
def test_tells_who_asked_where_that_one_may_not(
    application: Application, scope: str, reason: str
) -> None:
    """Else a token of somebody else could end a connection."""
    verdict = application.verdict(FACTORY.good(sub="mallory", scope=scope))

    assert reason_of(verdict) == reason
    assert verdict.principal is not None
    assert verdict.principal.subject == "mallory"


def test_heeds_an_override_of_after_the_handshake(application: Application) -> None:
    """One that came since, and none when it is gone."""

    async def nobody(principal: CurrentPrincipal) -> Grant:
        raise Forbidden(f"{principal.subject} may not")

    before = application.verdict(FACTORY.good())
    application.app.dependency_overrides[authorize_item] = nobody
    during = application.verdict(FACTORY.good())
    application.app.dependency_overrides.clear()

    assert isinstance(before, Grant)
    assert reason_of(during) == "forbidden"
    assert isinstance(application.verdict(FACTORY.good()), Grant)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HTTPException(404), "forbidden"),
        (HTTPException(401), "credentials_invalid"),
        (HTTPException(503), "overloaded"),
        (KeyError("x"), "internal"),
        (TimeoutError("database"), "internal"),
    ],
)
def test_reads_what_is_raised_by_the_table_of_refusals(
    application: Application, error: Exception, reason: str
) -> None:
    """As at the handshake (requirement 65)."""

    async def raising() -> Grant:
        raise error

    application.app.dependency_overrides[authorize_item] = raising

    assert reason_of(application.verdict(FACTORY.good())) == reason


def test_denies_what_needs_more_than_is_kept(application: Application) -> None:
    """A query of before is gone, and so is the right to guess what was in it."""

    async def of_team(principal: CurrentPrincipal, team: Annotated[str, Query()]) -> Grant:
        return Grant(principal, team, frozenset(Action))

    application.app.dependency_overrides[authorize_item] = of_team

    assert reason_of(application.verdict(FACTORY.good())) == "query_invalid"


def test_asks_for_all_of_a_handshake_again_where_too_little_of_it_was_kept(
    application: Application,
) -> None:
    """An override that came since reads what nobody had read: that it is missing says nothing."""

    async def of_team(
        principal: CurrentPrincipal, team: Annotated[str | None, Header()] = None
    ) -> Grant:
        return Grant(principal, team or "42", frozenset(Action))

    kept = application.connected()
    before = application.verdict_of(kept, FACTORY.good())
    assert isinstance(before, Grant)
    assert isinstance(application.verdict_of(kept, before.principal), Grant)
    application.app.dependency_overrides[authorize_item] = of_team

    assert reason_of(application.verdict_of(kept, FACTORY.good())) == "query_invalid"
    asked_again = application.verdict_of(kept, before.principal)
    assert reason_of(asked_again) == "token_expired"  # its client presents all of it once more
    assert asked_again.principal is before.principal


async def _reads(websocket: WebSocket) -> Grant:
    await websocket.receive()
    raise AssertionError("there is nothing to read")


async def _accepts(websocket: WebSocket) -> Grant:
    await websocket.close()
    raise AssertionError("there is nobody to tell")


@pytest.mark.parametrize(
    ("override", "problem"), [(_reads, "cannot read"), (_accepts, "cannot send")]
)
def test_lets_no_dependency_talk_to_the_client(
    application: Application,
    override: Callable[[WebSocket], Coroutine[None, None, Grant]],
    problem: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The socket is in use: a close from here would be one in the middle of a frame."""
    application.app.dependency_overrides[authorize_item] = override

    assert reason_of(application.verdict(FACTORY.good())) == "internal"
    assert problem in caplog.text


def test_releases_what_dependencies_hold_before_it_answers(application: Application) -> None:
    """Also where they deny, and they learn that it was denied."""
    events: list[str] = []

    async def database() -> AsyncIterator[None]:
        try:
            yield
        except Forbidden:
            events.append("rolled back")
            raise
        finally:
            events.append("closed")

    async def rule(principal: CurrentPrincipal, _: Annotated[None, Depends(database)]) -> Grant:
        raise Forbidden("no")

    application.app.dependency_overrides[authorize_item] = rule
    verdict = application.verdict(FACTORY.good())

    assert reason_of(verdict) == "forbidden"
    assert events == ["rolled back", "closed"]


def test_denies_where_a_dependency_swallows_the_refusal(application: Application) -> None:
    """No grant came out of it, so there is none."""

    async def careless() -> AsyncIterator[None]:
        try:
            yield
        except Forbidden:
            return

    async def rule(principal: CurrentPrincipal, _: Annotated[None, Depends(careless)]) -> Grant:
        raise Forbidden("no")

    application.app.dependency_overrides[authorize_item] = rule

    assert reason_of(application.verdict(FACTORY.good())) == "internal"


def test_denies_on_a_route_that_asks_for_no_grant(application: Application) -> None:
    """There is nothing to refresh."""
    assert reason_of(application.verdict(FACTORY.good(), "/free/ws")) == "internal"


def test_waits_for_no_dependency_for_ever(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slower than that is a no, and what waited has let go (requirement 66)."""
    monkeypatch.setattr(deadline, "DECISION_SECONDS", 0.01)
    events: list[str] = []

    async def stuck() -> Grant:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("let go")
        raise AssertionError

    application.app.dependency_overrides[authorize_item] = stuck

    assert reason_of(application.verdict(FACTORY.good())) == "overloaded"
    assert events == ["let go"]


def test_gives_up_at_the_end_and_waits_until_all_is_let_go(application: Application) -> None:
    """A server that stops leaves no transaction open, and answers nobody."""
    events: list[str] = []
    started = asyncio.Event()

    async def stuck() -> Grant:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            events.append("let go")
        raise AssertionError

    application.app.dependency_overrides[authorize_item] = stuck

    async def scene() -> None:
        async with asyncio.timeout(5), application.reauthorizer:
            application.connected()(FACTORY.good(), lambda _: events.append("answered"))
            await started.wait()
        assert events == ["let go"]  # here, and not when the loop is closed

    asyncio.run(scene())
    assert events == ["let go"]


def test_an_answer_that_fails_is_logged(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """No task fails unseen."""

    def fails(_: Verdict) -> None:
        raise ZeroDivisionError("a fault of ours")

    async def scene() -> None:
        application.connected()(FACTORY.good(), fails)
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=5)

    asyncio.run(scene())
    assert "a fault of ours" in caplog.text
    assert "refresh_failed" in caplog.messages
