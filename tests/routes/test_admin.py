"""The admin API: who gets in, what it refuses, what it answers."""

from __future__ import annotations

import asyncio
import logging
import time

import httpx
import pytest
from fastapi import FastAPI

from api.channels.node import Node
from api.engines.base import Answer, EngineError
from api.main import create_app
from api.routes import admin
from api.settings import Settings
from auth.principal import Principal
from auth.revocation import Revocation
from tests.conftest import SECRET
from tests.fakes import JSON, RecordingTransport, principal
from tests.scenarios.clients import EVERYTHING, token

ROUTES = [
    ("POST", "/admin/revocations"),
    ("POST", "/admin/explain"),
    ("GET", "/admin/connections"),
    ("DELETE", "/admin/connections/c1"),
    ("DELETE", "/admin/subjects/alice/connections"),
    ("POST", "/admin/drain"),
]
each_route = pytest.mark.parametrize(("method", "path"), ROUTES)

Headers = dict[str, str]


@pytest.fixture
def app() -> FastAPI:
    """Give an application that has the admin API."""
    return create_app(Settings(secret=SECRET, admin=True, _env_file=None))


@pytest.fixture
def node(app: FastAPI) -> Node:
    """Give its node."""
    found: Node = app.state.node
    return found


def bearer(scope: str = "admin", subject: str = "root") -> Headers:
    """Give the header of a token with this scope."""
    return {"Authorization": f"Bearer {token(subject, scope)}"}


def call(
    app: FastAPI,
    method: str,
    path: str,
    headers: Headers | None = None,
    *,
    body: object = None,
    content: bytes | None = None,
) -> httpx.Response:
    """Make one request; as an administrator unless other headers are given."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(
                method,
                path,
                headers=bearer() if headers is None else headers,
                json=body,
                content=content,
            )

    return asyncio.run(request())


def connect(node: Node, caller: Principal) -> RecordingTransport:
    """Take in a socket."""
    transport = RecordingTransport()
    node.connect(caller, JSON, transport)
    return transport


@each_route
def test_lets_an_administrator_in(method: str, path: str, app: FastAPI) -> None:
    """The accepted twin of every refusal below."""
    bodies = {"/admin/revocations": {"token_id": "t1"}, "/admin/explain": {"token": "x"}}

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


def test_lists_connections_page_by_page(app: FastAPI, node: Node) -> None:
    """Whose they are, and no token, claim or address of them."""
    for number in range(5):
        connect(node, principal(f"s{number}"))
    ids, after = [], ""
    while True:
        page = call(app, "GET", f"/admin/connections?limit=2&after={after}").json()
        ids += [one["id"] for one in page["connections"]]
        if page["next"] is None:
            break
        after = page["next"]

    assert ids == sorted(ids)
    assert len(set(ids)) == 5
    first = page["connections"][0]
    assert sorted(first) == ["expires_at", "id", "issuer", "items", "since", "subject"]
    assert first["items"] == []
    assert first["since"] == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1"])
def test_refuses_a_page_of_no_size(limit: str, app: FastAPI) -> None:
    """A listing must not be what stops the server."""
    assert call(app, "GET", f"/admin/connections?limit={limit}").status_code == 422


def test_ends_one_connection(app: FastAPI, node: Node) -> None:
    """One that is not here may be on another node: 0 is no error."""
    transport, other = connect(node, principal()), connect(node, principal())
    id_ = node.connections(1)[0].id
    answers = [call(app, "DELETE", f"/admin/connections/{id_}").json() for _ in range(2)]

    assert answers == [{"closed": 1}, {"closed": 0}]
    assert sorted([transport.reasons, other.reasons]) == [[], ["token_revoked"]]


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        pytest.param("google/12%203", 1, id="slash-and-space"),
        pytest.param("google/12%203", 1, id="again"),
        pytest.param("google", 0, id="a-part"),
        pytest.param("google%2F12%203", 1, id="encoded"),
    ],
)
def test_ends_the_connections_of_a_subject_whatever_it_is_called(
    path: str, closed: int, app: FastAPI, node: Node
) -> None:
    """Subjects of identity providers have all kinds of marks in them; it bars nobody."""
    connect(node, principal("google/12 3"))
    answer = call(app, "DELETE", f"/admin/subjects/{path}/connections")

    assert answer.json() == {"closed": closed}
    assert node.revocations.count == 0


@pytest.mark.parametrize(("issuer", "closed"), [("https://a.test", 0), ("", 1)])
def test_ends_those_of_one_issuer_if_it_is_named(
    issuer: str, closed: int, app: FastAPI, node: Node
) -> None:
    """The same name from another issuer is another person."""
    connect(node, principal("alice"))
    query = f"?issuer={issuer}" if issuer else ""
    answer = call(app, "DELETE", f"/admin/subjects/alice/connections{query}")

    assert answer.json() == {"closed": closed}


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
    monkeypatch.setattr(admin, "ENGINE_SECONDS", 0.01)
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
    assert sorted(revocations["responses"]) == ["200", "401", "403", "413", "503"]
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
    """By which check, in the order of the checks; a client is told the reason alone (40)."""
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


def test_drains_and_says_how_many_it_ends(
    app: FastAPI, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """With who ordered it in the log, as of all that operators do."""
    transport = connect(node, principal())
    with caplog.at_level(logging.INFO):
        answer = call(app, "POST", "/admin/drain")

    assert (answer.status_code, answer.json()) == (202, {"closing": 1})
    assert transport.reasons == ["draining"]
    assert "drain" in caplog.text
    assert "root" in caplog.text


@pytest.mark.parametrize("body", [{}, {"seconds": 0}, {"seconds": 3600}, {"seconds": 0.5}])
def test_takes_the_seconds_of_a_drain(app: FastAPI, body: object) -> None:
    """Or those of the settings."""
    assert call(app, "POST", "/admin/drain", body=body).status_code == 202


@pytest.mark.parametrize(
    "body", [{"seconds": -1}, {"seconds": 3601}, {"seconds": "5"}, {"second": 5}, []]
)
def test_refuses_a_drain_that_nobody_can_mean(app: FastAPI, node: Node, body: object) -> None:
    """There is no way back from one."""
    answer = call(app, "POST", "/admin/drain", body=body)

    assert answer.status_code == 422
    assert not node.is_draining
