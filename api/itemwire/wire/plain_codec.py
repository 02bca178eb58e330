"""Payloads without envelopes: each frame is a message, for clients as simple as `wscat`."""

from collections.abc import Callable
from typing import Final

import msgspec
from typing_extensions import override

from itemwire.messages import Ephemeral, Event, Frame, Publication
from itemwire.wire.base import C, Codec

MESSAGES: Final = (Publication, Ephemeral)


class PlainCodec(Codec):
    """Carries the payloads of messages, and drops all other events."""

    subprotocol = "itemwire.v1.plain"
    metric_label = "plain"
    has_envelopes = False

    @override
    def encode(self, event: Event) -> Frame | None:
        if not isinstance(event, MESSAGES):
            return None
        data = event.data
        return bytes(data).decode() if isinstance(data, msgspec.Raw) else data

    @override
    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        return bare
