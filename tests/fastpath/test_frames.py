"""Frames parsed and rendered without I/O, in the same way for any split into chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode

from itemwire.fastpath import frames
from itemwire.fastpath.frames import (
    FRAGMENT,
    PLAIN_FRAMING,
    FrameReader,
    Message,
    ProtocolViolation,
    close_frame,
    read_close,
    whole_message,
)

MAX_SIZE = 100_000


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Render a frame as a client does, by the library that clients use."""
    frame = LibraryFrame(Opcode(opcode), payload, fin=fin)
    return bytes(frame.serialize(mask=True))


def read_all(reader: FrameReader, *pieces: bytes) -> list[Message]:
    """Feed pieces one by one, and read whatever each makes whole."""
    messages = []
    for piece in pieces:
        reader.feed(piece)
        while (message := reader.read()) is not None:
            if message is not FRAGMENT:
                messages.append(message)
    return messages


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[begin:end] for begin, end in pairwise(edges)]


MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.just(frames.TEXT), st.text(max_size=300).map(str.encode)),
        st.tuples(st.just(frames.BINARY), st.binary(max_size=70_000)),
        st.tuples(st.just(frames.PING), st.binary(max_size=125)),
    ),
    max_size=6,
)


@given(MESSAGES, st.lists(st.integers(0, 2**20), max_size=20))
def test_reads_what_the_library_writes_in_whatever_pieces(
    messages: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    """TCP has no messages: a frame may come octet by octet, or many in one piece."""
    data = b"".join(masked(opcode, payload) for opcode, payload in messages)
    expected = [
        (opcode, payload.decode() if opcode == frames.TEXT else payload)
        for opcode, payload in messages
    ]
    reader = FrameReader(MAX_SIZE)

    assert read_all(reader, *cut(data, cuts)) == expected
    assert not reader.is_mid_message


@given(
    st.sampled_from([0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0xC1, 0x83]),
    st.integers(0, 255),
    st.one_of(st.binary(max_size=12), st.binary(min_size=120, max_size=300)),
)
def test_takes_a_chunk_for_a_message_only_where_the_reader_does(
    first: int, second: int, rest: bytes
) -> None:
    """The short way may leave a chunk to the reader, and never says anything else than it."""
    data = bytes((first, second)) + rest
    message = whole_message(data, 200)
    reader = FrameReader(200)
    reader.feed(data)

    if message is not None:
        assert reader.read() == (first & 0x0F, message)
        assert not reader.is_mid_message


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535])
@pytest.mark.parametrize("opcode", [frames.TEXT, frames.BINARY])
def test_takes_a_chunk_that_is_one_message(opcode: int, size: int) -> None:
    """Nearly every message comes so; with a byte too few or too many, the reader takes it."""
    data = masked(opcode, b"x" * size)
    expected = "x" * size if opcode == frames.TEXT else b"x" * size

    assert whole_message(data, MAX_SIZE) == expected
    assert whole_message(data, size) == expected
    assert [whole_message(one, MAX_SIZE) for one in (data[:-1], data + b"x")] == [None, None]
    assert whole_message(data, size - 1) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(masked(frames.TEXT, b"x" * 200, fin=False), id="a-fragment"),
        pytest.param(masked(frames.PING, b"x"), id="a-ping"),
        pytest.param(masked(frames.TEXT, b"\xff"), id="no-text"),
        pytest.param(b"\x81\x05hello", id="no-mask"),
        pytest.param(b"\x81\xfe\x00\x05abcdhello", id="a-longer-form"),
        pytest.param(b"\xc1\x85abcdhello", id="compressed"),
        pytest.param(b"\x81\xfe\x00", id="a-cut-length"),
        pytest.param(b"\x81", id="a-cut-head"),
    ],
)
def test_leaves_to_the_reader_what_is_not_one_message(data: bytes) -> None:
    """It has the checks, and the words for what is wrong."""
    assert whole_message(data, MAX_SIZE) is None


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=8), st.lists(st.integers(0, 4000)))
def test_joins_fragments_with_control_frames_between_them(
    parts: list[bytes], cuts: list[int]
) -> None:
    """RFC 6455 section 5.4: a ping may come in the middle of a fragmented message."""
    data = b""
    for number, part in enumerate(parts):
        opcode = frames.BINARY if number == 0 else frames.CONTINUATION
        data += masked(opcode, part, fin=number == len(parts) - 1) + masked(frames.PING, b"?")
    read = read_all(FrameReader(MAX_SIZE), *cut(data, cuts))

    assert [message for message in read if message[0] == frames.BINARY] == [
        (frames.BINARY, b"".join(parts))
    ]
    assert len(read) == len(parts) + 1


@given(st.one_of(st.text(max_size=200_000), st.binary(max_size=70_000)))
def test_renders_frames_that_the_library_would(message: str | bytes) -> None:
    """Byte for byte: a client must not see which server it has."""
    payload = message.encode() if isinstance(message, str) else message
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY

    assert PLAIN_FRAMING.render(message) == LibraryFrame(opcode, payload).serialize(mask=False)


def test_joins_frames_by_putting_them_one_behind_the_other() -> None:
    """A joined write is nothing but its frames."""
    one, two = PLAIN_FRAMING.render("one"), PLAIN_FRAMING.render(b"two")

    assert PLAIN_FRAMING.join([one, two]) == one + two


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"\x81\x05Hello", 1002, id="not-masked"),
        pytest.param(b"\xc1\x80mask", 1002, id="compressed-without-agreement"),
        pytest.param(b"\x91\x80mask", 1002, id="reserved-bit"),
        pytest.param(b"\x83\x80mask", 1002, id="reserved-data-opcode"),
        pytest.param(b"\x8b\x80mask", 1002, id="reserved-control-opcode"),
        pytest.param(b"\x80\x80mask", 1002, id="nothing-to-continue"),
        pytest.param(b"\x09\x80mask", 1002, id="fragmented-ping"),
        pytest.param(b"\x89\xfe\x00\x7emask", 1002, id="long-ping"),
        pytest.param(b"\x82\xfe\x00\x7dmask", 1002, id="125-in-two-bytes"),
        pytest.param(b"\x82\xff" + (65_535).to_bytes(8, "big") + b"mask", 1002, id="64k-in-eight"),
        pytest.param(b"\x82\xff" + (2**63).to_bytes(8, "big") + b"mask", 1002, id="2**63"),
        pytest.param(b"\x82\xff" + (2**62).to_bytes(8, "big"), 1009, id="announced-too-big"),
        pytest.param(masked(1, b"\xff"), 1007, id="no-utf-8"),
        pytest.param(masked(1, b"a", fin=False) + masked(1, b"b"), 1002, id="begins-in-the-middle"),
    ],
)
def test_refuses_what_breaks_the_protocol(data: bytes, code: int) -> None:
    """Each with the code of RFC 6455 section 7.4.1, in one piece or octet by octet."""
    for pieces in ([data], [bytes([octet]) for octet in data]):
        with pytest.raises(ProtocolViolation) as fault:
            read_all(FrameReader(MAX_SIZE), *pieces)
        assert fault.value.code == code


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_takes_every_length_in_its_shortest_form(length: int) -> None:
    """The twin of lengths in a longer form than needed (requirement 83)."""
    assert read_all(FrameReader(MAX_SIZE), masked(2, bytes(length))) == [(2, bytes(length))]


def test_bounds_a_message_whatever_its_fragments() -> None:
    """The limit is on the message, and holds before the last part is kept (requirement 87)."""
    exact, over = FrameReader(max_size=10), FrameReader(max_size=10)
    first = masked(2, b"12345", fin=False)

    assert read_all(exact, first, masked(0, b"67890")) == [(2, b"1234567890")]
    with pytest.raises(ProtocolViolation) as fault:
        read_all(over, first, masked(0, b"678901"))
    assert fault.value.code == 1009


@pytest.mark.parametrize(("part", "count"), [(b"", 1024), (b"x" * 32, 2048)])
def test_bounds_small_fragments(part: bytes, count: int) -> None:
    """Empty fragments meet no limit of size, and each costs work (requirement 88)."""
    reader = FrameReader(MAX_SIZE)
    crumbs = [masked(2, b"x" * 64, fin=False), *[masked(0, part, fin=False)] * (2 * count)]
    with pytest.raises(ProtocolViolation) as fault:
        read_all(reader, *crumbs)

    assert fault.value.code == 1009


def test_reads_one_frame_at_a_time() -> None:
    """A chunk of 256 KiB may hold 40,000 fragments, which would hold up everybody else."""
    reader = FrameReader(MAX_SIZE)
    reader.feed(
        masked(Opcode.TEXT, b"a", fin=False)
        + masked(Opcode.CONT, b"b", fin=False)
        + masked(Opcode.CONT, b"c")
    )

    assert [reader.read() for _ in range(4)] == [FRAGMENT, FRAGMENT, (frames.TEXT, "abc"), None]


def test_appends_a_fragment_in_place() -> None:
    """A sum copies the whole message: 2 MiB in fragments of 64 bytes took 8 s."""
    reader = FrameReader(MAX_SIZE)
    reader.feed(masked(Opcode.BINARY, b"a" * 64, fin=False))
    reader.read()
    parts = reader._parts
    reader.feed(masked(Opcode.CONT, b"b" * 64, fin=False))
    reader.read()

    assert parts is not None
    assert reader._parts is parts
    assert len(parts) == 128


def test_takes_a_large_message_in_small_fragments() -> None:
    """The twin: fragments of 64 bytes are not limited in number."""
    parts = [masked(2, b"x" * 64, fin=False), *[masked(0, b"x" * 64, fin=False)] * 1500]
    (message,) = read_all(FrameReader(MAX_SIZE), *parts, masked(0, b""))

    assert message == (2, b"x" * 64 * 1501)


def test_keeps_only_what_waits_for_its_end() -> None:
    """Bytes that were parsed must not stay in memory while a frame is incomplete."""
    reader = FrameReader(MAX_SIZE)
    read_all(reader, masked(2, bytes(60_000)) + masked(2, b"tail")[:-1])

    assert reader.is_mid_message
    assert len(reader._buffer) < 20


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_reads_the_close_codes_that_may_be_sent(code: int) -> None:
    """RFC 6455 section 7.4 and its registry."""
    assert read_close(close_frame(code, "so long")[2:]) == (code, "so long")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_refuses_the_close_codes_that_may_not(code: int) -> None:
    """1005 and 1006 exist for telling a program, not for the wire."""
    with pytest.raises(ProtocolViolation) as fault:
        read_close(code.to_bytes(2, "big"))

    assert fault.value.code == 1002


def test_reads_a_close_without_a_code() -> None:
    """Which is 1005 to the program (section 7.1.5)."""
    assert read_close(b"") == (1005, "")


@pytest.mark.parametrize(("payload", "code"), [(b"\x03", 1002), (b"\x03\xe8\xff", 1007)])
def test_refuses_a_close_that_is_cut_or_no_text(payload: bytes, code: int) -> None:
    """Sections 5.5.1 and 8.1."""
    with pytest.raises(ProtocolViolation) as fault:
        read_close(payload)

    assert fault.value.code == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000, 70_000])
def test_sends_no_code_that_may_not_be_sent(code: int) -> None:
    """A client would take it for a fault of the protocol (requirement 86)."""
    assert read_close(close_frame(code, "why")[2:]) == (1011, "why")


def test_cuts_a_close_reason_at_a_whole_character() -> None:
    """125 bytes are all that a control frame holds, and half a character is no UTF-8."""
    frame = close_frame(1008, "ä" * 100)

    assert len(frame) <= 2 + 125
    assert read_close(frame[2:]) == (1008, "ä" * 61)
