"""Clients past their rates, on a real server: first an error, then a close."""

import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    TALKING,
    close_of,
    item_path,
    json_client,
    plain_client,
    token,
)
from tests.scenarios.conftest import Serve, fastpath_only

LIMITED = (1008, "rate_limited")


@pytest.fixture(scope="module")
def slow(serve: Serve) -> Iterator[LiveServer]:
    """Run a server on which a socket may publish twice a second, and its subject four times."""
    settings = Settings(
        secret=SECRET,
        publish_rate=2,
        join_rate=0.1,
        request_rate=50,
        max_items=3,
        subject_rate_factor=2,
        _env_file=None,
    )
    with serve(settings) as running:
        yield running


def test_a_client_with_words_is_told_when_to_go_on(slow: LiveServer, item_id: str) -> None:
    """The socket stays, and what it asks when it was told to is done (requirement 91)."""
    with json_client(slow, item_id, "patient") as alice:
        stored = 0
        while (answer := alice.ask("publish", data=stored))["type"] == "reply":
            stored += 1

        assert stored >= 4
        assert answer["code"] == "rate_limited"
        assert answer["temporary"] is True
        assert 0 < answer["retry_after_ms"] <= 500
        assert alice.ask("ping")["type"] == "pong"
        time.sleep(answer["retry_after_ms"] / 1000)  # as it was told
        assert alice.ask("publish", data="again")["offset"] == stored + 1


def test_a_client_that_never_listens_is_closed(slow: LiveServer, item_id: str) -> None:
    """And those who hear the item with it notice nothing (requirement 91)."""
    with json_client(slow, item_id, "bob") as bob:
        with json_client(slow, item_id, "mallory") as mallory:
            assert _goes_on(lambda: mallory.ask("publish", data="flood")) == LIMITED
        assert len(bob.messages(4)) == 4
        assert bob.ask("publish", data="mine")["type"] == "reply"


def test_pings_within_the_rate_are_answered(slow: LiveServer, item_id: str) -> None:
    """A client that looks after its connection is no flood (requirement 92)."""
    with plain_client(slow, item_id, "pinging") as client:
        assert all(client.ping().wait(PATIENCE) for _ in range(10))


@fastpath_only
def test_who_pings_without_end_is_closed(slow: LiveServer, item_id: str) -> None:
    """Each ping is a write that a client makes us do (requirement 92).

    uvicorn's own class answers them itself, and tells nobody.
    """
    with plain_client(slow, item_id, "flooding") as client:
        assert _goes_on(client.ping) == LIMITED


def test_a_plain_client_is_closed(slow: LiveServer, item_id: str) -> None:
    """It could not be told otherwise; within its rate it is heard."""
    with plain_client(slow, item_id, "plain") as bob:
        for number in range(4):
            bob.send(str(number))
        assert [bob.recv(timeout=PATIENCE) for _ in range(4)] == [str(n) for n in range(4)]

        def say_and_hear() -> None:
            bob.send("more")
            bob.recv(timeout=PATIENCE)

        assert _goes_on(say_and_hear) == LIMITED


def test_the_sockets_of_a_subject_share_a_rate(slow: LiveServer, item_id: str) -> None:
    """Twice a socket's here; another subject has its own (requirement 91)."""
    with (
        json_client(slow, item_id, "tabs") as first,
        json_client(slow, item_id, "tabs") as second,
        json_client(slow, item_id, "tabs") as third,
        json_client(slow, item_id, "other") as other,
    ):
        began = time.monotonic()
        kinds = [
            tab.ask("publish", data=number)["type"]
            for number in range(10)
            for tab in (first, second, third)
        ]
        most = 8 + 4 * (time.monotonic() - began) + 1

        assert 8 <= kinds.count("reply") <= most
        assert other.ask("publish", data="mine")["type"] == "reply"


def test_joins_have_a_rate_and_what_fits_a_socket_comes_in_at_once(
    slow: LiveServer, item_id: str
) -> None:
    """Each join is worked out by the application's rules, which cost (requirement 96)."""
    with slow.connect(f"/ws?token={token('joining', TALKING)}", subprotocols=(JSON,)) as socket:
        told = []
        for number in range(4):
            item = f"{item_id}{number}"
            socket.send(json.dumps({"type": "join", "item": item, "ref": number}))
            told.append(json.loads(socket.recv(timeout=PATIENCE)))

    assert [envelope["type"] for envelope in told] == ["welcome"] * 3 + ["error"]
    assert told[3]["code"] == "rate_limited"
    assert told[3]["retry_after_ms"] <= 10_000


def _goes_on(step: Callable[[], object]) -> tuple[int, str]:
    """Do a thing again and again, one after the other, until the server ends it; tell how."""
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            step()
    except ConnectionClosed as ended:
        return close_of(ended)
    return (0, "not ended")


def test_publishing_over_http_has_its_subjects_rate(slow: LiveServer, item_id: str) -> None:
    """One after another is no way around it; others publish meanwhile (requirements 91, 102)."""
    with httpx.Client(base_url=slow.url, timeout=PATIENCE) as client:  # one: making it takes time

        def publish(subject: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token(subject)}"}
            return client.post(f"/items/{item_id}/messages", headers=headers, json="hello")

        answers = [publish("backend")]
        while answers[-1].status_code == 201 and len(answers) < 50:
            answers.append(publish("backend"))
        refused, another = answers[-1], publish("another")

    assert len(answers) > 4
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) >= 1
    assert another.status_code == 201


def test_connecting_again_and_again_for_a_replay_has_a_rate(serve: Serve, item_id: str) -> None:
    """One token is no amplifier; who wants nothing of the past still gets in (requirement 98)."""
    settings = Settings(secret=SECRET, history_rate=1, subject_rate_factor=2, _env_file=None)
    with serve(settings) as running:
        path = item_path(item_id, {"token": token("again"), "replay": 5})
        told = ""
        for _ in range(20):
            with running.connect(path, subprotocols=(JSON,)) as connection:
                try:
                    connection.recv(timeout=PATIENCE)
                except ConnectionClosed as ended:
                    told = close_of(ended)[1]
                    break
        with json_client(running, item_id, "again") as client:
            live = client.welcome["type"]

    assert told == "rate_limited"
    assert live == "welcome"


@pytest.fixture(scope="module")
def counting(serve: Serve) -> Iterator[LiveServer]:
    """Run a server on which the messages of a subject are delivered twice a second."""
    with serve(Settings(secret=SECRET, delivery_rate=2, _env_file=None)) as running:
        yield running


def test_deliveries_have_a_budget_on_every_way_to_publish(
    counting: LiveServer, item_id: str
) -> None:
    """On a socket, by HTTP and in a batch, from one budget of the subject (requirement 128)."""
    with (
        json_client(counting, item_id, "mallory") as mallory,
        json_client(counting, item_id, "bob") as bob,
        httpx.Client(base_url=counting.url) as http,
    ):
        told = [mallory.ask("publish", data=number) for number in range(3)]
        headers = {"Authorization": f"Bearer {token('mallory', scope=TALKING)}"}
        path = f"/items/{item_id}/messages"
        alone = http.post(path, headers=headers, json=1)
        batch = http.post(
            "/messages", headers=headers, json={"messages": [{"item": item_id, "data": 1}]}
        )
        other = {"Authorization": f"Bearer {token('carol', scope=TALKING)}"}
        accepted = http.post(path, headers=other, json="carol")

        assert [one["type"] for one in told] == ["reply", "reply", "error"]
        assert told[2]["code"] == "rate_limited"
        assert told[2]["retry_after_ms"] <= 1000
        assert (alone.status_code, alone.json()["code"]) == (429, "rate_limited")
        assert alone.headers["Retry-After"] == "1"
        assert [one["code"] for one in batch.json()["results"]] == ["rate_limited"]
        assert accepted.status_code == 201
        assert [one["data"] for one in bob.messages(3)] == [0, 1, "carol"]
        time.sleep(told[2]["retry_after_ms"] / 1000)  # as it was told
        assert mallory.ask("publish", data="again")["type"] == "reply"


def test_a_plain_client_past_its_deliveries_is_closed(counting: LiveServer, item_id: str) -> None:
    """After the messages that were within them, all of which are heard (requirement 128)."""
    with plain_client(counting, item_id, "plain"), plain_client(counting, item_id, "loud") as loud:
        for text in ("one", "two"):
            loud.send(text)
            assert loud.recv(timeout=PATIENCE) == text

        assert _goes_on(lambda: loud.send("three")) == LIMITED
