"""Notices that every one of several servers carries: each node applies the first copy.

A copy has a name before it. One server alone puts none there, and takes it off what it finds.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from itertools import count
from typing import Final

MARK: Final = b"\x00"  # no notice begins with it
REMEMBERED: Final = 20_000  # names of notices; a notice may arrive twice, it only costs time


def unmarked(copy: bytes) -> bytes:
    """Return the notice of a copy, or what is none as it is."""
    return copy[1:].partition(MARK)[2] if copy.startswith(MARK) else copy


class NoticeCopies:
    """Names the notices of this node, and knows which ones have come."""

    def __init__(self) -> None:
        self._node = secrets.token_urlsafe(6)
        self._numbers = count()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def mark(self, notice: bytes) -> bytes:
        """Return a notice with a name that no other has, to be given to every server."""
        name = f"{self._node}{next(self._numbers):x}".encode()
        return MARK + name + MARK + notice

    def is_new(self, copy: bytes) -> bool:
        """Return whether this is the first copy of a notice that came, and remember that."""
        if not copy.startswith(MARK):
            return True
        name = copy[1:].partition(MARK)[0]
        if name in self._known:
            return False
        self._known[name] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return True
