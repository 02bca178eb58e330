"""Text that is UTF-8 and text that is not (RFC 3629), whole and cut at every octet.

The section is Autobahn's 6; the sequences are the classic ones, grouped as the Unicode standard
groups them (section 3.9): well-formed, overlong, surrogates, out of range, cut short, misplaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.conformance.websocket_cases import Case, echoed, refused
from tests.conformance.websocket_frames import TEXT, client_frame, fragments, text

VALID: Final[dict[str, bytes]] = {
    "ascii": b"Hello",
    "greek": "κόσμε".encode(),
    "mixed": "Hello-µ@ßöäüàá-UTF-8!!".encode(),
    "nul": b"\x00",
    "last-of-one": b"\x7f",
    "first-of-two": b"\xc2\x80",
    "last-of-two": b"\xdf\xbf",
    "first-of-three": b"\xe0\xa0\x80",
    "last-before-surrogates": b"\xed\x9f\xbf",
    "first-after-surrogates": b"\xee\x80\x80",
    "replacement": b"\xef\xbf\xbd",
    "noncharacter-fffe": b"\xef\xbf\xbe",
    "noncharacter-ffff": b"\xef\xbf\xbf",
    "byte-order-mark": b"\xef\xbb\xbfa",
    "first-of-four": b"\xf0\x90\x80\x80",
    "last-of-all": b"\xf4\x8f\xbf\xbf",
    "combining": "e\u0301".encode(),
    "emoji": "\U0001f468\u200d\U0001f469".encode(),
}

INVALID: Final[dict[str, bytes]] = {
    "overlong-slash-in-two": b"\xc0\xaf",
    "overlong-slash-in-three": b"\xe0\x80\xaf",
    "overlong-slash-in-four": b"\xf0\x80\x80\xaf",
    "overlong-slash-in-five": b"\xf8\x80\x80\x80\xaf",
    "overlong-slash-in-six": b"\xfc\x80\x80\x80\x80\xaf",
    "overlong-nul": b"\xc0\x80",
    "overlong-last-of-one": b"\xc1\xbf",
    "overlong-last-of-two": b"\xe0\x9f\xbf",
    "overlong-last-of-three": b"\xf0\x8f\xbf\xbf",
    "first-high-surrogate": b"\xed\xa0\x80",
    "last-high-surrogate": b"\xed\xaf\xbf",
    "first-low-surrogate": b"\xed\xb0\x80",
    "last-low-surrogate": b"\xed\xbf\xbf",
    "pair-of-surrogates": b"\xed\xa0\x81\xed\xb0\x80",
    "one-past-the-last": b"\xf4\x90\x80\x80",
    "first-of-five": b"\xf8\x88\x80\x80\x80",
    "first-of-six": b"\xfc\x84\x80\x80\x80\x80",
    "f5": b"\xf5\x80\x80\x80",
    "fe": b"\xfe",
    "ff": b"\xff",
    "continuation-alone": b"\x80",
    "last-continuation-alone": b"\xbf",
    "continuations": b"\x80\xbf\x80\xbf",
    "start-of-two-alone": b"\xc3 ",
    "start-of-three-alone": b"\xe0 ",
    "start-of-four-alone": b"\xf0 ",
    "two-cut-short": b"\xdf",
    "three-cut-short": b"\xe2\x82",
    "four-cut-short": b"\xf0\x9f\x98",
    "greek-cut-short": "κό".encode()[:-1],
    "in-the-middle": "κόσμε".encode() + b"\xed\xa0\x80edited",
    "latin-1": "grüße".encode("latin-1"),
    "utf-16": "a".encode("utf-16-be") + b"\xd8\x3d\xde\x00",
}


def utf8() -> Iterator[Case]:
    """Write each text as one frame, and as one fragment an octet."""
    for name, data in VALID.items():
        yield echoed(f"text-{name}", text(data), back=data)
        octets = [data[at : at + 1] for at in range(len(data))]
        yield echoed(f"fragments-{name}", *fragments(*octets, b""), back=data)
    for name, data in INVALID.items():
        yield refused(f"text-{name}", text(data), code=1007)
        octets = [data[at : at + 1] for at in range(len(data))]
        yield refused(f"fragments-{name}", *fragments(*octets, b""), code=1007)
    yield refused(
        "cut-short-by-the-next-message",
        client_frame(TEXT, b"\xe2\x82"),
        client_frame(TEXT, b"\xac"),
        code=1007,
    )
    yield echoed(
        "character-in-two-fragments", *fragments(b"\xe2\x82", b"\xac"), back=b"\xe2\x82\xac"
    )


UTF8_CASES: Final = list(utf8())
