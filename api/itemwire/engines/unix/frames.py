"""Words on a stream of bytes: all of one turn of the loop as one frame, in one write.

A frame is its length and a MessagePack array of words.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar, cast

import msgspec
from typing_extensions import override

from itemwire.engines.tasks import SEE_LOG
from itemwire.engines.unix.words import Word, encode_word

logger = logging.getLogger("itemwire.engines")

T = TypeVar("T")

LENGTH: Final = struct.Struct(">I")
HEAD: Final = struct.Struct(">IBI")
ARRAY: Final = 0xDD  # of MessagePack: an array whose length has four bytes
ARRAY_BYTES: Final = HEAD.size - LENGTH.size

FULL_FRAME: Final = 16 << 20  # after so many bytes of words another frame begins
MOST_FRAME: Final = 1 << 30  # none is larger, whatever its length says


def frames_of(words: list[bytes]) -> Iterator[bytes]:
    """Yield the frames of encoded words: almost always one."""
    size, first = 0, 0
    for last, word in enumerate(words, 1):
        size += len(word)
        if size >= FULL_FRAME or last == len(words):
            head = HEAD.pack(size + ARRAY_BYTES, ARRAY, last - first)
            yield b"".join((head, *words[first:last]))
            size, first = 0, last


class WordReader:
    """Takes bytes as they come, and returns the bodies of the frames that are whole."""

    def __init__(self, most: int = MOST_FRAME) -> None:
        self._most = most
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies of frames; ValueError for one that is too large."""
        if not self._rest and len(data) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(data)
            if length == len(data) - LENGTH.size:
                return [data[LENGTH.size :]]
        self._rest += data
        return list(self._take())

    def _take(self) -> Iterator[bytes]:
        begin, rest = 0, self._rest
        while len(rest) - begin >= LENGTH.size:
            (length,) = LENGTH.unpack_from(rest, begin)
            if length > self._most:
                raise ValueError(f"a frame of {length} bytes is too large")
            end = begin + LENGTH.size + length
            if end > len(rest):
                break
            yield bytes(rest[begin + LENGTH.size : end])
            begin = end
        del rest[:begin]


class WordProtocol(asyncio.Protocol, ABC, Generic[T]):
    """One end of a connection: sends the words of a turn in one write, and reads the other's."""

    def __init__(self, decode: Callable[[bytes], list[T]], most: int = MOST_FRAME) -> None:
        self._decode = decode
        self._reader = WordReader(most)
        self._unsent: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None  # None when it is over

    @abstractmethod
    def receive(self, word: T) -> None:
        """Take a word that was said; ValueError ends the connection."""
        ...

    @abstractmethod
    def end(self, problem: str) -> None:
        """Take note that the connection is over."""
        ...

    def send(self, word: Word) -> None:
        """Say a word with the others of this turn."""
        self.send_encoded(encode_word(word))

    def send_encoded(self, word: bytes) -> None:
        """Say a word that is encoded."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(word)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.transport is not None:
            for frame in frames_of(unsent):
                self.transport.write(frame)

    def refuse(self, problem: str) -> None:
        """End the connection for a fault of the other end."""
        self.break_off(problem)

    def break_off(self, problem: str) -> None:
        """End the connection at once."""
        if self.transport is not None:
            transport, self.transport = self.transport, None
            transport.abort()
            self.end(problem)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self.transport = None
            self.end(str(exc or "the connection broke"))

    @override
    def data_received(self, data: bytes) -> None:
        try:
            for body in self._reader.feed(data):
                for word in self._decode(body):
                    self.receive(word)
        except (ValueError, msgspec.MsgspecError) as error:
            self.refuse(f"what it says cannot be read: {error}")
        except Exception:
            # The words that come next were said in the belief that this one was taken.
            logger.exception("engine_failed")
            self.refuse(SEE_LOG)
