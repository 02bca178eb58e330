"""Tests of policy_url.py: what is asked once for many, how long it holds, and what ends it."""

from __future__ import annotations

import asyncio

import pytest

from itemwire_auth import policy_url
from itemwire_auth.errors import AuthError, Forbidden, PolicyUnavailable
from itemwire_auth.policy_url import PolicyRules, PolicyURL
from itemwire_auth.principal import Principal
from itemwire_auth.scopes import Action
from tests.auth.policy_questions import caller, with_policy
from tests.policy_server import PolicyServer, allow

pytestmark = pytest.mark.server

PATIENCE = 10.0


def test_an_answer_holds_for_its_seconds_and_no_longer(application: PolicyServer) -> None:
    """A crowd that reconnects asks once a caller; a right that was taken ends soon."""
    now = 0.0

    async def scene(policy: PolicyURL) -> list[int]:
        nonlocal now
        asked = []
        for moment in (0.0, 4.9, 5.0):
            now = moment
            await policy.authorize(caller(), "42")
            asked.append(len(application.questions))
        return asked

    assert with_policy(application, scene, clock=lambda: now) == [1, 1, 2]


def test_a_denial_holds_as_long(application: PolicyServer) -> None:
    """A client that tries again at once costs the application nothing."""
    application.answer = lambda _: allow()

    async def scene(policy: PolicyURL) -> None:
        for _ in range(3):
            with pytest.raises(Forbidden):
                await policy.authorize(caller(), "42")

    with_policy(application, scene)

    assert len(application.questions) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((caller("bob", role="buyer"), "42"), id="subject"),
        pytest.param((caller(role="buyer"), "43"), id="item"),
        pytest.param((caller(role="seller"), "42"), id="claims"),
        pytest.param((caller(role="buyer", jti="2"), "42"), id="token"),
    ],
)
def test_an_answer_is_for_one_question_only(
    application: PolicyServer, other: tuple[Principal, str]
) -> None:
    """Two tokens of one subject may have claims that make all the difference."""

    async def scene(policy: PolicyURL) -> None:
        await policy.authorize(caller(role="buyer"), "42")
        await policy.authorize(*other)

    with_policy(application, scene)

    assert len(application.questions) == 2


def test_no_seconds_means_asking_each_time(application: PolicyServer) -> None:
    """For rights that must end at once."""

    async def scene(policy: PolicyURL) -> None:
        for _ in range(2):
            await policy.authorize(caller(), "42")

    with_policy(application, scene, PolicyRules(cache_seconds=0))

    assert len(application.questions) == 2


def test_a_failure_is_not_remembered(application: PolicyServer) -> None:
    """The first caller after a restart of the application gets in."""

    async def scene(policy: PolicyURL) -> frozenset[Action]:
        application.answer = lambda _: (500, b"", {})
        with pytest.raises(PolicyUnavailable):
            await policy.authorize(caller(), "42")
        application.answer = lambda _: allow("subscribe")
        return await policy.authorize(caller(), "42")

    assert with_policy(application, scene) == {Action.SUBSCRIBE}


def test_remembers_so_many_answers_and_no_more(
    application: PolicyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not asked for longest makes place; memory is bounded whatever strangers ask."""
    monkeypatch.setattr(policy_url, "MAX_REMEMBERED", 2)

    async def scene(policy: PolicyURL) -> None:
        for item in ("1", "2", "1", "3", "1", "2"):
            await policy.authorize(caller(), item)

    with_policy(application, scene)

    assert [question["item"] for question in application.questions] == ["1", "2", "3", "2"]


def test_an_answer_that_was_asked_for_anew_is_the_latest(
    application: PolicyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that are remembered, the older makes place for a third."""
    monkeypatch.setattr(policy_url, "MAX_REMEMBERED", 2)
    now = 0.0

    async def scene(policy: PolicyURL) -> None:
        nonlocal now
        for moment, item in ((0, "1"), (3, "2"), (6, "1"), (6, "3"), (6, "1")):
            now = float(moment)
            await policy.authorize(caller(), item)

    with_policy(application, scene, clock=lambda: now)

    assert [question["item"] for question in application.questions] == ["1", "2", "1", "3"]


def test_callers_of_one_question_share_it(application: PolicyServer) -> None:
    """A page with twenty sockets asks once; one that gives up takes nothing from the others."""
    application.may_answer.clear()

    async def scene(policy: PolicyURL) -> list[frozenset[Action]]:
        tasks = [asyncio.create_task(policy.authorize(caller(), "42")) for _ in range(20)]
        assert await asyncio.to_thread(application.was_asked.wait, PATIENCE)
        tasks[0].cancel()
        application.may_answer.set()
        return await asyncio.gather(*tasks[1:])

    granted = with_policy(application, scene)

    assert granted == [{Action.SUBSCRIBE}] * 19
    assert len(application.questions) == 1


def test_questions_share_connections(application: PolicyServer) -> None:
    """A handshake costs the application a request, and not a connection too."""

    async def scene(policy: PolicyURL) -> None:
        for item in "12345":
            await policy.authorize(caller(), item)

    with_policy(application, scene)

    assert (len(application.questions), application.connections) == (5, 1)


def test_a_crowd_past_the_bound_is_told_to_come_back(
    application: PolicyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a slow application is bounded."""
    monkeypatch.setattr(policy_url, "MAX_ASKED", 1)
    application.may_answer.clear()

    async def scene(policy: PolicyURL) -> frozenset[Action]:
        first = asyncio.create_task(policy.authorize(caller(), "1"))
        assert await asyncio.to_thread(application.was_asked.wait, PATIENCE)
        with pytest.raises(PolicyUnavailable, match="in flight"):
            await policy.authorize(caller(), "2")
        application.may_answer.set()
        return await first

    assert with_policy(application, scene) == {Action.SUBSCRIBE}


def test_lets_nobody_in_when_it_is_not_open(application: PolicyServer) -> None:
    """Before its lifespan and after it; and closing ends what is in flight."""
    policy = PolicyURL(application.url)
    application.may_answer.clear()

    async def scene() -> list[AuthError | frozenset[Action] | BaseException]:
        before = await asyncio.gather(policy.authorize(caller(), "1"), return_exceptions=True)
        async with policy:
            during = asyncio.create_task(policy.authorize(caller(), "2"))
            assert await asyncio.to_thread(application.was_asked.wait, PATIENCE)
        after = await asyncio.gather(
            during, policy.authorize(caller(), "3"), return_exceptions=True
        )
        return [*before, *after]

    assert [type(outcome) for outcome in asyncio.run(scene())] == [PolicyUnavailable] * 3


def test_counts_what_it_asks_and_what_fails(application: PolicyServer) -> None:
    """For figures: an answer that is remembered is no question, a denial is no failure."""

    async def scene(policy: PolicyURL) -> tuple[int, int]:
        application.answer = lambda _: (500, b"", {})
        with pytest.raises(PolicyUnavailable):
            await policy.authorize(caller(), "42")
        application.answer = lambda _: allow("subscribe")
        for _ in range(3):
            await policy.authorize(caller(), "42")
        application.answer = lambda _: allow()
        with pytest.raises(Forbidden):
            await policy.authorize(caller(), "43")
        return policy.asked, policy.failed

    assert with_policy(application, scene) == (3, 1)


def test_forgets_its_answers_and_ends_its_questions_when_it_is_closed(
    application: PolicyServer,
) -> None:
    """An application that is started again asks again; a question in flight holds up no end."""

    async def play() -> BaseException | frozenset[Action]:
        policy = PolicyURL(application.url, PolicyRules(cache_seconds=60), lambda: 0)
        for _ in range(2):
            async with policy:
                await policy.authorize(caller(), "1")
        application.may_answer.clear()
        application.was_asked.clear()
        async with policy:
            asking = asyncio.create_task(policy.authorize(caller(), "2"))
            assert await asyncio.to_thread(application.was_asked.wait, PATIENCE)
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        application.may_answer.set()
        return outcome

    outcome = asyncio.run(play())

    assert [question["item"] for question in application.questions] == ["1", "1", "2"]
    assert isinstance(outcome, PolicyUnavailable | asyncio.CancelledError)
