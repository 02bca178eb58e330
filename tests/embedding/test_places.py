"""Channels serve the same wherever a team puts them: below a prefix, mounted, behind a proxy."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from itemwire.serving.server import Protocols
from itemwire.testing.servers import STOCK
from itemwire.transports.asgi import AsgiTransport
from tests.embedding.conftest import ANN, BEN, ITEM, Shop, ask, running_shop, settings_of
from tests.embedding.places import PLACES, Place

TIMEOUT = 30


@pytest.fixture(scope="module", params=list(PLACES))
def running(folder: Path, protocols: Protocols, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Run the shop with channels in each place in turn."""
    with running_shop(folder, protocols, PLACES[request.param]) as shop:
        yield shop


def test_a_socket_hears_what_is_published(running: Shop) -> None:
    """Over the socket and over HTTP."""
    with running.server.client(f"{running.prefix}{ITEM}/ws", headers=ANN) as ann:
        ann.welcome()
        by_socket = ann.publish("by socket")
        answer = ask("POST", running.url(f"{ITEM}/messages"), headers=ANN, json="by HTTP")
        heard = [ann.message()["data"] for _ in range(2)]

    assert by_socket["type"] == "reply"
    assert answer.status_code == 201
    assert heard == ["by socket", "by HTTP"]


def test_a_socket_of_many_items_joins_and_refreshes(running: Shop) -> None:
    """The rules are asked again long after the handshake, without its route."""
    with running.server.client(f"{running.prefix}/ws", headers=BEN) as ben:
        welcome = ben.ask("join", item="order:7")
        refused = ben.ask("join", item="order:8")
        refreshed = ben.ask("refresh", token="bens-login")
        of_another = ben.ask("refresh", token="anns-login")

    assert (welcome["type"], welcome["can"]) == ("welcome", ["subscribe", "history"])
    assert refused["code"] == "forbidden"
    assert refreshed["items"] == {"order:7": ["subscribe", "history"]}
    assert of_another["code"] == "credentials_invalid"


def test_a_socket_of_one_item_refreshes(running: Shop) -> None:
    """On the fast path and without it."""
    with running.server.client(f"{running.prefix}{ITEM}/ws?token=anns-login") as ann:
        ann.welcome()
        reply = ann.ask("refresh", token="anns-login")

    assert reply["can"] == ["subscribe", "publish", "history"]


def test_the_servers_own_class_carries_sockets_where_it_can(
    running: Shop, protocols: Protocols
) -> None:
    """The fast path holds wherever channels are; with uvicorn's class they are carried by ASGI."""
    with running.server.client(f"{running.prefix}{ITEM}/ws", headers=ANN) as ann:
        connection = ann.welcome()["connection"]
        (one,) = running.live._assembly.node.connections(1)

        assert one.id == connection
        assert isinstance(one._transport, AsgiTransport) is (protocols is STOCK)


def test_a_batch_is_judged_item_by_item(running: Shop) -> None:
    """As each item's own route would judge it."""
    messages = [{"item": "order:7", "data": 1}, {"item": "order:8", "data": 2}]
    answer = ask("POST", running.url("/messages"), headers=ANN, json={"messages": messages})

    assert [one.get("code", "stored") for one in answer.json()["results"]] == [
        "stored",
        "forbidden",
    ]


def test_a_stream_of_events_is_served(running: Shop) -> None:
    """Its first event is the welcome."""
    with httpx.stream("GET", running.url(f"{ITEM}/events"), headers=BEN, timeout=TIMEOUT) as answer:
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))

    assert json.loads(data.removeprefix("data: "))["item"] == "order:7"


def test_health_is_told(running: Shop) -> None:
    """The channels have a health of their own."""
    assert ask("GET", running.url("/health/ready")).json() == {"status": "ready"}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_paths_are_told_apart_below_the_prefix(
    folder: Path, protocols: Protocols, place: Place
) -> None:
    """Health needs no encryption, and operators are served while it drains; items are not."""
    by_tls = {**ANN, "X-Forwarded-Proto": "https"}
    settings = settings_of(require_tls=True, admin=True)
    with running_shop(folder, protocols, place, settings=settings) as shop:
        health = ask("GET", shop.url("/health/live"))
        bare, encrypted = (
            ask("GET", shop.url(f"{ITEM}/messages"), headers=headers) for headers in (ANN, by_tls)
        )
        shop.live._assembly.node.drain()
        draining, operating = (
            ask("POST", shop.url(path), headers=by_tls, json={})
            for path in (f"{ITEM}/messages", "/admin/drain")
        )

    assert (health.status_code, bare.json()["code"], encrypted.status_code) == (
        200,
        "tls_required",
        200,
    )
    assert draining.json()["code"] == "draining"
    assert operating.json()["code"] == "credentials_invalid"  # it went on to who is asking


def test_a_lost_upgrade_is_told_below_the_prefix_alone(running: Shop) -> None:
    """On a path of the channels; what the host does not have is not found, as ever."""
    told = [ask("GET", running.url(path)) for path in (f"{ITEM}/ws", "/ws")]
    missing = [ask("GET", running.url("/nope")), ask("GET", f"{running.server.url}/nope/ws")]

    assert [answer.status_code for answer in told] == [426, 426]
    assert {answer.headers["upgrade"] for answer in told} == {"websocket"}
    assert [answer.status_code for answer in missing] == [404, 404]


def test_other_methods_are_answered_below_the_prefix(running: Shop) -> None:
    """HEAD, OPTIONS and what is not allowed, by all routes of a path."""
    path = running.url(f"{ITEM}/messages")
    asked = ask("OPTIONS", path)
    refused = ask("PUT", path)
    health = ask("HEAD", running.url("/health/live"))
    slash = ask("GET", f"{path}/?token=secret")

    assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert (health.status_code, health.content) == (200, b"")
    assert (slash.status_code, "location" in slash.headers) == (404, False)
