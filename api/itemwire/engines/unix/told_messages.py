"""Messages and histories as a node and the engine process tell them to each other."""

from __future__ import annotations

from msgspec import UNSET

from itemwire.engines.base import History
from itemwire.engines.storage_format import bytes_of, payload_of
from itemwire.engines.unix.words import HistoryWord, MessageWord, StoredWord
from itemwire.messages import Draft, Position, Publication


def message_of(one: Draft | Publication) -> MessageWord:
    """Return a message as it is told; UnicodeError for text that is none."""
    kind, data = bytes_of(one.data)
    meta = None if one.meta is UNSET else one.meta
    return MessageWord(one.item, one.sender, one.sent_at, kind, data, meta, one.end is True)


def stored_of(one: Publication) -> StoredWord:
    """Return a message and its offset as they are told."""
    return StoredWord(one.offset, message_of(one))


def draft_of(message: MessageWord, key: str | None) -> Draft:
    """Return the message that was told; ValueError for text that is none."""
    data = payload_of(message.kind, message.data)
    meta = UNSET if message.meta is None else message.meta
    return Draft(
        message.item, message.sender, message.sent_at, data, key, meta, message.end or UNSET
    )


def publication_of(stored: StoredWord) -> Publication:
    """Return the message that was told, with its offset."""
    return Publication.of(draft_of(stored.message, None), stored.offset)


def history_of(told: HistoryWord) -> History:
    """Return the history that was told."""
    return History(
        Position(told.epoch, told.offset),
        [publication_of(one) for one in told.publications],
        told.complete,
        None if told.retained is None else publication_of(told.retained),
    )


def read_of(id_: int, history: History) -> HistoryWord:
    """Return a history as it is told."""
    return HistoryWord(
        id_,
        history.position.epoch,
        history.position.offset,
        [stored_of(one) for one in history.publications],
        history.complete,
        None if history.retained is None else stored_of(history.retained),
    )
