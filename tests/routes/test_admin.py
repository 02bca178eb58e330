"""The admin API: its callers, revocations, and explanations."""

from __future__ import annotations

import logging
import time

import pytest
from fastapi import FastAPI

from itemwire.channels import timely_answers
from itemwire.channels.node import Node
from itemwire.engines.base import Answer, EngineError
from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire_auth.revocation import Revocation
from tests.conftest import SECRET
from tests.fakes import principal
from tests.routes.administrator import bearer, call, connect
from tests.scenarios.clients import EVERYTHING, token

ROUTES = [
    ("POST", "/admin/revocations"),
    ("POST", "/admin/explain"),
    ("GET", "/admin/connections"),
    ("DELETE", "/admin/connections/c1"),
    ("DELETE", "/admin/subjects/alice/connections"),
    ("POST", "/admin/drain"),
    ("GET", "/admin/channels"),
    ("GET", "/admin/channels/42"),
    ("DELETE", "/admin/channels/42/history"),
    ("POST", "/admin/channels/42/messages"),
    ("GET", "/admin/nodes"),
    ("GET", "/admin/stats"),
]
each_route = pytest.mark.parametrize(("method", "path"), ROUTES)


@each_route
def test_lets_an_administrator_in(method: str, path: str, app: FastAPI) -> None:
    """The accepted twin of every refusal below."""
    bodies = {
        "/admin/revocations": {"token_id": "t1"},
        "/admin/explain": {"token": "x"},
        "/admin/channels/42/messages": {},
    }

    assert call(app, method, path, body=bodies.get(path)).is_success


@each_route
def test_is_not_there_unless_it_is_switched_on(method: str, path: str) -> None:
    """What nobody asked for is no way in (requirement 67)."""
    app = create_app(Settings(secret=SECRET, _env_file=None))

    assert call(app, method, path).status_code == 404


@each_route
def test_refuses_who_has_no_token(method: str, path: str, app: FastAPI) -> None:
    """Before anything of the request is looked at: the body may be anything."""
    answer = call(app, method, path, {}, content=b"{" if method == "POST" else None)

    assert (answer.status_code, answer.json()["detail"]) == (401, "credentials_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


@each_route
@pytest.mark.parametrize(
    "scope",
    ["", EVERYTHING, "notadmin", "admin:read", "items:*:admin", "items:admin", "*", "Admin"],
)
def test_refuses_a_token_of_a_user(method: str, path: str, scope: str, app: FastAPI) -> None:
    """`admin` is a word of its own that nothing else implies (requirements 60 and 67)."""
    answer = call(app, method, path, bearer(scope))

    assert (answer.status_code, answer.json()["detail"]) == (403, "scope_missing")


@each_route
def test_takes_no_credential_that_a_browser_sends_or_an_address_shows(
    method: str, path: str, app: FastAPI
) -> None:
    """A foreign page can make a cookie travel, and a query ends in logs."""
    admin_token = token("root", "admin")
    cookie = {"Cookie": f"session={admin_token}", "Origin": "http://localhost"}

    assert call(app, method, path, cookie).status_code == 401
    assert call(app, method, f"{path}?token={admin_token}", {}).status_code == 401


def test_a_revoked_administrator_is_none(app: FastAPI, node: Node) -> None:
    """The admin API is a door like any other."""
    headers = bearer()
    node.revocations.add(Revocation(time.time() + 60, subject="root"))
    answer = call(app, "GET", "/admin/connections", headers)

    assert (answer.status_code, answer.json()["detail"]) == (401, "token_revoked")


def test_does_not_read_all_that_is_sent(app: FastAPI) -> None:
    """A body of a gigabyte would be held in memory as a whole."""
    answer = call(app, "POST", "/admin/revocations", content=b" " * 16_385)

    assert (answer.status_code, answer.json()["detail"]) == (413, "message_too_big")
    assert call(app, "POST", "/admin/revocations", {}, content=b" " * 99_999).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param([], id="a-list"),
        pytest.param({"token_id": "t", "subject": "alice"}, id="two-things"),
        pytest.param({"session": "s", "subject": "alice"}, id="a-session-and-a-subject"),
        pytest.param({"session": ""}, id="empty-session"),
        pytest.param({"token_id": "t", "issued_before": 5}, id="a-token-by-date"),
        pytest.param({"token_id": ""}, id="empty"),
        pytest.param({"subject": "a" * 257}, id="long"),
        pytest.param({"subject": 5}, id="a-number"),
        pytest.param({"subject": "alice", "isued_before": 5}, id="misspelt"),
        pytest.param({"subject": "alice", "issued_before": "5"}, id="a-date-as-text"),
        pytest.param({"subject": "alice", "until": True}, id="a-date-that-is-true"),
        pytest.param({"subject": "alice", "until": 5}, id="until-the-past"),
        pytest.param({"subject": "alice", "until": time.time() * 1000}, id="until-in-ms"),
        pytest.param({"subject": "alice", "issued_before": time.time() * 1000}, id="ms"),
        pytest.param({"subject": "alice", "reauth_margin_seconds": -1}, id="a-margin-behind"),
        pytest.param({"subject": "alice", "reauth_margin_seconds": 301}, id="a-long-margin"),
        pytest.param({"subject": "alice", "reauth_margin_seconds": True}, id="a-margin-of-true"),
    ],
)
def test_refuses_what_nobody_can_mean(body: object, app: FastAPI, node: Node) -> None:
    """A misspelt field would lock somebody out who was to be logged out."""
    transport = connect(node, principal())
    answer = call(app, "POST", "/admin/revocations", body=body)

    assert answer.status_code == 422
    assert '"input":' not in answer.text
    assert (node.revocations.count, transport.reasons) == (0, [])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b'{"subject":"\\ud800"}'])
def test_refuses_what_is_no_json(content: bytes, app: FastAPI) -> None:
    """With an answer, and never with a failure of ours."""
    assert call(app, "POST", "/admin/revocations", content=content).status_code == 422


def test_revokes_and_tells_how_many_ended(
    app: FastAPI, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """And one line says who did it and why (requirement 104)."""
    caplog.set_level(logging.INFO, "itemwire.auth")
    transports = [connect(node, principal(name)) for name in ("alice", "alice", "bob")]
    body = {"subject": "alice", "issued_before": time.time(), "reason": "lost\nphone"}
    answer = call(app, "POST", "/admin/revocations", body=body)

    assert (answer.status_code, answer.json()) == (200, {"closed": 2, "expiring": 0})
    assert [transport.reasons for transport in transports] == [["token_revoked"]] * 2 + [[]]
    (line,) = [line for line in caplog.messages if line.startswith("administered")]
    assert "action=revoke" in line
    assert "subject='alice'" in line
    assert "reason='lost\\nphone'" in line
    assert "closed=2 by='root'" in line


def test_tells_how_many_have_a_margin_left(
    app: FastAPI, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """They have not ended: who logs somebody out must not believe so."""
    caplog.set_level(logging.INFO, "itemwire.auth")
    transports = [connect(node, principal(name)) for name in ("alice", "alice", "bob")]
    body = {"subject": "alice", "reauth_margin_seconds": 300}
    answer = call(app, "POST", "/admin/revocations", body=body)

    assert (answer.status_code, answer.json()) == (200, {"closed": 0, "expiring": 2})
    assert [transport.reasons for transport in transports] == [[]] * 3
    assert "reauth_margin_seconds=300" in caplog.text


def test_keeps_a_revocation_for_as_long_as_tokens_live(app: FastAPI, node: Node) -> None:
    """Unless it is told until when."""
    call(app, "POST", "/admin/revocations", body={"token_id": "default"})
    call(app, "POST", "/admin/revocations", body={"token_id": "own", "until": time.time() + 60})

    kept = {one.token_id: one.until - time.time() for (one,) in node.revocations._entries.values()}
    assert kept == {"default": pytest.approx(2_592_000, abs=5), "own": pytest.approx(60, abs=5)}


def test_an_engine_that_fails_is_told_and_logged(
    app: FastAPI, node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Done here; who asked must know that other nodes do not know (requirement 74)."""

    def post(_notice: bytes, _until: float, answer: Answer[None]) -> None:
        answer(EngineError("it is away"))

    monkeypatch.setattr(node._engine, "post", post)
    transport = connect(node, principal())
    answer = call(app, "POST", "/admin/revocations", body={"subject": "alice"})

    assert (answer.status_code, answer.json()["detail"]) == (503, "overloaded")
    assert transport.reasons == ["token_revoked"]
    assert "it is away" in caplog.text


def test_an_engine_that_never_answers_is_not_waited_for(
    app: FastAPI, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an answer that comes too late harms nobody."""
    answers: list[Answer[None]] = []
    monkeypatch.setattr(timely_answers, "REFUSE_SECONDS", 0.01)
    monkeypatch.setattr(node._engine, "answers_at_once", False)
    monkeypatch.setattr(node._engine, "post", lambda _n, _u, answer: answers.append(answer))
    answer = call(app, "DELETE", "/admin/connections/c1")
    answers[0](None)

    assert answer.status_code == 503


def test_openapi_has_it_only_when_it_is_there(app: FastAPI) -> None:
    """With its bodies, answers and the credential it takes."""
    paths = app.openapi()["paths"]
    without = create_app(Settings(secret=SECRET, _env_file=None)).openapi()["paths"]

    assert not [path for path in without if path.startswith("/admin")]
    revocations = paths["/admin/revocations"]["post"]
    schema = revocations["requestBody"]["content"]["application/json"]["schema"]
    assert "issued_before" in schema["properties"]
    assert sorted(revocations["responses"]) == (
        ["200", "400", "401", "403", "408", "413", "414", "415", "422", "429", "431", "500", "503"]
    )
    assert revocations["security"] == [{"HTTPBearer": []}]


@pytest.mark.parametrize(
    ("scope", "asked", "reason", "last"),
    [
        pytest.param(EVERYTHING, ("42", "publish"), None, "action", id="accepted"),
        pytest.param("items:subscribe", ("42", "publish"), "scope_missing", "action", id="right"),
        pytest.param(EVERYTHING, ("a/b", "publish"), "item_invalid", "item", id="item"),
        pytest.param(EVERYTHING, (None, None), None, "revoked", id="token-alone"),
    ],
)
def test_explains_what_would_be_decided(
    app: FastAPI, scope: str, asked: tuple[str | None, str | None], reason: str | None, last: str
) -> None:
    """By which check, in their order; a client is told the reason alone (requirement 40)."""
    body = {"token": token("alice", scope), "item": asked[0], "action": asked[1]}
    answer = call(app, "POST", "/admin/explain", body=body).json()

    assert (answer["accepted"], answer["reason"]) == (reason is None, reason)
    reached = [row["check"] for row in answer["checks"] if row["passed"] is not None]
    assert reached[-1] == last


def test_explains_that_a_token_was_taken_back(app: FastAPI) -> None:
    """As a handshake would be told; the same token was accepted before."""
    body = {"token": token("alice", EVERYTHING), "item": "42"}
    before = call(app, "POST", "/admin/explain", body=body).json()
    call(app, "POST", "/admin/revocations", body={"subject": "alice"})
    after = call(app, "POST", "/admin/explain", body=body).json()

    assert (before["accepted"], before["reason"]) == (True, None)
    assert (after["accepted"], after["reason"]) == (False, "token_revoked")
    assert [row["check"] for row in after["checks"] if row["passed"] is False] == ["revoked"]


def test_explains_a_bad_token_without_showing_it(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator sees which check failed; the token is in no answer and no log."""
    bad = token("alice") + "x"
    with caplog.at_level(logging.INFO):
        answer = call(app, "POST", "/admin/explain", body={"token": bad})

    assert answer.json()["reason"] == "credentials_invalid"
    assert bad not in answer.text + caplog.text
    assert "explain" in caplog.text


def test_an_administrator_has_a_rate_like_everybody() -> None:
    """What fills the table of revocations is bounded per subject, too (requirement 125)."""
    settings = Settings(
        secret=SECRET, admin=True, request_rate=1, subject_rate_factor=1, _env_file=None
    )
    app = create_app(settings)
    bodies = [{"token_id": f"t{number}"} for number in range(3)]
    seen = [call(app, "POST", "/admin/revocations", body=body) for body in bodies]

    assert [answer.status_code for answer in seen] == [200, 200, 429]
    assert seen[-1].json()["code"] == "rate_limited"
    assert int(seen[-1].headers["retry-after"]) >= 1
    other = bearer(subject="other")
    assert call(app, "POST", "/admin/revocations", other, body=bodies[2]).status_code == 200
