"""Notices that several servers keep copies of, read as if they were kept in one place.

How far each server was read stands in the name of the epoch, which so is another one after each
page that has anything: who reads on from there gets what has come to any of the servers since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from itemwire.engines.notices import NoticePage, StoredNotice
from itemwire.engines.redis.copies import NoticeCopies, unmarked

Read = dict[str, tuple[str, int]]
"""By the name of a server: its own epoch, and the number up to which it was read."""

FROM_THE_FIRST: Final = ("", 0)

_decode: Final = msgspec.json.Decoder(Read).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def read_until(epoch: str) -> Read:
    """Return how far the servers were read, by the epoch of a page; nothing for any other."""
    try:
        return _decode(epoch)
    except msgspec.MsgspecError:
        return {}


def joined(before: Read, pages: Mapping[str, NoticePage]) -> NoticePage:
    """Return the pages of several servers as one, each notice once.

    A server that has none of these pages is read on later, from where it was read until `before`.
    """
    copies = NoticeCopies()
    notices: list[StoredNotice] = []
    for page in pages.values():
        for _, copy, is_over in page.notices:
            if copies.is_new(copy):
                notices.append(StoredNotice(len(notices) + 1, unmarked(copy), is_over))
    until = before | {name: (page.epoch, page.last) for name, page in pages.items()}
    return NoticePage(_encode(until).decode(), len(notices), notices)
