"""What code anywhere watches by pattern, and the feed that brings it the messages.

An engine delivers item by item, so what matches a pattern is stored once more, on one reserved
channel, for as long as somebody watches. It is a channel as others are: in order, with its losses
told. Nodes say what they watch by a notice that is kept for nodes that start meanwhile.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from itemwire.channels.names import RESERVED, WATCH_ITEM, channel_of
from itemwire.engines.base import Answer, Bounds, Engine, EngineError
from itemwire.engines.storage_format import pack, unpack
from itemwire.messages import Draft, Position, Publication
from itemwire_auth.scopes import ITEM_ID_RULE, is_item_id

logger = logging.getLogger("itemwire.channels")

WATCH_SECONDS: Final = 30.0  # after which a node that says no more watches nothing
RENEW_SECONDS: Final = 10.0
MAX_PATTERNS: Final = 64  # of one node
MAX_NODES: Final = 1000
MAX_PATTERN: Final = 128  # characters, as an item id has

WATCH_CHANNEL: Final = channel_of(WATCH_ITEM)
WATCH_BOUNDS: Final = Bounds(messages=1000, bytes=16 * 1_048_576, seconds=60)

ANY: Final = "*"

Matches = Callable[[str], object]


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    """A message of some item, as the feed carries it."""

    epoch: str
    offset: int
    message: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Entry).decode


def is_pattern(name: str) -> bool:
    """Return whether a name stands for more than one item."""
    return ANY in name.split(":")


def matcher_of(pattern: str) -> Matches:
    """Return what matches item ids: `*` is one segment, and as the last one, one or more.

    Raises ValueError for a text that is no pattern.
    """
    *first, last = pattern.split(":")
    if len(pattern) > MAX_PATTERN or not is_item_id(pattern.replace(ANY, "x")):
        raise ValueError(f"{pattern!r} is no pattern of item ids: {ITEM_ID_RULE}")
    parts = ["[^:]+" if one == ANY else re.escape(one) for one in first]
    parts.append(".+" if last == ANY else re.escape(last))
    return re.compile(":".join(parts)).fullmatch


class Watched:
    """What each node watches, as far as is known here."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.by_node: dict[str, tuple[float, list[Matches]]] = {}  # empty where nobody watches

    def note(self, node: str, patterns: Sequence[str]) -> None:
        """Note what a node watches from now on; what is no pattern is passed over."""
        self.by_node.pop(node, None)
        matchers: list[Matches] = []
        for pattern in patterns[:MAX_PATTERNS]:
            try:
                matchers.append(matcher_of(pattern))
            except ValueError as error:
                logger.warning("pattern_unreadable node=%r problem=%s", node, error)
        if matchers and len(self.by_node) < MAX_NODES:
            self.by_node[node] = (self._clock() + WATCH_SECONDS, matchers)

    def matches(self, item_id: str) -> bool:
        """Return whether somebody watches an item."""
        if item_id.startswith(RESERVED):
            return False
        now = self._clock()
        for node in [node for node, (until, _) in self.by_node.items() if until <= now]:
            del self.by_node[node]
        return any(one(item_id) for _, matchers in self.by_node.values() for one in matchers)

    def feeding(self, engine: Engine, draft: Draft, answer: Answer[Position]) -> Answer[Position]:
        """Return an answer that feeds a message to those who watch its item, once it is stored."""
        return partial(_feed, engine, draft, answer) if self.matches(draft.item) else answer


def _feed(
    engine: Engine, draft: Draft, answer: Answer[Position], position: Position | EngineError
) -> None:
    """Answer once a stored message is fed: a process may end as soon as it has its answer."""
    if isinstance(position, EngineError) or not position.offset:
        answer(position)
        return

    def have_fed(at: Position | EngineError) -> None:
        if isinstance(at, EngineError):
            logger.error(
                "watch_failed item=%s offset=%d problem=%s", draft.item, position.offset, at
            )
        answer(position)

    entry = _encode(_Entry(position.epoch, position.offset, pack(draft)))
    # By this key a message that is published again is fed once, as it is stored once.
    feed = Draft(WATCH_ITEM, None, draft.sent_at, entry, f"{draft.item} {position}")
    engine.publish(WATCH_CHANNEL, feed, have_fed)


def fed(event: Publication) -> Publication | None:
    """Return the message that an entry of the feed holds; None for what nobody has fed."""
    if not isinstance(event.data, bytes):
        return None
    try:
        entry = _decode(event.data)
        return unpack(entry.message, entry.offset)
    except (msgspec.MsgspecError, ValueError) as error:
        logger.error("watch_unreadable problem=%s", error)  # noqa: TRY400 - no fault of ours
        return None
