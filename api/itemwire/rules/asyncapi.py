"""Describes the channels of an application as an AsyncAPI 3.0 document.

The schemas are those of the structs that the codecs encode and decode, so they cannot differ from
what is sent. Of a channel with a model, the data of its messages has the schema of that model.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final, cast

import msgspec
from pydantic import TypeAdapter

from itemwire.channels.sessions.commands import COMMANDS, COMMANDS_OF_MANY
from itemwire.messages import (
    Closing,
    Direct,
    DirectLost,
    Ephemeral,
    EphemeralReply,
    Error,
    Event,
    Expiring,
    Gap,
    Heartbeat,
    Hello,
    HistoryReply,
    ItemEnded,
    Joined,
    Left,
    MemberCount,
    MembersReply,
    Pong,
    Publication,
    PublishReply,
    RefreshReply,
    Reply,
    RequestReply,
    Updated,
    Welcome,
)
from itemwire.rules.channels import ChannelRules
from itemwire.rules.models import has_structs
from itemwire.rules.schemas import JsonSchema
from itemwire.wire.json_codec import JsonCodec
from itemwire.wire.msgpack_codec import MsgpackCodec

Json = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
DEFS: Final = "#/$defs/"


class ReadMessage(Publication, frozen=True, tag="message"):
    """A message with its place in the channel; all get the same bytes, its sender too."""

    data: Any  # any JSON value: bytes are written as base64


class ReadEphemeral(Ephemeral, frozen=True, tag="message"):
    """A message that is not stored: it has no offset, and nobody can read it later."""

    data: Any


class ReadDirect(Direct, frozen=True, tag="direct"):
    """A message to one caller, on all of its sockets; it belongs to no item."""

    data: Any


class HistoryOfItem(HistoryReply, frozen=True, kw_only=True):
    """The answer to `history`: messages, oldest first, and the stream's position at the read."""

    messages: list[ReadMessage]  # type: ignore[assignment] # as clients read them


EVENTS: Final[dict[str, type[Event]]] = {
    "hello": Hello,
    "welcome": Welcome,
    "message": ReadMessage,
    "ephemeral_message": ReadEphemeral,
    "direct": ReadDirect,
    "joined": Joined,
    "updated": Updated,
    "left": Left,
    "count": MemberCount,
    "reply": Reply,
    "publish_reply": PublishReply,
    "request_reply": RequestReply,
    "ephemeral_reply": EphemeralReply,
    "history_reply": HistoryOfItem,
    "members_reply": MembersReply,
    "refresh_reply": RefreshReply,
    "error": Error,
    "direct_lost": DirectLost,
    "gap": Gap,
    "expiring": Expiring,
    "closing": Closing,
    "pong": Pong,
    "heartbeat": Heartbeat,
}
"""What a client of one item may get, by the name of the message in the document."""

EVENTS_OF_MANY: Final[dict[str, type[Event]]] = {**EVENTS, "ended": ItemEnded}


WITH_DATA: Final = ("message", "ephemeral_message", "publish")
"""The messages whose data is that of the channel."""


@dataclass(frozen=True, slots=True)
class DescribedChannel:
    """A channel that an application declares: its pattern, what it says of it, and its model."""

    pattern: str
    parameters: tuple[str, ...] = ()
    description: str = ""
    model: Any = None

    @property
    def key(self) -> str:
        """Return the name of the channel in the document."""
        return re.sub(r"[^A-Za-z0-9]+", "_", self.pattern).strip("_")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a socket's credential may travel; without a `cookie` or tickets, not there."""

    cookie: str | None = None
    tickets: bool = False
    query_tokens: bool = True

    @property
    def schemes(self) -> Json:
        """Return the security schemes of the document."""
        found: Json = {"bearer": {"type": "http", "scheme": "bearer"}}
        if self.query_tokens:
            found["token"] = {"type": "httpApiKey", "in": "query", "name": "token"}
        if self.tickets:
            found["ticket"] = {"type": "httpApiKey", "in": "query", "name": "ticket"}
        if self.cookie is not None:
            found["cookie"] = {"type": "httpApiKey", "in": "cookie", "name": self.cookie}
        return found


def described(rules: ChannelRules) -> tuple[DescribedChannel, ...]:
    """Return the channels of an application as its document names them."""
    return tuple(
        DescribedChannel(
            rule.pattern.text,
            rule.pattern.parameters,
            rule.description,
            rule.model,
        )
        for rule in rules
    )


@lru_cache(maxsize=16)  # anybody may ask for it, and making it costs as much as many handshakes
def document_of(channels: tuple[DescribedChannel, ...], credentials: Credentials) -> bytes:
    """Return the document as JSON, the same text for the same channels."""
    requests: dict[str, Any] = {**COMMANDS_OF_MANY}
    structs = {**EVENTS_OF_MANY, **requests}
    schemas = _schemas_of(structs.values())
    messages = {name: _message(name, struct) for name, struct in structs.items()}
    parts = _Parts(schemas, messages, security=[*credentials.schemes])
    parts.add("item", "/items/{item_id}/ws", EVENTS, COMMANDS, parameters=("item_id",))
    parts.add("items", "/ws", EVENTS_OF_MANY, COMMANDS_OF_MANY)
    for channel in channels:
        parts.add_declared(channel)
    whole = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Itemwire",
            "version": version("itemwire"),
            "description": (
                f"WebSocket channels: the subprotocol {JsonCodec.subprotocol}, or "
                f"{MsgpackCodec.subprotocol} with the same envelopes in MessagePack."
            ),
        },
        "defaultContentType": "application/json",
        "channels": parts.channels,
        "operations": parts.operations,
        "components": {
            "schemas": schemas,
            "messages": messages,
            "securitySchemes": credentials.schemes,
        },
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


class _Parts:
    """The channels and operations of a document while it is made."""

    def __init__(self, schemas: Json, messages: Json, security: Iterable[str]) -> None:
        self.channels: Json = {}
        self.operations: Json = {}
        self._schemas = schemas
        self._messages = messages
        self._security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in security]

    def add(
        self,
        key: str,
        address: str,
        events: Iterable[str],
        requests: Iterable[str],
        *,
        parameters: Iterable[str] = (),
        description: str = "",
        replaced: Mapping[str, str] | None = None,
    ) -> None:
        """Add a channel, what its clients get, and what they may send.

        `replaced` names messages that stand in the place of others on this channel.
        """
        events, requests, replaced = list(events), list(requests), replaced or {}
        channel: Json = {
            "address": address,
            "messages": {
                name: {"$ref": f"#/components/messages/{replaced.get(name, name)}"}
                for name in (*events, *requests)
            },
        }
        if description:
            channel["description"] = description
        if parameters := list(parameters):
            channel["parameters"] = {name: {} for name in parameters}
        self.channels[key] = channel
        # By the server's side: it sends what clients get, and receives what they ask.
        self.operations[f"{key}_events"] = self._operation("send", key, events)
        self.operations[f"{key}_requests"] = self._operation("receive", key, requests)

    def add_declared(self, channel: DescribedChannel) -> None:
        """Add a channel that the application declares."""
        key = channel.key
        while key in self.channels:
            key += "_"
        replaced: dict[str, str] = {}
        if channel.model is not None:
            replaced = {name: self._add_message(name, key, channel.model) for name in WITH_DATA}
        self.add(
            key,
            f"/items/{channel.pattern.replace(':path}', '}')}/ws",
            EVENTS,
            COMMANDS,
            parameters=channel.parameters,
            description=channel.description,
            replaced=replaced,
        )

    def _add_message(self, name: str, key: str, model: Any) -> str:  # noqa: ANN401
        """Add a message whose data is a model, and return its name."""
        own, data = f"{key}_{name}", f"{key}_data"
        if data not in self._schemas:
            schema, further = _schema_of(model, f"{key}_")
            self._schemas.update({**further, data: schema})
        general: Json = self._messages[name]
        typed = {"type": "object", "properties": {"data": {"$ref": REF.format(name=data)}}}
        self._messages[own] = {**general, "payload": {"allOf": [general["payload"], typed]}}
        return own

    def _operation(self, action: str, key: str, messages: Iterable[str]) -> Json:
        return {
            "action": action,
            "channel": {"$ref": f"#/channels/{key}"},
            "messages": [{"$ref": f"#/channels/{key}/messages/{name}"} for name in messages],
            "security": self._security,
        }


def _message(name: str, struct: type) -> Json:
    summary = (struct.__doc__ or "").partition("\n")[0]
    return {
        "name": name,
        "summary": summary,
        "payload": {"$ref": REF.format(name=struct.__name__)},
    }


def _schemas_of(structs: Iterable[type]) -> Json:
    _, schemas = msgspec.json.schema_components(structs, ref_template=REF)
    return schemas


def _schema_of(model: Any, prefix: str) -> tuple[Json, Json]:  # noqa: ANN401 - a class or a union
    """Return the schema of a model, and those that it refers to, by names with a prefix."""
    ref = REF.format(name=prefix + "{}")
    if isinstance(model, JsonSchema):
        schema = _with_refs(model.value, ref)
        further = schema.pop("$defs", {})
    elif has_structs(model):
        (schema,), further = msgspec.json.schema_components(
            [model], ref_template=ref.format("{name}")
        )
    else:
        schema = TypeAdapter(model).json_schema(ref_template=ref.format("{model}"))
        further = schema.pop("$defs", {})
    return schema, {prefix + name: one for name, one in further.items()}


def _with_refs(value: Any, ref: str) -> Any:  # noqa: ANN401 - any part of a schema
    """Return a schema whose references to its own `$defs` are those of the document."""
    if isinstance(value, list):
        parts_of = cast("Iterable[Any]", value)
        return [_with_refs(one, ref) for one in parts_of]
    if not isinstance(value, dict):
        return value
    parts = {name: _with_refs(one, ref) for name, one in cast("Json", value).items()}
    target = parts.get("$ref")
    if isinstance(target, str):
        parts["$ref"] = ref.format(target.removeprefix(DEFS)) if target.startswith(DEFS) else target
    return parts
