"""Reads what members tell each other of themselves, as rules and other nodes write it."""

import msgspec
from msgspec import UNSET, Raw, structs

from itemwire.messages import Member
from itemwire.wire.payloads import payload_of
from itemwire_auth.member_info import INFO_BYTES


def read_info(text: bytes) -> Raw:
    """Return the info of a member: a JSON object that every client can read.

    Raises ValueError for any other text.
    """
    if len(text) > INFO_BYTES or not text.startswith(b"{"):
        raise ValueError(f"the info of a member is no object of at most {INFO_BYTES} bytes")
    text.decode()  # what is left raw is not checked for its UTF-8
    info = payload_of(msgspec.json.decode(text, type=Raw))
    if not isinstance(info, Raw):
        raise TypeError("an object is never text")
    return info


def with_info(member: Member, info: bytes | None) -> Member:
    """Return a member with the info of a grant, and with no other."""
    return structs.replace(member, info=UNSET if info is None else Raw(info))
