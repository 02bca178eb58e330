"""Compression without state per connection: the negotiation, and the bytes on the wire."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from itemwire.fastpath.deflate import DeflateFraming, framing_for, negotiate
from itemwire.fastpath.frames import FRAGMENT, PLAIN_FRAMING, FrameReader, ProtocolViolation
from itemwire.fastpath.inflate import TooLong, inflate

ALONE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        pytest.param("permessage-deflate", ALONE, id="bare"),
        pytest.param("permessage-deflate; client_max_window_bits", ALONE, id="browsers"),
        pytest.param(
            "permessage-deflate; server_max_window_bits=10",
            f"{ALONE}; server_max_window_bits=10",
            id="small-window",
        ),
        pytest.param(
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            ALONE,
            id="second-choice",
        ),
        pytest.param("permessage-deflate; server_no_context_takeover", ALONE, id="asks-for-it"),
        pytest.param("permessage-deflate; server_max_window_bits=8", None, id="zlib-cannot"),
        pytest.param("permessage-deflate; server_max_window_bits", None, id="without-a-number"),
        pytest.param("permessage-deflate; server_max_window_bits=16", None, id="too-large"),
        pytest.param("permessage-deflate; client_max_window_bits=7", None, id="too-small"),
        pytest.param("permessage-deflate; server_no_context_takeover=1", None, id="with-a-value"),
        pytest.param("permessage-deflate; unheard_of", None, id="unknown-parameter"),
        pytest.param(
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            None,
            id="twice",
        ),
        pytest.param("x-webkit-deflate-frame", None, id="another-extension"),
        pytest.param("permessage-deflate; =", None, id="malformed"),
    ],
)
def test_agrees_to_what_needs_no_memory_and_to_nothing_else(offer: str, answer: str | None) -> None:
    """RFC 7692 section 7.1: an offer is taken whole or declined; a declined one harms nobody."""
    agreed = negotiate(offer)

    assert (agreed and agreed[0]) == answer


def test_shares_one_framing_between_sockets_of_one_window() -> None:
    """Sockets with one framing are sent the same bytes."""
    first, second = negotiate("permessage-deflate"), negotiate("permessage-deflate")

    assert first is not None
    assert second is not None
    assert first[1] is second[1] is framing_for(15)


@given(st.lists(st.one_of(st.text(max_size=2000), st.binary(max_size=2000)), max_size=5))
def test_renders_frames_that_a_client_can_read_each_on_its_own(messages: list[str | bytes]) -> None:
    """A client that joined a moment ago has seen nothing of what was compressed before."""
    framing = DeflateFraming(15)
    for message in messages:
        rendered = framing.render(message)
        client = PerMessageDeflate(
            remote_no_context_takeover=True,
            local_no_context_takeover=True,
            remote_max_window_bits=15,
            local_max_window_bits=15,
        )
        payload = message.encode() if isinstance(message, str) else message
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        head = 2 if rendered[1] < 126 else 4
        frame = Frame(opcode, rendered[head:], rsv1=bool(rendered[0] & 0x40))

        assert client.decode(frame).data == payload


def test_makes_repeated_text_smaller_and_leaves_the_rest_alone() -> None:
    """A frame that would grow goes out as it is."""
    framing = DeflateFraming(15)
    noise = zlib.compress(bytes(range(256)) * 4)[:200]

    assert len(framing.render('{"a":1},' * 100)) < 100
    assert framing.render("short") == PLAIN_FRAMING.render("short")
    assert framing.render(noise) == PLAIN_FRAMING.render(noise)


def test_does_not_let_one_message_tell_of_another() -> None:
    """Lengths would leak a secret if a guess beside it were compressed with it (CRIME)."""
    framing = DeflateFraming(15)
    secret = "the password is swordfish " * 5
    alone = framing.render("a guess at it: swordfish " * 5)
    framing.render(secret)

    assert framing.render("a guess at it: swordfish " * 5) == alone


def deflated(payload: bytes) -> bytes:
    """Compress a message as a client does."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data[:-4]


def compressed_frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    """Render a client's frame with RSV1 set, which the library does through its extension only."""
    frame = bytearray(Frame(opcode, payload, fin=fin).serialize(mask=True))
    frame[0] |= 0x40
    return bytes(frame)


def test_inflates_up_to_the_limit_and_no_further() -> None:
    """A bomb of 64 MiB is 64 KiB on the wire (requirement 89)."""
    bomb = deflated(bytes(64 * 1024 * 1024))

    assert inflate(deflated(b"x" * 1000), 1000) == b"x" * 1000
    with pytest.raises(TooLong):
        inflate(deflated(b"x" * 1001), 1000)
    with pytest.raises(TooLong):
        inflate(bomb, 65_536)


def test_refuses_what_is_not_deflated() -> None:
    """A fault of the peer, and no stack trace of ours."""
    with pytest.raises(ValueError, match="not a deflated message"):
        inflate(b"\xff\xff\xff", 1000)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(b"\xff\xff\xff", 1002, id="no-deflate"),
        pytest.param(deflated(bytes(5000)), 1009, id="too-long"),
        pytest.param(deflated(b"\xff" * 100), 1007, id="no-utf-8"),
    ],
)
def test_closes_with_the_code_of_the_fault(payload: bytes, code: int) -> None:
    """As for a message that is not compressed."""
    reader = FrameReader(1000)
    reader.inflates = True
    reader.feed(compressed_frame(Opcode.TEXT, payload))
    with pytest.raises(ProtocolViolation) as fault:
        reader.read()

    assert fault.value.code == code


def test_reads_compressed_messages_in_fragments() -> None:
    """RSV1 is on the first frame only, and speaks for the message (section 6.1)."""
    data = deflated(b"fragmented " * 50)
    reader = FrameReader(10_000)
    reader.inflates = True
    reader.feed(compressed_frame(Opcode.TEXT, data[:10], fin=False))
    reader.feed(Frame(Opcode.CONT, data[10:]).serialize(mask=True))

    assert reader.read() is FRAGMENT
    assert reader.read() == (Opcode.TEXT, "fragmented " * 50)
