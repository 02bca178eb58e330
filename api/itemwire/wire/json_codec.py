"""JSON envelopes in text frames: the subprotocol `itemwire.v1.json`."""

from collections.abc import Callable
from typing import Any, Union

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import override

from itemwire.messages import Event, Frame, Ref
from itemwire.wire.base import C, Codec, MalformedFrame
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


class _Outline(msgspec.Struct):
    """The fields of a faulty envelope that an error message uses."""

    type: object = None
    ref: Ref | UnsetType = UNSET


_outline = msgspec.json.Decoder(_Outline).decode


def _fault(frame: str, requests: dict[str, type[C]], error: Exception) -> MalformedFrame:
    """Return the error for a faulty envelope, with its `ref` if that can be read."""
    try:
        outline = _outline(frame)
    except (ValueError, RecursionError):
        return MalformedFrame("payload_invalid", str(error), ref_in(frame))
    if isinstance(outline.type, str) and outline.type not in requests:
        known = ", ".join(requests)
        return MalformedFrame("not_supported", f"The types are {known}.", outline.ref)
    return MalformedFrame("payload_invalid", str(error), outline.ref)
