"""How the application's own code hears items: as no member, and past no limit of sockets."""

import logging
from collections.abc import Callable

from itemwire.channels.cluster.notices import Notice
from itemwire.channels.join import ChannelParts
from itemwire.channels.names import WATCH_ITEM, channel_of, item_of
from itemwire.channels.watched import (
    MAX_PATTERNS,
    RENEW_SECONDS,
    WATCH_SECONDS,
    Matches,
    Watched,
    fed,
    is_pattern,
    matcher_of,
)
from itemwire.engines.base import Answer, EngineError, History, Span
from itemwire.messages import Gap, Position, Publication

logger = logging.getLogger("itemwire.channels")

Hear = Callable[[Publication | Gap], None]
"""Receives what is published to an item, and what of it is lost; must not raise."""


class Listening:
    """Lets code hear items, and tells it which of them have subscribers on this node."""

    def __init__(self, parts: ChannelParts, node_id: str, watched: Watched) -> None:
        self._parts = parts
        self._id = node_id
        self._watched = watched
        self._watchers: list[tuple[str, Matches, Hear]] = []
        self._renew_at = 0.0

    def hear(self, name: str, hear: Hear, answer: Answer[Position]) -> None:
        """Have a callback hear an item, or all items of a pattern; as `begin` and `watch` say."""
        (self.watch if is_pattern(name) else self.begin)(name, hear, answer)

    def unhear(self, name: str, hear: Hear) -> None:
        """Have a callback hear an item or a pattern no longer."""
        (self.unwatch if is_pattern(name) else self.end)(name, hear)

    def begin(self, item_id: str, hear: Hear, answer: Answer[Position]) -> None:
        """Have a callback hear an item; answer the position behind which it hears everything."""
        channel = channel_of(item_id)
        in_time = self._parts.answers.limit(answer)

        def subscribed(problem: EngineError | None) -> None:
            if problem is None:
                self._parts.engine.read(channel, Span(0), have_read)
            else:
                in_time(problem)

        def have_read(history: History | EngineError) -> None:
            if isinstance(history, EngineError):
                in_time(history)
            else:
                self._parts.hub.advance(channel, history.position)
                in_time(history.position)

        self._parts.hub.listen(channel, hear)
        self._parts.engine.subscribe(channel, subscribed)

    def end(self, item_id: str, hear: Hear) -> None:
        """Have a callback hear an item no longer, also where the beginning has failed."""
        channel = channel_of(item_id)
        if self._parts.hub.unlisten(channel, hear):
            self._parts.unhear(channel)

    def watch(self, pattern: str, hear: Hear, answer: Answer[Position]) -> None:
        """Have a callback hear all items of a pattern; answer once every node is told of it.

        Raises ValueError for a text that is no pattern, and for one too many.
        """
        matches = matcher_of(pattern)
        if len({one for one, _, _ in self._watchers} | {pattern}) > MAX_PATTERNS:
            raise ValueError(f"more than {MAX_PATTERNS} patterns on one node")
        is_first = not self._watchers
        self._watchers.append((pattern, matches, hear))

        def begun(position: Position | EngineError) -> None:
            if isinstance(position, EngineError):
                answer(position)
            else:
                self._announce(lambda problem: answer(problem or position))

        if is_first:
            self.begin(WATCH_ITEM, self._hear_feed, begun)
        else:
            begun(Position("", 0))

    def unwatch(self, pattern: str, hear: Hear) -> None:
        """Have a callback hear a pattern no longer, also where the beginning has failed."""
        kept = [one for one in self._watchers if (one[0], one[2]) != (pattern, hear)]
        if len(kept) == len(self._watchers):
            return
        self._watchers = kept
        if not kept:
            self.end(WATCH_ITEM, self._hear_feed)
        self._announce(_log_unannounced)

    def tick(self) -> None:
        """Tell the other nodes again what is watched here, before they forget it."""
        if self._watchers and self._parts.clock() >= self._renew_at:
            self._announce(_log_unannounced)

    def _announce(self, answer: Answer[None]) -> None:
        patterns = sorted({pattern for pattern, _, _ in self._watchers})
        now = self._parts.clock()
        self._renew_at = now + RENEW_SECONDS
        self._watched.note(self._id, patterns)
        notice = Notice(self._id, watching=patterns)
        self._parts.engine.post(notice.encoded(), now + WATCH_SECONDS, answer)

    def _hear_feed(self, event: Publication | Gap) -> None:
        if isinstance(event, Gap):
            for pattern, _, hear in self._watchers:
                hear(Gap(pattern, event.epoch, event.from_, event.to))
            return
        message = fed(event)
        if message is None:
            return
        for _, matches, hear in self._watchers:
            if matches(message.item):
                hear(message)

    def subscribers(self) -> dict[str, int]:
        """Return the number of sockets that are on each item here, where there are any."""
        return {item_of(channel): count for channel, count in self._parts.hub.audiences().items()}


def _log_unannounced(problem: EngineError | None) -> None:
    """Leave it: the next tick but a few says it again."""
    if problem is not None:
        logger.warning("watch_unannounced problem=%s", problem)
