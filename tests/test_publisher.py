"""Publishing from processes that are no server, on every shared engine and over HTTP."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from itemwire import AsyncPublisher, EngineError, NewMessage, Publisher, PublishRefused
from itemwire.messages import Position
from itemwire.testing import LiveServer, live_server
from itemwire.testing.servers import settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.conformance.engine_urls import ENGINE_URLS
from tests.server_process import free_port

pytestmark = pytest.mark.server

TOKENS: Final = TokenFactory(signing_key_from_secret(new_secret()))
WAYS: Final = ("redis", "nats", "postgresql", "http")


@dataclass
class Place:
    """A running server, and what a publisher of another process is given."""

    way: str
    server: LiveServer
    given: dict[str, Any]


@pytest.fixture(scope="module", params=WAYS)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Run a server on a shared engine, or one that is published to over HTTP."""
    way: str = request.param
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp(way)
        engine = "memory" if way == "http" else way
        engine_url = stack.enter_context(ENGINE_URLS[engine](folder))
        server = stack.enter_context(live_server(settings_for(TOKENS, engine_url=engine_url)))
        given = {"engine_url": engine_url}
        if way == "http":
            given = {"url": server.url, "token": TOKENS.good(sub="worker", scope="items:publish")}
        yield Place(way, server, given)


def listen(item_id: str) -> str:
    """Give the path of a socket that hears an item."""
    token = TOKENS.good(sub="alice", scope="items:subscribe items:history")
    return f"/items/{item_id}/ws?token={token}"


def test_a_socket_hears_what_a_publisher_publishes(place: Place) -> None:
    """Text, bytes and JSON, each as it was given."""
    with place.server.client(listen("pub:1")) as client, Publisher(**place.given) as publisher:
        client.welcome()
        positions = [publisher.publish("pub:1", data) for data in ("text", b"\xff", {"n": [1]})]
        heard = [client.message() for _ in positions]

    assert [one["data"] for one in heard] == ["text", "/w==", {"n": [1]}]
    assert [one["offset"] for one in heard] == [one.offset for one in positions]
    assert {one["sender"] for one in heard} == {"worker" if place.way == "http" else None}


def test_a_message_has_meta_and_an_end_on_every_way(place: Place) -> None:
    """Alone, and among many."""
    meta = {"trace": "ü 1", "kind": "a"}
    last = NewMessage("pub:9", "last", meta=meta, end=True)
    with place.server.client(listen("pub:9")) as client, Publisher(**place.given) as publisher:
        client.welcome()
        publisher.publish("pub:9", "first", meta=meta)
        publisher.publish_many([("pub:9", "plain"), last])
        with pytest.raises(ValueError, match="meta"):
            publisher.publish("pub:9", 1, meta={"large": "x" * 2000})
        heard = [client.message() for _ in range(3)]

    told = [(one["data"], one.get("meta"), one.get("end")) for one in heard]
    assert told == [("first", meta, None), ("plain", None, None), ("last", meta, True)]


def test_publishes_many_once_whatever_is_repeated(place: Place) -> None:
    """A job that is run again stores what it had not stored."""
    messages = [("pub:2", {"n": number}) for number in range(120)]

    async def scene() -> list[list[Position]]:
        async with AsyncPublisher(**place.given) as publisher:
            first = await publisher.publish_many(messages[:100], idempotency_key="job-7")
            again = await publisher.publish_many(messages, idempotency_key="job-7")
            return [first, again]

    first, again = asyncio.run(scene())

    assert again[:100] == first
    assert [one.offset for one in again] == list(range(1, 121))


def test_a_sender_may_be_named_where_no_token_names_it(place: Place) -> None:
    """Over HTTP the token does."""
    with place.server.client(listen("pub:3")) as client, Publisher(**place.given) as publisher:
        client.welcome()
        if place.way == "http":
            with pytest.raises(ValueError, match="subject of the token"):
                publisher.publish("pub:3", 1, sender="billing")
            return
        publisher.publish("pub:3", 1, sender="billing")
        assert client.message()["sender"] == "billing"


def publish_in_a_child(publisher: Publisher, item_id: str) -> None:
    """Run in a process that was forked."""
    with publisher:
        publisher.publish(item_id, os.getpid())


def test_a_publisher_survives_a_fork(place: Place) -> None:
    """Celery forks after the module was imported, perhaps after it was used."""
    publisher = Publisher(**place.given)
    with place.server.client(listen("pub:4")) as client:
        client.welcome()
        with publisher:
            publisher.publish("pub:4", "parent")
            child = multiprocessing.get_context("fork").Process(
                target=publish_in_a_child, args=(publisher, "pub:4")
            )
            child.start()
            child.join(30)
            publisher.publish("pub:4", "parent again")
        heard = [client.message()["data"] for _ in range(3)]

    assert (child.exitcode, heard) == (0, ["parent", child.pid, "parent again"])


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Take every setting of the environment away."""
    for name in list(os.environ):
        if name.startswith("ITEMWIRE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "environment", "says"),
    [
        pytest.param({}, {}, "nothing says where.*ITEMWIRE_ENGINE_URL.*ITEMWIRE_URL", id="nothing"),
        pytest.param(
            {}, {"ITEMWIRE_ENGINE_URL": "sqlite:///x.db"}, "sqlite:// is none", id="unshared"
        ),
        pytest.param({}, {"ITEMWIRE_URL": "http://x"}, "set ITEMWIRE_TOKEN", id="no-token"),
        pytest.param({"url": "http://x"}, {}, "give `token`", id="url-without-token"),
        pytest.param({"engine_url": "memory://"}, {}, "lives in one process", id="memory"),
        pytest.param({"engine_url": "redis://x", "url": "http://x"}, {}, "not both", id="both"),
        pytest.param({"engine_url": "kafka://x"}, {}, "kafka.*not known", id="unknown"),
    ],
)
def test_says_what_is_missing(
    bare: pytest.MonkeyPatch, given: dict[str, str], environment: dict[str, str], says: str
) -> None:
    """When it is entered, with the names of the settings."""
    for name, value in environment.items():
        bare.setenv(name, value)
    with pytest.raises(ValueError, match=says):
        Publisher(**given).__enter__()


def test_takes_what_the_environment_names(bare: pytest.MonkeyPatch, place: Place) -> None:
    """As a worker beside the server is configured."""
    names = {"engine_url": "ITEMWIRE_ENGINE_URL", "url": "ITEMWIRE_URL", "token": "ITEMWIRE_TOKEN"}
    for name, value in place.given.items():
        bare.setenv(names[name], value)

    with Publisher() as publisher:
        assert publisher.publish("pub:5", 1).offset == 1


@pytest.mark.parametrize("given", ["redis://127.0.0.1:{}", "http://127.0.0.1:{}"])
def test_says_that_nobody_answers(bare: pytest.MonkeyPatch, given: str) -> None:
    """An EngineError either way, so that a task can be tried again."""
    where = given.format(free_port())
    over_http = where.startswith("http")
    publisher = Publisher(url=where, token="x") if over_http else Publisher(engine_url=where)

    with pytest.raises(EngineError), publisher:
        publisher.publish("a", 1)


def test_says_why_a_server_refuses(bare: pytest.MonkeyPatch) -> None:
    """The code of the refusal tells a program what to mend."""
    reader = TOKENS.good(sub="worker", scope="items:subscribe")
    with live_server(settings_for(TOKENS)) as server:
        with (
            Publisher(url=server.url, token=reader) as publisher,
            pytest.raises(PublishRefused) as refused,
        ):
            publisher.publish("a", 1)
        with (
            Publisher(url=server.url, token="no token") as publisher,
            pytest.raises(PublishRefused, match="credentials_invalid"),
        ):
            publisher.publish("a", 1)

    assert (refused.value.status, refused.value.code) == (403, "scope_missing")


def test_a_coroutine_is_told_of_the_other_class() -> None:
    """It would block the event loop."""

    async def scene() -> None:
        with pytest.raises(RuntimeError, match="AsyncPublisher"):
            Publisher().publish("a", 1)
        with pytest.raises(RuntimeError, match="async with"):
            await AsyncPublisher().publish("a", 1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("item_id", "data", "error"),
    [("a b", 1, ValueError), ("$direct", 1, ValueError), ("a", object(), TypeError)],
)
def test_refuses_what_is_no_message(
    bare: pytest.MonkeyPatch, item_id: str, data: object, error: type[Exception]
) -> None:
    """Before anything is sent."""
    with (
        Publisher(url="http://127.0.0.1:9", token="x") as publisher,
        pytest.raises(error),
    ):
        publisher.publish(item_id, data)


def test_a_worker_loads_no_server() -> None:
    """Every process of a pool would pay for it, in time and memory."""
    script = "import sys, itemwire; itemwire.Publisher; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert {"fastapi", "starlette", "uvicorn", "websockets"}.isdisjoint(done.stdout.split())
