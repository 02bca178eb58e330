"""Joins the history that a client missed to the live stream, without a gap or a repeat."""

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


LIVE: Final = Start()  # begin with what is published from now on


def resumes(since: Position, history: History) -> bool:
    """Return whether a history that was read after a position has all that was missed since.

    The rule is Centrifugo's: the epoch is the same, the offset was reached, and no message after
    it is forgotten.
    """
    return (
        since.epoch == history.position.epoch
        and since.offset <= history.position.offset
        and history.complete
    )


class Recovery:
    """The live publications that arrive while the history is read, at most `limit` bytes.

    The subscription is held from before the read until after it. So a message that is published
    meanwhile is in the history, in here, or in both, and its offset tells which (as in Centrifugo).
    """

    __slots__ = ("_live", "is_broken")

    def __init__(self, limit: int) -> None:
        self._live = BoundedBuffer[Publication](limit)
        self.is_broken = False  # a message is missing, so there is no unbroken stream to join to

    def receive(self, publication: Publication) -> None:
        """Hold a live publication until the history is there; one too many breaks the recovery."""
        if not self._live.offer(publication, payload_size(publication.data)):
            self.is_broken = True

    def starting_with_first(self, history: History) -> History:
        """Return the history as if it had been read just before the first live publication.

        For a client that asked for nothing of the past: a plain client knows only that its socket
        is open, and what is published after that is not the past to it, however late the engine
        read the history.
        """
        first, position = self._live.first, history.position
        if first is None or first.offset > position.offset:
            return history
        return replace(history, position=Position(position.epoch, first.offset - 1))

    def merge(self, history: History) -> Iterator[Publication]:
        """Yield what the client gets first: the history, then what was published after it."""
        yield from history.publications
        for publication in self._live.take_all():
            if publication.offset > history.position.offset:
                yield publication
