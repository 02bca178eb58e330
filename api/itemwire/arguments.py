"""Refuses arguments of a wrong kind where they are given, by their name."""

from collections.abc import Iterable
from typing import Final, cast

TEXT: Final = "a text"
FUNCTION: Final = "a function"


def check_text(name: str, value: object) -> None:
    """Raise ValueError unless an argument is a text; it is not repeated, as it may be a secret."""
    if not isinstance(value, str):
        raise wrong_kind(name, value, TEXT)


def check_function(name: str, value: object) -> None:
    """Raise ValueError unless an argument can be called."""
    if not callable(value):
        raise wrong_kind(name, value, FUNCTION)


def check_texts(name: str, value: object) -> None:
    """Raise ValueError unless an argument is several texts, and not one."""
    is_one = isinstance(value, str | bytes) or not isinstance(value, Iterable)
    if is_one or not all(isinstance(one, str) for one in cast("Iterable[object]", value)):
        raise wrong_kind(name, value, "a tuple of texts")


def wrong_kind(name: str, value: object, wanted: str) -> ValueError:
    """Return the error for an argument that is no `wanted`."""
    return ValueError(f"{name} must be {wanted}, and is of the type {type(value).__name__}")
