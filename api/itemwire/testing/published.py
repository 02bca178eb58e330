"""Notes what the code of an application publishes, for tests that open no socket."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Final
from unittest.mock import patch

import msgspec
from msgspec import UNSET

from itemwire.channels.names import DIRECT_ITEM, RULES_ITEM
from itemwire.channels.publishing import Publishing
from itemwire.engines.base import Answer, EngineError
from itemwire.messages import NO_EXTRAS, Extras, Payload, Position

OWN_ITEMS: Final = frozenset({DIRECT_ITEM, RULES_ITEM})
"""What the server itself publishes to: no test of an application is about them."""


@dataclass(frozen=True, slots=True)
class Published:
    """A message that was published, and what came with it; data are as clients get them."""

    item: str
    data: object
    key: str | None = None
    meta: Mapping[str, str] | None = None
    end: bool = False
    sender: str | None = None


@contextmanager
def noting_published() -> Generator[list[Published]]:
    """Yield a list that gets each message that code publishes, once it has been taken."""
    noted: list[Published] = []
    publish = Publishing.from_code

    @wraps(publish)
    def noting(
        publishing: Publishing,
        item_id: str,
        data: Payload,
        answer: Answer[Position],
        *,
        key: str | None = None,
        sender: str | None = None,
        extras: Extras = NO_EXTRAS,
    ) -> None:
        def answered(outcome: Position | EngineError) -> None:
            if item_id not in OWN_ITEMS and not isinstance(outcome, EngineError):
                meta = None if extras.meta is UNSET else extras.meta
                end = extras.end is True
                noted.append(Published(item_id, _read(data), key, meta, end, sender))
            answer(outcome)

        publish(publishing, item_id, data, answered, key=key, sender=sender, extras=extras)

    with patch.object(Publishing, "from_code", noting):
        yield noted


def _read(data: Payload) -> object:
    return msgspec.json.decode(data) if isinstance(data, msgspec.Raw) else data
