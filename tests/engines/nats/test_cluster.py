"""The NATS engine on a cluster of three servers whose leader ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.engines.watched import node, play
from tests.nats_server import leader_of, running_trio


def test_goes_on_in_its_epochs_when_the_leader_of_three_ends(tmp_path: Path) -> None:
    """Most of them have what was acknowledged: nothing is lost, and nobody is told so (110)."""

    async def scene(url: str) -> None:
        async with node(url) as one, node(url) as other:
            before = [await one.publish_at_last(str(number)) for number in range(3)]
            leader = await leader_of(url, "itemwire")
            next(server for server in servers if str(server.port) == leader).kill()
            after = await one.publish_at_last("after")
            for each in (one, other):
                await each.until(lambda each=each: len(each.texts) == 4)  # type: ignore[misc] # a default is how a loop's lambda keeps its value
                await each.until(lambda each=each: each.engine.is_available)  # type: ignore[misc] # as above
                each.check()
                assert each.losses == []
            again = await asyncio.gather(*(one.publish_at_last(str(n)) for n in range(3)))

            assert (after.epoch, after.offset) == (before[0].epoch, 4)
            assert again == before

    with running_trio(tmp_path) as servers:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        play(lambda: scene(f"nats://{hosts}?replicas=3"))
