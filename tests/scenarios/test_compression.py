"""Compressed channels: the same messages, for clients that ask for compression."""

import secrets
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection, connect

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import PATIENCE, item_path, token
from tests.scenarios.conftest import Serve

LONG = '{"route":"M29","stop":"Anhalter Bahnhof","platform":"B"},' * 100


@pytest.fixture(scope="module")
def compressing(serve: Serve) -> Iterator[LiveServer]:
    """Run a server that offers compression."""
    settings = Settings(secret=SECRET, compression=True, _env_file=None)
    with serve(settings) as server:
        yield server


def joined(server: LiveServer, item_id: str, compression: str | None) -> ClientConnection:
    """Join an item, as a client that offers compression or does not."""
    url = server.socket_url(item_path(item_id, {"token": token()}))
    return connect(url, compression=compression, proxy=None)


def test_everyone_hears_the_same_compressed_or_not(compressing: LiveServer) -> None:
    """Clients that differ in this are on one channel, and each message is compressed once."""
    item_id = secrets.token_hex(8)
    with (
        joined(compressing, item_id, "deflate") as speaking,
        joined(compressing, item_id, "deflate") as listening,
        joined(compressing, item_id, None) as plain,
    ):
        for message in (LONG, "short", "", LONG * 2):
            speaking.send(message)
        heard = [
            [client.recv(timeout=PATIENCE) for _ in range(4)]
            for client in (speaking, listening, plain)
        ]

        assert heard == [[LONG, "short", "", LONG * 2]] * 3
        assert [extension.name for extension in listening.protocol.extensions] == [
            "permessage-deflate"
        ]
        assert plain.protocol.extensions == []


def test_nothing_is_compressed_unless_it_is_switched_on(server: LiveServer) -> None:
    """It may cost memory and tells lengths: nobody gets it unasked (requirement 90)."""
    with joined(server, secrets.token_hex(8), "deflate") as client:
        client.send(LONG)

        assert client.recv(timeout=PATIENCE) == LONG
        assert client.protocol.extensions == []
