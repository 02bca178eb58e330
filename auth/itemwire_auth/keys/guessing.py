"""Recognises secrets that are easy to guess: repeats and sequences add next to nothing."""

from __future__ import annotations

import math
from typing import Final

# Far below every random secret that is long enough: 32 random digits have 106 bits, 32 hex digits
# 128. Far above what people type: `password` four times has 25.
MIN_BITS: Final = 64

MAX_EXAMINED: Final = 4096  # bytes; time grows with the square of it

# What fingers and memory produce, in either direction and either case.
ROWS: Final = (
    b"abcdefghijklmnopqrstuvwxyz",
    b"01234567890",
    b"qwertyuiop",
    b"asdfghjkl",
    b"zxcvbnm",
)
SHORTEST_SEQUENCE: Final = 3

_SEQUENCES: Final = ROWS + tuple(row[::-1] for row in ROWS)


def is_guessable(secret: bytes) -> bool:
    """Return whether a secret has fewer bits to guess than MIN_BITS, generously estimated.

    The secret is cut into pieces, as in LZ77: a piece is one byte, a repeat of what came before,
    or part of a sequence. Each piece counts as one byte of the alphabet that the secret uses.
    """
    secret = secret[:MAX_EXAMINED]
    bits = math.log2(len(set(secret)) or 1)
    if not bits:
        return True  # one byte, over and over
    # Chance alone brings about short repeats: only one that is longer is a pattern.
    shortest = 2 + math.ceil(2 * math.log2(len(secret)) / bits)
    pieces = at = 0
    while at < len(secret) and pieces * bits < MIN_BITS:
        at += max(_repeat_at(secret, at, shortest), _sequence_at(secret, at), 1)
        pieces += 1
    return pieces * bits < MIN_BITS


def _repeat_at(secret: bytes, at: int, shortest: int) -> int:
    """Return the length of the longest repeat of earlier bytes that starts here, or 0."""
    length = shortest
    while at + length <= len(secret):
        # A repeat may overlap itself: `abababab` is `ab` and a repeat of six.
        if secret.find(secret[at : at + length], 0, at + length - 1) < 0:
            break
        length += 1
    return length - 1 if length > shortest else 0


def _sequence_at(secret: bytes, at: int) -> int:
    """Return the length of the longest sequence that starts here, or 0."""
    longest = max(_steps_at(secret, at), *(_part_at(secret, at, row) for row in _SEQUENCES))
    return longest if longest >= SHORTEST_SEQUENCE else 0


def _steps_at(secret: bytes, at: int) -> int:
    """Return how many bytes from here on stay the same, or all go up or all down by one."""
    end = at + 1
    step = secret[end] - secret[at] if end < len(secret) else None
    while step in (-1, 0, 1) and end < len(secret) and secret[end] - secret[end - 1] == step:
        end += 1
    return end - at


def _part_at(secret: bytes, at: int, row: bytes) -> int:
    """Return how many bytes from here on follow each other in a row."""
    rest = secret[at : at + len(row)].lower()
    length = 0
    while length < len(rest) and rest[: length + 1] in row:
        length += 1
    return length
