"""Every path with every method: HEAD, OPTIONS, what is not allowed, and sockets without upgrade."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import httpx
import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.credentials import QUERY_NAME
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, PATIENCE, json_client, token
from tests.scenarios.conftest import Serve, fastpath_only
from tests.scenarios.raw_http import answers_to

METRICS_TOKEN = "a-token-for-metrics-that-only-tests-know"
UNLISTED = (
    "/",
    "/itemwire.js",
    "/asyncapi.json",
    "/asyncapi",
    "/console/console.css",
    "/ops",
    "/ops/operations.js",
)
SOCKETS = ("/ws", "/ws/echo", "/items/42/ws", "/items/no%20item/ws")
LAST = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def full(serve: Serve) -> Iterator[LiveServer]:
    """Run a server with every route that there is."""
    settings = Settings(secret=SECRET, admin=True, metrics_token=METRICS_TOKEN, _env_file=None)
    with serve(settings) as server:
        yield server


def credential(path: str) -> dict[str, str]:
    """Give the header that opens a path."""
    if path == "/metrics":
        return {"Authorization": f"Bearer {METRICS_TOKEN}"}
    return {"Authorization": f"Bearer {token('root', f'{EVERYTHING} admin')}"}


def paths_of(server: LiveServer) -> dict[str, set[str]]:
    """List the paths of a server with their methods, each with an item's id in it."""
    listed = httpx.get(f"{server.url}/openapi.json", timeout=PATIENCE).json()["paths"]
    paths = {path: {method.upper() for method in of} for path, of in listed.items()}
    return {
        path.replace("{item_id}", "42")
        .replace("{item}", "42")
        .replace("{connection_id}", "c")
        .replace("{subject}", "s"): of
        for path, of in {**paths, **{page: {"GET"} for page in UNLISTED}}.items()
    }


def ask(server: LiveServer, method: str, path: str) -> httpx.Response:
    """Ask, and read no body that never ends."""
    with httpx.stream(
        method, server.url + path, headers=credential(path), timeout=PATIENCE
    ) as answer:
        if "text/event-stream" not in answer.headers.get("content-type", "") or method == "HEAD":
            answer.read()
    return answer


def described(answer: httpx.Response) -> dict[str, str]:
    """Give the headers that say what the answer is, whenever it is asked for."""
    changing = {"date", "transfer-encoding"}
    if "/metrics" in str(answer.url):
        changing.add("content-length")
    return {name: value for name, value in answer.headers.items() if name not in changing}


def test_head_is_answered_as_get_without_the_body(full: LiveServer) -> None:
    """Container checks and load balancers send it (RFC 9110 section 9.3.2; requirement 139)."""
    readable = [path for path, methods in paths_of(full).items() if "GET" in methods]
    pairs = {path: (ask(full, "HEAD", path), ask(full, "GET", path)) for path in readable}

    assert len(readable) >= 12
    assert {path: head.status_code for path, (head, _) in pairs.items()} == dict.fromkeys(
        readable, 200
    )
    assert {path: described(head) for path, (head, _) in pairs.items()} == {
        path: described(get) for path, (_, get) in pairs.items()
    }
    assert [path for path, (head, _) in pairs.items() if head.content] == []


def test_nothing_of_a_body_follows_a_head(full: LiveServer) -> None:
    """The next answer on the connection would begin with it."""
    asked = b"HEAD /health/ready HTTP/1.1\r\nHost: a\r\n\r\n" * 2
    answers = answers_to(full, asked + LAST, methods="HH")

    assert [(one.status, one.body) for one in answers] == [
        (200, b""),
        (200, b""),
        (200, b'{"status":"live"}'),
    ]


def test_the_head_of_a_stream_joins_nobody(full: LiveServer) -> None:
    """A request that only asks for headers is no member, and holds no place."""
    with json_client(full, "head") as alice:
        ask(full, "HEAD", "/items/head/events")
        listed = ask(full, "GET", "/items/head/members").json()

    assert listed["members"] == [alice.member]


def test_every_path_says_what_it_takes(full: LiveServer) -> None:
    """All methods of a path, not those of its first route; OPTIONS is how a balancer asks."""
    paths = paths_of(full)
    refused = {path: ask(full, "PATCH", path) for path in paths}
    asked = {path: ask(full, "OPTIONS", path) for path in paths}

    def told(methods: set[str]) -> str:
        implied = {"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"}
        return ", ".join(sorted(methods | implied))

    expected = {path: told(methods) for path, methods in paths.items()}
    assert {path: answer.headers["allow"] for path, answer in refused.items()} == expected
    assert {answer.status_code for answer in refused.values()} == {405}
    assert {answer.json()["code"] for answer in refused.values()} == {"method_not_allowed"}
    assert {path: answer.headers["allow"] for path, answer in asked.items()} == expected
    assert {answer.status_code for answer in asked.values()} == {204}


def test_what_is_not_there_takes_nothing(full: LiveServer) -> None:
    """The twin: a path that no route has is not found, whatever the method."""
    answers = [ask(full, method, "/nope") for method in ("GET", "HEAD", "OPTIONS", "POST")]

    assert [answer.status_code for answer in answers] == [404] * 4


LOST = {
    "upgrade": {},
    "connection": {"Upgrade": "websocket"},
    "nothing": {"Upgrade": "h2c", "Connection": "Upgrade"},
}
WORDS = {
    "upgrade": "no `Upgrade` header",
    "connection": "not `Connection:",
    "nothing": "takes none",
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("path", SOCKETS)
def test_a_socket_without_its_upgrade_says_what_is_lost(
    full: LiveServer, path: str, lost: str
) -> None:
    """It is the commonest fault of a proxy's configuration, and was told as 404."""
    answer = httpx.get(full.url + path, headers=LOST[lost], timeout=PATIENCE)

    assert answer.status_code == 426
    assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "Upgrade")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "upgrade_required"
    assert WORDS[lost] in answer.json()["detail"]


@fastpath_only
def test_a_handshake_of_an_old_version_says_which_would_do(full: LiveServer) -> None:
    """Nginx spoke it by default up to 1.29; uvicorn's own classes take it for a handshake."""
    asked = b"GET /ws HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    (answer,) = answers_to(full, asked)

    assert answer.status == 426
    assert b"`proxy_http_version 1.1`" in answer.body


@pytest.mark.parametrize("path", SOCKETS)
def test_other_methods_on_a_socket_are_not_allowed(full: LiveServer, path: str) -> None:
    """Only GET begins a handshake; HEAD is told the same as that."""
    answers = {method: ask(full, method, path) for method in ("POST", "DELETE", "OPTIONS", "HEAD")}

    assert {method: answer.status_code for method, answer in answers.items()} == {
        "POST": 405,
        "DELETE": 405,
        "OPTIONS": 204,
        "HEAD": 426,
    }
    assert {answers[name].headers["allow"] for name in ("POST", "DELETE", "OPTIONS")} == {
        "GET, HEAD, OPTIONS"
    }


def test_a_lost_upgrade_is_in_the_log(
    serve: Serve, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a minute: whoever tries on must not fill it."""
    with serve(settings) as server, caplog.at_level(logging.WARNING, "itemwire.refusals"):
        for _ in range(3):
            httpx.get(f"{server.url}/ws?{QUERY_NAME}=secret-in-a-query", timeout=PATIENCE)
    lines = [line for line in caplog.messages if line.startswith("upgrade_missing")]

    assert len(lines) == 1
    assert "path='/ws' client=127.0.0.1:" in lines[0]
    assert "a proxy in between has dropped it" in lines[0]
    assert "secret-in-a-query" not in caplog.text


@pytest.mark.parametrize("path", ["/items/42/messages/", "/health/live/", "/console", "/ws/"])
def test_no_redirection_repeats_a_credential(full: LiveServer, path: str) -> None:
    """A Location stays in logs and histories, with the token of the query in it."""
    answer = httpx.get(f"{full.url}{path}?{QUERY_NAME}=secret", timeout=PATIENCE)

    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert "secret" not in json.dumps(dict(answer.headers)) + answer.text
