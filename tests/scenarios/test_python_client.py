"""The client for Python against real servers: restarts, tokens that end, revocation, lost history.

The scripted tests of `tests/client/` have every case; these show that the server is as they say.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from itemwire.client import (
    AsyncClient,
    AsyncItem,
    Client,
    Gap,
    Refused,
    RequestTimeout,
    TokenRequest,
)
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint
from tests.conftest import SECRET
from tests.proxy import Proxy
from tests.scenarios.clients import PATIENCE, TALKING, token
from tests.scenarios.conftest import Serve, Timed, fastpath_only, serve_timed
from tests.scenarios.processes import started
from tests.server_process import free_port

ITEMWIRE = str(Path(sys.executable).with_name("itemwire"))

QUICK = (0.05, 0.2)
"""Seconds of back-off: the tests wait for reconnects, and spread nothing."""


def client_of(url: str, **options: Any) -> AsyncClient:  # noqa: ANN401 - options of many types
    """Make a client of a server of the tests."""
    options = {"token": token(), "proxy": None, "backoff": QUICK, "timeout": PATIENCE} | options
    return AsyncClient(url, **options)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario to its end, within the patience of the tests."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario

    asyncio.run(main())


def publish(server: LiveServer, item_id: str, *data: object) -> None:
    """Publish over HTTP, as a backend does."""
    headers = {"Authorization": f"Bearer {token('backend')}"}
    for one in data:
        httpx.post(
            f"{server.url}/items/{item_id}/messages", headers=headers, json=one, timeout=PATIENCE
        ).raise_for_status()


async def read(
    item: AsyncItem[Any],
    count: int,
    timeout: float | None = None,  # noqa: ASYNC109 - the client's own
) -> list[object]:
    """Read so many messages and gaps; a gap is shown by its bounds."""
    found: list[object] = []
    while len(found) < count:
        value = await item.receive(timeout=timeout)
        found.append((value.from_, value.to) if isinstance(value, Gap) else value.data)
    return found


async def reached(wire: AsyncClient, state: str) -> None:
    """Wait until a client has come to a state."""
    seen = asyncio.Event()
    remove = wire.on("state", lambda new: seen.set() if new == state else None)
    if wire.state != state:
        await seen.wait()
    remove()


def test_reads_writes_and_sees_who_is_there(server: LiveServer, item_id: str) -> None:
    """All that a chat needs, between two people."""

    async def scenario() -> None:
        async with client_of(server.url) as ann, client_of(server.url, token=token("bob")) as bob:
            hers, his = ann.item(item_id), bob.item(item_id)
            seen: asyncio.Queue[list[str]] = asyncio.Queue()
            hers.on("members", lambda members: seen.put_nowait([one.subject for one in members]))
            await hers.join()
            await his.join()
            while sorted(await seen.get()) != ["alice", "bob"]:
                pass
            stored = await hers.publish({"text": "hi"}, meta={"trace": "7"})
            message = await his.receive()
            history = await his.history(limit=10)
            await his.leave()
            while await seen.get() != ["alice"]:
                pass

            assert not isinstance(message, Gap)
            assert (message.sender, message.data, message.meta) == (
                "alice",
                {"text": "hi"},
                {"trace": "7"},
            )
            assert stored.position == history.position == his.position or his.position is None
            assert history.messages == (message,)

    run(scenario())


def test_the_same_key_is_stored_once(server: LiveServer, item_id: str) -> None:
    """Which is what makes a publish without an answer safe to repeat."""

    async def scenario() -> None:
        async with client_of(server.url) as wire:
            first = await wire.publish(item_id, 1, key="k")
            again = await wire.publish(item_id, 1, key="k")
            other = await wire.publish(item_id, 2)

        assert (again, first == other) == (first, False)

    run(scenario())


@fastpath_only
def test_nothing_is_missed_over_a_restart(serve: Serve, tmp_path: Path, item_id: str) -> None:
    """The server is killed and started again: each message comes once, and in order."""
    settings = {"port": str(free_port()), "engine_url": "sqlite:///wire.db"}

    async def scenario() -> None:
        with started([ITEMWIRE, "serve"], tmp_path, **settings) as first:
            wire = client_of(first.server.url)
            wire.connect()
            item = wire.item(item_id)
            await item.join()
            publish(first.server, item_id, 1, 2)
            assert await read(item, 2) == [1, 2]
            first.process.kill()
            await reached(wire, "reconnecting")
        with started([ITEMWIRE, "serve"], tmp_path, **settings) as second:
            publish(second.server, item_id, 3, 4)
            wire.wake()

            assert await read(item, 2) == [3, 4]
            await wire.close()

    run(scenario())


@fastpath_only
def test_lost_history_is_told_in_its_place(serve: Serve, tmp_path: Path, item_id: str) -> None:
    """A server that kept everything in memory forgot it: the reader is told so, and goes on."""
    settings = {"port": str(free_port())}

    async def scenario() -> None:
        with started([ITEMWIRE, "serve"], tmp_path, **settings) as first:
            wire = client_of(first.server.url)
            wire.connect()
            item = wire.item(item_id)
            await item.join()
            publish(first.server, item_id, "old")
            assert await read(item, 1) == ["old"]
            before = item.position
            first.stop()  # in order: a drain
            await reached(wire, "reconnecting")
        with started([ITEMWIRE, "serve"], tmp_path, **settings) as second:
            publish(second.server, item_id, "missed")
            wire.wake()
            assert await read(item, 1) == [(1, 1)]
            publish(second.server, item_id, "new")
            assert await read(item, 1) == ["new"]
            assert before is not None
            assert item.position is not None
            assert item.position.partition(":")[0] != before.partition(":")[0]
            await wire.close()

    run(scenario())


def test_a_token_is_renewed_and_the_connection_stays(serve: Serve, settings: Settings) -> None:
    """The server warns, the source is asked, and the old token ends without anybody noticing."""
    asked: list[TokenRequest] = []

    def source(request: TokenRequest) -> str:
        asked.append(request)
        return token(lifetime=100 if request.reason == "connect" else 3000)

    async def scenario(timed: Timed) -> None:
        async with client_of(timed.server.url, token=source) as wire:
            replied = asyncio.Event()
            wire.on("frame", lambda frame: replied.set() if '"can"' in frame else None)
            item = wire.item("renewed")
            await item.join()
            renewed = asyncio.Event()
            wire.on("frame", lambda frame: renewed.set() if b'"items":' in _bytes(frame) else None)
            timed.clock.advance(60)
            await renewed.wait()
            timed.clock.advance(60)
            publish(timed.server, "renewed", "still here")
            assert await read(item, 1) == ["still here"]
            assert wire.state == "connected"

    with serve_timed(serve, settings) as timed:
        run(scenario(timed))

    assert [one.reason for one in asked] == ["connect", "expiring"]


def _bytes(frame: str | bytes) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame


def test_a_static_token_that_ends_stops_the_client(serve: Serve, settings: Settings) -> None:
    """With the server's own word for it."""

    async def scenario(timed: Timed) -> None:
        async with client_of(timed.server.url, token=token(lifetime=100)) as wire:
            reading = asyncio.ensure_future(wire.item("ends").receive())
            await wire.item("ends").join()
            timed.clock.advance(200)
            with pytest.raises(Refused) as refused:
                await reading

            assert (refused.value.reason, refused.value.retry) == ("token_expired", "token")
            assert wire.state == "refused"

    with serve_timed(serve, settings) as timed:
        run(scenario(timed))


@pytest.fixture(scope="module")
def admin_server(serve: Serve) -> Iterator[LiveServer]:
    """Run a server that has the admin API."""
    with serve(Settings(secret=SECRET, admin=True, _env_file=None)) as running:
        yield running


def revoke(server: LiveServer, subject: str, before: int) -> None:
    """Take back the tokens of somebody that were issued before a moment."""
    httpx.post(
        f"{server.url}/admin/revocations",
        headers={"Authorization": f"Bearer {token('root', 'admin')}"},
        json={"subject": subject, "issued_before": before},
        timeout=PATIENCE,
    ).raise_for_status()


def test_after_a_revocation_a_new_token_is_fetched_and_nothing_missed(
    admin_server: LiveServer, item_id: str
) -> None:
    """A login that was taken back: the source decides whether there is another."""
    asked: list[TokenRequest] = []
    subject = f"s-{item_id}"

    now = int(time.time())

    def source(request: TokenRequest) -> str:
        asked.append(request)
        issued_at = now - 10 if request.reason == "connect" else now
        key = signing_key_from_secret(SECRET)
        return mint(key, subject=subject, scope=TALKING, lifetime=300, now=issued_at)

    async def scenario() -> None:
        async with client_of(admin_server.url, token=source) as wire:
            item = wire.item(item_id)
            await item.join()
            revoke(admin_server, subject, now)
            publish(admin_server, item_id, "meanwhile")

            assert await read(item, 1) == ["meanwhile"]

    run(scenario())
    assert [one.reason for one in asked] == ["connect", "refused"]


@pytest.mark.parametrize("mode", ["close", "http"])
def test_a_refusal_is_the_same_in_both_forms(serve: Serve, mode: str) -> None:
    """A denied handshake has its reason in the body."""
    settings = Settings(secret=SECRET, refusal=mode, _env_file=None)

    async def scenario(server: LiveServer) -> None:
        async with client_of(server.url, token="nonsense") as wire:
            with pytest.raises(Refused) as refused:
                await wire.ready()

        assert (refused.value.reason, refused.value.retry) == ("credentials_invalid", "token")
        assert refused.value.status == (1008 if mode == "close" else 401)

    with serve(settings) as server:
        run(scenario(server))


def test_an_item_that_is_not_allowed_is_told_and_the_others_go_on(
    server: LiveServer, item_id: str
) -> None:
    """One socket, and each item by its own rules."""
    narrow = token("ann", f"items:{item_id}:subscribe items:{item_id}:publish")

    async def scenario() -> None:
        async with client_of(server.url, token=narrow) as wire:
            with pytest.raises(Refused, match="forbidden"):
                await wire.item(f"not-{item_id}").join()
            assert (await wire.publish(item_id, 1)).position is not None

    run(scenario())


def test_the_blocking_twin_reads_and_writes(server: LiveServer, item_id: str) -> None:
    """In plain code, over the same wire."""
    with Client(server.url, token=token(scope=TALKING), proxy=None) as wire:
        item = wire.item(item_id)
        item.join()
        for number in range(3):
            wire.publish(item_id, {"n": number})
        values = [value for _, value in zip(range(3), item, strict=False)]
        with pytest.raises(RequestTimeout):
            item.receive(timeout=0.05)

    assert [value.data for value in values if not isinstance(value, Gap)] == [
        {"n": 0},
        {"n": 1},
        {"n": 2},
    ]


@fastpath_only
def test_nobody_loses_or_repeats_a_message_while_lines_break(
    server: LiveServer, item_id: str
) -> None:
    """Twenty readers behind a proxy that cuts every line, again and again, in the middle of it."""
    port = int(server.url.rpartition(":")[2])
    published = list(range(120))

    async def hear(url: str, joined: asyncio.Barrier) -> list[object]:
        async with client_of(url) as wire:
            item = wire.item(item_id)
            await item.join()
            await joined.wait()
            return await read(item, len(published))

    async def scenario(proxy: Proxy) -> None:
        joined = asyncio.Barrier(21)
        url = f"http://127.0.0.1:{proxy.port}"
        readers = [asyncio.ensure_future(hear(url, joined)) for _ in range(20)]
        async with client_of(server.url) as writer:
            await joined.wait()
            for number in published:
                await writer.publish(item_id, number)
                if number % 15 == 7:
                    await asyncio.to_thread(proxy.cut)
            logs = await asyncio.gather(*readers)

        assert logs == [published] * 20

    with Proxy(port).running() as proxy:
        run(scenario(proxy))


@fastpath_only
def test_a_line_that_dies_without_a_word_is_found(server: LiveServer, item_id: str) -> None:
    """Neither side is told: a silence is all that the client has to go by."""

    async def scenario(proxy: Proxy) -> None:
        url = f"http://127.0.0.1:{proxy.port}"
        async with client_of(url, silence=0.5, timeout=2.0) as wire:
            item = wire.item(item_id)
            await item.join()
            await asyncio.to_thread(proxy.freeze)
            publish(server, item_id, "in the dark")

            assert await read(item, 1, timeout=PATIENCE) == ["in the dark"]

    with Proxy(int(server.url.rpartition(":")[2])).running() as proxy:
        run(scenario(proxy))


def test_messagepack_or_json_whatever_the_server_knows(server: LiveServer, item_id: str) -> None:
    """The client offers both, and speaks what is chosen."""

    async def scenario() -> None:
        async with client_of(server.url, codec="msgpack") as wire:
            item = wire.item(item_id)
            await item.join()
            await item.publish({"text": "hi", "n": [1, 2.5, None]})

            assert await read(item, 1) == [{"text": "hi", "n": [1, 2.5, None]}]
            assert (await item.history()).complete

    run(scenario())
