"""Server-sent events on real servers: what is heard, from where on, and how it ends."""

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, PATIENCE, json_client, token
from tests.scenarios.conftest import Door, Serve, Timed, fastpath_only
from tests.scenarios.event_source import event_source

CLOSING = {"type": "closing", "retry_after_ms": 0}
EXPIRED = {**CLOSING, "code": 1008, "reason": "token_expired", "retry": "token"}
REVOKED = {**CLOSING, "code": 1008, "reason": "token_revoked", "retry": "token"}


@pytest.fixture(scope="module")
def admin_server(serve: Serve) -> Iterator[LiveServer]:
    """Run a server that has the admin API, a fast heart and little patience with who left."""
    settings = Settings(
        secret=SECRET, admin=True, ping_interval=0.05, presence_grace=0.1, _env_file=None
    )
    with serve(settings) as running:
        yield running


def test_hears_what_a_socket_hears(admin_server: LiveServer, item_id: str) -> None:
    """The same envelopes, byte for byte, with the position as id, and no cache keeps them."""
    with json_client(admin_server, item_id, "alice", scope=EVERYTHING) as alice:
        with event_source(admin_server, item_id) as carol:
            welcome = carol.read()
            joined = alice.read()
            alice.ask("publish", data="line\nbreak")
            alice.ask("publish", data={"a": [1]})
            heard = carol.messages(2)
            sent = alice.messages(2)
        left = alice.read()

    resume = welcome.envelope["resume"]
    assert carol.response.headers["content-type"].startswith("text/event-stream")
    assert carol.response.headers["cache-control"] == "no-store"
    assert carol.retry == "2000"
    assert (welcome.name, welcome.envelope["subject"]) == ("welcome", "carol")
    assert welcome.envelope["was_recovering"] is False
    assert [event.envelope for event in heard] == sent
    assert [event.id for event in heard] == [f"{resume}:1", f"{resume}:2"]
    # A client that only listens is a member as well, and leaves as others do.
    assert [(one["type"], one["member"]["subject"]) for one in (joined, left)] == [
        ("joined", "carol"),
        ("left", "carol"),
    ]


def test_goes_on_after_the_last_event_that_was_heard(server: LiveServer, item_id: str) -> None:
    """What a browser does by itself when a stream breaks: nothing is missed or comes twice."""
    with json_client(server, item_id) as alice:
        with event_source(server, item_id) as carol:
            carol.read()
            alice.ask("publish", data=1)
            last = carol.messages(1)[0].id
        for number in range(2, 5):
            alice.ask("publish", data=number)
        # A browser repeats the URL with the position it was first given: the header counts.
        with event_source(
            server, item_id, headers={"Last-Event-ID": last}, since=last.replace(":1", ":0")
        ) as carol:
            welcome = carol.read().envelope
            alice.ask("publish", data=5)
            heard = carol.messages(4)

    assert (welcome["was_recovering"], welcome["recovered"]) == (True, True)
    assert [event.envelope["data"] for event in heard] == [2, 3, 4, 5]


def test_is_told_when_there_is_no_going_on(server: LiveServer, item_id: str) -> None:
    """Never a part: `recovered` is false, and the id that counts from now on is a good one."""
    with json_client(server, item_id) as alice:
        alice.ask("publish", data="before")
        with event_source(server, item_id, since="another:7") as carol:
            welcome = carol.read().envelope
            carol.comes_to(f"{welcome['resume']}:1")
        alice.ask("publish", data="meanwhile")
        with event_source(server, item_id, headers={"Last-Event-ID": carol.last_id}) as carol:
            heard = carol.messages(1)

    assert (welcome["was_recovering"], welcome["recovered"]) == (True, False)
    assert [event.envelope["data"] for event in heard] == ["meanwhile"]


def test_replays_and_keeps_one_line_a_message(server: LiveServer, item_id: str) -> None:
    """A line break between the words of a publisher's JSON would end the event's data."""
    with json_client(server, item_id) as alice:
        alice.connection.send('{"type":"publish","data":{"a":\r\n"b",\n"c":"d\\n"}}')
        alice.messages(1)
        with event_source(server, item_id, replay=5) as carol:
            (heard,) = carol.messages(1)

    assert heard.envelope["data"] == {"a": "b", "c": "d\n"}


@pytest.mark.parametrize(
    ("scope", "query", "headers", "refusal"),
    [
        pytest.param(None, "", {}, (401, "credentials_missing"), id="stranger"),
        pytest.param("items:publish", "", {}, (403, "scope_missing"), id="right"),
        pytest.param("items:subscribe", "?replay=1", {}, (403, "scope_missing"), id="replay"),
        pytest.param(
            EVERYTHING, "", {"Last-Event-ID": "x"}, (422, "payload_invalid"), id="position"
        ),
    ],
)
def test_is_refused_with_a_status(
    server: LiveServer,
    scope: str | None,
    query: str,
    headers: dict[str, str],
    refusal: tuple[int, str],
) -> None:
    """A browser does not come back by itself after any status but 200."""
    credential = {"Authorization": f"Bearer {token('carol', scope)}"} if scope else {}
    answer = httpx.get(f"{server.url}/items/1/events{query}", headers={**headers, **credential})

    assert (answer.status_code, answer.json()["code"]) == refusal
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        pytest.param("https://evil.test", 403, id="foreign"),
        pytest.param("https://app.example.com", 200, id="allowed"),
        pytest.param(None, 200, id="own"),
    ],
)
def test_a_foreign_page_cannot_listen_with_a_users_cookie(
    door: Door, item_id: str, origin: str | None, status: int
) -> None:
    """A browser sends the cookie along whatever page opens the stream, and `Origin` if foreign."""
    headers = {"Cookie": f"session={door.tokens.good()}"} | ({"Origin": origin} if origin else {})
    with httpx.stream("GET", f"{door.server.url}/items/{item_id}/events", headers=headers) as got:
        assert got.status_code == status


def test_ends_when_the_token_does(timed: Timed, item_id: str) -> None:
    """And says so ahead of it: the page must get another token, or be refused when it is back."""
    short = token("carol", lifetime=100)
    with event_source(timed.server, item_id, credential=short) as carol:
        carol.read()
        timed.clock.advance(100)
        *_, last = carol.read_all()

    assert (last.name, last.envelope) == ("closing", EXPIRED)
    answer = httpx.get(f"{timed.server.url}/items/1/events", params={"token": short})
    assert (answer.status_code, answer.headers["cache-control"]) == (401, "no-store")


def test_an_operator_sees_and_ends_it(admin_server: LiveServer, item_id: str) -> None:
    """It is a connection like any other; meanwhile a comment keeps proxies from ending it."""
    headers = {"Authorization": f"Bearer {token('root', 'admin')}"}
    with event_source(admin_server, item_id) as carol:
        mine = carol.read().envelope["connection"]
        url = f"{admin_server.url}/admin/connections"
        listed = httpx.get(url, headers=headers).json()["connections"]
        (shown,) = [one for one in listed if one["id"] == mine]
        carol.beats()
        ended = httpx.delete(f"{url}/{mine}", headers=headers).json()
        (closing,) = carol.read_all()

    assert (shown["subject"], shown["items"], ended) == ("carol", [item_id], {"closed": 1})
    assert (closing.name, closing.envelope) == ("closing", REVOKED)


def test_nothing_comes_after_a_revocation(admin_server: LiveServer, item_id: str) -> None:
    """Neither what is published then, nor that others come and go."""
    headers = {"Authorization": f"Bearer {token('root', 'admin')}"}
    subject = f"carol-{item_id}"
    with (
        json_client(admin_server, item_id) as alice,
        event_source(admin_server, item_id, subject) as carol,
    ):
        carol.read()
        url = f"{admin_server.url}/admin/revocations"
        httpx.post(url, headers=headers, json={"subject": subject}).raise_for_status()
        alice.ask("publish", data="secret")
        events = carol.read_all()

    assert [(event.name, event.envelope) for event in events] == [("closing", REVOKED)]


@fastpath_only
def test_lets_the_server_stop(serve: Serve, item_id: str) -> None:
    """An answer without end is waited for; uvicorn's own classes cut it off in the end."""
    settings = Settings(secret=SECRET, _env_file=None)
    with serve(settings) as server, event_source(server, item_id) as carol:
        carol.read()
        begun = time.monotonic()
        server.server.should_exit = True
        (closing,) = carol.read_all()

    assert (closing.envelope["reason"], closing.envelope["retry"]) == ("draining", "now")
    assert time.monotonic() - begun < PATIENCE / 2


def test_a_listener_that_never_reads_harms_nobody(admin_server: LiveServer, item_id: str) -> None:
    """It is let go once its buffer is full, and the others hear everything meanwhile."""
    server, subject = admin_server, f"stuck-{item_id}"
    address = urlsplit(server.url)
    head = f"GET /items/{item_id}/events?token={token(subject)} HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        json_client(server, item_id) as alice,
        event_source(server, item_id) as carol,
        socket.socket() as stuck,
    ):
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        stuck.connect((address.hostname, address.port))
        stuck.sendall(head.encode())
        assert stuck.recv(8).startswith(b"HTTP/1.1")
        assert subject in connected(server)
        number = 0
        while subject in connected(server):
            number += 1
            alice.ask("publish", data=f"{number} {'x' * 60_000}")
            assert carol.messages(1)[0].envelope["offset"] == number
            assert number < 400


def connected(server: LiveServer) -> set[str]:
    """Tell who is connected."""
    headers = {"Authorization": f"Bearer {token('root', 'admin')}"}
    page = httpx.get(f"{server.url}/admin/connections?limit=1000", headers=headers).json()
    return {one["subject"] for one in page["connections"]}
