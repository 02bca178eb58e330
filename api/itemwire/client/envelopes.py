"""Envelopes as a client reads and writes them, in JSON and in MessagePack."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
from typing_extensions import override

NOTHING: Final = msgspec.Raw(b"")


class MemberFields(msgspec.Struct, frozen=True):
    """A member as envelopes have it."""

    connection: str
    subject: str
    info: Any = None


class Incoming(msgspec.Struct, rename={"from_": "from"}):
    """Any envelope from a server: fields that it has not are None or empty.

    What this client does not know is left out, so that it understands servers of later versions.
    `data` is still encoded: only who asks for it pays for it.
    """

    type: str = ""
    ref: int | str | None = None
    item: str | None = None
    offset: int = 0
    sender: str | None = None
    sent_at: float = 0.0
    data: msgspec.Raw = NOTHING
    encoding: str | None = None
    meta: dict[str, str] | None = None
    end: bool = False
    ephemeral: bool = False
    epoch: str = ""
    from_: int = 0
    to: int = 0
    connection: str = ""
    subject: str = ""
    can: list[str] | None = None
    items: dict[str, list[str]] | None = None
    was_recovering: bool = False
    recovered: bool = False
    resume: str | None = None
    member: MemberFields | None = None
    members: list[MemberFields] | None = None
    member_count: int | None = None
    count: int = 0
    next: str | None = None
    partial: bool = False
    messages: "list[Incoming] | None" = None
    complete: bool = False
    expires_at: float | None = None
    server_time: float | None = None
    max_items: int | None = None
    max_message_bytes: int | None = None
    code: str | int | None = None
    reason: str = ""
    temporary: bool = False
    detail: str = ""
    retry: str | None = None
    retry_after_ms: float = 0.0


class EnvelopeForm(Protocol):
    """One form of envelopes on the wire."""

    subprotocol: str

    def read(self, frame: str | bytes) -> Incoming:
        """Return an envelope; raise ValueError for a frame that is none."""
        ...

    def write(self, fields: Mapping[str, object]) -> str | bytes:
        """Return the frame of an envelope; raise TypeError for data that it cannot hold."""
        ...

    def value(self, data: msgspec.Raw, encoding: str | None) -> Any:  # noqa: ANN401 - a payload
        """Return a payload as what it stands for."""
        ...


class JsonForm(EnvelopeForm):
    """Text frames of JSON."""

    subprotocol = "itemwire.v1.json"

    def __init__(self) -> None:
        self._read = msgspec.json.Decoder(Incoming).decode
        self._write = msgspec.json.Encoder(enc_hook=_plain_value).encode
        self._value = msgspec.json.Decoder().decode

    @override
    def read(self, frame: str | bytes) -> Incoming:
        try:
            return self._read(frame)
        except RecursionError:
            return _without_deep_data(frame if isinstance(frame, str) else frame.decode())

    @override
    def write(self, fields: Mapping[str, object]) -> str:
        if isinstance(fields.get("data"), bytes):
            raise TypeError('JSON carries no bytes: use codec="msgpack"')
        return self._write(fields).decode()

    @override
    def value(self, data: msgspec.Raw, encoding: str | None) -> Any:
        try:
            value = self._value(data)
        except ValueError:  # stored by a server of an earlier version: no parser reads it
            return bytes(data).decode()
        return base64.b64decode(value) if encoding == "base64" else value


class MessagePackForm(EnvelopeForm):
    """Binary frames of MessagePack, whose payloads may be bytes."""

    subprotocol = "itemwire.v1.msgpack"

    def __init__(self) -> None:
        self._read = msgspec.msgpack.Decoder(Incoming).decode
        self._write = msgspec.msgpack.Encoder(enc_hook=_plain_value).encode
        self._value = msgspec.msgpack.Decoder().decode

    @override
    def read(self, frame: str | bytes) -> Incoming:
        if isinstance(frame, str):
            raise ValueError("a text frame is no MessagePack")  # noqa: TRY004 - as any bad frame
        try:
            return self._read(frame)
        except RecursionError as error:
            raise ValueError("it is nested too deeply to be read") from error

    @override
    def write(self, fields: Mapping[str, object]) -> bytes:
        return self._write(fields)

    @override
    def value(self, data: msgspec.Raw, encoding: str | None) -> Any:
        return self._value(data)


FORMS: Final[dict[str, tuple[type[EnvelopeForm], ...]]] = {
    "json": (JsonForm,),
    "msgpack": (MessagePackForm, JsonForm),
}
"""What a client offers for each codec, the one it wants first; old servers know only JSON."""


def form_of(subprotocol: str | None) -> EnvelopeForm:
    """Return the form that a server has chosen; without a subprotocol it is JSON."""
    return MessagePackForm() if subprotocol == MessagePackForm.subprotocol else JsonForm()


def _plain_value(value: object) -> object:
    """Return a pydantic model as plain values, without knowing pydantic."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"data of the type {type(value).__name__} cannot be sent")
    return dump(mode="json", by_alias=True)


# A quote in a string has a backslash before it, so this is the field and no text.
_DEEP: Final = re.compile(r'(\{(?:(?!"data":).)*?),"data":(.*)\}', re.DOTALL).fullmatch


def _without_deep_data(frame: str) -> Incoming:
    """Return a message whose payload is nested deeper than any parser goes, as its JSON text."""
    parts = _DEEP(frame)
    if parts is None:
        raise ValueError("it is nested too deeply to be read")
    try:
        incoming = msgspec.json.decode(parts[1] + "}", type=Incoming)
    except RecursionError as error:
        raise ValueError("it is nested too deeply to be read") from error
    incoming.data = msgspec.Raw(msgspec.json.encode(parts[2]))
    return incoming
