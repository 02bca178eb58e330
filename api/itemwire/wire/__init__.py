"""Codecs: how events and requests look on the wire. One file and one row each."""

from collections.abc import Sequence
from typing import Final

from itemwire.wire.base import Codec
from itemwire.wire.json_codec import JsonCodec
from itemwire.wire.plain_codec import PlainCodec

PLAIN: Final = PlainCodec()
JSON: Final = JsonCodec()

CODECS: Final[dict[str, Codec]] = {codec.subprotocol: codec for codec in (JSON, PLAIN)}


def choose_codec(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Pick the first codec a client offers, and the subprotocol to answer; plain with none."""
    for subprotocol in offered:
        if subprotocol in CODECS:
            return CODECS[subprotocol], subprotocol
    return PLAIN, None


def choose_envelopes(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Pick as `choose_codec` does, of the codecs that have envelopes; JSON with none."""
    codec, subprotocol = choose_codec([one for one in offered if _has_envelopes(one)])
    return (JSON, None) if subprotocol is None else (codec, subprotocol)


def _has_envelopes(subprotocol: str) -> bool:
    return subprotocol in CODECS and CODECS[subprotocol].has_envelopes
