"""How the application's own code hears items: as no member, and past no limit of sockets."""

from collections.abc import Callable

from itemwire.channels.join import ChannelParts
from itemwire.channels.names import channel_of, item_of
from itemwire.engines.base import Answer, EngineError, History, Span
from itemwire.messages import Gap, Position, Publication

Hear = Callable[[Publication | Gap], None]
"""Receives what is published to an item, and what of it is lost; must not raise."""


class Listening:
    """Lets code hear items, and tells it which of them have subscribers on this node."""

    def __init__(self, parts: ChannelParts) -> None:
        self._parts = parts

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
            self._parts.engine.unsubscribe(channel)
            self._parts.forget_members(channel)

    def subscribers(self) -> dict[str, int]:
        """Return the number of sockets that are on each item here, where there are any."""
        return {item_of(channel): count for channel, count in self._parts.hub.audiences().items()}
