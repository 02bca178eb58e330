"""Functions that are given data: which parameter it is, and how it is read."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest
from fastapi import Depends, Header, Request
from msgspec import UNSET
from pydantic import BaseModel, Field

from itemwire.messages import Payload
from itemwire.rules.handlers import Handlers
from itemwire.rules.typed_calls import DataFault, TypedCall


class Size(BaseModel):
    """A model with one more inside."""

    width: int


class Box(BaseModel):
    """A model."""

    sizes: list[Size]


class Note(msgspec.Struct):
    """A struct."""

    text: str


def nobody() -> None:
    """Depend on nothing."""


async def of_model(number: int, box: Box, request: Request) -> None:
    """Take a model."""


async def of_struct(note: Note, user: Annotated[None, Depends(nobody)]) -> None:
    """Take a struct."""


async def of_structs(notes: list[Note], x_shop: str = Header("")) -> None:
    """Take structs."""


async def of_text(text: Annotated[str, Field(max_length=3)]) -> None:
    """Take text."""


async def of_default(count: int = 3) -> None:
    """Take a number, or none."""


async def of_anything(data) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001 - that is the case
    """Take anything."""


async def of_nothing(number: int) -> None:
    """Take nothing."""


def read(function: Callable[..., Any], data: object) -> object:
    """Read data as a function takes it."""
    payload: Payload = msgspec.Raw(data) if isinstance(data, bytes) else data  # type: ignore[assignment] # or UNSET
    return TypedCall(function, ("number",)).read(payload)


@pytest.mark.parametrize(
    ("function", "data", "value"),
    [
        (of_model, b'{"sizes":[{"width":1}]}', Box(sizes=[Size(width=1)])),
        (of_struct, b'{"text":"x"}', Note("x")),
        (of_structs, b'[{"text":"x"}]', [Note("x")]),
        (of_text, "abc", "abc"),
        (of_default, UNSET, 3),
        (of_default, b"4", 4),
        (of_anything, b"[1]", [1]),
        (of_anything, "x", "x"),
        (of_anything, UNSET, None),
        (of_nothing, UNSET, None),
        (of_nothing, b"null", None),
    ],
)
def test_reads_data(function: Callable[..., Any], data: object, value: object) -> None:
    """By the annotation of the one parameter that is neither the pattern's nor a dependency."""
    assert read(function, data) == value


@pytest.mark.parametrize(
    ("function", "data", "fault"),
    [
        (of_model, b'{"sizes":[{"width":1},{"width":"secret"}]}', "data.sizes.1.width: "),
        (of_model, "text", "data: "),
        (of_model, UNSET, "data: "),
        (of_struct, b'{"text":1}', "$.text"),
        (of_struct, "text", "data: "),
        (of_structs, b'[{"text":"x"},{}]', "$[1]"),
        (of_text, "abcd", "data: "),
        (of_nothing, b"1", "none is taken"),
    ],
)
def test_says_where_the_fault_is(function: Callable[..., Any], data: object, fault: str) -> None:
    """By its path, and nothing of the data is repeated."""
    with pytest.raises(DataFault) as raised:
        read(function, data)

    assert fault in str(raised.value)
    assert "secret" not in str(raised.value)


def test_refuses_two_that_could_be_the_data() -> None:
    """Where the function is declared."""

    async def ambiguous(box: Box, note: Note) -> None:
        """Take two."""

    with pytest.raises(ValueError, match="only one of the parameters box and note"):
        TypedCall(ambiguous, ())


def test_a_request_has_one_answer() -> None:
    """A name twice, a name that no client can send, and a second check are mistakes."""
    handlers = Handlers()
    handlers.answer("x" * 64, nobody)
    handlers.check(nobody)

    with pytest.raises(ValueError, match="twice"):
        handlers.answer("x" * 64, nobody)
    for name in ("", "x" * 65):
        with pytest.raises(ValueError, match="1 to 64"):
            handlers.answer(name, nobody)
    with pytest.raises(ValueError, match="one `before_publish`"):
        handlers.check(nobody)
