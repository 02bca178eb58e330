"""Frames as a client makes and reads them, against the `websockets` library's."""

import pytest
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side

from itemwire.bench.frames import (
    CLOSE,
    PING,
    TEXT,
    Frame,
    Stationery,
    client_frame,
    close_reason,
    mark_of,
    numbers_in,
    split_frames,
)

LENGTHS = [0, 1, 125, 126, 65_535, 65_536]


def as_server_hears(data: bytes) -> list[tuple[Opcode, bytes]]:
    """What a server's own parser makes of a client's bytes."""
    server = Protocol(Side.SERVER, max_size=None)
    server.receive_data(data)
    events = server.events_received()
    return [(event.opcode, bytes(event.data)) for event in events if isinstance(event, PeerFrame)]


def server_frame(opcode: Opcode, payload: bytes) -> bytes:
    """A frame as a server sends it."""
    return PeerFrame(opcode, payload).serialize(mask=False)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_server_reads_what_is_sent(length: int) -> None:
    """Masked, and with each of the three forms of the length."""
    payload = bytes(b"abc" * length)[:length]

    assert as_server_hears(client_frame(TEXT, payload)) == [(Opcode.TEXT, payload)]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_server_is_read(length: int) -> None:
    """With each of the three forms of the length."""
    payload = b"x" * length
    data = server_frame(Opcode.TEXT, payload)

    assert split_frames(data) == ([Frame(TEXT, payload, len(data))], b"")


def test_what_is_not_whole_yet_is_left() -> None:
    """Wherever a chunk ends, each frame comes out once."""
    data = b"".join(server_frame(Opcode.TEXT, b"x" * length) for length in (0, 5, 126, 300))
    data += server_frame(Opcode.PING, b"still there?")
    whole, _ = split_frames(data)

    for cut in range(len(data)):
        first, rest = split_frames(data[:cut])
        second, nothing = split_frames(rest + data[cut:])
        assert (first + second, nothing) == (whole, b"")
    assert whole[-1].opcode == PING


def test_a_message_has_its_number_and_its_size() -> None:
    """In whatever the server's protocol wants around it."""
    mark = mark_of(3)
    stationery = Stationery('{"data":"{marker}"}', mark, 128)

    ((_, payload),) = as_server_hears(stationery.frame(77))

    assert len(payload) == 128
    assert payload.startswith(b'{"data":"' + mark)
    assert payload.endswith(b'x"}')
    assert numbers_in(payload, mark) == [77]


def test_a_message_may_have_to_be_longer_than_asked_for() -> None:
    """The marker does not fit into ten bytes."""
    ((_, payload),) = as_server_hears(Stationery("{marker}", mark_of(1), 10).frame(1))

    assert numbers_in(payload, mark_of(1)) == [1]


def test_numbers_are_those_of_the_own_window() -> None:
    """What is late from the window before is not counted twice."""
    payload = b"[%s00000001;, %s0000000a;, %s00000002;]" % (mark_of(1), mark_of(2), mark_of(1))

    assert numbers_in(payload, mark_of(1)) == [1, 2]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        pytest.param(b"\x03\xf0forbidden", "closed with 1008 forbidden", id="reason"),
        pytest.param(b"\x03\xe8", "closed with 1000", id="code"),
        pytest.param(b"", "closed without a code", id="nothing"),
    ],
)
def test_a_close_says_why(payload: bytes, said: str) -> None:
    """A refusal is one line for anyone who ran the command."""
    (frame,), _ = split_frames(server_frame(Opcode.CLOSE, payload))

    assert frame.opcode == CLOSE
    assert close_reason(frame.payload) == said
