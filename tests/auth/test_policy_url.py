"""Tests of policy_url.py against a real HTTP server: the questions and the answers."""

from __future__ import annotations

import asyncio
import socket
from types import MappingProxyType

import pytest

from itemwire_auth.errors import Forbidden, PolicyUnavailable
from itemwire_auth.policy_url import MAX_ANSWER_BYTES, PolicyRules, PolicyURL
from itemwire_auth.scopes import Action
from tests.auth.odd_urls import CALLED, NEVER_CALLED, REDIRECTS
from tests.auth.policy_questions import ask, caller
from tests.policy_server import PolicyServer, allow

pytestmark = pytest.mark.server


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
        pytest.param(400, b"", "400", id="400"),
        pytest.param(401, b"", "401", id="401"),
        pytest.param(405, b"", "405", id="405"),
        pytest.param(429, b'{"allow": ["publish"]}', "429", id="429"),
        pytest.param(500, b'{"allow": ["publish"]}', "500", id="500"),
        pytest.param(502, b"<html>", "502", id="502"),
        pytest.param(503, b"", "503", id="503"),
    ],
)
def test_what_is_no_answer_lets_nobody_in_and_judges_nobody(
    application: PolicyServer, status: int, body: bytes, cause: str
) -> None:
    """Fails closed, and says to come back: nothing was decided (requirements 65 and 134)."""
    application.answer = lambda _: (status, body, {})

    with pytest.raises(PolicyUnavailable) as refused:
        ask(application, caller())

    assert cause in str(refused.value)
    assert (refused.value.code, refused.value.close_code) == ("overloaded", 1013)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_some_statuses_are_a_no(application: PolicyServer, status: int) -> None:
    """What a framework answers where its own rules refuse, or know no such item."""
    application.answer = lambda _: (status, b'{"allow": ["publish"]}', {})

    with pytest.raises(Forbidden, match=str(status)):
        ask(application, caller())


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


@pytest.mark.parametrize("location", [pytest.param(to, id=name) for name, to in REDIRECTS.items()])
def test_follows_no_redirect(application: PolicyServer, location: str) -> None:
    """Claims go to the configured address and to no other, and a broken one judges nobody."""
    where = location.encode().decode("latin-1")
    application.answer = lambda _: (307, b"", {"location": where})

    with pytest.raises(PolicyUnavailable, match="307"):
        ask(application, caller())
    assert application.paths == ["/rights"]


def test_asks_no_proxy_that_the_environment_names(
    application: PolicyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would see every caller's claims, and could answer in the application's place."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert ask(application, caller()) == {Action.SUBSCRIBE}


def test_a_cookie_of_one_answer_goes_with_no_other_question(application: PolicyServer) -> None:
    """An application that begins a session for alice would find it again when bob is asked for."""
    application.answer = lambda _: (*allow("publish")[:2], {"set-cookie": "session=1; Path=/"})

    async def scene() -> None:
        async with PolicyURL(application.url, PolicyRules(cache_seconds=0)) as policy:
            for name in ("alice", "bob"):
                assert await policy.authorize(caller(name), "42") == {Action.PUBLISH}

    asyncio.run(scene())
    assert [headers.get("cookie") for headers in application.headers] == [None, None]


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
        *(pytest.param(url, "not a URL", id=name) for name, url in NEVER_CALLED.items()),
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
        *(pytest.param(url, False, id=name) for name, url in CALLED.items()),
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
