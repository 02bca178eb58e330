"""The deadline of a closing connection, in cases that a real server cannot show."""

from __future__ import annotations

import asyncio

import pytest
from typing_extensions import override

from itemwire.fastpath.transport import MortalTransport, read_on
from itemwire.pacing import Pacing


class Recorded(asyncio.Transport):
    """A transport that notes what is asked of it, and never gets rid of what is buffered."""

    def __init__(self, *, half_closes: bool) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.half_closes = half_closes
        self.aborted = asyncio.Event()

    @override
    def is_closing(self) -> bool:
        return bool({"close", "abort"} & set(self.calls))

    @override
    def can_write_eof(self) -> bool:
        return self.half_closes

    @override
    def write_eof(self) -> None:
        self.calls.append("write_eof")

    @override
    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    @override
    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    @override
    def close(self) -> None:
        self.calls.append("close")

    @override
    def abort(self) -> None:
        self.calls.append("abort")
        self.aborted.set()


@pytest.mark.parametrize(
    ("half_closes", "calls"),
    [
        pytest.param(True, ["resume_reading", "write_eof", "abort"], id="tcp"),
        pytest.param(False, ["close", "abort"], id="tls"),
    ],
)
def test_lingers_as_far_as_the_transport_can(half_closes: bool, calls: list[str]) -> None:
    """Whatever the transport can do, the peer is cut in the end."""

    async def linger() -> list[str]:
        transport = Recorded(half_closes=half_closes)
        MortalTransport(transport, asyncio.get_running_loop(), 0.01).linger()
        await asyncio.wait_for(transport.aborted.wait(), 5)
        return transport.calls

    assert asyncio.run(linger()) == calls


def test_forgets_the_deadline_of_a_connection_that_is_gone() -> None:
    """A timer left behind would keep the objects of each closed socket for ten seconds."""

    async def forget() -> list[str]:
        loop = asyncio.get_running_loop()
        transport = Recorded(half_closes=True)
        mortal = MortalTransport(transport, loop, 0.01)
        mortal.close()
        mortal.forget()
        mortal.close()
        later = asyncio.Event()
        loop.call_later(0.02, later.set)
        await later.wait()
        return transport.calls

    assert asyncio.run(forget()) == ["close", "close"]


def test_reads_on_from_refused_peers_at_a_pace() -> None:
    """Three hundred that sent all the time took 4 ms of each turn of the event loop."""

    async def flooded() -> list[list[str]]:
        pacing = Pacing(at_once=2)
        transports = [Recorded(half_closes=True) for _ in range(4)]
        for transport in transports:
            read_on(transport, pacing)
        transports[-1].abort()
        for _ in range(2):
            await asyncio.sleep(0)
        return [transport.calls for transport in transports]

    late = ["pause_reading", "resume_reading"]
    assert asyncio.run(flooded()) == [[], [], late, ["pause_reading", "abort"]]
