"""The envelope of everything that nodes send each other, except messages."""

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from itemwire.channels.cluster.gossip import MAX_NODE_ID, Gossip, ItemWords
from itemwire.channels.cluster.inquiries import Inquiry
from itemwire_auth.revocation import Revocation

MAX_NOTICE_BYTES: Final = 256 * 1024  # a node writes 25 KB, or 75 KB with the longest names


S = TypeVar("S")


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What every other node is to do, and the node that says so, which has already done it."""

    node: Annotated[str, Meta(min_length=1, max_length=MAX_NODE_ID)]
    revocation: Revocation | None = None
    connection: str | None = None  # the id of a connection to end
    ends_at: int | None = None  # Unix time at which the revocation ends sockets; None: at once
    gossip: Gossip | None = None
    watching: list[str] | None = None  # patterns of items that its code hears
    inquiry: Inquiry | None = None  # what an operator asks of all nodes, or is answered
    message: bytes | None = None  # an ephemeral one, as `storage_format` writes it

    def encoded(self) -> bytes:
        """Return the notice as the bytes that engines carry."""
        return msgspec.json.encode(self)


_decoder: Final = msgspec.json.Decoder(Notice)
_told_decoder: Final = msgspec.json.Decoder(ItemWords)


def read_notice(data: bytes) -> Notice:
    """Read a notice; raise ValueError if it is malformed or past a bound.

    Fields that only a newer version knows are ignored, so nodes can be upgraded one by one.
    """
    return _read(data, _decoder)


def read_told(data: bytes) -> ItemWords:
    """Read what was told on a channel; raise ValueError as for a notice."""
    return _read(data, _told_decoder)


def _read(data: bytes, decoder: msgspec.json.Decoder[S]) -> S:
    if len(data) > MAX_NOTICE_BYTES:
        raise ValueError(f"a notice of {len(data)} bytes is larger than {MAX_NOTICE_BYTES}")
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
