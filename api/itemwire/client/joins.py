"""Sends all joins of one turn of the event loop in one frame, where that works."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from itemwire.client.envelopes import Incoming
from itemwire.client.link import Link

Entry = Mapping[str, object]

FRAME_BYTES: Final = 64
"""What a frame has around its list."""


class Joins:
    """The joins that are to be sent, and those without an answer."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._waiting: dict[str, Entry] = {}
        self._sent: dict[int, dict[str, Entry]] = {}
        self._one_by_one = False

    def link_up(self, link: Link) -> None:
        """Send what comes from now on over this connection."""
        self._link = link
        self._one_by_one = link.list_size == 1

    def link_down(self) -> None:
        """Forget what was asked: nothing of it will be answered."""
        self._link = None
        self._waiting.clear()
        self._sent.clear()

    def add(self, item_id: str, fields: Entry) -> None:
        """Join an item, together with all others of this turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting[item_id] = {"item": item_id, **fields}

    def answered(self, incoming: Incoming) -> Sequence[str]:
        """Return the items whose join this answers: one, or all of a list that was refused."""
        ref = incoming.ref
        sent = self._sent.get(ref) if isinstance(ref, int) else None
        if sent is None or not isinstance(ref, int):
            return ()
        if incoming.item is not None:
            found = [incoming.item] if sent.pop(incoming.item, None) is not None else []
        else:
            found = self._refused_list(sent, incoming)
            sent.clear()
        if not sent:
            del self._sent[ref]
        return found

    def _refused_list(self, sent: dict[str, Entry], incoming: Incoming) -> list[str]:
        if len(sent) == 1 or incoming.temporary:
            return list(sent)
        self._one_by_one = True  # one of them is wrong: let the server say which
        for item_id, entry in sent.items():
            self.add(item_id, entry)
        return []

    def _flush(self) -> None:
        entries, self._waiting = list(self._waiting.values()), {}
        link = self._link
        if link is None:
            return
        most = 1 if self._one_by_one else link.list_size
        for part in _parts(entries, most, link.max_bytes - FRAME_BYTES):
            self._sent[link.send(_join_of(part))] = {str(one["item"]): one for one in part}


def _parts(entries: list[Entry], most: int, room: int) -> Iterator[list[Entry]]:
    """Yield lists of at most so many entries, and of no more bytes than a frame may have."""
    part: list[Entry] = []
    size = 0
    for entry in entries:
        needs = len(msgspec.json.encode(entry)) + 1
        if part and (len(part) == most or size + needs > room):
            yield part
            part, size = [], 0
        part.append(entry)
        size += needs
    if part:
        yield part


def _join_of(entries: Sequence[Entry]) -> dict[str, object]:
    if len(entries) == 1:
        return {"type": "join", **entries[0]}
    return {"type": "join", "items": list(entries)}
