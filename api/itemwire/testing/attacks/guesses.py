"""Attacks with guesses: parts of a credential, patterns, words for a missing value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from itemwire.testing.model import Attack, Fault
from itemwire_auth.testing import Severity

Change = Callable[[str], str]

_PART: Final = "CWE-187: a credential is compared as a whole, and not by a part of it"
_PATTERN: Final = "CWE-943: a credential is a value to look up, and never a part of the query"
_WORD: Final = "CWE-1390: what a program writes for a missing value is no credential"

# All of them are characters that a header, a cookie and a subprotocol can hold.
GUESSES: Final[dict[str, tuple[Change, str]]] = {
    "without_last": (lambda good: good[:-1], _PART),
    "without_first": (lambda good: good[1:], _PART),
    "first_half": (lambda good: good[: len(good) // 2], _PART),
    "one_more": (lambda good: good + "A", _PART),
    "one_changed": (lambda good: _changed(good, len(good) // 2), _PART),
    "first_changed": (lambda good: _changed(good, 0), _PART),
    "like_any": (lambda _: "%", _PATTERN),
    "like_begin": (lambda good: good[:4] + "%", _PATTERN),
    "like_each": (lambda good: "_" * len(good), _PATTERN),
    "glob": (lambda _: "*", _PATTERN),
    "regular_expression": (lambda _: ".*", _PATTERN),
    "sql": (lambda _: "'OR'1", _PATTERN),
    "none": (lambda _: "None", _WORD),
    "null": (lambda _: "null", _WORD),
    "undefined": (lambda _: "undefined", _WORD),
    "zero": (lambda _: "0", _WORD),
    "true": (lambda _: "true", _WORD),
}


def _changed(good: str, place: int) -> str:
    """Return a credential with one character changed into another letter."""
    other = "b" if good[place].lower() == "a" else "a"
    return good[:place] + other + good[place + 1 :]


def _row(name: str, change: Change, why: str, severity: Severity = Severity.HOLE) -> Attack:
    return Attack(
        f"guess_{name}",
        Fault.CREDENTIAL,
        lambda endpoint: endpoint.with_token(change(endpoint.token())),
        why=why,
        severity=severity,
    )


GUESSED: Final = (
    *(_row(name, change, why) for name, (change, why) in GUESSES.items()),
    _row(
        "in_other_case",
        lambda good: good.swapcase() if good.swapcase() != good else f"{good}a",
        "some databases compare without regard to case, which leaves fewer credentials to guess",
        Severity.WEAKNESS,
    ),
)
