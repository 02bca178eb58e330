"""A socket outlives its token by a refresh: what a client sees, with rules of the application's."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Depends, Header, Query, WebSocket, WebSocketException

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth import Action, CurrentPrincipal, Forbidden, Grant, authorize_item
from tests.conftest import SECRET
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    Envelope,
    JsonClient,
    closed,
    item_path,
    json_client,
    plain_client,
    token,
)
from tests.scenarios.conftest import Serve, Timed, serve_timed
from tests.scenarios.test_dependencies_are_released import Pool

READING = "items:subscribe items:history"


@contextlib.contextmanager
def short_lived(
    server: LiveServer, item_id: str, lifetime: int, subject: str = "alice"
) -> Iterator[JsonClient]:
    """Join with a token that lives so long."""
    path = item_path(item_id, {"token": token(subject, lifetime=lifetime)})
    with server.connect(path, subprotocols=(JSON,)) as connection:
        yield JsonClient(connection)


def refusal_of(client: JsonClient, offered: str) -> tuple[str, bool]:
    """Refresh where that is refused, and see that the connection is as it was."""
    error = client.ask("refresh", token=offered)
    assert error["type"] == "error"
    assert client.ask("publish", data="still here")["type"] == "reply"
    return error["code"], error["temporary"]


def test_a_refreshed_socket_outlives_its_first_token(timed: Timed, item_id: str) -> None:
    """Its twin, which says nothing, is closed at `exp` (requirement 68)."""
    with (
        short_lived(timed.server, item_id, 100) as kept,
        short_lived(timed.server, item_id, 100, "bob") as idle,
    ):
        reply = kept.ask("refresh", token=token(lifetime=300))
        time_left = reply["expires_at"] - time.time()
        timed.clock.advance(100)
        end = closed(idle.connection)

        assert end == (1008, "token_expired")
        assert 290 < time_left <= 300
        assert reply["can"] == ["subscribe", "publish", "history", "presence"]
        assert kept.ask("publish", data="still here")["offset"] == 1


def test_a_client_is_told_ahead_of_the_expiry(timed: Timed, item_id: str) -> None:
    """At half of a short life, and the session goes on if it does as it is told."""
    with short_lived(timed.server, item_id, 50) as client:
        timed.clock.advance(26)
        expiring = client.read()
        reply = client.ask("refresh", token=token(lifetime=300))

        assert expiring == {"type": "expiring", "expires_at": client.welcome["expires_at"]}
        assert reply["expires_at"] > expiring["expires_at"]


def test_nothing_is_lost_or_repeated_by_refreshes_under_traffic(
    server: LiveServer, item_id: str
) -> None:
    """Every lane change falls between two messages (requirement 69)."""
    scopes = (EVERYTHING, "items:subscribe items:history")
    offered = [token(scope=scopes[number % 2]) for number in range(20)]
    is_over = threading.Event()

    with (
        json_client(server, item_id, "bob") as talking,
        json_client(server, item_id, scope=EVERYTHING) as client,
    ):

        def talk() -> None:
            number = 0
            while not is_over.is_set():
                for _ in range(50):
                    number += 1
                    talking.connection.send(json.dumps({"type": "publish", "data": number}))
                talking.ask("ping")

        talker = threading.Thread(target=talk)
        talker.start()
        try:
            replies, heard = [], []
            for one in offered:
                replies.append(client.ask("refresh", token=one))
                heard += client.messages(10)
        finally:
            is_over.set()
            talker.join()
        newest = client.ask("history", limit=1)["offset"]
        heard += client.messages(newest - len(heard))

    assert [reply["type"] for reply in replies] == ["reply"] * 20
    assert [message["offset"] for message in heard] == list(range(1, newest + 1))
    assert [message["data"] for message in heard] == list(range(1, newest + 1))


@pytest.mark.parametrize(
    "offered",
    [
        pytest.param(lambda: token("bob"), id="of-another-subject"),
        pytest.param(lambda: token("bob", scope=""), id="of-another-who-may-not"),
        pytest.param(lambda: token(lifetime=-1), id="expired"),
        pytest.param(lambda: "not.a.token", id="no-token"),
        pytest.param(lambda: "", id="nothing"),
        pytest.param(lambda: f"{token()}&token={token()}", id="two-in-one"),
    ],
)
def test_a_token_that_is_not_accepted_changes_nothing(
    server: LiveServer, item_id: str, offered: object
) -> None:
    """One word for every fault, and the old token goes on being good (requirement 69)."""
    assert callable(offered)
    with json_client(server, item_id) as client:
        assert refusal_of(client, offered()) == ("credentials_invalid", False)


def test_half_a_surrogate_pair_is_no_token(server: LiveServer, item_id: str) -> None:
    """JSON can write it and no text holds it: an answer, and not the end (requirement 38)."""
    with json_client(server, item_id) as client:
        client.connection.send(json.dumps({"type": "refresh", "token": token() + "\ud800"}))
        error = client.read()

        assert (error["type"], error["code"]) == ("error", "payload_invalid")
        assert client.ask("refresh", token=token())["type"] == "reply"


def test_a_lost_right_is_lost_at_once(server: LiveServer, item_id: str) -> None:
    """And nobody hears what is published without it (requirements 59, 62)."""
    with json_client(server, item_id) as client, plain_client(server, item_id) as watching:
        reply = client.ask("refresh", token=token(scope=READING))
        error = client.ask("publish", data="too late")
        watching.send("next")

        assert reply["can"] == ["subscribe", "history"]
        assert error["code"] == "scope_missing"
        assert watching.recv(timeout=PATIENCE) == "next"


@pytest.mark.parametrize(
    ("scope", "reason"),
    [("items:publish", "scope_missing"), ("items:elsewhere:subscribe", "forbidden")],
)
def test_who_may_no_longer_subscribe_is_sent_away(
    server: LiveServer, item_id: str, scope: str, reason: str
) -> None:
    """With the reason that a handshake would have had (requirement 72)."""
    with json_client(server, item_id) as client:
        client.connection.send(json.dumps({"type": "refresh", "token": token(scope=scope)}))

        assert closed(client.connection) == (1008, reason)
    refusal = server.refusal(item_path(item_id, {"token": token(scope=scope)}))
    assert (refusal.code, refusal.reason) == (1008, reason)


def test_a_socket_ends_at_its_limit_though_it_was_refreshed(serve: Serve, item_id: str) -> None:
    """Without the limit it would stay for 300 seconds (requirement 73)."""
    settings = Settings(secret=SECRET, max_session_seconds=100, _env_file=None)
    with serve_timed(serve, settings) as timed, json_client(timed.server, item_id) as client:
        reply = client.ask("refresh", token=token(lifetime=300))

        assert reply["expires_at"] == client.welcome["expires_at"] <= time.time() + 100
        timed.clock.advance(100)
        assert closed(client.connection) == (1008, "token_expired")


class Shop:
    """An application whose rules change while sockets are open."""

    def __init__(self) -> None:
        self.can = frozenset(Action)
        self.raises: Exception | None = None
        self.found: list[Envelope] = []
        self.pool = Pool()


@pytest.fixture
def shop() -> Shop:
    """An application in which everybody may do everything, for now."""
    return Shop()


@pytest.fixture
def running(shop: Shop, serve: Serve) -> Iterator[LiveServer]:
    """Run it, with a pool of one connection behind its rules."""

    async def facts(
        websocket: WebSocket,
        user_agent: Annotated[str, Header()] = "",
        team: Annotated[str, Query()] = "",
    ) -> None:
        shop.found.append(
            {
                "path": websocket.url.path,
                "query": sorted(websocket.query_params),
                "params": dict(websocket.path_params),
                "client": websocket.client,
                "headers": len(websocket.headers),
                "cookies": len(websocket.cookies),
                "protocols": websocket.scope["subprotocols"],
                "user_agent": user_agent,
                "team": team,
            }
        )

    async def grant(
        item_id: str,
        principal: CurrentPrincipal,
        _connection: Annotated[None, Depends(shop.pool.connection)],
        _facts: Annotated[None, Depends(facts)],
    ) -> Grant:
        if shop.raises is not None:
            raise shop.raises
        return Grant(principal, item_id, shop.can)

    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)
    app.dependency_overrides[authorize_item] = grant
    with serve(settings, app) as server:
        yield server


def test_the_applications_rules_are_asked_again(shop: Shop, running: LiveServer) -> None:
    """What they say now counts, and the same token as before will do to ask them."""
    with json_client(running, "7") as client:
        before = client.welcome["can"]
        shop.can = frozenset({Action.SUBSCRIBE})
        after = client.ask("refresh", token=token())["can"]
        error = client.ask("publish", data=1)
        shop.can = frozenset(Action)
        back = client.ask("refresh", token=token())["can"]

        assert (before, after) == (back, ["subscribe"])
        assert error["code"] == "scope_missing"
        assert client.ask("publish", data=1)["offset"] == 1


@pytest.mark.parametrize(
    ("raises", "end"),
    [
        (Forbidden("no longer"), (1008, "forbidden")),
        (WebSocketException(3001, "left_us"), (3001, "left_us")),
    ],
    ids=["ours", "own"],
)
def test_the_applications_rules_may_end_a_socket(
    shop: Shop, running: LiveServer, raises: Exception, end: tuple[int, str]
) -> None:
    """In their own words, as at the handshake."""
    with json_client(running, "7") as client:
        shop.raises = raises
        client.connection.send(json.dumps({"type": "refresh", "token": token()}))

        assert closed(client.connection) == end


def test_rules_that_fail_end_nothing(
    shop: Shop, running: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """They deny (requirement 65), the log says why, and a later refresh may do."""
    with json_client(running, "7") as client:
        shop.raises = ZeroDivisionError("a fault of the shop")
        error = client.ask("refresh", token=token())
        shop.raises = None

        assert (error["code"], error["temporary"]) == ("internal", True)
        assert "shop" not in str(error)
        assert "a fault of the shop" in caplog.text
        assert client.ask("refresh", token=token())["type"] == "reply"


def test_a_failure_at_the_return_refuses_the_refresh(shop: Shop, running: LiveServer) -> None:
    """What was decided on a transaction that did not hold does not hold either."""
    with json_client(running, "7") as client:
        shop.pool.fails_at_return = True
        shop.can = frozenset({Action.SUBSCRIBE})
        error = client.ask("refresh", token=token())
        shop.pool.fails_at_return = False

        assert (error["code"], error["temporary"]) == ("internal", True)
        assert client.ask("publish", data=1)["type"] == "reply"


def test_a_pool_of_one_serves_many_refreshes(shop: Shop, running: LiveServer) -> None:
    """A rule's resources are released at once, and not when the socket ends."""
    with json_client(running, "7") as first, json_client(running, "7", "bob") as second:
        replies = [
            client.ask("refresh", token=token(subject))["type"]
            for client, subject in ((first, "alice"), (second, "bob")) * 3
        ]

        assert replies == ["reply"] * 6
        assert not shop.pool._free.locked()


def test_rules_find_the_new_token_and_no_credential_of_before(
    shop: Shop, running: LiveServer
) -> None:
    """The documented facts: what the handshake presented, with the new token in it."""
    old = token()
    path = item_path("7", {"token": old, "team": "red"})
    headers = {"Authorization": f"Bearer {old}", "Cookie": "other=1"}
    offered = (JSON,)
    with running.connect(path, headers=headers, subprotocols=offered) as connection:
        client = JsonClient(connection)
        client.ask("refresh", token=token())
    before, after = shop.found

    assert (before["team"], before["cookies"]) == ("red", 1)
    assert before["user_agent"]
    assert before["query"] == after["query"] == ["team", "token"]
    assert after == before
