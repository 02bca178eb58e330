"""Server-sent events: what an `EventSource` of a browser hears of one item."""

from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

import msgspec
from typing_extensions import override

from itemwire.messages import Closing, Event, Frame, Gap, Position, Publication, Welcome
from itemwire.wire.base import C, Codec, MalformedFrame

RETRY_MS: Final = 2000  # until a browser comes back after an end that nobody announced

_encode = msgspec.json.Encoder().encode


class Cursor(Event, frozen=True, tag="cursor"):
    """Where the stream stands: an event that is nothing but an id, of which no page hears."""


class EventsCodec(Codec):
    """Carry each event as one server-sent event with its envelope as data.

    One for all who hear an item: the position that is an event's id needs the epoch, which a
    message does not hold. It is that of the newest `welcome` or `gap`: all get the same bytes.
    """

    subprotocol = "text/event-stream"
    metric_label = "events"
    has_envelopes = True

    def __init__(self) -> None:
        self.position = Position("", 0)  # the newest that was told

    @override
    def encode(self, event: Event) -> bytes:
        if isinstance(event, Publication):
            self._reach(Position(self.position.epoch, event.offset))
            # Without a name it is `message`, which a page hears by `onmessage`.
            return b"id: %s:%d\n%s" % (self.position.epoch.encode(), event.offset, _data(event))
        if isinstance(event, Cursor):
            return b"id: %s\n\n" % str(self.position).encode()
        return b"event: %s\n%s%s" % (_name(event), self._fields(event), _data(event))

    @override
    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        def decode(_frame: Frame) -> C:
            raise MalformedFrame("not_supported", "A stream of events takes no requests.")

        return decode

    def _fields(self, event: Event) -> bytes:
        """Give the fields beside name and data, and note the position that an event tells."""
        if isinstance(event, Welcome):
            # No id: what was missed comes after it, and is lost if the stream ends in between.
            self._reach(Position(event.epoch, event.offset))
            return b"retry: %d\n" % RETRY_MS
        if isinstance(event, Gap):
            self._reach(Position(event.epoch, event.to))
            return b"id: %s:%d\n" % (event.epoch.encode(), event.to)
        if isinstance(event, Closing) and event.retry_after_ms:
            return b"retry: %d\n" % event.retry_after_ms
        return b""

    def _reach(self, position: Position) -> None:
        if position.epoch != self.position.epoch or position.offset > self.position.offset:
            self.position = position


class EventCodecs:
    """The codecs of the items that are heard by streams just now."""

    def __init__(self) -> None:
        self._codecs: WeakValueDictionary[str, EventsCodec] = WeakValueDictionary()

    def of_item(self, item_id: str) -> EventsCodec:
        """Give the codec that all streams of an item share."""
        return self._codecs.setdefault(item_id, EventsCodec())


def _name(event: Event) -> bytes:
    return str(event.__struct_config__.tag).encode()


def _data(event: Event) -> bytes:
    """Give the envelope as the data of an event, which ends with it.

    A line break in it is white space of a publisher's JSON, and would end the field.
    """
    data = _encode(event)
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"data: %s\n\n" % data
