"""What a node takes for lost: only what a server of a cluster lacks for longer than a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from itemwire.engines.base import EngineError
from itemwire.engines.nats import streams
from itemwire.engines.nats.jetstream import NO_MESSAGE, NO_STREAM
from itemwire.engines.nats.names import NatsNames
from itemwire.engines.nats.records import Record, encode_record
from itemwire.engines.nats.streams import JetStreams
from tests.fakes import BOUNDS
from tests.nats_server import NatsServer, running_nats

NAMES: Final = NatsNames("world")
LOOKS: Final = 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """Run a server of this test alone."""
    with running_nats(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again after a moment."""
    monkeypatch.setattr(streams, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(streams, "SURE_SECONDS", 0.01 * LOOKS)


class NewLeader:
    """Asks a server that is alone as if it were one of three, and has just been chosen to lead.

    So many times it answers a request as if it had not read yet what the servers have agreed on.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.subject = ""
        self.times = 0
        self.refusals = 0  # of what begins a life

    async def __call__(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> Msg:
        """Return the answer of the server, or another one."""
        if subject == NAMES.life_subject and self.refusals:
            self.refusals -= 1
            return Msg(self._client, data=UNREAD[STREAM](b""))
        alone = data.replace(b'"num_replicas":3', b'"num_replicas":1')
        message = await self._client.request(subject, alone, headers=headers)
        if self.times and subject == self.subject:
            self.times -= 1
            message.data = UNREAD[subject](message.data)
        return message


def without_records(answer: bytes) -> bytes:
    """Write of a stream that it has no records."""
    return msgspec.json.encode(msgspec.json.decode(answer) | {"state": {"last_seq": 0}})


LIFE: Final = f"$JS.API.STREAM.MSG.GET.{NAMES.life}"
STREAM: Final = f"$JS.API.STREAM.INFO.{NAMES.kept}"
RECORDS: Final = f"$JS.API.STREAM.INFO.{NAMES.channels}"
UNREAD: Final[dict[str, Callable[[bytes], bytes]]] = {
    LIFE: lambda _: b'{"error":{"err_code":%d}}' % NO_MESSAGE,
    STREAM: lambda _: b'{"error":{"err_code":%d}}' % NO_STREAM,
    RECORDS: without_records,
}


async def lose(client: Client, ask: NewLeader, subject: str) -> None:
    """Let the server have lost what is asked for."""
    if subject == LIFE:
        await client.jetstream().purge_stream(NAMES.life)
    elif subject == STREAM:
        await client.jetstream().delete_stream(NAMES.kept)
    else:
        ask.subject, ask.times = subject, 2 * LOOKS  # a stream that is there has its last number


@pytest.mark.parametrize("subject", UNREAD)
@pytest.mark.parametrize(
    ("replicas", "is_lost"), [(3, False), (3, True), (1, True)], ids=["unread", "lost", "alone"]
)
def test_epochs_end_where_a_server_lacks_something_for_good(
    server: NatsServer, subject: str, replicas: int, *, is_lost: bool
) -> None:
    """One that was just chosen to lead may not have read yet what the servers agreed on."""

    async def scene() -> tuple[str, str]:
        client = await nats.connect(server.url)
        ask = NewLeader(client)
        one = JetStreams(NAMES, BOUNDS, replicas, is_synced=False)
        await one.prepare(ask)
        before = one.life
        record = Record(before, 1, 0, 1, "node", [b"x"], {})
        stored = await client.jetstream().publish(NAMES.channel("item:1"), encode_record(record))
        one.remember(stored.seq, record)
        if is_lost:
            await lose(client, ask, subject)
        else:
            ask.subject, ask.times = subject, LOOKS - 1
        await one.prepare(ask)
        await client.close()
        return before, one.life

    before, after = asyncio.run(scene())

    assert (after != before) is is_lost


@pytest.mark.parametrize(
    ("replicas", "refusals", "begins"),
    [
        pytest.param(1, 0, True, id="at-once"),
        pytest.param(3, LOOKS - 1, True, id="after-a-moment"),
        pytest.param(3, LOOKS, False, id="never"),
        pytest.param(1, 1, False, id="alone"),
    ],
)
def test_a_life_begins_once_the_servers_store_something(
    server: NatsServer, replicas: int, refusals: int, *, begins: bool
) -> None:
    """A cluster may be choosing a leader again, just when the first node starts."""

    async def scene() -> str:
        client = await nats.connect(server.url)
        ask = NewLeader(client)
        ask.refusals = refusals
        one = JetStreams(NAMES, BOUNDS, replicas, is_synced=False)
        try:
            await one.prepare(ask)
        finally:
            await client.close()
        return one.life

    if begins:
        assert asyncio.run(scene())
    else:
        with pytest.raises(EngineError, match="forgets what it has stored"):
            asyncio.run(scene())
