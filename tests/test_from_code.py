"""What an application's own code does with channels, in its routes, threads and other loops."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from msgspec import UNSET

from itemwire import Itemwire, NewMessage, Rights
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

T = TypeVar("T")


@dataclass
class User:
    """A user as an application has them."""

    id: str


async def current_user(request: Request) -> User:
    """Find the user by a header or token that is the name itself."""
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not name:
        raise HTTPException(401)
    return User(name)


CurrentUser = Annotated[User, Depends(current_user)]


@dataclass
class Host:
    """A running application and the channels in it."""

    live: Itemwire
    server: LiveServer

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the application's own event loop."""
        assert self.live._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.live._loop).result(20)


def make_host(engine_url: str = "memory://") -> tuple[Itemwire, FastAPI]:
    """Make an application as a user of the library writes it."""
    live = Itemwire(user=current_user, settings=settings_of(secret=None, engine_url=engine_url))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("{rest:path}")
    async def anything(rest: str, user: CurrentUser) -> Rights:
        return Rights("subscribe", "publish", "history", "presence")

    @app.post("/sync/{item_id}")
    def publish_from_a_thread(item_id: str) -> int:
        return live.publish_sync(item_id, {"from": "a thread"}).offset

    @app.post("/sync-channel/{item_id}")
    def publish_to_a_channel(item_id: str) -> int:
        return anything.publish_sync({"from": "a channel"}, rest=item_id).offset

    @app.post("/blocking/{item_id}")
    async def publish_from_the_loop(item_id: str) -> str:
        with pytest.raises(RuntimeError, match="`await` the coroutine `publish`"):
            live.publish_sync(item_id, 1)
        return "refused"

    return live, app


@contextlib.contextmanager
def running_host(engine_url: str = "memory://") -> Iterator[Host]:
    """Run an application."""
    live, app = make_host(engine_url)
    with live_application(app) as server:
        yield Host(live, server)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """Give one running application for the module."""
    with running_host() as running:
        yield running


def test_publishes_from_a_route_in_a_thread(host: Host) -> None:
    """`publish_sync` hands over to the event loop and waits."""
    with host.server.client("/live/items/sync/ws?token=alice") as client:
        client.welcome()
        assert httpx.post(host.server.url + "/sync/sync").json() == 1
        assert client.message()["data"] == {"from": "a thread"}


def test_publishes_to_a_channel_from_a_route_in_a_thread(host: Host) -> None:
    """The item is named by the parameters of the pattern, as for the coroutine `publish`."""
    with host.server.client("/live/items/sync-2/ws?token=alice") as client:
        client.welcome()
        assert httpx.post(host.server.url + "/sync-channel/sync-2").json() == 1
        assert client.message()["data"] == {"from": "a channel"}


def test_publish_sync_refuses_to_wait_for_itself(host: Host) -> None:
    """On the loop's own thread it would never return."""
    assert httpx.post(host.server.url + "/blocking/x").json() == "refused"


def test_publishes_from_another_event_loop(host: Host) -> None:
    """A thread that has a loop of its own neither wedges the node nor waits for long."""
    with host.server.client("/live/items/elsewhere/ws?token=alice") as client:
        client.welcome()
        position = asyncio.run(host.live.publish("elsewhere", 1, sender="billing"))
        message = client.message()

    assert (message["offset"], message["sender"]) == (position.offset, "billing")
    history = asyncio.run(host.live.history("elsewhere"))
    assert [one.sender for one in history.publications] == ["billing"]


def test_publishes_many_in_their_order(host: Host) -> None:
    """A call that is repeated with its key stores nothing twice."""
    messages = [(f"many:{number % 2}", number) for number in range(250)]

    first = asyncio.run(host.live.publish_many(messages, idempotency_key="import-1"))
    again = asyncio.run(host.live.publish_many(iter(messages), idempotency_key="import-1"))

    assert first == again
    assert [one.offset for one in first[::2]] == list(range(1, 126))


def test_publishes_many_with_more_than_their_data(host: Host) -> None:
    """A generated text ends with its last part."""
    last = NewMessage("text", "b", meta={"model": "m"}, end=True)

    asyncio.run(host.live.publish_many([("text", "a"), last]))
    found = host.do(host.live.history("text")).publications

    assert [(one.data, one.meta, one.end) for one in found] == [
        ("a", UNSET, UNSET),
        ("b", {"model": "m"}, True),
    ]


def test_publishes_none_of_many_if_one_is_wrong(host: Host) -> None:
    """A fault of the caller's is known before anything is stored."""
    with pytest.raises(ValueError, match="no item id"):
        asyncio.run(host.live.publish_many([("unstored", 1), ("un stored", 2)]))

    assert host.do(host.live.history("unstored")).position.offset == 0


def test_lists_members_channels_and_connections(host: Host) -> None:
    """What a dashboard of the application shows."""
    with host.server.client("/live/items/list:1/ws?token=alice") as client:
        client.welcome()
        members = asyncio.run(host.live.members("list:1"))
        channels = asyncio.run(host.live.channels())
        connections = asyncio.run(host.live.connections())

    assert [one.subject for one in members.members] == ["alice"]
    assert channels["list:1"] == 1
    assert [one.subject for one in connections if one.items == ["list:1"]] == ["alice"]


def test_ends_the_sockets_of_a_caller(host: Host) -> None:
    """A user that was disconnected may come back; one that was revoked may not."""
    live, path = host.live, "/live/items/end:1/ws?token=eve"
    with host.server.client(path) as client, host.server.client(path + "x") as other:
        client.welcome(), other.welcome()
        assert asyncio.run(live.disconnect("eve")) == 1
        assert client.ending().reason == "token_revoked"
        assert other.ask("ping")["type"] == "pong"
    with host.server.client(path) as client:
        client.welcome()
        assert asyncio.run(live.revoke("eve")) == 1
        assert client.ending().reason == "token_revoked"

    assert host.server.refusal(path).reason == "token_revoked"


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda live: live.publish("a b", 1), "no item id", id="item"),
        pytest.param(lambda live: live.publish("$direct", 1), "no item id", id="reserved"),
        pytest.param(lambda live: live.history("$direct"), "no item id", id="reserved-history"),
        pytest.param(lambda live: live.members("$direct"), "no item id", id="reserved-members"),
        pytest.param(lambda live: live.publish("a", "\ud800"), "surrogates", id="text"),
        pytest.param(lambda live: live.send_to("", 1), "subject is empty", id="subject"),
        pytest.param(lambda live: live.disconnect(""), "subject is empty", id="no-subject"),
        pytest.param(lambda live: live.revoke(), "one of these", id="nothing-named"),
        pytest.param(lambda live: live.revoke("a", until=1), "until", id="past"),
        pytest.param(lambda live: live.revoke("a", issued_before=4e12), "seconds", id="ms"),
    ],
)
def test_says_what_is_wrong(
    host: Host, call: Callable[[Itemwire], Coroutine[Any, Any, object]], match: str
) -> None:
    """A ValueError with a sentence, and nothing was done."""
    with pytest.raises(ValueError, match=match):
        asyncio.run(call(host.live))


@pytest.mark.parametrize(
    "call",
    [
        lambda live: live.publish_many([("a", 1)]),
        lambda live: live.members("a"),
        lambda live: live.channels(),
        lambda live: live.connections(),
        lambda live: live.send_to("alice", 1),
        lambda live: live.disconnect("alice"),
        lambda live: live.revoke("alice"),
        lambda live: live.subscribe("a").__aenter__(),
        lambda live: asyncio.to_thread(live.publish_sync, "a", 1),
    ],
)
def test_says_that_it_does_not_run(
    call: Callable[[Itemwire], Coroutine[Any, Any, object]],
) -> None:
    """Whatever is called ahead of the start says what is missing."""
    live, _ = make_host()

    with pytest.raises(RuntimeError, match="include `router`"):
        asyncio.run(call(live))


def test_hears_what_clients_and_code_publish(host: Host) -> None:
    """In order, decoded, and as no member; until the block ends."""

    async def hear() -> list[tuple[int, str | None, object]]:
        async with host.live.subscribe("hear:1", "hear:2") as messages:
            await host.live.publish("hear:1", {"n": 1})
            await host.live.publish("hear:2", b"\xff")
            return [
                (one.offset, one.sender, one.data)
                for one in (await anext(messages), await anext(messages))
            ]

    assert host.do(hear()) == [(1, None, {"n": 1}), (1, None, b"\xff")]
    assert asyncio.run(host.live.channels()).keys().isdisjoint({"hear:1", "hear:2"})


def test_goes_on_hearing_when_the_last_socket_leaves(host: Host) -> None:
    """And a socket goes on when the code ends."""

    async def hear() -> object:
        async with host.live.subscribe("leave:1") as messages:
            await asyncio.to_thread(come_and_go)
            await host.live.publish("leave:1", "after")
            return (await anext(messages)).data

    def come_and_go() -> None:
        with host.server.client("/live/items/leave:1/ws?token=bob") as client:
            client.welcome()

    assert host.do(hear()) == "after"
    with host.server.client("/live/items/leave:1/ws?token=carol") as client:
        assert client.welcome()["member_count"] == 1  # code is no member
        host.do(hear())
        assert client.message()["data"] == "after"


def test_hears_only_on_the_own_event_loop(host: Host) -> None:
    """On another one nothing would wake the reader."""
    with pytest.raises(RuntimeError, match="the event loop that the channels run on"):
        asyncio.run(host.live.subscribe("a").__aenter__())


@pytest.mark.parametrize("names", [(), ("order *",), ("order:7", "order *:*")])
def test_hears_nothing_that_names_no_item(host: Host, names: tuple[str, ...]) -> None:
    """Neither an item nor a pattern."""
    with pytest.raises(ValueError, match="item"):
        host.do(host.live.subscribe(*names).__aenter__())


def test_a_subscription_ends_with_the_channels() -> None:
    """What a background task waits for must not hold up the shutdown."""
    heard: list[object] = []

    async def hear(live: Itemwire, begun: asyncio.Event) -> None:
        async with live.subscribe("a") as messages:
            begun.set()
            heard.extend([message.data async for message in messages])
        heard.append("ended")

    async def scene() -> None:
        (live, app), begun = make_host(), asyncio.Event()
        async with live.lifespan(app):
            task = asyncio.create_task(hear(live, begun))
            await begun.wait()
            await live.publish("a", 1)
        await asyncio.wait_for(task, 10)

    asyncio.run(scene())

    assert heard == [1, "ended"]


def test_sends_to_all_sockets_of_a_caller_and_to_nobody_else(host: Host) -> None:
    """Whatever items they are on, if they have envelopes."""
    urls = ["/live/items/x:1/ws?token=dora", "/live/items/x:2/ws?token=dora"]
    with contextlib.ExitStack() as stack:
        dora = [stack.enter_context(host.server.client(url)) for url in urls]
        eric = stack.enter_context(host.server.client("/live/items/x:1/ws?token=eric"))
        for client in (*dora, eric):
            client.welcome()
        dora.append(stack.enter_context(host.server.client("/live/ws?token=dora")))
        dora[-1].ask("ping")
        asyncio.run(host.live.send_to("dora", {"n": 1}, sender="shop"))
        asyncio.run(host.live.send_to("dora", b"\xff"))
        asyncio.run(host.live.send_to("dora", 2, issuer="https://another.example"))
        asyncio.run(host.live.send_to("eric", "for eric"))
        first, second = [[client.expect("direct") for client in dora] for _ in range(2)]
        told = eric.expect("direct")

    for envelope in first:
        assert (envelope["data"], envelope["sender"]) == ({"n": 1}, "shop")
        assert envelope.keys() == {"type", "data", "sender", "sent_at"}
    assert {(one["data"], one["encoding"]) for one in second} == {("/w==", "base64")}
    assert told["data"] == "for eric"


def test_a_stream_of_events_gets_direct_messages_too(host: Host) -> None:
    """As an event of a name of its own, which moves no position."""
    url = host.server.url + "/live/items/x:3/events?token=finn"
    with httpx.stream("GET", url, timeout=20) as answer:
        lines = answer.iter_lines()
        assert "event: welcome" in lines
        asyncio.run(host.live.send_to("finn", "hello"))
        event = list(itertools.takewhile(bool, itertools.dropwhile(is_no_direct, lines)))

    assert [line.partition(":")[0] for line in event] == ["event", "data"]
    assert json.loads(event[1].removeprefix("data: "))["data"] == "hello"


def is_no_direct(line: str) -> bool:
    """Return whether a line does not begin a direct message."""
    return line != "event: direct"


@pytest.mark.parametrize("path", ["/live/items/$direct/ws", "/live/items/%24direct/ws"])
def test_no_client_reaches_the_reserved_item(host: Host, path: str) -> None:
    """By no route: what others are sent is theirs."""
    assert host.server.refusal(path + "?token=mallory").reason == "item_invalid"
    with host.server.client("/live/ws?token=mallory") as client:
        assert client.ask("join", item="$direct")["code"] == "item_invalid"
    url = host.server.url + path.removesuffix("/ws")
    for part in ("/messages", "/members", "/events"):
        answer = httpx.get(url + part, headers={"authorization": "Bearer mallory"})
        assert answer.json()["code"] == "item_invalid"
    batch = {"messages": [{"item": "$direct", "data": 1}]}
    headers = {"authorization": "Bearer mallory"}
    answer = httpx.post(host.server.url + "/live/messages", json=batch, headers=headers)
    assert answer.json()["results"][0]["code"] == "item_invalid"
