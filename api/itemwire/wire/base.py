"""What a codec is."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from msgspec import UNSET, UnsetType

from itemwire.messages import Event, Frame, Ref

C = TypeVar("C")


class MalformedFrame(Exception):
    """A frame is no request of this codec; `code` and the message are for its sender."""

    def __init__(self, code: str, detail: str, ref: Ref | UnsetType = UNSET) -> None:
        super().__init__(detail)
        self.code = code
        self.ref = ref


class Codec(Protocol):
    """Turns events into frames and frames into requests."""

    subprotocol: str
    metric_label: str
    """The value of the `codec` label in metrics; no two codecs may have the same."""

    has_envelopes: bool
    """Whether it has words for more than messages: for answers, errors and items."""

    def encode(self, event: Event) -> Frame | None:
        """Give the event's frame, or None where this codec has no word for it."""
        ...

    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        """Make the function that reads a client's frames; done once a process.

        `requests` are the struct types by their `type`; `bare` makes a request of a frame that
        is nothing but a payload. What is made raises `MalformedFrame`.
        """
        ...
