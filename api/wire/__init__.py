"""Codecs: how events and requests look on the wire. One file and one row each."""

from collections.abc import Sequence
from typing import Final

from api.wire.base import Codec
from api.wire.json_codec import JsonCodec
from api.wire.plain_codec import PlainCodec

PLAIN: Final = PlainCodec()

CODECS: Final[dict[str, Codec]] = {codec.subprotocol: codec for codec in (JsonCodec(), PLAIN)}


def choose_codec(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """Pick the first codec a client offers, and the subprotocol to answer; plain with none."""
    for subprotocol in offered:
        if subprotocol in CODECS:
            return CODECS[subprotocol], subprotocol
    return PLAIN, None
