"""Envelopes as MessagePack in binary frames: the subprotocol `itemwire.v1.msgpack`.

Payloads are stored as text, bytes or JSON, whichever codec they came by. So `data` may be what JSON
can hold, or bytes as a whole; what is in it is checked on the way in.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, Union

import msgspec
from typing_extensions import TypeIs, override

from itemwire.messages import (
    Direct,
    Ephemeral,
    Event,
    Frame,
    HistoryReply,
    Joined,
    Left,
    MembersReply,
    Payload,
    Publication,
    RequestReply,
    Updated,
    Welcome,
)
from itemwire.wire.base import C, Codec, MalformedFrame
from itemwire.wire.faults import Outline, fault_in
from itemwire.wire.payloads import MAX_DEPTH

WITH_DATA: Final = (Publication, Ephemeral, Direct)
"""The events with a payload."""

WITH_JSON: Final = (Welcome, Joined, Updated, Left, MembersReply, RequestReply)
"""The events that may hold JSON text of an application: a reply, or the `info` of a member."""

M = TypeVar("M", bound=Publication | Ephemeral | Direct)

_NOT_JSON: Final = "data: JSON cannot hold"
_SCALARS: Final = frozenset({type(None), bool, int, float, str})
_CONTAINERS: Final = frozenset({list, dict})
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_outline: Final = msgspec.msgpack.Decoder(Outline).decode


class MsgpackCodec(Codec):
    """Carries every event and request as one MessagePack map."""

    subprotocol = "itemwire.v1.msgpack"
    metric_label = "msgpack"
    has_envelopes = True

    @override
    def encode(self, event: Event) -> Frame:
        if isinstance(event, WITH_DATA):
            return _encode(_with_native_data(event))
        if isinstance(event, HistoryReply):
            messages = [_with_native_data(message) for message in event.messages]
            return _encode(msgspec.structs.replace(event, messages=messages))
        if isinstance(event, WITH_JSON):
            return _packed(msgspec.json.encode(event))
        return _encode(event)

    @override
    def payload_of(self, data: msgspec.Raw) -> Payload:
        try:
            value = _decode(data)
        except RecursionError:
            raise ValueError(_too_deep()) from None
        if isinstance(value, str | bytes):
            return value
        _check(value)
        return msgspec.Raw(msgspec.json.encode(value))

    @override
    def decoder(
        self, requests: dict[str, type[C]], bare: Callable[[Frame], C]
    ) -> Callable[[Frame], C]:
        shape: Any = Union[tuple(requests.values())]  # noqa: UP007 - built at run time
        read: Callable[[bytes], C] = msgspec.msgpack.Decoder(shape).decode

        def decode(frame: Frame) -> C:
            if isinstance(frame, str):
                raise MalformedFrame("payload_invalid", "Envelopes must be binary frames.")
            try:
                return read(frame)
            except (ValueError, RecursionError) as error:
                raise _fault(frame, requests, error) from error

        return decode


def _fault(frame: bytes, requests: dict[str, type[C]], error: Exception) -> MalformedFrame:
    try:
        outline = _outline(frame)
    except (ValueError, RecursionError):
        return MalformedFrame("payload_invalid", str(error))
    return fault_in(outline, requests, error)


def _with_native_data(message: M) -> M:
    """Return a message whose JSON is MessagePack, and whose bytes need no `encoding`."""
    data = message.data
    if isinstance(data, str):
        return message
    if not isinstance(data, msgspec.Raw):
        return msgspec.structs.replace(message, encoding=msgspec.UNSET)
    try:
        return msgspec.structs.replace(message, data=msgspec.Raw(_packed(bytes(data))))
    except (ValueError, OverflowError, RecursionError):  # stored by an earlier version
        return msgspec.structs.replace(message, data=bytes(data).decode(), encoding="json")


def _packed(json: bytes) -> bytes:
    """Return JSON as MessagePack; ValueError or RecursionError if nothing can read it."""
    value = msgspec.json.decode(json)
    try:
        return _encode(value)
    except OverflowError:
        return _encode(_narrowed(value))


def _narrowed(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value with doubles for the integers that MessagePack has no room for."""
    if _is_array(value):
        return [_narrowed(one) for one in value]
    if _is_map(value):
        return {name: _narrowed(one) for name, one in value.items()}
    if isinstance(value, int) and not _MIN_INT <= value <= _MAX_INT:
        return float(value)
    return value


def _check(value: object) -> None:
    """Raise ValueError if JSON cannot hold a value, or if it is nested too deeply."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = _children(level)
        if not level:
            return
    kinds = set(map(type, level))
    if not kinds.isdisjoint(_CONTAINERS):
        raise ValueError(_too_deep())
    _check_scalars(level, kinds)


def _children(level: list[Any]) -> list[Any]:
    """Return what the arrays and maps among these values hold, or raise ValueError."""
    kinds = set(map(type, level))
    _check_scalars(level, kinds)
    found: list[Any] = []
    if kinds.isdisjoint(_CONTAINERS):
        return found
    for one in level:
        if _is_array(one):
            found += one
        elif _is_map(one):
            found += _members(one)
    return found


def _check_scalars(level: list[Any], kinds: set[type]) -> None:
    # By their types first, which takes a tenth of the time that a look at each value does.
    if bytes in kinds:
        raise ValueError(f"{_NOT_JSON} bytes inside of an array or a map")
    if not kinds <= _SCALARS | _CONTAINERS:
        raise ValueError(f"{_NOT_JSON} extension types")
    if float in kinds and not all(math.isfinite(one) for one in level if type(one) is float):
        raise ValueError(f"{_NOT_JSON} numbers that are not finite")


def _members(value: dict[Any, Any]) -> Iterable[Any]:
    if not set(map(type, value)) <= {str}:
        raise ValueError(f"{_NOT_JSON} names that are no text")
    return value.values()


def _is_array(value: object) -> TypeIs[list[Any]]:
    return type(value) is list


def _is_map(value: object) -> TypeIs[dict[Any, Any]]:
    return type(value) is dict


def _too_deep() -> str:
    return f"data: nested deeper than {MAX_DEPTH} levels"
