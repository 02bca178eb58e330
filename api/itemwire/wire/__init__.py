"""Codecs: the form of events and requests on the wire. Each has a file and a row here."""

from collections.abc import Sequence
from typing import Final

from itemwire.wire.base import Codec
from itemwire.wire.json_codec import JsonCodec
from itemwire.wire.msgpack_codec import MsgpackCodec
from itemwire.wire.plain_codec import PlainCodec

PLAIN: Final = PlainCodec()
JSON: Final = JsonCodec()
MSGPACK: Final = MsgpackCodec()

CODECS: Final[dict[str, Codec]] = {codec.subprotocol: codec for codec in (JSON, MSGPACK, PLAIN)}


def choose_codec(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Return the first known codec that a client offers, and the subprotocol to answer.

    Without any, return the plain codec and no subprotocol.
    """
    for subprotocol in offered:
        if subprotocol in CODECS:
            return CODECS[subprotocol], subprotocol
    return PLAIN, None


def choose_envelopes(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Return the first codec with envelopes that a client offers, and its subprotocol.

    Without any, return the JSON codec and no subprotocol.
    """
    codec, subprotocol = choose_codec([one for one in offered if _has_envelopes(one)])
    return (JSON, None) if subprotocol is None else (codec, subprotocol)


def _has_envelopes(subprotocol: str) -> bool:
    return subprotocol in CODECS and CODECS[subprotocol].has_envelopes
