"""The options of channels, on every engine and on every way in."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import httpx
import msgspec
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from itemwire import Itemwire, Rights
from itemwire.channels.names import DIRECT_ITEM
from itemwire.engines.base import Bounds
from itemwire.rules.channels import RuledBounds
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.conformance.engine_urls import ENGINE_URLS, OF_ONE_NODE
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

ENGINES: Final = ("memory", "sqlite", "postgresql", "redis", "nats", "itemwire+unix")
WAIT_SECONDS: Final = 10.0
ALL: Final = Rights("subscribe", "publish", "history", "presence")


class Shipped(BaseModel):
    """An event of an order."""

    kind: Literal["shipped"] = "shipped"
    parcels: list[int]
    tracking_id: str = Field("", alias="trackingId")


class Packed(BaseModel):
    """Another one."""

    kind: Literal["packed"]


class Reading(msgspec.Struct):
    """What a sensor tells."""

    celsius: float


@dataclass
class User:
    """A user: whatever the query says."""

    id: str


def caller(token: Annotated[str, Query()]) -> User:
    """Find the user."""
    return User(token)


@dataclass
class Node:
    """A running application."""

    live: Itemwire
    server: LiveServer

    def client(self, item: str, user: str = "alice", **options: Any) -> Any:  # noqa: ANN401
        """Connect to an item."""
        path, _, query = item.partition("?")
        url = f"/live/items/{path}/ws?token={user}&{query}"
        return self.server.client(url.removesuffix("&"), **options)

    def publish(self, item: str, data: object) -> httpx.Response:
        """Publish over HTTP."""
        url = f"{self.server.url}/live/items/{item}/messages?token=backend"
        return httpx.post(url, json=data)

    def history(self, item: str) -> list[Any]:
        """Read back the data over HTTP."""
        url = f"{self.server.url}/live/items/{item}/messages?token=backend"
        return [one["data"] for one in httpx.get(url).json()["messages"]]


def application(url: str = "memory://") -> tuple[FastAPI, Itemwire]:
    """Make an application with a channel for each option."""
    settings = settings_of(secret=None, engine_url=url, history_size=10)
    live = Itemwire(user=caller, settings=settings)
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    async def everything() -> Rights:
        return ALL

    for pattern, options in {
        "order:{id}": {"model": Shipped | Packed, "history": 2},
        "text:{id}": {"history": 15},
        "sensor:{id}": {"model": Reading, "max_message_bytes": 30},
        "cursor:{id}": {"history": 0},
        "typing:{id}": {"history": 0, "echo": False},
        "room:{id}": {"echo": False},
        "crowd:{id}": {"presence": "counts"},
        "secret:{id}": {"presence": "off"},
        "slow:{id}": {"publish_rate": 0.01},
        "other:{id}": {},
    }.items():
        live.channel(pattern, **options)(everything)  # type: ignore[arg-type] # each is an option

    @app.post("/cursor/{name}")
    async def move(name: str) -> int:
        return (await live.publish(f"cursor:{name}", {"x": 1})).offset

    return app, live


@pytest.fixture(scope="module", params=ENGINES)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Node, Node]]:
    """Give two nodes on one engine, or one twice where no two can share it."""
    engine = request.param
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(ENGINE_URLS[engine](tmp_path_factory.mktemp(engine)))
        running: list[Node] = []
        for _ in range(1 if engine in OF_ONE_NODE else 2):
            app, live = application(url)
            running.append(Node(live, stack.enter_context(live_application(app))))
        yield running[0], running[-1]


def test_keeps_as_much_history_as_the_rule_says(nodes: tuple[Node, Node]) -> None:
    """And what the settings say where no rule says anything."""
    one, other = nodes
    for number in range(4):
        assert one.publish("order:1", {"parcels": [number]}).status_code == 201
        assert one.publish("other:1", number).status_code == 201

    assert other.history("order:1") == [{"parcels": [2]}, {"parcels": [3]}]
    assert other.history("other:1") == [0, 1, 2, 3]


def test_reads_as_much_history_as_the_rule_keeps(nodes: tuple[Node, Node]) -> None:
    """More than the settings say: at once, at a join, and after a break from its middle on."""
    one, other = nodes
    asyncio.run(one.live.publish_many([("text:1", number) for number in range(20)]))
    with other.client("text:1?replay=5000") as late:
        epoch = late.welcome()["epoch"]
        replayed = [late.message()["data"] for _ in range(15)]
        answer = late.ask("history", limit=1000)
    with other.client(f"text:1?since={epoch}:7") as back:
        recovered = back.welcome()["recovered"]
        missed = [back.message()["data"] for _ in range(13)]

    assert replayed == [one["data"] for one in answer["messages"]] == list(range(5, 20))
    assert (recovered, missed) == (True, list(range(7, 20)))


def test_ephemeral_messages_are_delivered_and_stored_nowhere(nodes: tuple[Node, Node]) -> None:
    """They use up no offset, and say so, on every way in and on every node."""
    one, other = nodes
    batch = {"messages": [{"item": "cursor:1", "data": 3}]}
    with one.client("cursor:1") as near, other.client("cursor:1", "bob") as far:
        welcomes = [near.welcome(), far.welcome()]
        replies = [near.publish({"x": 0})]
        sent = httpx.post(f"{one.server.url}/cursor/1")
        posted = one.publish("cursor:1", 2)
        many = httpx.post(f"{one.server.url}/live/messages?token=backend", json=batch)
        heard = [[client.message() for _ in range(4)] for client in (near, far)]
        again = far.ask("history")

    assert [one["offset"] for one in welcomes] == [0, 0]
    assert [(one["type"], one["ephemeral"], "offset" in one) for one in replies] == [
        ("reply", True, False)
    ]
    assert sent.json() == 0
    assert (posted.status_code, posted.json()) == (202, {"ephemeral": True})
    assert many.json() == {"results": [{"ephemeral": True}]}
    for messages in heard:
        assert [one["data"] for one in messages] == [{"x": 0}, {"x": 1}, 2, 3]
        assert {(one["ephemeral"], "offset" in one) for one in messages} == {(True, False)}
    assert (again["messages"], again["offset"]) == ([], 0)


@pytest.mark.parametrize("item", ["typing:1", "room:1"])
def test_a_publisher_does_not_hear_itself_without_echo(nodes: tuple[Node, Node], item: str) -> None:
    """Another socket of the same caller does, and so does everybody else."""
    one, other = nodes
    with one.client(item) as own, one.client(item) as twin, other.client(item, "bob") as bob:
        for client in (own, twin, bob):
            client.welcome()
        own.publish("from own")
        twin.publish("from twin")
        bob.publish("from bob")
        heard = [[client.message()["data"] for _ in range(2)] for client in (own, twin, bob)]

    assert [sorted(texts) for texts in heard] == [
        ["from bob", "from twin"],
        ["from bob", "from own"],
        ["from own", "from twin"],
    ]


def test_members_are_counted_or_unknown(nodes: tuple[Node, Node]) -> None:
    """Where members are counted nobody is named; where presence is off nobody may ask."""
    one, other = nodes
    with one.client("crowd:1") as near, one.client("secret:1") as hidden:
        near.welcome()
        url = f"{other.server.url}/live/items/crowd:1/members?token=bob"
        with other.client("crowd:1", "bob") as far:
            far.welcome()
            near.send('{"type": "publish", "data": "between"}')
            kinds = {near.envelope()["type"] for _ in range(2)}  # nothing came before these
            page = _until(lambda: httpx.get(url).json(), lambda got: got["count"] == 2)
        welcome = hidden.welcome()
        refused = hidden.ask("members")
    secret = httpx.get(f"{one.server.url}/live/items/secret:1/members?token=bob")

    assert kinds == {"message", "reply"}
    assert page == {"members": [], "count": 2}
    assert welcome["can"] == ["subscribe", "publish", "history"]
    assert not {"members", "member_count"} & welcome.keys()
    assert (refused["code"], secret.status_code) == ("scope_missing", 403)


def _until(ask: Callable[[], Any], is_right: Callable[[Any], bool]) -> Any:  # noqa: ANN401
    """Ask until the other node has told its members."""
    ends_at = time.monotonic() + WAIT_SECONDS
    got = ask()
    while not is_right(got) and time.monotonic() < ends_at:
        got = ask()
    return got


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Give one node."""
    app, live = application()
    with live_application(app) as server:
        yield Node(live, server)


FAULTS: Final = [
    pytest.param("order:7", {"parcels": [1, "2"]}, "payload_invalid", "[1]", id="pydantic"),
    pytest.param("order:7", {"kind": "lost"}, "payload_invalid", "kind", id="union"),
    pytest.param("order:7", "text", "payload_invalid", "data", id="text"),
    pytest.param("sensor:7", {"celsius": "1"}, "payload_invalid", "data.celsius: ", id="struct"),
    pytest.param("sensor:7", {"celsius": 1, "x": "y" * 20}, "message_too_big", "30", id="size"),
]


@pytest.mark.parametrize(("item", "data", "code", "detail"), FAULTS)
def test_refuses_what_does_not_fit_to_its_publisher_only(
    node: Node, item: str, data: object, code: str, detail: str
) -> None:
    """With the path of the fault, over a socket, HTTP, a batch and from code."""
    fitting = {"parcels": [1]} if item.startswith("order") else {"celsius": 1.5}
    batch = {"messages": [{"item": item, "data": one} for one in (data, fitting)]}
    with node.client(item, "listener") as listener, node.client(item) as client:
        listener.welcome()
        client.welcome()
        answer = client.ask("publish", data=data)
        posted = node.publish(item, data)
        many = httpx.post(f"{node.server.url}/live/messages?token=b", json=batch)
        heard = listener.message()

    results = many.json()["results"]
    assert (answer["code"], answer["temporary"]) == (code, False)
    assert detail in answer["detail"]
    assert posted.status_code == {"payload_invalid": 422, "message_too_big": 413}[code]
    assert (posted.json()["code"], posted.json()["detail"]) == (code, answer["detail"])
    assert (results[0]["code"], results[0]["detail"]) == (code, answer["detail"])
    assert "offset" in results[1]
    assert heard["data"] == fitting


def test_one_caller_publishes_no_more_than_the_rule_says(node: Node) -> None:
    """To all items of the pattern, on every way in; others and code are not held up by it."""
    batch = {"messages": [{"item": item, "data": 1} for item in ("slow:3", "other:9")]}
    with node.client("slow:1") as client, node.client("slow:2", "bob") as bob:
        answers = [client.publish(1), client.ask("publish", data=2), bob.publish(3)]
    answered = [node.publish(item, 1).status_code for item in ("slow:1", "slow:2", "other:9")]
    many = httpx.post(f"{node.server.url}/live/messages?token=backend", json=batch).json()

    assert [one["type"] for one in answers] == ["reply", "error", "reply"]
    assert (answers[1]["code"], answers[1]["temporary"]) == ("rate_limited", True)
    assert answers[1]["retry_after_ms"] > 1000
    assert answered == [201, 429, 201]
    assert [one.get("code") for one in many["results"]] == ["rate_limited", None]


def test_tells_the_bound_of_the_item_in_the_welcome(node: Node) -> None:
    """A client need not try."""
    with node.client("sensor:1") as sensor, node.client("other:1") as other:
        most = [client.welcome()["max_message_bytes"] for client in (sensor, other)]

    assert most == [30, 65_536]


def test_a_plain_socket_ends_with_the_reason(node: Node) -> None:
    """It has no word for an answer."""
    with node.client("sensor:1", subprotocols=["itemwire.v1.plain"]) as client:
        client.send("warm")
        ending = client.ending()

    assert (ending.code, ending.reason) == (1007, "payload_invalid")


def test_code_is_held_to_the_model_as_everybody_is() -> None:
    """A model is written by its aliases, by which clients read it."""
    app, live = application()
    stored: list[object] = []

    @app.post("/good")
    async def good() -> int:
        return (await live.publish("order:1", Shipped(parcels=[1], trackingId="x"))).offset

    @app.post("/bad")
    async def bad() -> None:
        try:
            await live.publish("order:1", {"parcels": None})
        except ValueError as error:
            stored.append(str(error))

    with live_application(app) as server:
        assert httpx.post(f"{server.url}/good").json() == 1
        httpx.post(f"{server.url}/bad")
        history = Node(live, server).history("order:1")

    assert history == [{"kind": "shipped", "parcels": [1], "trackingId": "x"}]
    assert len(stored) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"history": -1}, "history=-1 must be"),
        ({"max_age": 0}, "max_age=0 must be"),
        ({"presence": "maybe"}, "presence='maybe' must be one of on, counts, off"),
        ({"echo": 1}, "echo=1 must be true or false"),
        ({"max_message_bytes": 70_000}, "at most that of the settings, 65536"),
        ({"model": 5}, "model=5"),
        ({"publish_rate": 0}, "publish_rate=0 must be a number of messages a second"),
        ({"anonymous": "yes"}, "anonymous='yes' must be true or false"),
        ({"retain": 0}, "retain=0 must be true, false, or a number of seconds"),
        ({"speed": 1}, "speed is no option of a channel"),
    ],
)
def test_refuses_an_option_that_is_wrong(options: dict[str, Any], problem: str) -> None:
    """Where it is written, and by its name."""
    live = Itemwire(user=caller, settings=settings_of(secret=None))

    with pytest.raises(ValueError, match=problem):
        live.add_channel("order:{id}", **options)


def test_the_first_pattern_that_matches_decides() -> None:
    """As with the routes of an application."""
    live = Itemwire(user=caller, settings=settings_of(secret=None))
    live.add_channel("order:first", history=1)
    live.add_channel("order:{id}", history=2, max_age=900)
    bounds = RuledBounds(Bounds(100, 1000, 300, 5), live._rules)

    assert bounds.of("item:order:first") == Bounds(1, 1000, 300, 5)
    assert bounds.of("item:order:second") == Bounds(2, 1000, 900, 5)
    assert bounds.of("item:else") is bounds._default
    assert bounds.largest == Bounds(100, 1000, 900, 5)


def test_no_pattern_reaches_messages_to_a_caller() -> None:
    """They travel by a name of their own, which `{name}` matches as it matches any."""
    live = Itemwire(user=caller, settings=settings_of(secret=None))
    live.add_channel("{name}", history=0)

    assert live._rules.of_item("any").is_ephemeral
    assert not live._rules.of_item(DIRECT_ITEM).is_ephemeral


def test_takes_no_channel_while_it_runs() -> None:
    """Engines and connections look at the rules once."""
    app, live = application()

    async def scene() -> None:
        async with live.lifespan(app):
            with pytest.raises(RuntimeError, match="before the application starts"):
                live.add_channel("late:{id}")

    asyncio.run(scene())
