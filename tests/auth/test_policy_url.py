"""Tests of policy_url.py against a real HTTP server: the questions and the answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import MappingProxyType
from typing import TypeVar

import pytest

from itemwire_auth import policy_url
from itemwire_auth.errors import AuthError, Forbidden, PolicyUnavailable
from itemwire_auth.policy_url import MAX_ANSWER_BYTES, PolicyRules, PolicyURL
from itemwire_auth.principal import Principal
from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import Action
from tests.policy_server import PolicyServer, allow, policy_server

pytestmark = pytest.mark.server

PATIENCE = 10.0

T = TypeVar("T")


@pytest.fixture
def application() -> Iterator[PolicyServer]:
    """Return an application that answers questions: everybody may subscribe, by default."""
    with policy_server() as server:
        yield server


def caller(subject: str = "alice", scope: str = "", **claims: object) -> Principal:
    """Return a verified caller."""
    rights = ScopeSet.of_claims(scope)
    return Principal("https://issuer.test", subject, rights, 0, claims=MappingProxyType(claims))


def with_policy(
    application: PolicyServer,
    scene: Callable[[PolicyURL], Awaitable[T]],
    rules: PolicyRules | None = None,
    clock: Callable[[], float] = lambda: 0,
) -> T:
    """Play a scene with an open policy."""

    async def play() -> T:
        async with PolicyURL(application.url, rules, clock) as policy:
            return await scene(policy)

    return asyncio.run(play())


def ask(
    application: PolicyServer, principal: Principal, rules: PolicyRules | None = None
) -> frozenset[Action]:
    """Ask once, about the item 42."""
    return with_policy(application, lambda policy: policy.authorize(principal, "42"), rules)


def test_tells_the_application_who_wants_what(application: PolicyServer) -> None:
    """Everything it needs to decide, claims included; and a secret, so that it knows who asks."""
    nested = MappingProxyType({"of": ("red", "blue")})

    granted = ask(application, caller(team=nested), PolicyRules(token="s3cret"))

    assert granted == {Action.SUBSCRIBE}
    assert application.questions == [
        {
            "subject": "alice",
            "issuer": "https://issuer.test",
            "item": "42",
            "actions": ["subscribe", "publish", "history", "presence"],
            "claims": {"team": {"of": ["red", "blue"]}},
        }
    ]
    assert application.headers[0]["authorization"] == "Bearer s3cret"
    assert application.headers[0]["content-type"] == "application/json"


def test_its_answer_replaces_the_tokens_rights(application: PolicyServer) -> None:
    """It may grant what the token does not, and deny what the token grants."""
    application.answer = lambda question: allow(*{"bob": ["publish"]}.get(question["subject"], []))

    assert ask(application, caller("bob")) == {Action.PUBLISH}
    with pytest.raises(Forbidden, match="allows 'alice' nothing"):
        ask(application, caller("alice", "items:subscribe"))


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        pytest.param(200, b"", "not JSON", id="empty"),
        pytest.param(200, b"yes", "not JSON", id="text"),
        pytest.param(200, b'["subscribe"]', "not an object", id="list"),
        pytest.param(200, b"{}", "no list", id="no-allow"),
        pytest.param(200, b'{"allow": "subscribe"}', "no list", id="string"),
        pytest.param(200, b'{"allow": true}', "no list", id="true"),
        pytest.param(200, b'{"allow": [1]}', "no list", id="number"),
        pytest.param(200, b'{"allow": ["subscribe", "read"]}', "'read'", id="unknown-action"),
        pytest.param(200, b'{"allow": ["admin"]}', "'admin'", id="admin-is-never-its-to-give"),
        pytest.param(200, b'{"allow": ["*"]}', "'*'", id="star"),
        pytest.param(200, b'{"allow": [], "allow": ["publish"]}', "twice", id="name-twice"),
        pytest.param(200, b'{"allow": ["publish"]}' + b" " * MAX_ANSWER_BYTES, "over", id="long"),
        pytest.param(201, b'{"allow": ["publish"]}', "201", id="created"),
        pytest.param(204, b"", "204", id="no-content"),
        pytest.param(403, b'{"allow": ["publish"]}', "403", id="403"),
        pytest.param(404, b"", "404", id="404"),
    ],
)
def test_what_is_no_answer_lets_nobody_in(
    application: PolicyServer, status: int, body: bytes, cause: str
) -> None:
    """Fails closed; the operator's log has the cause (requirement 65)."""
    application.answer = lambda _: (status, body, {})

    with pytest.raises(Forbidden) as refused:
        ask(application, caller())

    assert cause in str(refused.value)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_fault_that_may_pass_says_to_come_back(application: PolicyServer, status: int) -> None:
    """A deployment of the application must not make clients give up for ever."""
    application.answer = lambda _: (status, b'{"allow": ["publish"]}', {})

    with pytest.raises(PolicyUnavailable) as refused:
        ask(application, caller())

    assert str(status) in str(refused.value)
    assert (refused.value.code, refused.value.close_code) == ("overloaded", 1013)


def test_who_answers_too_late_lets_nobody_in(application: PolicyServer) -> None:
    """An application that hangs holds no handshake for longer than that (requirement 66)."""
    application.may_answer.clear()

    with pytest.raises(PolicyUnavailable, match=r"no answer in 0\.05 s"):
        ask(application, caller(), PolicyRules(timeout=0.05))


def test_who_is_not_there_lets_nobody_in() -> None:
    """Nobody listens on the port of a server that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    async def scene() -> None:
        async with PolicyURL(url) as policy:
            await policy.authorize(caller(), "42")

    with pytest.raises(PolicyUnavailable, match="not reached"):
        asyncio.run(scene())


def test_follows_no_redirect(application: PolicyServer) -> None:
    """Claims go to the configured address and to no other."""
    application.answer = lambda _: (307, b"", {"location": f"{application.url}/elsewhere"})

    with pytest.raises(Forbidden, match="307"):
        ask(application, caller())
    assert application.paths == ["/rights"]


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


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        pytest.param("http://app.example.com/rights", "unencrypted", id="plain"),
        pytest.param("http://127.0.0.1.example.com/", "unencrypted", id="looks-local"),
        pytest.param("http://10.0.0.1/", "unencrypted", id="private"),
        pytest.param("https://user:pass@app.example.com/", "POLICY_TOKEN", id="password"),
        pytest.param("app.example.com/rights", "not a URL", id="no-scheme"),
        pytest.param("file:///etc/passwd", "not a URL", id="file"),
        pytest.param("https://", "not a URL", id="no-host"),
        pytest.param("https://[::1/", "not a URL", id="half-an-address"),
        pytest.param("https://app.example.com:70000/", "not a URL", id="port"),
    ],
)
def test_refuses_an_url_that_claims_must_not_go_to(url: str, cause: str) -> None:
    """At start-up, with what to write instead."""
    with pytest.raises(ValueError, match=cause) as refused:
        PolicyURL(url)

    assert "pass@" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "allow_http"),
    [
        pytest.param("https://app.example.com/rights", False, id="https"),
        pytest.param("http://localhost:9000/", False, id="localhost"),
        pytest.param("http://127.0.0.1:9000/", False, id="loopback"),
        pytest.param("http://[::1]:9000/", False, id="loopback-6"),
        pytest.param("http://app.internal/", True, id="plain-if-told-so"),
    ],
)
def test_takes_an_url_that_is_safe_or_said_to_be(url: str, allow_http: bool) -> None:
    """On this machine nobody is between."""
    assert isinstance(PolicyURL(url, PolicyRules(allow_http=allow_http)), PolicyURL)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("a-token-of-policy\n", id="line-break"),
        pytest.param("a-token of-policy", id="space"),
        pytest.param("a-token-of-pölicy", id="not-ascii"),
        pytest.param("", id="empty"),
    ],
)
def test_refuses_a_token_that_no_header_can_hold(token: str) -> None:
    """Each question would fail, by an error that shows the token to anyone who reads the log."""
    with pytest.raises(ValueError, match="ITEMWIRE_POLICY_TOKEN") as refused:
        PolicyRules(token=token)

    assert "a-token" not in str(refused.value)
    assert PolicyRules(token="a-token-of-policy").token == "a-token-of-policy"


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
