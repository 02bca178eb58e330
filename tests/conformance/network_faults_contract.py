"""What an engine on a server promises when the server or the network fails, as tests.

Subclass `NetworkFaultsContract` in the engine's own `test_faults.py`, and set `server` and `url`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from types import ModuleType
from typing import Final, Protocol

import pytest

from itemwire.engines.base import Engine, EngineError, Span
from itemwire.messages import Position
from tests.engines.watched import Watched, node, play, stand_still
from tests.fakes import CHANNEL, draft
from tests.proxy import Proxy
from tests.timing import BUSY_SECONDS

DEAD_SECONDS: Final = 2.0  # until a connection that is dead counts as lost, in whichever way
BACK_SECONDS: Final = 2.0  # until one is made again
WAITED_SECONDS: Final = 1.0  # a lost connection is tried once more before the server is away
AT_ONCE_SECONDS: Final = 0.1 + BUSY_SECONDS

Ask = Callable[[Callable[[object], None]], None]


def asks(engine: Engine) -> Iterator[tuple[str, Ask]]:
    """Yield everything that can be asked of an engine."""
    yield "subscribe", partial(engine.subscribe, "item:nobody-hears-it")
    yield "publish", partial(engine.publish, "item:42", draft())
    yield "read", partial(engine.read, "item:42", Span(1))
    yield "erase", partial(engine.erase, "item:42")
    yield "post", partial(engine.post, b"notice", 0)
    yield "tell", partial(engine.tell, "item:42", b"words")
    yield "put", partial(engine.put, "key", b"value", 9)
    yield "take", partial(engine.take, "key")
    yield "secret", engine.secret


class FaultyServer(Protocol):
    """A server's process: it always comes back on the same port."""

    port: int

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ...

    def kill(self) -> None:
        """End it as a crash does."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Let it do nothing for as long as this is entered."""
        ...


async def all_have(count: int, *nodes: Watched) -> None:
    """Wait until each node has delivered so many messages, and check its log."""
    for each in nodes:
        await each.until(lambda each=each: len(each.texts) >= count)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
        each.check()
        assert len(each.texts) == count


class NetworkFaultsContract(ABC):
    """The promises during and after an outage, one test each."""

    module: ModuleType
    """The engine's module, whose CHECK_SECONDS says how often positions are compared."""

    epochs_go_on: bool
    """Whether the server still has what it had acknowledged when it was killed."""

    last_words: bytes
    """What the server says on a connection that it is about to end."""

    server: FaultyServer
    url: str

    @abstractmethod
    async def deafen(self, watched: Watched) -> None:
        """Let the server send this node no live messages, without the node noticing."""
        ...

    @contextlib.contextmanager
    def proxied(self) -> Iterator[tuple[Proxy, str]]:
        """Put a proxy in front of the server."""
        with Proxy(self.server.port).running() as proxy:
            yield proxy, self.url.replace(f":{self.server.port}", f":{proxy.port}")

    def test_nodes_deliver_one_order_whoever_publishes(self) -> None:
        """What is published on one node is delivered on all, in the order of the offsets."""

        async def scene() -> None:
            async with node(self.url) as one, node(self.url) as other:
                await asyncio.gather(
                    *(one.publish(f"a{number}") for number in range(300)),
                    *(other.publish(f"b{number}") for number in range(300)),
                )
                for number in range(20):  # each follows what the other has just stored
                    await one.publish(f"c{number}")
                    await other.publish(f"d{number}")
                await all_have(640, one, other)

                assert one.log == other.log
                assert one.losses == []

        play(scene)

    def test_heals_a_connection_that_is_cut_in_mid_stream(self) -> None:
        """What was lost is read, and delivered in its place (requirement 112)."""

        async def scene(proxy: Proxy, url: str) -> None:
            async with node(self.url) as one, node(url) as other:
                for number in range(300):
                    if number % 75 == 50:
                        await asyncio.to_thread(proxy.cut)
                    await one.publish(str(number))
                await all_have(300, one, other)

                assert one.log == other.log
                assert other.losses == []

        with self.proxied() as (proxy, url):
            play(lambda: scene(proxy, url))

    def test_goes_on_after_a_server_that_stood_still_for_three_seconds(self) -> None:
        """An answer comes in time; a retry with its key stores nothing twice (requirement 117)."""
        play(lambda: stand_still(self.server, self.url))

    def test_refuses_at_once_while_the_server_is_down_and_goes_on_after(self) -> None:
        """Nobody takes a new count for the old one (requirements 110, 113, 117)."""

        async def scene() -> None:
            async with node(self.url) as one, node(self.url) as other:
                before = [await one.publish(str(number)) for number in range(3)]
                await all_have(3, one, other)
                await asyncio.to_thread(self.server.kill)
                with pytest.raises(EngineError):
                    await one.publish("into nothing")
                for each in (one, other):
                    await each.until(lambda each=each: not each.engine.is_available)  # type: ignore[misc] # as above
                # Nobody is kept waiting for a server that is known to be away.
                begun = time.monotonic()
                for _ in range(100):
                    with pytest.raises(EngineError):
                        await one.publish("into nothing")
                assert time.monotonic() - begun < 1 + BUSY_SECONDS
                await asyncio.to_thread(self.server.start)
                after = await one.publish_at_last("after")
                self._check_after(before, after, one, other)
                for each in (one, other):
                    if self.epochs_go_on:
                        await all_have(4, each)
                    else:
                        await each.until_at(after)
                    await each.until(lambda each=each: each.engine.is_available)  # type: ignore[misc] # as above
                    each.check()
                    self._check_losses(after, each)

                assert (await one.publish("more")).offset == after.offset + 1

        try:
            play(scene)
        finally:
            self.server.kill()
            self.server.start()

    def test_answers_whatever_is_asked_at_once_while_the_server_is_known_to_be_away(self) -> None:
        """Requirement 143: a join that nobody waits with too, and one that waited already."""

        async def scene() -> None:
            async with node(self.url) as one:
                await asyncio.to_thread(self.server.kill)
                waited = await self._seconds(partial(one.engine.subscribe, "item:first"))
                await one.until(lambda: not one.engine.is_available)
                with contextlib.suppress(EngineError):
                    await one.publish("until it is known")
                seconds = {name: await self._seconds(ask) for name, ask in asks(one.engine)}

                assert waited < WAITED_SECONDS + BUSY_SECONDS
                assert {
                    name: took for name, took in seconds.items() if took > AT_ONCE_SECONDS
                } == {}

        try:
            play(scene)
        finally:
            self.server.kill()
            self.server.start()

    async def _seconds(self, ask: Ask) -> float:
        """Return how long an answer took, which must be an error."""
        answered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        ask(answered.set_result)
        assert isinstance(await answered, EngineError)
        return time.monotonic() - began

    def _check_after(
        self, before: list[Position], after: Position, one: Watched, other: Watched
    ) -> None:
        if self.epochs_go_on:
            assert after == Position(before[0].epoch, 4)
            assert one.losses == other.losses == []
        else:
            assert after.offset == 1
            assert after.epoch != before[0].epoch

    def _check_losses(self, after: Position, each: Watched) -> None:
        assert [loss.epoch for loss in each.losses] == ([] if self.epochs_go_on else [after.epoch])
        if self.epochs_go_on:
            assert each.texts == ["0", "1", "2", "after"]

    def test_finds_the_last_message_if_it_was_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No later one shows the hole: the position is compared now and then."""
        monkeypatch.setattr(self.module, "CHECK_SECONDS", 0.1)

        async def scene() -> None:
            async with node(self.url) as one, node(self.url) as other:
                await one.publish("live")
                await all_have(1, other)
                await self.deafen(other)
                await one.publish("lost")
                await other.until(lambda: other.texts == ["live", "lost"])
                other.check()

                assert other.losses == []

        play(scene)

    def test_knows_that_a_cable_was_pulled(self) -> None:
        """Nothing breaks, and nothing comes: silence ends the connection (requirement 117)."""

        async def scene(proxy: Proxy, url: str) -> None:
            async with node(url) as one:
                with proxy.silent():
                    begun = time.monotonic()
                    asked = one.subscribe("item:x"), one.read(), one.take("k"), one.post(b"")
                    refused = await asyncio.gather(*asked, return_exceptions=True)
                    assert time.monotonic() - begun < 2.2 + BUSY_SECONDS
                    assert all(isinstance(error, EngineError) for error in refused)
                    await one.until(lambda: not one.engine.is_available)
                await one.publish_at_last("after")
                await one.until(lambda: one.texts == ["after"])
                await one.until(lambda: one.engine.is_available)

        with self.proxied() as (proxy, url):
            play(lambda: scene(proxy, url))

    @pytest.mark.parametrize("sign", ["lost end", "half an answer", "standstill", "last words"])
    def test_ends_and_remakes_connections_that_died_without_a_word(self, sign: str) -> None:
        """A node that cannot hear is not ready, and what it missed is delivered (141, 112)."""

        def let_die(proxy: Proxy) -> None:
            if sign == "lost end":
                proxy.lose_ends()
            elif sign == "half an answer":
                proxy.halve()
            elif sign == "standstill":
                proxy.freeze()
            else:
                proxy.say(self.last_words)

        async def scene(proxy: Proxy, url: str) -> None:
            async with node(self.url) as one, node(url) as other:
                await other.publish("before")
                with proxy.closed():  # so that it can be seen
                    died = time.monotonic()
                    await asyncio.to_thread(let_die, proxy)
                    await other.until(lambda: not other.engine.is_available)
                    assert time.monotonic() - died < DEAD_SECONDS + BUSY_SECONDS
                    await one.publish("meanwhile")
                    await one.post(b"meanwhile")
                    await other.until(lambda: proxy.dead == 0)  # each was ended
                    assert other.texts == ["before"]
                back = time.monotonic()
                await other.until(lambda: other.engine.is_available)
                assert time.monotonic() - back < BACK_SECONDS + BUSY_SECONDS
                await other.publish("after")
                await all_have(3, one, other)
                await other.until(lambda: other.noticed == [b"meanwhile"])
                await other.put("k", b"v")

                assert one.log == other.log
                assert one.losses == []
                assert await other.take("k") == b"v"

        with self.proxied() as (proxy, url):
            play(lambda: scene(proxy, url))

    def test_a_slow_network_delays_and_breaks_nothing(self) -> None:
        """Half a second there and back is no fault."""

        async def scene(proxy: Proxy, url: str) -> None:
            async with node(url) as one:
                with proxy.delayed(0.25):
                    await asyncio.gather(*(one.publish(str(number)) for number in range(50)))
                    await one.until(lambda: len(one.texts) == 50)
                one.check()

                assert one.losses == []

        with self.proxied() as (proxy, url):
            play(lambda: scene(proxy, url))

    def test_a_node_that_was_away_knows_of_each_channel_that_it_missed_what_was_told(self) -> None:
        """Nobody stores it: who hears again asks (requirement 115)."""

        async def scene(proxy: Proxy, url: str) -> None:
            async with node(self.url) as one, node(url) as other:
                await one.tell(b"before")
                await other.until(lambda: other.told == [b"before"])
                known = len(other.missed)
                with proxy.away():
                    await other.until(lambda: not other.engine.is_available)
                    await one.tell(b"lost")
                await other.until(lambda: CHANNEL in other.missed[known:])
                await other.publish_at_last("heard again")
                await one.tell(b"after")
                await other.until(lambda: other.told == [b"before", b"after"])

        with self.proxied() as (proxy, url):
            play(lambda: scene(proxy, url))

    def test_a_node_that_was_away_gets_the_notices_that_it_missed(self) -> None:
        """A token that was revoked meanwhile is revoked there too, even if kept for a moment."""

        async def scene(proxy: Proxy, url: str) -> None:
            async with node(self.url) as one, node(url) as other:
                await one.post(b"before")
                await other.until(lambda: other.noticed == [b"before"])
                with proxy.away():
                    await other.until(lambda: not other.engine.is_available)
                    await one.post(b"revoked")
                    await one.post(b"end of a connection", seconds=0)
                await other.until(lambda: len(other.noticed) == 3)
                await one.until(lambda: len(one.noticed) == 3)

                assert other.noticed[1:] == [b"revoked", b"end of a connection"]
                assert one.noticed == other.noticed

        with self.proxied() as (proxy, url):
            play(lambda: scene(proxy, url))
