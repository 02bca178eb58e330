"""What nodes tell each other beside messages."""

from typing import Final

import msgspec

from itemwire.channels.cluster.gossip import Gossip
from itemwire_auth.revocation import Revocation


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What every node is to do, and which node says so; that one has done it already."""

    node: str
    revocation: Revocation | None = None
    connection: str | None = None  # the id of one that is to end
    ends_at: int | None = None  # when the revocation ends sockets (Unix time); None: at once
    gossip: Gossip | None = None  # of its members

    def encoded(self) -> bytes:
        """Write it as engines carry it."""
        return msgspec.json.encode(self)


_decoder: Final = msgspec.json.Decoder(Notice)


def read_notice(data: bytes) -> Notice:
    """Read a notice, or raise ValueError; members that a newer node may add are left out."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
