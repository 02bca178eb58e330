"""JSON envelopes in text frames: the subprotocol `itemwire.v1.json`."""

from collections.abc import Callable
from typing import Any, Union

import msgspec
from typing_extensions import override

from itemwire.messages import Event, Frame
from itemwire.wire.base import C, Codec, MalformedFrame
from itemwire.wire.faults import Outline, fault_in
from itemwire.wire.frame_refs import ref_in

_encode = msgspec.json.Encoder().encode


class JsonCodec(Codec):
    """Carries every event and request as one JSON object."""

    subprotocol = "itemwire.v1.json"
    metric_label = "json"
    has_envelopes = True

    @override
    def encode(self, event: Event) -> Frame:
        return _encode(event).decode()

    @override
    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        shape: Any = Union[tuple(requests.values())]  # noqa: UP007 - built at run time
        read: Callable[[str], C] = msgspec.json.Decoder(shape).decode

        def decode(frame: Frame) -> C:
            if isinstance(frame, bytes):
                ref = ref_in(frame.decode(errors="replace"))
                raise MalformedFrame("payload_invalid", "Envelopes must be text frames.", ref)
            try:
                return read(frame)
            except (ValueError, RecursionError) as error:
                raise _fault(frame, requests, error) from error

        return decode


_outline = msgspec.json.Decoder(Outline).decode


def _fault(frame: str, requests: dict[str, type[C]], error: Exception) -> MalformedFrame:
    """Return the error for a faulty envelope, with its `ref` if that can be read."""
    try:
        outline = _outline(frame)
    except (ValueError, RecursionError):
        return MalformedFrame("payload_invalid", str(error), ref_in(frame))
    return fault_in(outline, requests, error)
