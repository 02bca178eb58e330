"""Publishing and reading over HTTP on real servers: what a backend sees."""

from __future__ import annotations

import httpx
import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import EVERYTHING, PATIENCE, json_client, plain_client, token

BINARY = {"Content-Type": "application/octet-stream"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


def ask(
    server: LiveServer,
    method: str,
    path: str,
    *,
    content: bytes | None = None,
    json: object = None,
    scope: str = EVERYTHING,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Make a request as `backend`."""
    sent = {"Authorization": f"Bearer {token('backend', scope)}", **(headers or {})}
    url = server.url + path
    return httpx.request(method, url, headers=sent, content=content, json=json, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("body", "headers", "data", "frame"),
    [
        pytest.param(b' {"a": [1]}\n', JSON, {"a": [1]}, '{"a": [1]}', id="json"),
        pytest.param(b'"\\u00e9"', JSON, "é", "é", id="json-text"),
        pytest.param("é".encode(), TEXT, "é", "é", id="text"),
        pytest.param(b"\x00\xff", BINARY, "AP8=", b"\x00\xff", id="binary"),
    ],
)
def test_a_message_is_what_a_socket_would_have_sent(
    server: LiveServer,
    item_id: str,
    *,
    body: bytes,
    headers: dict[str, str],
    data: object,
    frame: str | bytes,
) -> None:
    """For every listener, of every codec; whose it is comes from the token (requirement 63)."""
    with json_client(server, item_id) as alice, plain_client(server, item_id) as bob:
        path = f"/items/{item_id}/messages"
        answer = ask(server, "POST", path, content=body, headers=headers)
        (message,) = alice.messages(1)
        received = bob.recv(timeout=PATIENCE)

    assert answer.status_code == 201
    assert answer.json() == {"epoch": alice.welcome["epoch"], "offset": 1}
    assert (message["data"], message["sender"], received) == (data, "backend", frame)


def test_a_repeated_key_stores_nothing_twice(server: LiveServer, item_id: str) -> None:
    """A backend whose answer was lost asks again, and gets it (requirement 111)."""
    path = f"/items/{item_id}/messages"
    keyed = {"Idempotency-Key": "order-7"}
    first, again = [ask(server, "POST", path, json=n, headers=keyed) for n in (1, 2)]
    other = ask(server, "POST", path, json=3)
    history = ask(server, "GET", path).json()

    assert first.json() == again.json()
    assert other.json()["offset"] == 2
    assert [one["data"] for one in history["messages"]] == [1, 3]


def test_a_batch_answers_for_each_message(server: LiveServer, item_id: str) -> None:
    """What is refused holds up nothing, and is told whether asking again may help."""
    scope = f"items:{item_id}:publish items:{item_id}:history"
    wanted = [
        {"item": item_id, "data": "one", "key": "k"},
        {"item": "another", "data": "no"},
        {"item": "no item", "data": "no"},
        {"item": item_id, "data": {"two": 2}},
        {"item": item_id, "data": "one again", "key": "k"},
        {"item": item_id},
        {"item": item_id, "data": "x" * 70_000},
    ]
    answer = ask(server, "POST", "/messages", json={"messages": wanted}, scope=scope)
    history = ask(server, "GET", f"/items/{item_id}/messages", scope=scope).json()
    results = answer.json()["results"]
    epoch = history["epoch"]

    assert answer.status_code == 200
    assert [one.get("code") or one for one in results] == [
        {"epoch": epoch, "offset": 1},
        "forbidden",
        "item_invalid",
        {"epoch": epoch, "offset": 2},
        {"epoch": epoch, "offset": 1},
        "payload_invalid",
        "message_too_big",
    ]
    assert {one["temporary"] for one in results if "code" in one} == {False}
    assert [one["data"] for one in history["messages"]] == ["one", {"two": 2}]


def test_history_is_read_in_both_directions(server: LiveServer, item_id: str) -> None:
    """As on a socket: the newest, or the oldest after an offset."""
    path = f"/items/{item_id}/messages"
    for number in range(1, 6):
        ask(server, "POST", path, json=number)

    def read(query: str) -> tuple[list[object], bool]:
        page = ask(server, "GET", path + query).json()
        assert page["offset"] == 5
        return [one["data"] for one in page["messages"]], page["complete"]

    assert read("") == ([1, 2, 3, 4, 5], True)
    assert read("?limit=2") == ([4, 5], False)
    assert read("?after=1&limit=2") == ([2, 3], False)
    assert read("?after=3") == ([4, 5], True)
    assert read("?before=3") == ([1, 2], True)


def test_members_are_those_who_listen(server: LiveServer, item_id: str) -> None:
    """A caller that only publishes is not a member."""
    with json_client(server, item_id) as alice:
        listed = ask(server, "GET", f"/items/{item_id}/members").json()

    assert listed == {"members": [alice.member], "count": 1}


def test_members_are_read_page_by_page(server: LiveServer, item_id: str) -> None:
    """A crowd is not one answer; how many there are is asked for alone."""
    path = f"/items/{item_id}/members"
    with json_client(server, item_id) as alice, json_client(server, item_id) as bob:
        first = ask(server, "GET", f"{path}?limit=1").json()
        second = ask(server, "GET", f"{path}?limit=1&after={first['next']}").json()
        count = ask(server, "GET", f"{path}?limit=0").json()

    both = sorted([alice.member, bob.member], key=lambda one: str(one["connection"]))
    assert first == {"members": both[:1], "count": 2, "next": both[0]["connection"]}
    assert second == {"members": both[1:], "count": 2}
    assert (count["members"], count["count"]) == ([], 2)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        pytest.param("POST", "/items/{}/messages", "items:publish", id="publish"),
        pytest.param("GET", "/items/{}/messages", "items:history", id="history"),
        pytest.param("GET", "/items/{}/members", "items:presence", id="members"),
    ],
)
def test_each_right_opens_its_own_route(
    server: LiveServer, item_id: str, method: str, path: str, scope: str
) -> None:
    """A publisher's token reads nothing, a reader's publishes nothing (requirement 62)."""
    others = " ".join(set(EVERYTHING.split()) - {scope})
    body = "1" if method == "POST" else None
    answers = [
        ask(server, method, path.format(item_id), json=body, scope=one)
        for one in (scope, others, f"items:elsewhere:{scope.removeprefix('items:')}")
    ]
    stranger = httpx.request(method, server.url + path.format(item_id))

    assert [one.status_code for one in answers] == [201 if body else 200, 403, 403]
    assert [one.json()["code"] for one in answers[1:]] == ["scope_missing", "forbidden"]
    assert (stranger.status_code, stranger.json()["code"]) == (401, "credentials_missing")
    assert stranger.headers["www-authenticate"] == "Bearer"


def test_a_body_over_the_limit_is_refused_before_it_has_come(
    server: LiveServer, item_id: str
) -> None:
    """And not only when it is all in memory (requirement 102)."""
    path = f"/items/{item_id}/messages"
    fits, big = [ask(server, "POST", path, content=b"x" * n, headers=TEXT) for n in (65536, 65537)]

    assert (fits.status_code, big.status_code) == (201, 413)
    assert big.json() == {
        "type": "about:blank",
        "title": big.json()["title"],  # as this Python names the status
        "status": 413,
        "detail": "message_too_big",
        "code": "message_too_big",
    }
