"""Joins the history that a client missed to the live stream, without a gap or a repeat."""

from dataclasses import dataclass
from typing import Final

from itemwire.channels.delivery.bounded_buffer import BoundedBuffer
from itemwire.channels.delivery.resume import Proof, read_since
from itemwire.engines.base import NO_EPOCH, History
from itemwire.messages import Position, Publication, message_size


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where a client wants to begin: after a position, else with the last `replay` messages.

    Without the right to history, the position counts only with proof that the client was there.
    """

    since: Position | None = None
    replay: int = 0
    proof: Proof | None = None

    @classmethod
    def of(cls, since: str | None, replay: int) -> "StartPoint":
        """Return the start that a client has written; ValueError if `since` is not valid."""
        if since is None:
            return cls(replay=replay)
        position, proof = read_since(since)
        return cls(position, replay, proof)


LIVE: Final = StartPoint()  # begin with what is published from now on


def resumes(since: Position, history: History) -> bool:
    """Return whether a history that was read after a position has all that was missed since.

    The rule is Centrifugo's: the epoch is the same, the offset was reached, and no message after
    it is forgotten.
    """
    return (
        since.epoch == history.position.epoch != NO_EPOCH
        and since.offset <= history.position.offset
        and history.complete
    )


def first_offset(history: History) -> int:
    """Return the offset after which a client hears everything that was published."""
    first = history.position.offset
    return min(first, history.publications[0].offset - 1) if history.publications else first


class Recovery:
    """The live publications that arrive while the history is read, at most `limit` bytes.

    The subscription is held from before the read until after it. So a message that is published
    meanwhile is in the history, in here, or in both, and its offset tells which (as in Centrifugo).
    """

    __slots__ = ("_live", "is_broken")

    def __init__(self, limit: int) -> None:
        self._live: BoundedBuffer[Publication] = BoundedBuffer(limit)
        self.is_broken = False  # a message is missing, so there is no unbroken stream to join to

    def receive(self, publication: Publication) -> None:
        """Hold a live publication until the history is there; one too many breaks the recovery."""
        if not self._live.offer(publication, message_size(publication)):
            self.is_broken = True

    def merge(self, history: History, *, from_first: bool = False) -> History:
        """Return what the client gets first: the history, then what was published after it.

        The position is where that begins to be live: later publications are in both. With
        `from_first` it is just before the first one that was received here, however late the
        engine read the history. That is for a client that asked for nothing of the past: a plain
        client knows only that its socket is open, and what comes after that is no past to it.
        """
        position, first = history.position, self._live.first
        if from_first and first is not None and first.offset <= position.offset:
            position = Position(position.epoch, first.offset - 1)
        newer = [one for one in self._live.take_all() if one.offset > position.offset]
        return History(position, [*history.publications, *newer], history.complete)
