"""What the NATS engine stores: records of messages, under the subject of a channel.

JetStream counts the messages of a stream, not those of a channel. So each record says where its
messages stand in their channel, and is stored only if nothing came after the record it goes on
from. That is one step, whoever else publishes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Self

import msgspec

from itemwire.engines.storage_format import unpack
from itemwire.messages import Publication, payload_size


class Record(msgspec.Struct, array_like=True, frozen=True):
    """Messages that were stored at once, or none: that begins an epoch, or keeps one alive.

    Fields that a newer node may add at the end are left out.
    """

    epoch: str
    first: int
    """The offset of its first message."""
    size_before: int
    """How much was published in the epoch before it."""
    size: int
    node: str
    messages: list[bytes]
    keys: dict[str, int]
    """The offset of each message that was published with a key."""

    @property
    def last(self) -> int:
        """Tell the offset of the channel's last message."""
        return self.first + len(self.messages) - 1

    @classmethod
    def read(cls, data: bytes) -> Record | None:
        """Read what was stored; None where somebody else has put something else there."""
        try:
            return _decoder.decode(data)
        except msgspec.MsgspecError:
            return None

    def publications(self, after: int = 0) -> Iterator[Publication]:
        """Read the messages beyond an offset; ValueError where one cannot be read."""
        for place in range(max(after + 1 - self.first, 0), len(self.messages)):
            yield unpack(self.messages[place], self.first + place)


_decoder: Final = msgspec.msgpack.Decoder(Record)
encode_record: Final = msgspec.msgpack.Encoder().encode


class StoredMessage(NamedTuple):
    """A message of a stream: JetStream's own number, and when it was stored by its clock."""

    sequence: int
    time: float
    data: bytes


class LastRecord(NamedTuple):
    """A channel's last record, without what it says; `sequence` is 0 where there is none."""

    sequence: int
    time: float
    epoch: str
    offset: int
    size: int
    keys: Mapping[str, int]

    @classmethod
    def of(cls, record: Record | None, sequence: int, time: float) -> Self:
        """Take what has to be known to go on from a record."""
        if record is None:
            return cls(sequence, time, "", 0, 0, {})
        total = record.size_before + record.size
        return cls(sequence, time, record.epoch, record.last, total, record.keys)


def kept_of(record: Record, tip: LastRecord, messages: int, size: int) -> list[Publication]:
    """Give the messages of a record that are within the bounds of a history."""
    before = record.size_before
    kept = []
    for publication in record.publications():
        if publication.offset > tip.offset - messages and tip.size - before <= size:
            kept.append(publication)
        before += payload_size(publication.data)
    return kept


def tip_of(stored: StoredMessage | None) -> LastRecord:
    """Take what was found last as what to go on from."""
    if stored is None:
        return LastRecord.of(None, 0, 0.0)
    return LastRecord.of(Record.read(stored.data), stored.sequence, stored.time)
