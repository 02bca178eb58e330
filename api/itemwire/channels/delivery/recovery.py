"""Joins missed history to the live stream without gap or repeat."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from itemwire.channels.delivery.bounded_buffer import BoundedBuffer
from itemwire.engines.base import History
from itemwire.messages import Position, Publication, payload_size


@dataclass(frozen=True, slots=True)
class Start:
    """Where a client wants to begin: after a position, else with the last `replay` messages."""

    since: Position | None = None
    replay: int = 0


LIVE: Final = Start()  # with what is published from now on


def resumes(since: Position, history: History) -> bool:
    """Tell whether a history, read after a position, is all that was missed since then.

    The rule is Centrifugo's: the same epoch, an offset that was reached, and nothing forgotten.
    """
    return (
        since.epoch == history.position.epoch
        and since.offset <= history.position.offset
        and history.complete
    )


class Recovery:
    """The live publications that arrive while history is being read, at most `limit` bytes.

    The subscription is held from before the read until after it, so whatever is published
    meanwhile is in the history, here, or in both; offsets tell which (Centrifugo's way).
    """

    __slots__ = ("_live", "is_broken")

    def __init__(self, limit: int) -> None:
        self._live = BoundedBuffer[Publication](limit)
        self.is_broken = False  # something is missing: it can be no proof any longer

    def hold(self, publication: Publication) -> None:
        """Keep a live publication until the history is there; too many of them break it."""
        if not self._live.keep(publication, payload_size(publication.data)):
            self.is_broken = True

    def from_first(self, history: History) -> History:
        """Begin with what was heard first, though the history was read later than that.

        For who asks for nothing that is past: a plain client knows only that its socket is open,
        and what is published after that is not past to it.
        """
        first, position = self._live.first, history.position
        if first is None or first.offset > position.offset:
            return history
        return replace(history, position=Position(position.epoch, first.offset - 1))

    def join(self, history: History) -> Iterator[Publication]:
        """Give what the client is to see first: the history, then what came after it."""
        yield from history.publications
        for publication in self._live.release():
            if publication.offset > history.position.offset:
                yield publication
