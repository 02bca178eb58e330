"""The host decides inside the channels as on its own routes: users, overrides, sessions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from fastapi import Request

from itemwire.serving.server import Protocols
from tests.conftest import SECRET
from tests.embedding.conftest import ANN, BEN, ITEM, Shop, ask, running_shop, settings_of
from tests.embedding.shop.database import User, database_session
from tests.embedding.shop.users import current_user
from tests.scenarios.clients import token

SELLER: Final = ["subscribe", "publish", "history"]
BUYER: Final = ["subscribe", "history"]


@pytest.mark.parametrize(
    ("credentials", "can"),
    [
        pytest.param({"headers": ANN}, SELLER, id="bearer"),
        pytest.param({"headers": BEN}, BUYER, id="cookie"),
        pytest.param({"query": "?token=anns-login"}, SELLER, id="query"),
    ],
)
def test_its_logins_are_taken(shop: Shop, credentials: dict[str, Any], can: list[str]) -> None:
    """By cookie and by bearer, as its own routes take them; and by what only sockets have."""
    path = f"/live{ITEM}/ws{credentials.get('query', '')}"
    with shop.server.client(path, headers=credentials.get("headers")) as client:
        assert client.welcome()["can"] == can


@pytest.mark.parametrize(
    ("headers", "item", "reason"),
    [
        ({}, "order:7", "credentials_missing"),
        ({"Cookie": "shop_login=old-login"}, "order:7", "credentials_invalid"),
        (ANN, "order:8", "forbidden"),
        (ANN, "order:seven", "item_invalid"),
    ],
)
def test_its_refusals_are_told(shop: Shop, headers: dict[str, str], item: str, reason: str) -> None:
    """As close reasons that any client reads."""
    refusal = shop.server.refusal(f"/live/items/{item}/ws", headers=headers)

    assert (refusal.code, refusal.reason) == (1008, reason)


def rename(shop: Shop) -> None:
    """Let another user be found than the login's, as a test of a shop does it."""
    shop.app.dependency_overrides[current_user] = lambda: User(id=2, name="Ben")


def replace(shop: Shop) -> None:
    """Do it by another dict."""
    shop.app.dependency_overrides = {current_user: lambda: User(id=2, name="Ben")}


@pytest.mark.parametrize("spelt", ["%20{}", "{}%20", "{}+", "{}%09", "{}%0A", "%C2%A0{}"])
def test_a_token_in_the_query_is_taken_as_it_came(shop: Shop, spelt: str) -> None:
    """White space around it is not repaired: another program would read another token."""
    path = f"/live{ITEM}/ws?token={{}}"
    refusal = shop.server.refusal(path.format(spelt.format("anns-login")))
    with shop.server.client(path.format("anns-login")) as ann:
        ann.welcome()

    assert (refusal.code, refusal.reason) == (1008, "credentials_invalid")


@pytest.mark.parametrize("override", [rename, replace])
def test_its_overrides_hold_from_one_moment_to_the_next(shop: Shop, override: Any) -> None:  # noqa: ANN401 - a function
    """At the handshake, on a join, at a refresh and over HTTP; and no longer once they are gone."""
    history = shop.url(f"{ITEM}/messages")
    with shop.server.client("/live/ws", headers=ANN) as before:
        override(shop)
        joined = before.ask("join", item="order:7")
        refreshed = before.ask("refresh", token="anns-login")
        with shop.server.client(f"/live{ITEM}/ws") as client:
            welcome = client.welcome()
        published = ask("POST", history, json=1)
        shop.app.dependency_overrides = {}
        after = ask("POST", history, json=1)

    assert joined["can"] == BUYER  # the rule is given Ben
    assert refreshed["code"] == "credentials_invalid"  # Ben, and the socket is Ann's
    assert (welcome["subject"], welcome["can"]) == ("2", BUYER)
    assert (published.json()["code"], after.json()["code"]) == ("forbidden", "credentials_missing")


def test_the_overrides_of_a_rule_hold_on_an_open_socket(shop: Shop) -> None:
    """A rule's own dependencies are those of the host's tests as well."""
    asked: list[Request] = []

    def no_session(request: Request) -> None:
        asked.append(request)

    with shop.server.client("/live/ws", headers=ANN) as client:
        client.ask("join", item="order:7")
        shop.app.dependency_overrides[database_session] = no_session
        refused = client.ask("join", item="order:9")

    assert refused["code"] == "internal"  # the rule was given no session, and failed by that
    assert [one.app for one in asked] == [shop.app]


def test_no_session_of_the_host_is_held(shop: Shop) -> None:
    """At a handshake, on a join and at a refresh: they are closed before the socket waits."""
    with (
        shop.server.client("/live/ws", headers=BEN) as many,
        shop.server.client(f"/live{ITEM}/ws", headers=ANN) as one,
    ):
        one.welcome()
        held = [shop.sessions]
        many.ask("join", item="order:7")
        held.append(shop.sessions)
        many.ask("refresh", token="bens-login")
        one.ask("refresh", token="anns-login")
        held.append(shop.sessions)

    assert held == [0, 0, 0]


def test_a_stream_of_events_holds_no_session(shop: Shop) -> None:
    """It lasts as long as a socket."""
    with httpx.stream("GET", shop.url(f"{ITEM}/events"), headers=ANN, timeout=30) as answer:
        next(answer.iter_lines())

        assert shop.sessions == 0


def test_a_user_without_an_expiry_has_none(shop: Shop) -> None:
    """`null`, in place of a moment that never comes; and nothing is said of an end."""
    with (
        shop.server.client(f"/live{ITEM}/ws", headers=ANN) as one,
        shop.server.client("/live/ws", headers=ANN) as many,
    ):
        told = [one.welcome(), one.ask("refresh", token="anns-login")]
        told += [many.ask("join", item="order:7"), many.ask("refresh", token="anns-login")]

    assert [envelope["expires_at"] for envelope in told] == [None] * 4


def test_operators_see_that_a_user_has_no_expiry(folder: Path, protocols: Protocols) -> None:
    """In the list of connections; operators have tokens beside the host's users."""
    settings = settings_of(secret=SECRET, admin=True)
    operator = {"Authorization": f"Bearer {token('root', 'admin')}"}
    with (
        running_shop(folder, protocols, settings=settings) as shop,
        shop.server.client("/live/ws", headers=ANN) as ann,
    ):
        ann.ask("join", item="order:7")
        listed = ask("GET", shop.url("/admin/connections"), headers=operator).json()

    assert [(one["subject"], one["expires_at"]) for one in listed["connections"]] == [("1", None)]


def test_a_user_with_an_expiry_is_told_it(shop: Shop) -> None:
    """The accepted twin: the host's own moment."""
    end = datetime.now(UTC) + timedelta(hours=1)
    shop.app.dependency_overrides[current_user] = lambda: ExpiringUser(1, end)
    with shop.server.client(f"/live{ITEM}/ws") as client:
        assert client.welcome()["expires_at"] == int(end.timestamp())


class ExpiringUser:
    """A user whose login ends."""

    def __init__(self, id: int, expires_at: datetime) -> None:  # noqa: A002 - as users have it
        self.id = id
        self.expires_at = expires_at
