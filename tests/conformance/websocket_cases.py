"""The WebSocket cases (RFC 6455): what a client sends, and what must come back.

The sections are those of the Autobahn suite, so that one can be read beside the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.conformance.websocket_frames import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Answer,
    ServerFrame,
    client_frame,
    close,
    fragments,
    text,
)

MAX_MESSAGE_BYTES: Final = 65_536

LENGTHS: Final = (0, 1, 125, 126, 127, 128, 65_535, MAX_MESSAGE_BYTES)
CODES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)
PRIVATE_CODES: Final = (3000, 3999, 4000, 4999)
# Never on the wire: reserved, not yet given out, or for the two ends' own use (section 7.4).
BAD_CODES: Final = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation with an echo: the frames sent, and the answer until the connection's end.

    `close` in the answer is the code that must come. Where the client is at fault, or closes, the
    messages ahead of that may be unanswered on ASGI, where an application runs beside the protocol.
    """

    name: str
    sent: list[bytes]
    answer: Answer
    stock: Answer | None = None  # what uvicorn's own class does instead
    because: str = field(default="", repr=False)  # and why that is not good enough, or is as good


def says(payload: bytes, opcode: int = TEXT) -> ServerFrame:
    """Write down the echo of a message."""
    return ServerFrame(opcode, payload)


def echoed(name: str, *sent: bytes, back: bytes, opcode: int = TEXT) -> Case:
    """Say that the frames are one message, which comes back."""
    return Case(name, list(sent), Answer((says(back, opcode),)))


def refused(name: str, *sent: bytes, code: int = 1002) -> Case:
    """Say that the frames end the connection with this code, and nothing after them is heard."""
    return Case(name, [*sent, text(b"after")], Answer(close=code))


def framing() -> Iterator[Case]:
    """Section 1 (and 5.2 of the RFC): every length in both kinds, and lengths that lie."""
    for size in LENGTHS:
        yield echoed(f"text-of-{size}", text(b"*" * size), back=b"*" * size)
        data = b"\xfe" * size
        sent = client_frame(BINARY, data)
        yield echoed(f"binary-of-{size}", sent, back=data, opcode=BINARY)
    for size, length_bytes in ((0, 2), (125, 2), (125, 8), (126, 8), (65_535, 8)):
        data = b"*" * size
        yield Case(
            f"{size}-told-in-{length_bytes}",
            [client_frame(TEXT, data, length_bytes=length_bytes), close(1000)],
            Answer(close=1002),
            stock=Answer((says(data),), close=1000),
            because="section 5.2: the minimal number of bytes MUST be used",
        )
    yield refused("not-masked", client_frame(TEXT, b"a", masked=False))
    yield refused("empty-and-not-masked", client_frame(TEXT, masked=False))
    yield refused("ping-not-masked", client_frame(PING, masked=False))
    yield Case(
        "length-with-the-highest-bit",
        [b"\x81\xff\x80" + bytes(7)],
        Answer(close=1002),
        stock=Answer(close=1009),
        because="section 5.2: the bit MUST be 0; too big it is as well",
    )
    yield refused("one-more-than-the-limit", text(b"*" * (MAX_MESSAGE_BYTES + 1)), code=1009)
    over = client_frame(BINARY, bytes(MAX_MESSAGE_BYTES + 1))[:10]
    yield Case("announced-over-the-limit", [over], Answer(close=1009))
    yield Case("announced-as-huge", [b"\x82\xff\x00\x00\xff" + bytes(5)], Answer(close=1009))


def pings() -> Iterator[Case]:
    """Section 2: pings of every size are answered, and pongs nobody asked for are not."""
    for name, payload in {
        "without-payload": b"",
        "with-payload": b"hello",
        "of-bytes": b"\x00\xff\xfe\xfd",
        "of-125": b"*" * 125,
    }.items():
        yield Case(f"ping-{name}", [client_frame(PING, payload)], Answer(pongs=(payload,)))
    yield refused("ping-of-126", client_frame(PING, b"*" * 126))
    yield refused("ping-of-65536", client_frame(PING, b"*" * 65_536))
    yield refused("ping-in-fragments", client_frame(PING, b"a", fin=False))
    yield Case("pong-unasked", [client_frame(PONG)], Answer())
    yield Case("pong-unasked-with-payload", [client_frame(PONG, b"unasked")], Answer())
    pong_then_ping = [client_frame(PONG, b"unasked"), client_frame(PING, b"asked")]
    yield Case("pong-then-ping", pong_then_ping, Answer(pongs=(b"asked",)))
    yield refused("pong-of-126", client_frame(PONG, b"*" * 126))
    ten = tuple(f"ping {number}".encode() for number in range(10))
    burst = [client_frame(PING, payload) for payload in ten]
    yield Case("ten-pings", burst, Answer(pongs=ten))
    many = tuple(b"%d" % number for number in range(200))
    before = [client_frame(PING, payload) for payload in many]
    yield Case("pings-then-a-message", [*before, text(b"a")], Answer((says(b"a"),), many))
    around = [client_frame(PING, b"1"), text(b"a"), client_frame(PING, b"2")]
    yield Case("pings-around-a-message", around, Answer((says(b"a"),), (b"1", b"2")))


def reserved() -> Iterator[Case]:
    """Sections 3 and 4: reserved bits without an extension, reserved opcodes."""
    for rsv in range(1, 8):
        yield refused(f"rsv-{rsv}", client_frame(TEXT, b"a", rsv=rsv))
    for opcode in (CONT, BINARY, CLOSE, PING, PONG):
        yield refused(f"rsv-on-opcode-{opcode}", client_frame(opcode, rsv=4))
    spoken = Answer((says(b"a"),), close=1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield refused(f"opcode-{opcode}", client_frame(opcode))
        yield refused(f"opcode-{opcode}-with-payload", client_frame(opcode, b"a"))
        sent = [text(b"a"), client_frame(opcode, b"b"), client_frame(PING)]
        yield Case(f"opcode-{opcode}-after-a-message", sent, spoken)
    yield Case("rsv-after-a-message", [text(b"a"), client_frame(TEXT, b"b", rsv=2)], spoken)


def fragmentation() -> Iterator[Case]:
    """Section 5: messages in pieces, control frames between them, pieces out of place."""
    first, last = fragments(b"one ", b"two")
    ping = client_frame(PING, b"between")
    whole = (says(b"one two"),)
    yield echoed("two-fragments", first, last, back=b"one two")
    binary = fragments(b"\xff", b"\xfe", b"", opcode=BINARY)
    yield echoed("binary-fragments", *binary, back=b"\xff\xfe", opcode=BINARY)
    yield echoed("three-empty-fragments", *fragments(b"", b"", b""), back=b"")
    yield echoed("text-between-empty-fragments", *fragments(b"", b"a", b""), back=b"a")
    yield echoed("fragment-of-each-octet", *fragments(*[b"x"] * 1_000), back=b"x" * 1_000)
    yield Case("ping-between-fragments", [first, ping, last], Answer(whole, (b"between",)))
    yield Case("pong-between-fragments", [first, client_frame(PONG), last], Answer(whole))
    several = [first, *[ping] * 3, last, ping]
    yield Case("pings-between-and-after-fragments", several, Answer(whole, (b"between",) * 4))
    two = [*fragments(b"1", b"2"), *fragments(b"3", b"4")]
    yield Case("two-messages-in-fragments", two, Answer((says(b"12"), says(b"34"))))
    yield refused("continuation-of-nothing", client_frame(CONT, b"a"))
    yield refused("unfinished-continuation-of-nothing", client_frame(CONT, b"a", fin=False))
    after = [text(b"a"), client_frame(CONT, b"b"), text(b"c")]
    yield Case("continuation-after-a-message", after, Answer((says(b"a"),), close=1002))
    after = [first, last, client_frame(CONT, b"b")]
    yield Case("continuation-after-fragments", after, Answer(whole, close=1002))
    for opcode in (TEXT, BINARY):
        yield refused(f"opcode-{opcode}-between-fragments", first, client_frame(opcode, b"a"))
    yield refused("reserved-opcode-between-fragments", first, client_frame(3))
    begun = client_frame(TEXT, b"*" * MAX_MESSAGE_BYTES, fin=False)
    yield echoed("limit-in-fragments", begun, client_frame(CONT), back=b"*" * MAX_MESSAGE_BYTES)
    yield refused(
        "one-more-than-the-limit-in-fragments", begun, client_frame(CONT, b"*"), code=1009
    )


def closing() -> Iterator[Case]:
    """Section 7: which closes are answered, with what, and that they are the last word."""
    done = Answer(close=1000)
    yield Case("message-then-close", [text(b"a"), close(1000)], Answer((says(b"a"),), close=1000))
    yield Case("two-closes", [close(1000), close(1000)], done)
    yield Case("ping-after-close", [close(1000), client_frame(PING)], done)
    yield Case("message-after-close", [close(1000), text(b"late")], done)
    yield Case("fault-after-close", [close(1000), client_frame(3)], done)
    first, last = fragments(b"a", b"b")
    yield Case(
        "close-between-fragments",
        [first, close(1000), last],
        done,
        stock=Answer(close=1002),
        because="section 5.4: control frames may come between fragments; a close is one",
    )
    yield Case("close-without-code", [close()], Answer(close=1005))
    yield refused("close-of-one-byte", client_frame(CLOSE, b"\x03"))
    yield Case("close-with-reason", [close(1000, b"goodbye")], done)
    yield Case("close-with-reason-of-123", [close(1000, b"*" * 123)], done)
    yield refused("close-with-reason-of-124", close(1000, b"*" * 124))
    yield refused("close-with-reason-not-utf-8", close(1000, b"\xce\xba\xff"), code=1007)
    yield refused("close-in-fragments", client_frame(CLOSE, b"\x03\xe8", fin=False))
    for code in (*CODES, *PRIVATE_CODES):
        yield Case(f"close-{code}", [close(code)], Answer(close=code))
    for code in BAD_CODES:
        yield refused(f"close-{code}", close(code))
        yield refused(f"close-{code}-with-reason", close(code, b"because"))


def sizes() -> Iterator[Case]:
    """Sections 9 and 10: large messages whole and in pieces, as other libraries cut them."""
    data = bytes(range(256)) * (MAX_MESSAGE_BYTES // 256)
    for piece in (64, 256, 1_300, 4_096, 16_384):
        parts = [data[at : at + piece] for at in range(0, len(data), piece)]
        sent = fragments(*parts, opcode=BINARY)
        yield echoed(f"largest-in-fragments-of-{piece}", *sent, back=data, opcode=BINARY)
    many = [text(b"%d" % number) for number in range(1_000)]
    back = tuple(says(b"%d" % number) for number in range(1_000))
    yield Case("a-thousand-messages", many, Answer(back))


CASES: Final = [
    *framing(),
    *pings(),
    *reserved(),
    *fragmentation(),
    *closing(),
    *sizes(),
]
