"""Refuses arguments of a wrong kind where they are given, by their name."""

from collections.abc import Iterable
from typing import Final, cast

TEXT: Final = "a text"
FUNCTION: Final = "a function"


def check_text(name: str, value: object) -> None:
    """Raise ValueError, which repeats no secret, unless an argument is a text."""
    if not isinstance(value, str):
        raise wrong_kind(name, value, TEXT)


def check_function(name: str, value: object) -> None:
    """Raise ValueError unless an argument can be called."""
    if not callable(value):
        raise wrong_kind(name, value, FUNCTION)


def check_texts(name: str, value: object) -> None:
    """Raise ValueError unless an argument is several texts, and not one."""
    if isinstance(value, str | bytes) or not _are_texts(value):
        raise wrong_kind(name, value, "a tuple of texts")


def _are_texts(value: object) -> bool:
    if not isinstance(value, Iterable):
        return False
    return all(isinstance(one, str) for one in cast("Iterable[object]", value))


def wrong_kind(name: str, value: object, wanted: str) -> ValueError:
    """Return the error for an argument that is no `wanted`."""
    return ValueError(f"{name} must be {wanted}, and is of the type {type(value).__name__}")
