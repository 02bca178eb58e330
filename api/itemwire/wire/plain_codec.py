"""Plain: a frame is a message, so `wscat` and a tutorial page just work."""

from collections.abc import Callable

import msgspec
from typing_extensions import override

from itemwire.messages import Event, Frame, Publication
from itemwire.wire.base import C, Codec


class PlainCodec(Codec):
    """Carry payloads and nothing else."""

    subprotocol = "itemwire.v1.plain"
    metric_label = "plain"
    has_envelopes = False

    @override
    def encode(self, event: Event) -> Frame | None:
        if not isinstance(event, Publication):
            return None
        data = event.data
        return bytes(data).decode() if isinstance(data, msgspec.Raw) else data

    @override
    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        return bare
