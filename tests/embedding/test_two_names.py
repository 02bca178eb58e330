"""Two `Itemwire` in one application on one engine: by different names they do not meet."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query

from itemwire import AsyncPublisher, Itemwire, Rights
from itemwire.engines import UNSHARED
from itemwire.settings import Settings
from itemwire.testing import ChannelClient, LiveServer
from itemwire.testing.servers import live_application
from tests.conformance.engine_urls import ENGINE_URLS
from tests.embedding.conftest import settings_of


async def named_user(token: Annotated[str, Query()]) -> dict[str, str]:
    """Find the user by a token that is the name itself."""
    return {"id": token}


def make_live(name: str, settings: Settings) -> Itemwire:
    """Make channels in which everybody may do everything."""
    live = Itemwire(user=named_user, settings=settings, name=name)

    @live.channel("{rest:path}")
    async def anything() -> Rights:
        return Rights("subscribe", "publish", "history", "presence")

    return live


@dataclass
class Pair:
    """Two running `Itemwire`, at `/one` and `/two`."""

    one: Itemwire
    two: Itemwire
    server: LiveServer
    engine_url: str
    two_name: str

    def client(self, stack: ExitStack, prefix: str, item: str, user: str) -> ChannelClient:
        """Open a socket that has joined an item."""
        path = f"/{prefix}/items/{item}/ws?token={user}"
        client = stack.enter_context(self.server.client(path))
        client.welcome()
        return client


@contextmanager
def running_pair(engine_url: str, *names: str) -> Iterator[Pair]:
    """Run an application with two `Itemwire` in it, by these names."""
    settings = settings_of(engine_url=engine_url)
    one, two = (make_live(name, settings) for name in names)
    app = FastAPI()
    app.include_router(one.router, prefix="/one")
    app.include_router(two.router, prefix="/two")
    with live_application(app) as server:
        yield Pair(one, two, server, engine_url, names[1])


@pytest.fixture(scope="module", params=["memory", "redis"])
def engine_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Start an engine."""
    with ENGINE_URLS[request.param](tmp_path_factory.mktemp("engine")) as url:
        yield url


@pytest.fixture(
    scope="module", params=[("shop", "support"), ("", "desk")], ids=["named", "nameless"]
)
def pair(request: pytest.FixtureRequest, engine_url: str) -> Iterator[Pair]:
    """Run two of different names, the first with or without one."""
    with running_pair(engine_url, *request.param) as running:
        yield running


def call(coroutine: Any) -> Any:  # noqa: ANN401 - whatever the code of an application asks
    """Ask from code, on a loop of its own."""
    return asyncio.run(coroutine)


def test_items_are_their_own(pair: Pair) -> None:
    """What is published to one of them has no trace in the other, and numbers of its own."""
    with ExitStack() as stack:
        in_one = pair.client(stack, "one", "n:1", "ann")
        in_two = pair.client(stack, "two", "n:1", "ann")
        offsets = [call(live.publish("n:1", name)).offset for live, name in names_of(pair)]
        heard = [client.message()["data"] for client in (in_one, in_two)]
        stored = [call(live.history("n:1")).publications for live in (pair.one, pair.two)]

    assert offsets == [1, 1]
    assert heard == ["one", "two"]
    assert [[one.data for one in each] for each in stored] == [["one"], ["two"]]


def names_of(pair: Pair) -> list[tuple[Itemwire, str]]:
    """Return both with their prefixes."""
    return [(pair.one, "one"), (pair.two, "two")]


def test_members_are_their_own(pair: Pair) -> None:
    """Who is in one of them is not told to the other."""
    with ExitStack() as stack:
        pair.client(stack, "one", "n:2", "ann")
        pair.client(stack, "two", "n:2", "ben")
        members = [call(live.members("n:2")).members for live in (pair.one, pair.two)]

    assert [[one.subject for one in each] for each in members] == [["ann"], ["ben"]]


def test_direct_messages_are_their_own(pair: Pair) -> None:
    """To the same user: what comes first at each of its sockets is its own."""
    with ExitStack() as stack:
        clients = [pair.client(stack, name, "n:3", "ann") for name in ("one", "two")]
        for live, name in names_of(pair):
            call(live.send_to("ann", name))

        assert [client.expect("direct")["data"] for client in clients] == ["one", "two"]


def test_revocations_are_their_own(pair: Pair) -> None:
    """A user who is locked out of one of them stays in the other."""
    with ExitStack() as stack:
        in_one = pair.client(stack, "one", "n:4", "eve")
        in_two = pair.client(stack, "two", "n:4", "eve")
        call(pair.one.revoke("eve"))
        assert in_one.ending().reason == "token_revoked"
        in_two.publish("still here")
        assert in_two.message()["data"] == "still here"

    assert pair.server.refusal("/one/items/n:4/ws?token=eve").reason == "token_revoked"


def test_a_publisher_reaches_the_one_that_it_names(pair: Pair) -> None:
    """From a process of its own, through the engine."""
    if pair.engine_url.partition("://")[0] in UNSHARED:
        with pytest.raises(ValueError, match="lives in one process"):
            call(publish(pair.engine_url, pair.two_name))
        return
    with ExitStack() as stack:
        in_one = pair.client(stack, "one", "n:5", "ann")
        in_two = pair.client(stack, "two", "n:5", "ann")
        call(publish(pair.engine_url, pair.two_name))
        call(pair.one.publish("n:5", "later"))

        assert in_two.message()["data"] == f"to {pair.two_name}"
        assert in_one.message()["data"] == "later"


async def publish(engine_url: str, name: str) -> None:
    """Publish as a worker does."""
    async with AsyncPublisher(engine_url=engine_url, name=name) as publisher:
        await publisher.publish("n:5", f"to {name}")


def test_two_of_one_name_meet(engine_url: str) -> None:
    """Where processes share the engine: they are two nodes of one whole."""
    with running_pair(engine_url, "both", "both") as pair, ExitStack() as stack:
        in_two = pair.client(stack, "two", "n:6", "ann")
        call(pair.one.publish("n:6", "from one"))
        call(pair.two.publish("n:6", "from two"))
        heard = in_two.message()["data"]

    assert heard == ("from two" if engine_url.startswith("memory") else "from one")


@pytest.mark.parametrize("name", ["Shop", "a/b", "a:b", "-a", "ä", "x" * 33, "a\n"])
def test_refuses_what_is_no_name(name: str) -> None:
    """It stands before keys of every kind of engine."""
    with pytest.raises(ValueError, match="is no name"):
        Itemwire(user=named_user, settings=settings_of(), name=name)
