"""Checks of what clients publish, on real servers."""

from typing import Final

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from itemwire import Itemwire, Rights
from itemwire.rules import calls
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

PLAIN: Final = ("itemwire.v1.plain",)


@pytest.mark.parametrize(
    ("text", "published"),
    [("plain", "plain"), ("sign this", "9 ann: this")],
)
def test_a_check_may_change_a_message(server: LiveServer, text: str, published: str) -> None:
    """What clients publish over sockets, over HTTP and in a batch; not what others publish."""
    base, body = f"{server.url}/live", {"text": text}
    with server.client("/live/items/order:9/ws?token=user-ann") as client:
        client.welcome()
        client.publish(body)
        httpx.post(f"{base}/items/order:9/messages?token=user-ann", json=body)
        batch = {"messages": [{"item": "order:9", "data": body}]}
        httpx.post(f"{base}/messages?token=user-ann", json=batch)
        received = [client.message()["data"] for _ in range(3)]

    assert received == [{"text": published}] * 3


@pytest.mark.parametrize(
    ("data", "code", "status"),
    [
        ({"text": "rude"}, "profanity", 403),
        ({"text": "forbidden"}, "forbidden", 403),
        ({"text": "bug"}, "internal", 500),
        ({"text": 5}, "payload_invalid", 422),
    ],
)
def test_a_check_may_deny(server: LiveServer, data: object, code: str, status: int) -> None:
    """Nothing is stored, and the publisher is told why."""
    base = f"{server.url}/live"
    with server.client("/live/items/order:10/ws?token=user-ann") as client:
        client.welcome()
        socket = client.ask("publish", data=data)
        over_http = httpx.post(f"{base}/items/order:10/messages?token=user-ann", json=data)
        batch = {"messages": [{"item": "order:10", "data": data}]}
        results = httpx.post(f"{base}/messages?token=user-ann", json=batch).json()["results"]
        history = client.ask("history")

    assert (socket["code"], over_http.json()["code"], results[0]["code"]) == (code,) * 3
    assert over_http.status_code == status
    assert history["messages"] == []


def test_a_check_keeps_the_order(server: LiveServer) -> None:
    """A slow check of the first message holds back the second one of the same client."""
    with server.client("/live/items/order:11/ws?token=user-ann") as client:
        client.welcome()
        for number, text in enumerate(["slow", "b", "c"]):
            client.send(f'{{"type":"publish","ref":{number},"data":{{"text":"{text}"}}}}')
        texts = [client.message()["data"]["text"] for _ in range(3)]

    assert texts == ["slow", "b", "c"]


def test_a_hanging_check_is_refused(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its deadline, and the next message is checked."""
    monkeypatch.setattr(calls, "DECISION_SECONDS", 0.05)
    with server.client("/live/items/order:12/ws?token=user-ann") as client:
        client.welcome()
        assert client.ask("publish", data={"text": "hang"})["code"] == "overloaded"
        assert client.ask("publish", data={"text": "b"})["type"] == "reply"


def test_a_plain_client_is_closed(server: LiveServer) -> None:
    """It has no word for an error, and cannot ask: its frames are messages."""
    path = "/live/items/order:13/ws?token=user-ann"
    with server.client(path, subprotocols=PLAIN) as client:
        client.send('{"text": "x"}')
        close = client.ending()

    assert (close.code, close.reason) == (1007, "payload_invalid")


def test_a_channel_without_a_check_is_published_to_at_once(server: LiveServer) -> None:
    """Its messages wait for nothing, not for a call about another item of the same client."""
    with server.client("/live/ws?token=user-ann") as client:
        client.ask("join", item="order:7")
        client.ask("join", item="free:x")
        client.send('{"type":"request","ref":"h","item":"order:7","name":"hang"}')
        assert client.ask("publish", item="free:x", data=1)["type"] == "reply"


class Price(BaseModel):
    """What the channel publishes."""

    cents: int


async def anybody() -> dict[str, str]:
    """Return the same user for everybody."""
    return {"id": "ann"}


def shop_with_model() -> FastAPI:
    """Make an application whose check turns euros into what the channel's model is."""
    live = Itemwire(user=anybody, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("price:{number}", model=Price)
    async def price(number: int) -> Rights:
        return Rights("subscribe", "publish")

    @price.before_publish
    async def convert(data: dict[str, int]) -> object:
        return {"cents": data["euros"] * 100} if "euros" in data else None

    return app


@pytest.mark.parametrize(
    ("sent", "published"),
    [({"euros": 2}, {"cents": 200}), ({"cents": 5}, {"cents": 5}), ({"dollars": 2}, None)],
)
def test_the_model_is_that_of_what_is_published(
    sent: dict[str, int], published: dict[str, int] | None
) -> None:
    """A message need not fit before its check has changed it; on every way in."""
    batch = {"messages": [{"item": "price:1", "data": sent}]}
    with (
        live_application(shop_with_model()) as server,
        server.client("/live/items/price:1/ws?token=x") as client,
    ):
        client.welcome()
        base = f"{server.url}/live"
        over_http = httpx.post(f"{base}/items/price:1/messages?token=x", json=sent).json()
        result = httpx.post(f"{base}/messages?token=x", json=batch).json()["results"][0]
        if published is None:
            socket = client.ask("publish", data=sent)
            assert [one["code"] for one in (over_http, result, socket)] == ["payload_invalid"] * 3
            assert {one["detail"] for one in (over_http, result, socket)} == {
                "data.cents: Field required"
            }
        else:
            client.publish(sent)
            assert [client.message()["data"] for _ in range(3)] == [published] * 3
