"""Proof that a client was on a channel, with which it may resume without more rights."""

from __future__ import annotations

import asyncio
import logging
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

import msgspec

from itemwire.engines.base import Engine, EngineError
from itemwire.messages import Position
from itemwire_auth.principal import Identity

logger = logging.getLogger("itemwire.channels")

MAC_BYTES: Final = 16
CHECK_TICKS: Final = 10  # a store that was emptied has another secret, noticed within so many

_PURPOSE: Final = b"itemwire.resume"  # so that the secret can sign other things as well
_WRITTEN: Final = re.compile(
    r"(?P<epoch>[A-Za-z0-9_-]{1,64})"
    r"(?:\.(?P<first>[0-9]{1,15})\.(?P<mac>[A-Za-z0-9_-]{1,64}))?"
    r":(?P<offset>[0-9]{1,15})"  # JavaScript counts to 2**53
)

_encode = msgspec.msgpack.encode


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client sends back of its welcome: its first offset, and a signature.

    Every message after that offset was sent to the client, or it missed the message later.
    """

    first: int
    mac: str


def read_since(written: str) -> tuple[Position, Proof | None]:
    """Return the position after which a client resumes, and its proof; else raise ValueError.

    It is written `<epoch>:<offset>`, or `<resume>:<offset>` with the `resume` of a welcome, which
    is `<epoch>.<first offset>.<mac>`.
    """
    parts = _WRITTEN.fullmatch(written)
    if parts is None:
        raise ValueError("write <epoch>:<offset>, or <resume>:<offset>")
    proof = None if parts["mac"] is None else Proof(int(parts["first"]), parts["mac"])
    return Position(parts["epoch"], int(parts["offset"])), proof


class ResumeProofs:
    """Signs and verifies proofs with the secret of the store.

    Until the secret is known there are no proofs: welcomes have no `resume`, and none is valid.
    """

    __slots__ = ("_secret", "_ticks")

    def __init__(self) -> None:
        self._secret: bytes | None = None
        self._ticks = 0

    async def start(self, engine: Engine) -> None:
        """Learn the secret of the store, which the first client needs; wait for the answer."""
        answered = asyncio.Event()

        def learn(secret: bytes | EngineError) -> None:
            self._learn(secret)
            answered.set()

        engine.secret(learn)
        await answered.wait()

    def tick(self, engine: Engine) -> None:
        """Learn the secret again now and then: the store may have been emptied."""
        self._ticks = (self._ticks + 1) % CHECK_TICKS
        if self._ticks == 0:
            engine.secret(self._learn)

    def _learn(self, secret: bytes | EngineError) -> None:
        if not isinstance(secret, EngineError):
            self._secret = secret
        elif self._secret is None:
            logger.error("resume_unavailable problem=%s", secret)

    def write(self, caller: Identity, item_id: str, epoch: str, first: int) -> str | None:
        """Return the `resume` of a caller that hears an item from after an offset on."""
        if self._secret is None:
            return None
        return f"{epoch}.{first}.{_mac(self._secret, caller, item_id, epoch, first)}"

    def verify(self, proof: Proof, caller: Identity, item_id: str, since: Position) -> bool:
        """Return whether this caller heard this item from before a position on."""
        if self._secret is None or since.offset < proof.first:
            return False
        mac = _mac(self._secret, caller, item_id, since.epoch, proof.first)
        return compare_digest(mac, proof.mac)


def _mac(secret: bytes, caller: Identity, item_id: str, epoch: str, first: int) -> str:
    """Return the signature; MessagePack tells where each value ends, so no two are alike."""
    signed = _encode((*caller, item_id, epoch, first))
    digest = blake2b(signed, digest_size=MAC_BYTES, key=secret, person=_PURPOSE).digest()
    return urlsafe_b64encode(digest)[:-2].decode()  # without the padding
