"""The last message for who comes late, on every engine and on every way in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any, Final

import httpx
import pytest
from fastapi import Depends, FastAPI

from itemwire import Itemwire, Rights
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.conformance.engine_urls import ENGINE_URLS, OF_ONE_NODE
from tests.test_channel_options import ALL, ENGINES, User, caller
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

Nodes = tuple[LiveServer, LiveServer]

SUBSCRIBERS: Final = Rights("subscribe")


def application(url: str = "memory://") -> FastAPI:
    """Make an application whose channels retain their last message, or not."""
    live = Itemwire(user=caller, settings=settings_of(secret=None, engine_url=url))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    async def everything() -> Rights:
        return ALL

    async def of_backend(user: Annotated[User, Depends(caller)]) -> Rights:
        return ALL if user.id == "backend" else SUBSCRIBERS

    live.channel("status:{id}", history=0, retain=True)(everything)
    live.channel("price:{id}", history=5, retain=60)(everything)
    live.channel("plain:{id}", history=0)(everything)
    live.channel("board:{id}", history=5, retain=True)(of_backend)
    return app


@pytest.fixture(scope="module", params=ENGINES)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nodes]:
    """Give two nodes on one engine, or one twice where no two can share it."""
    engine = request.param
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(ENGINE_URLS[engine](tmp_path_factory.mktemp(engine)))
        running = [
            stack.enter_context(live_application(application(url)))
            for _ in range(1 if engine in OF_ONE_NODE else 2)
        ]
        yield running[0], running[-1]


@pytest.fixture(scope="module")
def node() -> Iterator[LiveServer]:
    """Give one node."""
    with live_application(application()) as server:
        yield server


def client(server: LiveServer, item: str, query: str = "", **options: Any) -> Any:  # noqa: ANN401
    """Connect to an item."""
    return server.client(f"/live/items/{item}/ws?token=late{query}", **options)


def publish(server: LiveServer, item: str, *texts: str) -> None:
    """Publish over HTTP."""
    for text in texts:
        url = f"{server.url}/live/items/{item}/messages?token=backend"
        assert httpx.post(url, json=text).status_code == 201


def test_the_last_message_is_given_to_who_comes_late(nodes: Nodes) -> None:
    """Once, right after the welcome, though it is in no history; live messages follow."""
    one, other = nodes
    publish(one, "status:1", "shut", "open")
    with client(other, "status:1") as late:
        welcome, kept = late.envelope(), late.envelope()
        publish(one, "status:1", "shut again")
        following = late.message()
    history = httpx.get(f"{other.url}/live/items/status:1/messages?token=late").json()

    assert (welcome["type"], welcome["offset"]) == ("welcome", 2)
    assert (kept["type"], kept["offset"], kept["data"]) == ("message", 2, "open")
    assert (following["offset"], following["data"]) == (3, "shut again")
    assert history["messages"] == []


def test_who_resumes_gets_what_was_missed_and_nothing_else(nodes: Nodes) -> None:
    """Also where nothing was missed; who cannot resume begins with the last message."""
    one, other = nodes
    publish(one, "price:1", "1", "2")
    with client(one, "price:1") as first:
        welcome, kept = first.welcome(), first.message()
    publish(other, "price:1", "3")
    since = f"&since={welcome['resume']}"
    with client(other, "price:1", f"{since}:2") as back, client(one, "price:1", f"{since}:3") as up:
        recovered = [back.welcome()["recovered"], up.welcome()["recovered"]]
        missed = back.message()
        publish(one, "price:1", "4")
        following = [back.message()["data"], up.message()["data"]]
    with client(one, "price:1", "&since=other:1") as lost:
        begun = (lost.welcome()["recovered"], lost.message()["data"])

    assert kept["data"] == "2"
    assert recovered == [True, True]
    assert missed["data"] == "3"
    assert following == ["4", "4"]
    assert begun == (False, "4")


def test_a_replay_has_it_once(node: LiveServer) -> None:
    """It is the last message of the history."""
    publish(node, "price:7", "1", "2", "3")
    with client(node, "price:7", "&replay=2") as late:
        late.welcome()
        replayed = [late.message()["data"] for _ in range(2)]
        publish(node, "price:7", "4")
        following = late.message()["data"]

    assert (replayed, following) == (["2", "3"], "4")


def test_needs_no_right_to_history(node: LiveServer) -> None:
    """The rule of the channel gives it to every subscriber, and nothing before it."""
    publish(node, "board:1", "older", "newest")
    with client(node, "board:1") as late:
        welcome, kept = late.envelope(), late.envelope()
        publish(node, "board:1", "next")
        following = late.envelope()
    refused = httpx.get(f"{node.url}/live/items/board:1/messages?token=late")

    assert welcome["can"] == ["subscribe"]
    assert [one["data"] for one in (kept, following)] == ["newest", "next"]
    assert refused.status_code == 403


def test_a_subscriber_without_history_begins_with_it_when_it_cannot_resume(
    node: LiveServer,
) -> None:
    """A position is no right to what came before."""
    publish(node, "status:9", "a", "b")
    with client(node, "status:9", "&since=other:0") as late:
        assert (late.welcome()["recovered"], late.message()["data"]) == (False, "b")


def test_nothing_is_kept_without_the_rule(node: LiveServer) -> None:
    """Ephemeral messages stay ephemeral."""
    url = f"{node.url}/live/items/plain:1/messages?token=backend"
    assert httpx.post(url, json="gone").status_code == 202
    with client(node, "plain:1") as late:
        late.welcome()
        late.publish("by late")
        assert late.message()["data"] == "by late"


def test_plain_sockets_and_streams_of_events_begin_with_it(node: LiveServer) -> None:
    """Each in its own form; an id of the stream goes on from there."""
    publish(node, "status:10", "here")
    with client(node, "status:10", subprotocols=["itemwire.v1.plain"]) as plain:
        assert plain.receive() == "here"
    url = f"{node.url}/live/items/status:10/events?token=late"
    with httpx.stream("GET", url, timeout=10) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data:"))
        heard = [next(lines) for _ in range(2)]

    assert '"here"' in "".join(heard)


def test_many_items_on_one_socket_begin_with_theirs(node: LiveServer) -> None:
    """Each joined item by its own rule."""
    for item in ("status:11", "status:12"):
        publish(node, item, item)
    with node.client("/live/ws?token=late") as many:
        for item in ("status:11", "status:12"):
            many.send(f'{{"type": "join", "item": "{item}"}}')
        heard = {many.message()["data"] for _ in range(2)}

    assert heard == {"status:11", "status:12"}
