"""What nodes tell each other through PostgreSQL: notifications, which nobody stores.

A notification holds less than 8000 bytes of text, so what is longer goes in parts. Those of one
transaction come in a row. All of a turn of the loop are one statement.
"""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode, b64encode
from typing import Final

from itemwire.engines.base import TOLD_BYTES, Answer, EngineError
from itemwire.engines.callbacks import tell
from itemwire.engines.postgres.client import Row
from itemwire.engines.postgres.requests import PostgresRequests

NOTIFY: Final = "SELECT pg_notify('itemwire', part) FROM unnest($1::text[]) AS part"
TOLD: Final = "> "  # before each part: no epoch begins like this
MOST_PART: Final = 7900  # bytes; the server takes 7999
HEAD_BYTES: Final = 60
MOST_PARTS: Final = 4 * TOLD_BYTES // 1000  # of what others than nodes may send

# A part is `> number/count base64|channel`; the number keeps equal ones from being taken for one.


class PostgresTelling:
    """Sends what is told, and puts together what is heard."""

    def __init__(self, requests: PostgresRequests) -> None:
        self._requests = requests
        self._waiting: list[tuple[list[str], Answer[None]]] = []
        self._count = 0
        self._parts: dict[int, list[bytes]] = {}  # by the process that sends them

    def tell(self, channel: str, words: bytes, answer: Answer[None]) -> None:
        """Tell words with the next statement; answer once that is done."""
        room = (MOST_PART - HEAD_BYTES - len(channel.encode())) // 4 * 3
        if room <= 0:
            answer(EngineError(f"a channel of {len(channel)} characters cannot be told of"))
            return
        pieces = [words[begin : begin + room] for begin in range(0, len(words), room)] or [b""]
        parts: list[str] = []
        for number, piece in enumerate(pieces, 1):
            self._count += 1
            coded = b64encode(piece).decode()
            parts.append(f"{TOLD}t{self._count:x} {number}/{len(pieces)} {coded}|{channel}")
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append((parts, answer))

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        parts = [part for parts, _ in waiting for part in parts]

        def sent(result: list[Row] | EngineError) -> None:
            for _, answer in waiting:
                tell(answer, result if isinstance(result, EngineError) else None)

        self._requests.ask(sent, NOTIFY, parts)

    def take(self, sender: int, part: str) -> bytes | None:
        """Take a part; return what was told once it is the last one, None for what is none."""
        try:
            _, _, which, coded = part.partition("|")[0].split(" ", 3)
            number, count = map(int, which.split("/"))
            piece = b64decode(coded, validate=True)
        except (ValueError, binascii.Error):  # whoever may connect may notify
            return None
        parts = self._parts.setdefault(sender, [])
        if number == 1:
            parts.clear()
        if number != len(parts) + 1 or count > MOST_PARTS:
            del self._parts[sender]
            return None
        parts.append(piece)
        return b"".join(self._parts.pop(sender)) if number == count else None

    def forget(self) -> None:
        """Forget parts whose rest was missed."""
        self._parts.clear()
