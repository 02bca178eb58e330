"""The engine: what is between nodes, and what every engine promises."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from itemwire.messages import Draft, Position, Publication

T = TypeVar("T")


class EngineError(Exception):
    """The engine could not do what was asked, or cannot tell that it was done."""


Answer = Callable[[T | EngineError], None]
"""How an engine answers: called once, on the event loop, perhaps before the asking call returns."""

Deliver = Callable[[str, Publication], None]
"""Where an engine takes each publication of a channel that this node hears."""


def undelivered(_channel: str, _publication: Publication) -> None:
    """Deliver to nobody: the engine is not started."""


Apply = Callable[[bytes], None]
"""Where an engine takes each notice; a notice is for every node."""


def ignore_notice(_notice: bytes) -> None:
    """Take no notice."""


Lose = Callable[[str, Position], None]
"""Where an engine says that a channel's messages up to a position are lost to this node."""


def unmissed(_channel: str, _position: Position) -> None:
    """Miss nothing."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much history a channel keeps: whichever bound is met first.

    `total_bytes` is for all channels of an engine that keeps them in memory; 0 sets no limit.
    """

    messages: int
    bytes: int
    seconds: float
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a channel's history: offsets between two bounds, both exclusive.

    With `after`, the oldest `limit` messages of it; without, the newest.
    """

    limit: int
    after: int | None = None
    before: int | None = None

    def within(self, last: int) -> tuple[int, int]:
        """Give both bounds in a stream that ends with the offset `last`."""
        return self.after or 0, last + 1 if self.before is None else min(self.before, last + 1)

    def at_most(self, limit: int) -> "Span":
        """Ask for no more than so many; most who join ask for none."""
        return self if self.limit <= limit else replace(self, limit=limit)


@dataclass(frozen=True, slots=True)
class History:
    """Publications in ascending order, and where the stream stood when they were read.

    `complete` says that nothing within the asked bounds is missing: neither cut off by the
    limit nor already forgotten.
    """

    position: Position
    publications: list[Publication]
    complete: bool

    @classmethod
    def of(cls, position: Position, publications: list[Publication], span: Span) -> "History":
        """Judge by what a span asks for whether all of it was found."""
        after, before = span.within(position.offset)
        asked = max(before - after - 1, 0)
        return cls(position, publications, len(publications) == asked)


class Engine(Protocol):
    """Stores each channel's order and carries it to every node that hears the channel.

    Per channel: offsets count 1, 2, 3… without holes within one epoch, and `deliver` is called
    in that order. Answers come by callback so that asking costs neither a task nor a tick where
    the engine is in this process; they come within `ANSWER_SECONDS`, an `EngineError` if nothing
    else. What was refused so may have been stored all the same: a retry with its key tells.
    """

    answers_at_once: bool = False
    """Whether every answer comes before the asking call returns, so that nothing ever waits."""

    @property
    def is_available(self) -> bool:
        """Tell whether it can store and deliver just now; it comes back by itself."""
        ...

    async def start(
        self, deliver: Deliver, apply: Apply = ignore_notice, lose: Lose = unmissed
    ) -> None:
        """Be ready to serve; `deliver` gets the publications of subscribed channels.

        `apply` gets the notices: those that are kept before this returns, then each that is posted.
        An engine that may miss messages on their way fills the hole from its history before it
        delivers what comes next. Where it cannot, as they are forgotten or the store was lost and
        a new epoch has begun, it calls `lose` with the position from which it goes on.
        """
        ...

    async def stop(self) -> None:
        """Let go of everything; what was answered stays stored."""
        ...

    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        """Deliver the channel's publications; answer once that holds. May be asked repeatedly."""
        ...

    def unsubscribe(self, channel: str) -> None:
        """Deliver no more of the channel."""
        ...

    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        """Store and deliver, as one step a channel; answer where it went once it is stored.

        The same `key` on the same channel within `KEY_SECONDS` stores nothing and gives the
        first answer again.
        """
        ...

    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        """Answer a part of the history, and the position it was read at.

        What is delivered after the answer is beyond that position.
        """
        ...

    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Take a notice to every node, this one too; answer once it cannot be lost any more.

        It is kept until that Unix time, for nodes that start later, and a little longer for those
        that are cut off just now; until 0, for nobody. A node may get it twice.
        """
        ...

    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        """Keep a value under a key for so many seconds, in place of what was there.

        Every node can take it once this is answered. Keys have nothing to do with channels.
        """
        ...

    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        """Answer the value of a key and forget it, as one step; None where there is none.

        Of many who ask at once, on whatever nodes, one gets it.
        """
        ...


KEY_SECONDS = 300.0
"""How long an idempotency key is remembered at least."""

ANSWER_SECONDS = 2.0
"""How long an engine may take over an answer: whoever asks is told in time, either way."""
