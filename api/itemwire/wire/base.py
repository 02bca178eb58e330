"""The interface of a codec."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.messages import Event, Frame, Payload, Ref
from itemwire.wire.payloads import payload_of

C = TypeVar("C")


class MalformedFrame(Exception):
    """A frame is not a valid request; its sender gets `code` and the message."""

    def __init__(self, code: str, detail: str, ref: Ref | UnsetType = UNSET) -> None:
        super().__init__(detail)
        self.code = code
        self.ref = ref


class Codec(Protocol):
    """Encodes events as frames, and decodes frames as requests."""

    subprotocol: str
    metric_label: str
    """The value of the `codec` label in metrics; no two codecs may have the same."""

    has_envelopes: bool
    """Whether it can carry more than messages: answers, errors, and the names of items."""

    def encode(self, event: Event) -> Frame | None:
        """Return the frame of an event, None if this codec cannot express it."""
        ...

    # Not a method that calls it: this runs for every publish.
    payload_of: Callable[[msgspec.Raw], Payload] = staticmethod(payload_of)
    """Returns the payload that the `data` of a decoded request stands for.

    It raises ValueError for what is out of the bounds of what every client can read back. The
    `data` is JSON unless a codec says otherwise."""

    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        """Return a function that decodes a client's frames; called once per process.

        `requests` are the struct types of requests, by their `type` field; `bare` makes a request
        of a frame that is only a payload. The returned function raises `MalformedFrame`.
        """
        ...
