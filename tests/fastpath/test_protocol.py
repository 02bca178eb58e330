"""Where our WebSocket class differs from uvicorn's: close frames, logs, and time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import uvicorn
from httptools import HttpRequestParser
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState
from websockets.frames import Opcode

from itemwire.fastpath.protocol import WebSocketProtocol
from itemwire.fastpath.shared_state import SocketAddresses
from tests.fastpath.served import (
    MAX_MESSAGE_BYTES,
    Site,
    close_frame,
    dial,
    frame,
    head,
    read_all,
    read_until,
    serving,
    upgrade,
)

pytestmark = pytest.mark.server

LOOPS = ["asyncio", "uvloop"]
RELIED_ON = [
    pytest.param(
        lambda config: HttpToolsProtocol(config, ServerState(), {}),
        "data_received on_headers_complete on_message_complete send_400_response _should_upgrade"
        " headers parser cycle transport loop logger server_state",
        id="uvicorn http",
    ),
    pytest.param(lambda _: HttpRequestParser, "get_http_version", id="httptools parser"),
]


@pytest.fixture(scope="module", params=LOOPS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Run our classes, on each event loop."""
    with serving(loop=request.param) as site:
        yield site


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """Name each event loop, for tests with a server of their own."""
    return str(request.param)


def test_the_code_of_this_uvicorn_was_read() -> None:
    """Each override rests on internals: a newer version is read before the constraints name it."""
    assert tuple(map(int, uvicorn.__version__.split(".")[:2])) <= (0, 54)


@pytest.mark.parametrize(("build", "names"), RELIED_ON)
def test_the_internals_relied_on_are_there(build: object, names: str) -> None:
    """An override of something that no longer exists would silently have no effect."""

    async def missing() -> list[str]:  # uvicorn's classes want a loop
        assert callable(build)
        instance = build(uvicorn.Config(serving, ws="none"))
        return [name for name in names.split() if not hasattr(instance, name)]

    assert asyncio.run(missing()) == []


def test_a_socket_has_no_dict() -> None:
    """Twenty thousand would have as many; one base without `__slots__` is enough for that."""
    assert WebSocketProtocol.__dictoffset__ == 0


@pytest.mark.parametrize("peer", [("127.0.0.1", 4711), ("::1", 4711, 0, 0)])
def test_addresses_are_found_without_the_socket(peer: tuple[object, ...]) -> None:
    """A transport of uvloop that was asked for its socket keeps 364 bytes for it, for life."""
    asked: list[str] = []

    class Transport(asyncio.Transport):
        @override
        def get_extra_info(self, name: str, default: object = None) -> object:
            asked.append(name)
            return {"peername": peer, "sockname": ("127.0.0.1", 80)}.get(name, default)

    addresses = SocketAddresses.of(Transport())

    assert addresses == SocketAddresses(("127.0.0.1", 80), (peer[0], 4711), False)  # type: ignore[arg-type] # the host is a text
    assert "socket" not in asked


FAULTS = [
    pytest.param(b"\x81\xff" + (1 << 40).to_bytes(8, "big"), 1009, "message_too_big", id="huge"),
    pytest.param(
        frame(Opcode.TEXT, bytes(MAX_MESSAGE_BYTES), fin=False) + frame(Opcode.CONT, b"a"),
        1009,
        "message_too_big",
        id="one byte over in fragments",
    ),
    pytest.param(frame(Opcode.TEXT, b"\xff"), 1007, "payload_invalid", id="not UTF-8"),
    pytest.param(
        frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"a"),
        1007,
        "payload_invalid",
        id="not UTF-8 in fragments",
    ),
    pytest.param(
        frame(Opcode.TEXT, b"\xff") + frame(Opcode.TEXT, b"a"),
        1007,
        "payload_invalid",
        id="more behind the fault",
    ),
    pytest.param(
        frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007, "payload_invalid", id="reason not UTF-8"
    ),
    pytest.param(b"\x81\x01a", 1002, "", id="not masked"),
    pytest.param(b"\x83\x80" + bytes(4), 1002, "", id="reserved opcode"),
]


@pytest.mark.parametrize(("data", "code", "reason"), FAULTS)
def test_a_fault_closes_with_a_word_of_the_registry(
    site: Site, data: bytes, code: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients act on the reason, so it is a stable word; a stranger's fault is no stack trace."""
    with upgrade(site) as client:
        client.sendall(data)
        answer = read_all(client)

    assert answer == close_frame(code, reason)
    assert site.events.get(timeout=60) == (code, reason)
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("data", [b"\x81\x01a", frame(Opcode.TEXT, b"\xff")], ids=["rude", "late"])
def test_nothing_follows_the_close_of_the_application(site: Site, data: bytes) -> None:
    """Whatever a refused peer sends then, nothing is sent after the close frame."""
    with upgrade(site) as client:
        client.sendall(frame(Opcode.TEXT, b"close 4000 enough"))
        first = read_until(client, b"enough")
        client.sendall(data + frame(Opcode.CLOSE, b"\x0f\xa0"))
        rest = read_all(client)

    assert first + rest == close_frame(4000, "enough")
    assert site.events.get(timeout=60) == (4000, "enough")


@pytest.mark.parametrize(
    ("data", "echo"),
    [
        pytest.param(
            frame(Opcode.BINARY, bytes(MAX_MESSAGE_BYTES)), bytes(MAX_MESSAGE_BYTES), id="largest"
        ),
        pytest.param(
            frame(Opcode.TEXT, b"\xc3", fin=False) + frame(Opcode.CONT, b"\xa4"),
            "ä".encode(),
            id="a character in two fragments",
        ),
    ],
)
def test_what_is_just_right_is_echoed(site: Site, data: bytes, echo: bytes) -> None:
    """The twin of the limits: messages of exactly the limit are accepted."""
    with upgrade(site) as client:
        client.sendall(data)
        read_until(client, echo)
        client.sendall(frame(Opcode.CLOSE, b"\x03\xe8"))
        answer = read_all(client)

    assert answer == close_frame(1000)
    assert site.events.get(timeout=60) == (1000, "")


def test_a_client_that_is_still_sending_gets_the_close_frame(site: Site) -> None:
    """A reset would overtake it: asyncio's streams drop what they have read by then."""
    size = 8 << 20

    async def send_on() -> bytes:
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(head())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82\xff" + size.to_bytes(8, "big") + bytes(4 + size))
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer

    answer = asyncio.run(send_on())

    assert answer == close_frame(1009, "message_too_big")
    assert site.events.get(timeout=60) == (1009, "message_too_big")


@pytest.mark.parametrize(
    ("data", "end"),
    [
        pytest.param(b"\x81\x01a", close_frame(1002, ""), id="not masked"),
        pytest.param(frame(Opcode.CLOSE, b"\x03\xe8"), close_frame(1000, ""), id="close"),
    ],
)
def test_a_fault_ahead_of_the_handshake_is_told_after_it(
    loop: str, data: bytes, end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """No close frame can be sent before the 101, and the application must hear no error of ours."""
    with serving(loop=loop) as site, dial(site, head("/slow")) as client:
        assert site.events.get(timeout=60) == "asked"
        client.sendall(data)
        site.proceed.set()
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(end)
    assert all(record.levelname != "ERROR" for record in caplog.records)


def test_a_good_frame_ahead_of_the_handshake_is_read(loop: str) -> None:
    """Some clients do not wait for the 101; what they send is not lost."""
    with serving(loop=loop) as site, dial(site, head("/slow")) as client:
        assert site.events.get(timeout=60) == "asked"
        client.sendall(frame(Opcode.TEXT, b"early"))
        site.proceed.set()
        answer = read_until(client, b"early")

    assert answer.startswith(b"HTTP/1.1 101 ")


def test_a_denial_logs_no_error(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Uvicorn calls a denial an unfinished handshake, once for each refused client."""
    with dial(site, head("/deny")) as client:
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(b"\r\n\r\nno")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_application_that_does_not_answer_is_an_error(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line that a denial does not cause is still written where it is true."""
    with dial(site, head("/silent")) as client:
        answer = read_all(client)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "without completing handshake" in caplog.text


def test_a_message_of_endless_fragments_is_cut() -> None:
    """Empty fragments have no bytes for a size limit to count, and each is kept."""
    fragments = frame(Opcode.TEXT, b"", fin=False) + frame(Opcode.CONT, b"", fin=False) * 5_000
    with serving() as site, upgrade(site) as client:
        client.sendall(fragments)

        assert read_until(client, close_frame(1009, "message_too_big"))


def test_a_message_of_many_fragments_arrives() -> None:
    """The accepted twin."""
    fragments = (
        frame(Opcode.TEXT, b"a", fin=False)
        + frame(Opcode.CONT, b"b", fin=False) * 1_000
        + frame(Opcode.CONT, b"c")
    )
    with serving() as site, upgrade(site) as client:
        client.sendall(fragments)

        assert read_until(client, b"a" + b"b" * 1_000 + b"c")


def test_a_stuck_peer_gets_no_more_pongs(loop: str) -> None:
    """Each ping would add to the unsent bytes: measured, 180 MiB in six seconds."""
    flood = frame(Opcode.PING, b"p" * 125) * 1_000
    with serving(loop=loop, close_seconds=30.0) as site, upgrade(site, "/hold") as client:
        assert site.events.get(timeout=60) == "full"
        (transport,) = site.transports
        before = transport.get_write_buffer_size()
        client.sendall(flood + frame(Opcode.TEXT, b"read them all?"))
        assert site.events.get(timeout=60) == "done"

        assert transport.get_write_buffer_size() <= before


def test_the_latest_ping_is_answered_when_the_peer_reads_again(loop: str) -> None:
    """RFC 6455 section 5.5.2: a slow client that hears no pong at all gives up a good socket."""
    with serving(loop=loop, close_seconds=30.0) as site, upgrade(site, "/hold") as client:
        assert site.events.get(timeout=60) == "full"
        client.sendall(frame(Opcode.PING, b"first") + frame(Opcode.PING, b"latest"))

        assert read_until(client, b"\x8a\x06latest")
