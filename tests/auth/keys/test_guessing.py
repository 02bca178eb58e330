"""Tests of keys/guessing.py: what people type is refused, what a generator makes never is."""

from __future__ import annotations

import base64
import random
import string
import uuid
from collections.abc import Callable

import pytest

from itemwire_auth.keys import guessing
from itemwire_auth.keys.guessing import MAX_EXAMINED, SHORTEST_SEQUENCE, is_guessable

RARE = 500  # secrets of each kind that are tried


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("a" * 36, id="one-letter"),
        pytest.param("ab" * 18, id="two-letters"),
        pytest.param("é" * 16, id="one-character-of-two-bytes"),
        pytest.param("\0\1" * 20, id="two-bytes"),
        pytest.param("password" * 4, id="a-word-again-and-again"),
        pytest.param("Password1!Password1!Password1!Pass", id="a-repeat-that-is-cut"),
        pytest.param("changeme-changeme-changeme-changeme", id="with-hyphens"),
        pytest.param("password1password2password3password4", id="numbered"),
        pytest.param("2026-01-01-2026-01-02-2026-01-03", id="dates"),
        pytest.param("hunter2" * 8, id="long"),
        pytest.param("b1c4f0a9" * 8, id="32-random-bits-eight-times"),
        pytest.param("AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH", id="runs"),
        pytest.param("1234567890" * 4, id="digits"),
        pytest.param("0123456789abcdef" * 2, id="hex-digits"),
        pytest.param("abcdefghijklmnopqrstuvwxyzABCDEF", id="alphabet"),
        pytest.param("zyxwvutsrqponmlkjihgfedcba987654", id="alphabet-backwards"),
        pytest.param("qwertyuiopASDFGHJKLzxcvbnm123456", id="keyboard"),
        pytest.param("poiuytrewqlkjhgfdsamnbvcxz098765", id="keyboard-backwards"),
        pytest.param("".join(map(chr, range(40, 100))), id="code-points"),
        pytest.param("a" * 1_000_000, id="a-megabyte"),
        pytest.param("ab" * MAX_EXAMINED, id="longer-than-is-examined"),
    ],
)
def test_recognises_what_people_type(secret: str) -> None:
    """Thirty-two characters of it are guessed as soon as eight."""
    assert is_guessable(secret.encode())


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "raw": lambda r: r.randbytes(32),
    "hex": lambda r: r.randbytes(16).hex().encode(),
    "hex-upper": lambda r: r.randbytes(32).hex().upper().encode(),
    "base32": lambda r: base64.b32encode(r.randbytes(20)),
    "base64": lambda r: base64.b64encode(r.randbytes(24)),
    "base64url": lambda r: base64.urlsafe_b64encode(r.randbytes(48)).rstrip(b"="),
    "base85": lambda r: base64.b85encode(r.randbytes(26)),
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)).encode(),
    "digits": lambda r: "".join(r.choices(string.digits, k=32)).encode(),
    "binary-digits": lambda r: "".join(r.choices("01", k=256)).encode(),
    "lower-case": lambda r: "".join(r.choices(string.ascii_lowercase, k=32)).encode(),
    "letters-and-digits": lambda r: "".join(
        r.choices(string.ascii_letters + string.digits, k=32)
    ).encode(),
    "words": lambda r: " ".join(
        "".join(r.choices(string.ascii_lowercase, k=r.randint(4, 8))) for _ in range(6)
    ).encode(),
    "long": lambda r: r.randbytes(4096).hex().encode(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_never_refuses_what_a_generator_makes(kind: str) -> None:
    """A false alarm would keep a good server from starting, whatever its secret is written in."""
    generator = random.Random(kind)  # noqa: S311 - the same secrets in each run

    assert not any(is_guessable(KINDS[kind](generator)) for _ in range(RARE))


def test_a_good_secret_twice_is_as_good() -> None:
    """The repeat adds nothing, and need not."""
    assert not is_guessable(random.Random(1).randbytes(32) * 2)  # noqa: S311 - as above


@pytest.mark.parametrize(
    ("secret", "at", "length"),
    [
        (b"abcabc", 3, 3),
        (b"abcax", 3, 0),  # one byte is not more than chance brings about
        (b"abcxabc", 4, 3),
        (b"aaaaaa", 1, 5),  # it overlaps itself
        (b"abcdef", 3, 0),
    ],
)
def test_a_repeat_is_longer_than_chance_makes_it(secret: bytes, at: int, length: int) -> None:
    """It may begin with the very first byte."""
    assert guessing._repeat_at(secret, at, 2) == length


@pytest.mark.parametrize(
    ("secret", "length"),
    [
        (b"abcx", SHORTEST_SEQUENCE),
        (b"abx9", 0),
        (b"cbax", 3),
        (b"qwex", 3),
        (b"EWQx", 3),
        (b"777x", 3),
        (b"890x", 3),
        (b"\x05\x06\x07\x01", 3),
        (b"\x07\x06\x05\x01", 3),
        (b"ab", 0),
        (b"a", 0),
    ],
)
def test_a_sequence_has_a_shortest_length(secret: bytes, length: int) -> None:
    """Up, down, along a row of the keyboard, in either case; exactly the shortest counts."""
    assert guessing._sequence_at(secret, 0) == length


@pytest.mark.parametrize(
    ("secret", "guessable"),
    [
        pytest.param("2750381964930572816", True, id="19 digits: 63 bits"),
        pytest.param("27503819649305728164", False, id="20 digits: 66 bits"),
    ],
)
def test_counts_a_secret_of_chance_by_its_length(secret: str, guessable: bool) -> None:
    """Each byte once, and none beyond the end."""
    assert is_guessable(secret.encode()) is guessable
