"""Requests to an application, on real servers."""

from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI

from itemwire import Itemwire, Rights
from itemwire.rules import calls
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from itemwire_auth import CurrentPrincipal
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret
from tests.rules.shop import application, log
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

SECRET: Final = new_secret()


@pytest.mark.parametrize(
    ("name", "data", "reply"),
    [
        (
            "mark_read",
            {"upto": 3},
            {"order": 7, "by": "ann", "upto": 3, "token": "user-ann"},
        ),
        ("label", {"text": "x"}, {"text": "7: x"}),
        ("sum", [4, 5], 9),
        ("echo", None, [None, "none"]),
        ("echo", {"a": [1.5]}, [{"a": [1.5]}, "none"]),
        ("echo", "text", ["text", "none"]),
        ("now", None, "now"),
    ],
)
def test_answers(server: LiveServer, name: str, data: object, reply: object) -> None:
    """On an item's socket, on a socket of many items, and over HTTP."""
    with server.client("/live/items/order:7/ws?token=user-ann") as client:
        client.welcome()
        answer = client.ask("request", name=name, data=data)
        assert (answer["type"], answer["data"]) == ("reply", reply)
    with server.client("/live/ws?token=user-ann") as client:
        client.ask("join", item="order:7")
        answer = client.ask("request", item="order:7", name=name, data=data)
        assert (answer["type"], answer["data"]) == ("reply", reply)

    url = f"{server.url}/live/items/order:7/requests/{name}?token=user-ann"
    response = httpx.post(url, json=data)
    assert (response.status_code, response.json()) == (200, {"data": reply})


def test_data_may_be_absent(server: LiveServer) -> None:
    """Where the parameter has a default, and where there is none."""
    with server.client("/live/items/order:7/ws?token=user-ann") as client:
        client.welcome()
        assert client.ask("request", name="sum")["data"] == 3
        assert client.ask("request", name="now")["data"] == "now"
        assert client.ask("request", name="mark_read")["code"] == "payload_invalid"

    url = f"{server.url}/live/items/order:7/requests/sum?token=user-ann"
    assert httpx.post(url).json() == {"data": 3}


REFUSALS: Final = {
    "unknown": ("not_supported", "never", 404, ""),
    "mark_read": ("payload_invalid", "never", 422, "data.upto: "),
    "label": ("payload_invalid", "never", 422, "`$.text`"),
    "now": ("payload_invalid", "never", 422, "none is taken"),
    "fail own": ("sold_out", "later", 503, "Come back."),
    "fail 404": ("forbidden", "never", 403, "no such line"),
    "fail bug": ("internal", "later", 500, ""),
    "fail cancelled": ("internal", "later", 500, ""),
    "fail unreadable": ("internal", "later", 500, ""),
}
DATA: Final[dict[str, object]] = {
    "mark_read": {"upto": "secret"},
    "label": {"text": 1},
    "now": [1],
}


@pytest.mark.parametrize("what", list(REFUSALS))
def test_refuses(server: LiveServer, what: str) -> None:
    """With the application's own code, or one of the table; the socket goes on."""
    name, _, how = what.partition(" ")
    data = how or DATA.get(name)
    code, retry, status, detail = REFUSALS[what]
    with server.client("/live/items/order:7/ws?token=user-ann") as client:
        client.welcome()
        answer = client.ask("request", name=name, data=data)
        assert client.ask("ping")["type"] == "pong"
    url = f"{server.url}/live/items/order:7/requests/{name}?token=user-ann"
    response = httpx.post(url, json=data)

    assert (answer["type"], answer["code"], answer["retry"]) == ("error", code, retry)
    assert answer["temporary"] is (retry == "later")
    assert detail in answer["detail"]
    assert "secret" not in answer["detail"]
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["detail"] == answer["detail"]
    assert ("retry-after" in response.headers) is (status == 503)


def test_needs_the_item(server: LiveServer) -> None:
    """Only those who may subscribe to an item may ask, and on `/ws` those who have joined it."""
    with server.client("/live/ws?token=user-ann") as client:
        codes = [
            client.ask("request", item="order:7", name="now")["code"],
            client.ask("request", name="now")["code"],
        ]
        client.ask("join", item="free:x")
        codes.append(client.ask("request", item="free:x", name="now")["code"])
    url = f"{server.url}/live/items/order:7/requests/now"

    assert codes == ["not_joined", "payload_invalid", "not_supported"]
    assert httpx.post(url).json()["code"] == "credentials_missing"
    assert httpx.post(f"{url}?token=user-stranger").json()["code"] == "forbidden"


def test_answers_one_client_in_order(server: LiveServer) -> None:
    """A slow one first; another client does not wait for it."""
    log.seen.clear()
    with server.client("/live/items/order:7/ws?token=user-ann") as client:
        client.welcome()
        for number, text in enumerate(["first", "second", "third"]):
            client.send(f'{{"type":"request","ref":{number},"name":"slow","data":"{text}"}}')
        replies = [client.expect("reply")["data"] for _ in range(3)]

    assert replies == log.seen == ["first", "second", "third"]


def test_others_do_not_wait_for_a_hanging_call(server: LiveServer) -> None:
    """Nor do requests of the same client that no application has to answer."""
    with (
        server.client("/live/items/order:7/ws?token=user-ann") as client,
        server.client("/live/items/order:7/ws?token=user-bob") as other,
    ):
        client.welcome()
        other.welcome()
        client.send('{"type":"request","ref":1,"name":"hang"}')
        assert client.ask("ping")["type"] == "pong"
        assert other.ask("request", name="now")["data"] == "now"


def test_a_call_has_a_deadline(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is refused as `overloaded`, and its dependencies are closed."""
    monkeypatch.setattr(calls, "DECISION_SECONDS", 0.05)
    with server.client("/live/items/order:7/ws?token=user-ann") as client:
        client.welcome()
        log.released.clear()
        late = client.ask("request", name="hang")
        after = client.ask("request", name="now")

    assert (late["code"], late["temporary"], after["data"]) == ("overloaded", True, "now")
    assert log.released.wait(10)


def test_a_flood_stays_within_bounds(server: LiveServer) -> None:
    """One client has so many requests waiting; what is more is refused at once."""
    with server.client("/live/items/order:7/ws?token=user-ann") as client:
        client.welcome()
        for number in range(calls.MAX_WAITING_OF_ONE + 3):
            client.send(f'{{"type":"request","ref":{number},"name":"hang"}}')
        errors = [client.expect("error") for _ in range(2)]

    assert {error["code"] for error in errors} == {"overloaded"}


def test_dependencies_are_closed_before_the_reply(server: LiveServer) -> None:
    """A session of the database for each message, and none for the socket that waits."""
    with server.client("/live/items/order:8/ws?token=user-ann") as client:
        client.welcome()
        before = (log.opened, log.closed)
        for _ in range(3):
            client.ask("request", name="mark_read", data={"upto": 1})
        assert (log.opened, log.closed) == (before[0] + 3, before[1] + 3)


def test_a_refresh_replaces_what_is_asked_about(server: LiveServer) -> None:
    """From then on the new token speaks for the caller; that of another one changes nothing."""
    asked: dict[str, Any] = {"name": "mark_read", "data": {"upto": 1}, "item": "order:7"}
    for path in ("/live/items/order:7/ws", "/live/ws"):
        with server.client(f"{path}?token=user-ann") as client:
            if path == "/live/ws":
                client.ask("join", item="order:7")
            tokens = [client.ask("request", **asked)["data"]["token"]]
            assert client.ask("refresh", token="user-ann.2")["type"] == "reply"
            tokens.append(client.ask("request", **asked)["data"]["token"])

        assert tokens == ["user-ann", "user-ann.2"]


def test_a_stranger_refreshes_nothing(server: LiveServer) -> None:
    """The token of another caller is refused, and does not speak for this one afterwards."""
    asked: dict[str, Any] = {"name": "mark_read", "data": {"upto": 1}, "item": "order:7"}
    for path in ("/live/items/order:7/ws", "/live/ws"):
        with server.client(f"{path}?token=user-ann") as client:
            if path == "/live/ws":
                client.ask("join", item="order:7")
            assert client.ask("refresh", token="user-bob")["code"] == "credentials_invalid"
            assert client.ask("request", **asked)["data"]["by"] == "ann"


def test_a_server_stops_while_a_call_hangs() -> None:
    """Its dependencies are closed; the server waits for no handler."""
    with (
        live_application(application()) as running,
        running.client("/live/items/order:7/ws?token=user-ann") as client,
    ):
        client.welcome()
        log.released.clear()
        client.send('{"type":"request","ref":1,"name":"hang"}')
        assert client.ask("ping")["type"] == "pong"

    assert log.released.wait(10)


def test_a_channel_may_refuse_with_a_code_of_its_own(server: LiveServer) -> None:
    """At the handshake, at a join, and over HTTP."""
    refusal = server.refusal("/live/items/order:99/ws?token=user-ann")
    with server.client("/live/ws?token=user-ann") as client:
        error = client.ask("join", item="order:99")
    response = httpx.get(f"{server.url}/live/items/order:99/messages?token=user-ann")

    assert (refusal.code, refusal.reason) == (1008, "closed_today")
    assert (error["code"], error["temporary"]) == ("closed_today", True)
    assert (response.status_code, response.json()["code"]) == (503, "closed_today")


def test_answers_the_callers_of_tokens() -> None:
    """An application without users of its own knows them by `CurrentPrincipal`."""
    live = Itemwire(settings=settings_of(secret=SECRET))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("room:{name}")
    async def room(name: str) -> Rights:
        return Rights("subscribe")

    @room.message("whoami")
    async def whoami(name: str, principal: CurrentPrincipal) -> list[str]:
        return [name, principal.subject]

    token = mint(signing_key_from_secret(SECRET), subject="ann", lifetime=60)
    with live_application(app) as running:
        for path in ("/live/items/room:a/ws", "/live/ws"):
            with running.client(f"{path}?token={token}") as client:
                if path == "/live/ws":
                    client.ask("join", item="room:a")
                reply = client.ask("request", item="room:a", name="whoami")
                assert reply["data"] == ["a", "ann"]
