"""Server-sent events: one item's events for the `EventSource` of a browser."""

from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

import msgspec
from msgspec import UNSET
from typing_extensions import override

from itemwire.messages import Closing, Event, Frame, Gap, Position, Publication, Welcome
from itemwire.wire.base import C, Codec, MalformedFrame

RETRY_MS: Final = 2000  # before a browser reconnects after an end without a `closing` event

_encode = msgspec.json.Encoder().encode


class Cursor(Event, frozen=True, tag="cursor"):
    """The position of the stream, for its id; a page hears it only if it asks for `cursor`."""


class OwnIds:
    """The ids of one stream: positions that prove, when they come back, whose stream it was.

    What is shared by all streams has ids like `<epoch>:5`. In this one they become `<resume>:5`.
    """

    __slots__ = ("_own", "_shared")

    def __init__(self, epoch: str, resume: str) -> None:
        self._shared = f"\nid: {epoch}:".encode()
        self._own = f"\nid: {resume}:".encode()

    def write(self, events: bytes) -> bytes:
        """Return events that all streams share with the ids of this one.

        An id begins a line, and no data does: it has no line breaks, and `data: ` before it.
        """
        shared, own = self._shared, self._own
        begins = events.startswith(shared[1:])
        if begins and events.find(b"\n\n") == len(events) - 2:  # one message, as most often
            return own[1:] + events[len(shared) - 1 :]
        parts = events.split(shared)  # twice as fast as `replace`, which searches twice
        if begins:
            parts[0] = own[1:] + parts[0][len(shared) - 1 :]
        return own.join(parts)


class Opening(bytes):
    """The first event of a stream; its transport writes the ids of all later ones as `ids`."""

    ids: OwnIds


class EventsCodec(Codec):
    """Carries each event as a server-sent event with its envelope as data.

    All streams of an item share one codec, so that they get the same bytes. The id of an event is a
    position, which needs an epoch. A message has none, so the codec remembers the epoch of the
    newest `welcome` or `gap`. Each stream's transport puts the stream's `resume` in its place.
    """

    subprotocol = "text/event-stream"
    metric_label = "events"
    has_envelopes = True

    def __init__(self) -> None:
        self.position = Position("", 0)  # the newest that was sent

    @override
    def encode(self, event: Event) -> bytes:
        if isinstance(event, Publication):
            self._reach(Position(self.position.epoch, event.offset))
            # An event without a name is a `message`, which a page receives by `onmessage`.
            return b"id: %s:%d\n%s" % (self.position.epoch.encode(), event.offset, _data(event))
        if isinstance(event, Cursor):
            # With data, though it says nothing: to some parsers an id alone is an empty message.
            return b"event: cursor\nid: %s\n%s" % (str(self.position).encode(), _data(event))
        frame = b"event: %s\n%s%s" % (_name(event), self._fields(event), _data(event))
        return _opening(event, frame) if isinstance(event, Welcome) else frame

    @override
    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        def decode(_frame: Frame) -> C:
            raise MalformedFrame("not_supported", "A stream of events accepts no requests.")

        return decode

    def _fields(self, event: Event) -> bytes:
        """Return the fields besides name and data, and remember the position of the event."""
        if isinstance(event, Welcome):
            # No id: missed messages follow, and would be lost if the stream ended before them.
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
    """The codecs of all items that have open streams."""

    def __init__(self) -> None:
        self._codecs: WeakValueDictionary[str, EventsCodec] = WeakValueDictionary()

    def of_item(self, item_id: str) -> EventsCodec:
        """Return the codec that all streams of an item share."""
        return self._codecs.setdefault(item_id, EventsCodec())


def _opening(welcome: Welcome, frame: bytes) -> bytes:
    if welcome.resume is UNSET:
        return frame
    opening = Opening(frame)
    opening.ids = OwnIds(welcome.epoch, welcome.resume)
    return opening


def _name(event: Event) -> bytes:
    return str(event.__struct_config__.tag).encode()


def _data(event: Event) -> bytes:
    """Return the envelope as the data field, which ends the event.

    A line break in it can only be white space in a publisher's JSON, and would end the field.
    """
    data = _encode(event)
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"data: %s\n\n" % data
