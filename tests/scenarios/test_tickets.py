"""One-time tickets as a client has them: fetched over HTTP, used up on a socket."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx
import pytest
from typing_extensions import override
from websockets.exceptions import ConnectionClosed, InvalidStatus

from itemwire.engines.base import Answer, Bounds, EngineError
from itemwire.engines.memory import MemoryEngine
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from tests.conftest import SECRET
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    JsonClient,
    close_of,
    closed,
    item_path,
    many_client,
    token,
)
from tests.scenarios.conftest import Door, Serve, Timed

APP = "https://app.example.com"


def ask(server: LiveServer, credential: str, **wanted: str) -> httpx.Response:
    """Ask for a ticket with a bearer token."""
    return httpx.post(
        f"{server.url}/auth/tickets",
        headers={"Authorization": f"Bearer {credential}"},
        json=wanted or None,
        timeout=PATIENCE,
    )


def fetch(server: LiveServer, credential: str, **wanted: str) -> str:
    """Get a ticket."""
    response = ask(server, credential, **wanted)
    assert response.status_code == 200, response.text
    return str(response.json()["ticket"])


def test_a_ticket_opens_one_socket(door: Door) -> None:
    """Its URL is worth nothing to anyone who reads it in a log afterwards (requirement 22)."""
    path = item_path("42", {"ticket": fetch(door.server, door.tokens.good())})

    assert door.welcomes(path)
    assert door.refusal(path) == door.says("ticket_invalid")


def test_a_ticket_opens_a_socket_of_many_items(server: LiveServer, item_id: str) -> None:
    """It is used up at the handshake; the joins go by what it stood for."""
    ticket = fetch(server, token(scope=f"items:{item_id}:subscribe"))
    with many_client(server, query=f"ticket={ticket}") as many:
        assert many.ask("join", item=item_id)["can"] == ["subscribe"]
        assert many.ask("join", item="another")["code"] == "forbidden"


def test_of_two_that_race_one_gets_in(server: LiveServer, item_id: str) -> None:
    """Both send the same ticket at the same time (requirement 22)."""
    ready = Barrier(2)

    def come(path: str) -> str:
        ready.wait(PATIENCE)
        with server.connect(path, subprotocols=(JSON,)) as connection:
            try:
                return str(JsonClient(connection).welcome["type"])
            except ConnectionClosed as ended:
                return close_of(ended)[1]

    for _ in range(5):
        path = item_path(item_id, {"ticket": fetch(server, token())})
        with ThreadPoolExecutor(2) as clients:
            assert sorted(clients.map(come, [path, path])) == ["ticket_invalid", "welcome"]


@pytest.mark.parametrize("bad", ["", "x", "A" * 43, "{good}x", "%20{good}", "{good}%0A"])
def test_refuses_what_is_no_ticket(door: Door, bad: str) -> None:
    """Unknown, cut, padded: one reason for all."""
    good = fetch(door.server, door.tokens.good())
    bare = item_path("42")

    assert door.refusal(f"{bare}ticket={bad.format(good=good)}") == door.says("ticket_invalid")
    assert door.welcomes(f"{bare}ticket={good}")


def test_two_tickets_are_one_too_many(door: Door) -> None:
    """Parameter pollution (requirement 21); neither is spent by it."""
    first, second = (fetch(door.server, door.tokens.good()) for _ in range(2))
    bare = item_path("42")

    assert door.refusal(f"{bare}ticket={first}&ticket={second}") == door.says("credentials_invalid")
    assert door.welcomes(f"{bare}ticket={first}")
    assert door.welcomes(f"{bare}ticket={second}")


def test_a_bound_ticket_is_good_in_its_place_only(door: Door) -> None:
    """At its item and from its page (requirement 23)."""

    def bound() -> dict[str, str]:
        wanted = {"item": "42", "origin": APP}
        return {"ticket": fetch(door.server, door.tokens.good(), **wanted)}

    app, evil = {"Origin": APP}, {"Origin": "https://evil.test"}

    assert door.welcomes(item_path("42", bound()), headers=app)
    for path, headers in (
        (item_path("43", bound()), app),
        (item_path("42", bound()), evil),
        (item_path("42", bound()), {}),
        (f"/ws/echo?ticket={bound()['ticket']}", app),
    ):
        assert door.refusal(path, headers=headers) == door.says("ticket_invalid")


def test_a_ticket_grants_what_its_token_grants(server: LiveServer, item_id: str) -> None:
    """No more: the item's rule is asked as with the token."""
    reader = token("bob", "items:7:subscribe")
    path = item_path(item_id, {"ticket": fetch(server, reader)})

    refusal = server.refusal(path)
    own = item_path("7", {"ticket": fetch(server, reader)})
    with server.connect(own, subprotocols=(JSON,)) as connection:
        welcome = JsonClient(connection).welcome

    assert (refusal.code, refusal.reason) == (1008, "forbidden")
    assert (welcome["subject"], welcome["can"]) == ("bob", ["subscribe"])


def test_a_socket_that_a_ticket_opened_ends_with_the_token(timed: Timed, item_id: str) -> None:
    """The ticket is the way in, not a longer stay."""
    path = item_path(item_id, {"ticket": fetch(timed.server, token(lifetime=100))})
    with timed.server.connect(path) as connection:
        timed.clock.advance(100)

        assert closed(connection) == (1008, "token_expired")


def test_the_answer_says_how_long_it_is_good_and_is_kept_nowhere(server: LiveServer) -> None:
    """Half a minute, or as long as the token if that is less (requirements 23, 26)."""
    began = int(time.time())
    response = ask(server, token())
    between = time.time()
    brief = ask(server, token(lifetime=20))
    ended = time.time()

    assert response.headers["cache-control"] == "no-store"
    assert set(response.json()) == {"ticket", "expires_at"}
    assert began + 30 <= response.json()["expires_at"] <= between + 30
    assert int(between) + 20 <= brief.json()["expires_at"] <= ended + 20


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        pytest.param({}, 200, None, id="nothing"),
        pytest.param({"item": "order:42"}, 200, None, id="item"),
        pytest.param({"item": None, "origin": None}, 200, None, id="nulls"),
        pytest.param({"item": "a b"}, 403, "item_invalid", id="no-item"),
        pytest.param({"item": 42}, 422, None, id="number"),
        pytest.param({"origin": "example.com"}, 422, None, id="no-origin"),
        pytest.param({"origin": "null"}, 422, None, id="null-origin"),
        pytest.param({"seconds": 3600}, 422, None, id="unknown-field"),
        pytest.param([], 422, None, id="list"),
        pytest.param({"item": "x" * 5000}, 413, None, id="too-long"),
    ],
)
def test_takes_a_body_that_says_where_it_is_to_be_good(
    server: LiveServer, body: object, status: int, detail: str | None
) -> None:
    """What is not understood is refused: a binding that was misspelt must not be no binding."""
    response = httpx.post(
        f"{server.url}/auth/tickets", json=body, headers={"Authorization": f"Bearer {token()}"}
    )

    assert response.status_code == status
    assert detail is None or response.json()["detail"] == detail


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"origin": "\\ud800"}', id="half-a-surrogate-pair"),
        pytest.param('{"\\ud800": 1}', id="half-a-surrogate-pair-as-a-name"),
        pytest.param('{"origin": NaN}', id="no-number"),
        pytest.param('{"seconds": "sent-by-mistake"}', id="what-may-be-a-secret"),
    ],
)
def test_a_refused_body_is_not_repeated(server: LiveServer, body: str) -> None:
    """FastAPI's answer holds what was sent, and was a 500 where JSON cannot be made of that."""
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}

    response = httpx.post(f"{server.url}/auth/tickets", content=body, headers=headers)

    assert response.status_code == 422
    assert {name for fault in response.json()["detail"] for name in fault} == {"type", "loc", "msg"}
    assert "sent-by-mistake" not in response.text


def test_a_ticket_makes_no_ticket_and_is_not_spent_by_trying(
    server: LiveServer, item_id: str
) -> None:
    """Else half a minute would be for ever."""
    ticket = fetch(server, token())
    url = f"{server.url}/auth/tickets?ticket={ticket}"
    bearer = {"Authorization": f"Bearer {token()}"}

    answers = [httpx.post(url), httpx.post(url, headers=bearer)]

    assert [(one.status_code, one.json()["detail"]) for one in answers] == [
        (401, "ticket_invalid")
    ] * 2
    with server.connect(item_path(item_id, {"ticket": ticket}), subprotocols=(JSON,)) as connection:
        assert JsonClient(connection).welcome["subject"] == "alice"


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        pytest.param({}, 401, "credentials_missing", id="stranger"),
        pytest.param({"Authorization": "Bearer x"}, 401, "credentials_invalid", id="bad-token"),
        pytest.param({"Cookie": "{}"}, 403, "origin_denied", id="cookie-without-origin"),
        pytest.param(
            {"Cookie": "{}", "Origin": "https://evil.test"}, 403, "origin_denied", id="foreign-page"
        ),
        pytest.param({"Cookie": "{}", "Origin": "own"}, 200, None, id="own-page"),
        pytest.param({"Cookie": "{}", "Origin": APP}, 200, None, id="listed-page"),
    ],
)
def test_who_may_have_a_ticket(
    door: Door, headers: dict[str, str], status: int, detail: str | None
) -> None:
    """A foreign page must not make a browser fetch one with its cookie (CSRF, CWE-352)."""
    sent = {
        name: {"{}": f"session={door.tokens.good()}", "own": door.server.url}.get(value, value)
        for name, value in headers.items()
    }
    response = httpx.post(f"{door.server.url}/auth/tickets", headers=sent)

    assert response.status_code == status
    assert detail is None or response.json()["detail"] == detail


def test_a_token_in_the_query_gets_an_answer_that_is_kept_nowhere(server: LiveServer) -> None:
    """Allowed as elsewhere; what the URL told, the answer must not (requirement 26)."""
    good, bad = (httpx.post(f"{server.url}/auth/tickets?token={it}") for it in (token(), "x"))
    page = httpx.get(f"{server.url}/?token=x")
    with pytest.raises(InvalidStatus) as nowhere:
        server.connect("/nowhere?token=x")

    denied = nowhere.value.response
    assert [good.status_code, bad.status_code, page.status_code] == [200, 401, 200]
    assert (denied.status_code, denied.body or b"") == (403, b"")
    for headers in (good.headers, bad.headers, page.headers, httpx.Headers(denied.headers)):
        assert headers.get_list("cache-control") == ["no-store"]
        assert headers.get_list("referrer-policy") == ["no-referrer"]


def test_the_query_can_be_kept_for_tickets(serve: Serve, item_id: str) -> None:
    """Whatever stands in a URL is then good once (requirement 22)."""
    settings = Settings(secret=SECRET, query_tokens=False, _env_file=None)
    with serve(settings) as server:
        refusal = server.refusal(item_path(item_id, {"token": token()}))
        path = item_path(item_id, {"ticket": fetch(server, token())})
        with server.connect(path, subprotocols=(JSON,)) as connection:
            assert JsonClient(connection).welcome["subject"] == "alice"

    assert (refusal.code, refusal.reason) == (1008, "credentials_invalid")


class Away(MemoryEngine):
    """An engine whose store cannot be reached."""

    is_away = False

    @override
    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        if self.is_away:
            answer(EngineError("connection refused"))
        else:
            super().put(key, value, seconds, answer)

    @override
    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        if self.is_away:
            answer(EngineError("connection refused"))
        else:
            super().take(key, answer)


@pytest.mark.parametrize("mode", ["close", "http"])
def test_nobody_gets_in_by_a_ticket_while_the_store_is_away(
    serve: Serve, item_id: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused as the server's trouble and not the ticket's; it is good again afterwards."""
    engines: list[Away] = []

    def open_engine(_url: str, bounds: Bounds, _name: str) -> Away:
        engines.append(Away(bounds))
        return engines[-1]

    monkeypatch.setattr("itemwire.assembly.open_engine", open_engine)
    settings = Settings.model_validate({"secret": SECRET, "refusal": mode})
    with serve(settings) as server:
        path = item_path(item_id, {"ticket": fetch(server, token())})
        engines[0].is_away = True
        refusal, asked = server.refusal(path), ask(server, token())
        engines[0].is_away = False
        with server.connect(path, subprotocols=(JSON,)) as connection:
            assert JsonClient(connection).welcome["subject"] == "alice"

    body = json.dumps(
        {"code": 1013, "reason": "overloaded", "retry": "later"}, separators=(",", ":")
    )
    denied = Refusal(503, body=body.encode())
    assert refusal == (denied if mode == "http" else Refusal(101, 1013, "overloaded"))
    assert (asked.status_code, asked.json()["detail"]) == (503, "overloaded")


def test_one_subject_cannot_fill_the_store(serve: Serve, item_id: str) -> None:
    """Past its bound it is told to come back, and others get theirs (requirement 125)."""
    settings = Settings(secret=SECRET, ticket_rate=0, max_tickets=3, _env_file=None)
    with serve(settings) as server:
        greedy = token("greedy")
        values = [fetch(server, greedy) for _ in range(3)]
        refused = ask(server, greedy)

        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert ask(server, token("other")).status_code == 200
        with server.connect(item_path(item_id, {"ticket": values[0]})):
            assert ask(server, greedy).status_code == 200
        assert ask(server, greedy).status_code == 429


def test_tickets_have_a_rate(serve: Serve) -> None:
    """Twice the rate at once is fine (requirement 125)."""
    settings = Settings(secret=SECRET, ticket_rate=0.5, max_tickets=0, _env_file=None)
    with serve(settings) as server:
        seen = [ask(server, token("hasty")).status_code for _ in range(3)]

    assert seen == [200, 429, 429]
