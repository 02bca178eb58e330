"""What OpenAPI shows of an answer: an example of it."""

from typing import Any


def example_of(answer: object, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the description of a route's answer, with an example.

    FastAPI leaves `None` out of it, so each field has another value there.
    """
    return {status: {"content": {"application/json": {"example": answer}}}}
