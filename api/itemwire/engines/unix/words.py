"""What a node and the engine process say to each other, each as a struct with a number.

Everything that is read is checked against these types: what does not fit ends the connection.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from itemwire.engines import faults
from itemwire.engines.base import Bounds, Engine, EngineError
from itemwire.engines.faults import UNKNOWN, EngineFault

VERSION: Final = 3
"""Of these words: a node and a process of different versions do not talk to each other."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(max_length=4096)]

FAULTS: Final[dict[str, EngineFault]] = {
    one.name: one for one in vars(faults).values() if isinstance(one, EngineFault)
}


class MessageWord(msgspec.Struct, array_like=True):
    """A message without its offset."""

    item: str
    sender: str | None
    sent_at: float
    kind: int
    data: bytes
    meta: dict[str, str] | None
    end: bool


class StoredWord(msgspec.Struct, array_like=True):
    """A message with its offset."""

    offset: Count
    message: MessageWord


class BoundsWord(msgspec.Struct, array_like=True):
    """The bounds of channels; those of all together are the process's own."""

    messages: Count
    bytes: Count
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    retained: Annotated[float, msgspec.Meta(ge=0)]

    @classmethod
    def of(cls, bounds: Bounds) -> BoundsWord:
        """Return bounds as they are told."""
        return cls(bounds.messages, bounds.bytes, bounds.seconds, bounds.retained)

    @property
    def bounds(self) -> Bounds:
        """Return the bounds that were told."""
        return Bounds(self.messages, self.bytes, self.seconds, retained=self.retained)


class Word(msgspec.Struct, array_like=True, tag_field="is"):
    """Anything that is said."""


class NumberedWord(Word, array_like=True):
    """What is answered, by its id: one for each request of a connection."""

    id: Count


class GreetingWord(Word, array_like=True, tag=0):
    """The first word of a node: bounds that none of its channels exceeds."""

    version: int
    largest: BoundsWord


class RuleWord(Word, array_like=True, tag=1):
    """Bounds that requests name by a number: rules are numbered in their order, from 0."""

    bounds: BoundsWord


class SubscribeWord(Word, array_like=True, tag=2):
    """From now on the channel's messages are told; what is read of it next waits for that.

    `UnheardWord` says that it cannot be.
    """

    channel: Name
    rule: Count


class UnsubscribeWord(Word, array_like=True, tag=3):
    """From now on they are not."""

    channel: Name


class PublishWord(NumberedWord, array_like=True, tag=4):
    """Is answered by `PublishedWord`."""

    channel: Name
    rule: Count
    message: MessageWord
    key: str | None


class ReadWord(NumberedWord, array_like=True, tag=5):
    """Is answered by `HistoryWord`."""

    channel: Name
    rule: Count
    limit: Count
    after: Count | None
    before: Count | None
    retained: bool


class PostWord(NumberedWord, array_like=True, tag=6):
    """Is answered by `DoneWord`."""

    notice: bytes
    until: float


class ReadNoticesWord(NumberedWord, array_like=True, tag=7):
    """Is answered by `NoticesWord`."""

    epoch: str
    after: Count


class PutWord(NumberedWord, array_like=True, tag=8):
    """Is answered by `DoneWord`."""

    key: Name
    value: bytes
    seconds: float


class TakeWord(NumberedWord, array_like=True, tag=9):
    """Is answered by `ValueWord`."""

    key: Name


class SecretWord(NumberedWord, array_like=True, tag=10):
    """Is answered by `ValueWord`."""


class PingWord(Word, array_like=True, tag=11):
    """Is answered by `StateWord`, in its turn."""


class TellWord(NumberedWord, array_like=True, tag=12):
    """Is answered by `DoneWord`, once the words are on their way."""

    channel: Name
    words: bytes


class EraseWord(NumberedWord, array_like=True, tag=13):
    """Is answered by `DoneWord`."""

    channel: Name


class ComparedWord(NumberedWord, array_like=True, tag=14):
    """Is answered by `PositionsWord`."""

    channels: list[Name]


class WelcomeWord(Word, array_like=True, tag=0):
    """Answers a greeting; `StateWord` comes next."""

    version: int


class NoEngineWord(Word, array_like=True, tag=12):
    """Answers a greeting where the process cannot start its own engine; `is_unfit`: ever."""

    problem: str
    is_unfit: bool


class PublishedWord(NumberedWord, array_like=True, tag=1):
    """Where a message is stored; one that `is_new` is not told to its publisher by `LiveWord`."""

    epoch: str
    offset: Count
    is_new: bool


class LiveWord(Word, array_like=True, tag=2):
    """A message of a channel, in the order of the offsets."""

    channel: str
    epoch: str
    stored: StoredWord


class StaleWord(Word, array_like=True, tag=3):
    """A message of a channel was stored, and has to be read."""

    channel: str


class HistoryWord(NumberedWord, array_like=True, tag=4):
    """A part of a history, and the position it was read at."""

    epoch: str
    offset: Count
    publications: list[StoredWord]
    complete: bool
    retained: StoredWord | None


class DoneWord(NumberedWord, array_like=True, tag=5):
    """It was done."""


class ValueWord(NumberedWord, array_like=True, tag=6):
    """What was asked for, if there is any."""

    value: bytes | None


class RefusedWord(NumberedWord, array_like=True, tag=7):
    """It could not be done, or nobody knows; the fault has one of the names of `FAULTS`."""

    problem: str
    fault: str

    @classmethod
    def of(cls, id_: int, error: EngineError) -> RefusedWord:
        """Return an error as it is told."""
        return cls(id_, str(error), error.fault.name)

    @property
    def error(self) -> EngineError:
        """Return the error that was told."""
        return EngineError(self.problem, FAULTS.get(self.fault, UNKNOWN))


PASSING: Final = 0
"""The number of a notice that is not kept."""


class NoticeWord(Word, array_like=True, tag=8):
    """A notice of this epoch with its number, and that of the one before it.

    One that is only passed on has no number.
    """

    epoch: str
    previous: Count
    number: Count
    notice: bytes


class KeptNoticeWord(msgspec.Struct, array_like=True):
    """A notice that was kept, and whether that time is over."""

    number: Count
    notice: bytes
    is_over: bool


class NoticesWord(NumberedWord, array_like=True, tag=9):
    """Notices that were kept, up to a number; `is_cut` says that there are more."""

    epoch: str
    last: Count
    notices: list[KeptNoticeWord]
    is_cut: bool


class StateWord(Word, array_like=True, tag=10):
    """Says how the process's own engine is: to a ping, and to all as soon as it changes."""

    is_available: bool
    fault: str | None
    parts: dict[str, bool]
    most_bytes: int | None

    @classmethod
    def of(cls, engine: Engine) -> StateWord:
        """Return how an engine is."""
        fault = None if engine.fault is None else engine.fault.name
        return cls(engine.is_available, fault, dict(engine.parts), engine.most_bytes)


class ToldWord(Word, array_like=True, tag=11):
    """What a node tells those that subscribe to a channel."""

    channel: str
    words: bytes


class UnheardWord(Word, array_like=True, tag=13):
    """A channel could not be subscribed to; it is tried anew when it is read."""

    channel: str
    problem: str
    fault: str

    @property
    def error(self) -> EngineError:
        """Return the error that was told."""
        return EngineError(self.problem, FAULTS.get(self.fault, UNKNOWN))


class MissedWord(Word, array_like=True, tag=14):
    """Something that was told on a channel may have been missed by all nodes of the process."""

    channel: str


class PositionWord(msgspec.Struct, array_like=True):
    """Up to where the process has told a channel."""

    epoch: str
    offset: Count


class PositionsWord(NumberedWord, array_like=True, tag=15):
    """The position of each channel, or nothing where the process does not know it."""

    positions: list[PositionWord | None]


NodeWord = (
    GreetingWord
    | RuleWord
    | SubscribeWord
    | UnsubscribeWord
    | PublishWord
    | ReadWord
    | PostWord
    | ReadNoticesWord
    | PutWord
    | TakeWord
    | SecretWord
    | PingWord
    | TellWord
    | EraseWord
    | ComparedWord
)
"""What a node says."""

Answered = (
    PublishedWord | HistoryWord | DoneWord | ValueWord | RefusedWord | NoticesWord | PositionsWord
)
EngineWord = (
    WelcomeWord
    | NoEngineWord
    | Answered
    | LiveWord
    | StaleWord
    | NoticeWord
    | ToldWord
    | StateWord
    | UnheardWord
    | MissedWord
)
"""What the engine process says."""

decode_node_words: Final = msgspec.msgpack.Decoder(list[NodeWord]).decode
decode_engine_words: Final = msgspec.msgpack.Decoder(list[EngineWord]).decode
encode_word: Final = msgspec.msgpack.Encoder().encode
