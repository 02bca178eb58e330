"""What the NATS engine stores: records of messages, under the subject of a channel.

JetStream counts the messages of a stream, not those of a channel. So each record says which offsets
its messages have in their channel, and is stored only on the condition that nothing has come after
the record it follows. That is one atomic step, even if other nodes publish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Self

import msgspec

from itemwire.engines.storage_format import unpack
from itemwire.messages import Publication, message_size


class Record(msgspec.Struct, array_like=True, frozen=True):
    """Messages that were stored at once; without any, it begins an epoch or keeps one alive.

    Fields that a newer node may append are ignored.
    """

    epoch: str
    first: int
    """The offset of its first message."""
    size_before: int
    """The bytes of all payloads that were published in the epoch before it."""
    size: int
    node: str
    messages: list[bytes]
    keys: dict[str, int]
    """The offset of each message that was published with a key."""

    @property
    def last(self) -> int:
        """Return the channel's last offset, once this record is stored."""
        return self.first + len(self.messages) - 1

    @classmethod
    def read(cls, data: bytes) -> Record | None:
        """Return the record in a message; None if the message was not written by this engine."""
        try:
            return _decoder.decode(data)
        except msgspec.MsgspecError:
            return None

    def publications(self, after: int = 0) -> Iterator[Publication]:
        """Yield the messages beyond an offset; ValueError if one of them cannot be read."""
        for place in range(max(after + 1 - self.first, 0), len(self.messages)):
            yield unpack(self.messages[place], self.first + place)


_decoder: Final = msgspec.msgpack.Decoder(Record)
encode_record: Final = msgspec.msgpack.Encoder().encode


class StreamMessage(NamedTuple):
    """A message of a stream, with its sequence and its time of storage by JetStream's clock."""

    sequence: int
    time: float
    data: bytes


_NO_KEYS: Final[Mapping[str, int]] = {}


class LastRecord(NamedTuple):
    """A channel's last record, without its messages; `sequence` is 0 if there is none."""

    sequence: int
    time: float
    epoch: str
    offset: int
    size: int
    """The bytes of all payloads of the epoch so far."""
    keys: Mapping[str, int]

    @classmethod
    def of(cls, record: Record | None, sequence: int, time: float) -> Self:
        """Return what must be known of a record to store the next one behind it."""
        if record is None:
            return cls(sequence, time, "", 0, 0, _NO_KEYS)
        total = record.size_before + record.size
        return cls(sequence, time, record.epoch, record.last, total, record.keys)

    @classmethod
    def found(cls, stored: StreamMessage | None) -> Self:
        """Return it for the message that was found last under a channel's subject."""
        if stored is None:
            return cls.of(None, 0, 0.0)
        return cls.of(Record.read(stored.data), stored.sequence, stored.time)


def kept_of(record: Record, last: LastRecord, messages: int, size: int) -> list[Publication]:
    """Return the messages of a record that are within the bounds of a history."""
    before = record.size_before
    kept: list[Publication] = []
    for publication in record.publications():
        if publication.offset > last.offset - messages and last.size - before <= size:
            kept.append(publication)
        before += message_size(publication)
    return kept
