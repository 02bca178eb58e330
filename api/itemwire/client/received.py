"""What a program is given: messages, members, and history."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from itemwire.client.envelopes import EnvelopeForm, Incoming, MemberFields
from itemwire.client.errors import ClientError
from itemwire.client.payload_types import ReadPayload
from itemwire.messages import Position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReceivedMessage(Generic[T]):
    """A message of an item: `data` is text, bytes, or what its JSON stands for, or your type.

    `offset` is None for a message that is not stored. `sender` is None for what the application's
    own code has published. `meta` and `end` are what its publisher gave beside the data.
    """

    item: str
    offset: int | None
    sender: str | None
    sent_at: float
    data: T
    meta: Mapping[str, str] | None = None
    end: bool = False


class PayloadMismatch(ClientError):
    """A message does not fit the type of its item; iterate again to go on behind it.

    `message` has its data as it came.
    """

    def __init__(self, message: ReceivedMessage[Any], reason: str) -> None:
        place = "" if message.offset is None else f" {message.offset}"
        super().__init__(f"message{place} of {message.item}: {reason}")
        self.message = message


@dataclass(frozen=True, slots=True)
class ItemMember:
    """A member of an item; `info` is what the application tells others of it."""

    connection: str
    subject: str
    info: Any = None

    @classmethod
    def of(cls, fields: MemberFields) -> "ItemMember":
        """Return a member of an envelope."""
        return cls(fields.connection, fields.subject, fields.info)


@dataclass(frozen=True, slots=True)
class ItemHistory(Generic[T]):
    """Messages of an item, oldest first, and its newest position when they were read.

    `complete` says that nothing is missing between the bounds that were asked for.
    """

    messages: tuple[ReceivedMessage[T], ...]
    position: str
    complete: bool


@dataclass(frozen=True, slots=True)
class PublishResult:
    """Where a message is stored; `position` is None where messages are only delivered."""

    position: str | None

    @classmethod
    def of(cls, reply: Incoming) -> "PublishResult":
        """Read the answer to `publish`."""
        if reply.ephemeral:
            return cls(None)
        return cls(str(Position(reply.epoch, reply.offset)))


def message_of(incoming: Incoming, form: EnvelopeForm, read: ReadPayload[T]) -> ReceivedMessage[T]:
    """Return an envelope as a message; raises `PayloadMismatch`."""
    value: Any = None
    try:
        value = form.value(incoming.data, incoming.encoding)
        data = read(value)
    except Exception as error:  # a type of the program may raise anything
        raise PayloadMismatch(_message(incoming, value), str(error)) from error
    return _message(incoming, data)


def _message(incoming: Incoming, data: T) -> ReceivedMessage[T]:
    return ReceivedMessage(
        incoming.item or "",
        None if incoming.ephemeral else incoming.offset,
        incoming.sender,
        incoming.sent_at,
        data,
        incoming.meta,
        incoming.end,
    )
