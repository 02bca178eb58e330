"""The engine: the store and the carrier between nodes, and what every engine promises."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from itemwire.engines.faults import DEGRADING, UNKNOWN, EngineFault
from itemwire.messages import Draft, Position, Publication

T = TypeVar("T")


class EngineError(Exception):
    """The engine could not do what was asked, or cannot tell whether it was done.

    `fault` says what follows from it: what the caller is told, and whether the node is ready.
    """

    def __init__(self, problem: str, fault: EngineFault = UNKNOWN) -> None:
        super().__init__(problem)
        self.fault = fault


class NothingBegun(EngineError):
    """Nothing is stored on a channel, and whether anything can be was not said in time."""


class UnfitEngine(EngineError):
    """The engine is not what this server needs, and stays so until an operator changes it."""


Answer = Callable[[T | EngineError], None]
"""A callback for one result: called once, on the event loop, perhaps before the call returns."""

Deliver = Callable[[str, Publication], None]
"""Receives each publication of a channel that this node subscribes to."""

Apply = Callable[[bytes], None]
"""Receives each notice; a notice is meant for every node."""

Lose = Callable[[str, Position], None]
"""Receives the position up to which a channel's messages are lost to this node."""


Hear = Callable[[str, bytes], None]
"""Receives what nodes tell those that subscribe to a channel."""

Miss = Callable[[str], None]
"""Receives a channel of which something may have been told that this node did not hear."""


def _discard_publication(_channel: str, _publication: Publication) -> None: ...


def _discard_notice(_notice: bytes) -> None: ...


def _discard_loss(_channel: str, _position: Position) -> None: ...


def _discard_words(_channel: str, _words: bytes) -> None: ...


def _discard_doubt(_channel: str) -> None: ...


class Sink(NamedTuple):
    """Where an engine hands what arrives at this node; without arguments, nowhere."""

    deliver: Deliver = _discard_publication
    apply: Apply = _discard_notice
    lose: Lose = _discard_loss
    hear: Hear = _discard_words
    miss: Miss = _discard_doubt


NO_SINK: Final = Sink()
"""The sink of an engine that is not started."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much history a channel keeps: whichever bound is reached first applies.

    `total_bytes` is the bound of all channels together, for an engine that keeps them in memory;
    0 means no bound. `retained` is for how many seconds the last message is kept whatever the
    other bounds say; with 0 it is not.
    """

    messages: int
    bytes: int
    seconds: float
    total_bytes: int = 0
    retained: float = 0

    def of(self, _channel: str) -> "Bounds":
        """Return the bounds of a channel: the same for all."""
        return self

    @property
    def largest(self) -> "Bounds":
        """Return bounds that are nowhere exceeded."""
        return self


class ChannelBounds(Protocol):
    """The bounds of each channel's history; `Bounds` are those of every channel alike."""

    def of(self, channel: str, /) -> Bounds:
        """Return the bounds of a channel, which stay the same while the engine runs."""
        ...

    @property
    def largest(self) -> Bounds:
        """Return bounds that no channel exceeds; those of all channels together are in these."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a channel's history: the offsets between two bounds, both exclusive.

    With `after`, the oldest `limit` messages of it; without, the newest. `retained` asks for the
    channel's retained message as well.
    """

    limit: int
    after: int | None = None
    before: int | None = None
    retained: bool = False

    def within(self, last: int) -> tuple[int, int]:
        """Return both bounds for a stream whose last offset is `last`."""
        return self.after or 0, last + 1 if self.before is None else min(self.before, last + 1)

    def at_most(self, limit: int) -> "Span":
        """Return the span with no larger limit than this one."""
        return self if self.limit <= limit else replace(self, limit=limit)


@dataclass(frozen=True, slots=True)
class History:
    """Publications in ascending order, and the stream's position when they were read.

    `complete` means that nothing within the requested bounds is missing: the limit cut nothing
    off, and nothing had been forgotten. `retained` is the channel's last message where that was
    asked for and there is one; it need not be looked for if there are publications.
    """

    position: Position
    publications: list[Publication]
    complete: bool
    retained: Publication | None = None

    @classmethod
    def of(
        cls,
        position: Position,
        publications: list[Publication],
        span: Span,
        retained: Publication | None = None,
    ) -> "History":
        """Return a history that is complete if it holds everything the span asks for."""
        after, before = span.within(position.offset)
        wanted = max(before - after - 1, 0)
        return cls(position, publications, len(publications) == wanted, retained)


def retained_at(position: Position, epoch: str, message: Publication) -> Publication | None:
    """Return a retained message of an epoch as a reader at a position gets it.

    A message outlives its epoch as long as nothing is published in the next one, and then comes
    before the first offset there. One that is not the channel's last is none.
    """
    if epoch == position.epoch:
        return message if message.offset == position.offset else None
    return None if position.offset else msgspec.structs.replace(message, offset=0)


NO_EPOCH: Final = "none"
"""The epoch of channels that cannot be made; messages may be missed in it, so none resumes it."""

EMPTY: Final = History(Position(NO_EPOCH, 0), [], complete=True)
"""What is read of a channel that does not exist while the store takes no writes to make it."""


def read_of_nothing(problem: EngineError) -> History | EngineError:
    """Return what is read of a channel that does not exist and could not be made, and why not."""
    return EMPTY if problem.fault in DEGRADING else NothingBegun(str(problem), problem.fault)


class Engine(Protocol):
    """Stores each channel's messages in order and carries them to every subscribed node.

    Per channel, offsets count 1, 2, 3… without holes within one epoch, and `deliver` is called in
    that order. Results come by callback, so that a call costs neither a task nor a turn of the
    loop where the engine lives in this process. Every callback is called within
    `ANSWER_SECONDS`, with an `EngineError` if nothing else. A publish that failed in that way may
    have been stored all the same: repeating it with the same key is safe.
    """

    answers_at_once: bool = False
    """Whether every answer comes before the call returns, so that nothing is ever pending."""

    @property
    def is_available(self) -> bool:
        """Return whether it can be read and heard now; an outage ends without help."""
        ...

    @property
    def fault(self) -> EngineFault | None:
        """Return why it stores nothing at present though it is available; None if it does.

        An engine alone only refuses: that it takes writes again is found out by `MeteredEngine`.
        """
        return None

    @property
    def parts(self) -> Mapping[str, bool]:
        """Return whether each server is reached, where each has items of its own; else nothing."""
        return {}

    @property
    def most_bytes(self) -> int | None:
        """Return how large a message it stores at most, once it is started; None: any."""
        return None

    async def start(self, sink: Sink) -> None:
        """Connect, and hand over the notices that are kept; EngineError says why it cannot.

        `sink.apply` receives the notices that are kept before this returns, then each one that is
        posted. An engine whose live messages can be lost fills the hole from its history before
        it delivers the next message. Where it cannot, because the messages were forgotten or the
        store was lost and a new epoch has begun, it calls `sink.lose` with the position from
        which it continues.
        """
        ...

    async def stop(self) -> None:
        """Release everything; what was acknowledged stays stored."""
        ...

    def subscribe(self, channel: str, answer: Answer[None]) -> None:
        """Deliver the channel's publications; answer once that is so. Repeating it is allowed."""
        ...

    def unsubscribe(self, channel: str) -> None:
        """Deliver the channel's publications no longer."""
        ...

    def publish(self, channel: str, draft: Draft, answer: Answer[Position]) -> None:
        """Store and deliver, as one step per channel; answer the position once it is stored.

        The same `key` on the same channel within `KEY_SECONDS` stores nothing and answers the
        first position again. Where the bounds of the channel say `retained`, the message is kept
        for that long in place of the one before.
        """
        ...

    def publish_now(self, channel: str, draft: Draft) -> Position | EngineError:
        """Publish as `publish` does, and return its answer.

        Only an engine that `answers_at_once` is asked so, which saves each message a callback.
        """
        answers: list[Position | EngineError] = []
        self.publish(channel, draft, answers.append)
        return answers[0]

    def read(self, channel: str, span: Span, answer: Answer[History]) -> None:
        """Answer a part of the history, and the position it was read at.

        Everything that is delivered after the answer lies beyond that position.
        """
        ...

    def erase(self, channel: str, answer: Answer[None]) -> None:
        """Forget a channel's messages, the retained one too; answer once that is done.

        Its epoch and its offsets go on, so that whoever resumes from before is told that messages
        are missing. Keys are remembered as before. What is published meanwhile may be forgotten as
        well, but is delivered all the same.
        """
        ...

    def post(self, notice: bytes, until: float, answer: Answer[None]) -> None:
        """Carry a notice to every node, this one included; answer once it cannot be lost.

        It is kept until the Unix time `until` for nodes that start later, and a little longer for
        nodes that are cut off at the moment; with `until` 0 it is not kept at all. A node may
        receive it twice.
        """
        ...

    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        """Carry words to every node that subscribes to a channel, this one included if it does.

        Nothing is stored. `sink.hear` receives everything up to `TOLD_BYTES` that is told after
        the subscription was answered, in the order in which each node tells it and at most once.
        Some is lost where an answer is an error, and where a connection breaks: `sink.miss` is
        then called for each channel, once it is heard again. It may be called without a loss.
        """
        ...

    def put(self, key: str, value: bytes, seconds: float, answer: Answer[None]) -> None:
        """Keep a value under a key for so many seconds, replacing the one before.

        Once this is answered every node can take it. Keys are independent of channels.
        """
        ...

    def take(self, key: str, answer: Answer[bytes | None]) -> None:
        """Answer the value of a key and forget it, as one step; None where there is none.

        Of several callers at once, on whatever nodes, exactly one gets it.
        """
        ...

    def secret(self, answer: Answer[bytes]) -> None:
        """Answer the secret of the store: 32 random bytes, the same for every node.

        The first node that asks makes it. It lives as long as the store: one that was emptied has
        another secret, and whatever the old one has signed is no longer valid.
        """
        ...


SECRET_BYTES: Final = 32


def new_secret() -> bytes:
    """Return a secret for a store that has none yet."""
    return secrets.token_bytes(SECRET_BYTES)


PROBE: Final = "itemwire.probe"
"""A key, and a channel that no client can name: what an engine is tried with."""

TOLD_BYTES: Final = 64 * 1024
"""How many bytes may be told at once at least."""

KEY_SECONDS: Final = 300.0
"""How long an idempotency key is remembered at least."""

ANSWER_SECONDS = 2.0
"""The longest time an engine may take to answer: a caller hears in time, either way."""
