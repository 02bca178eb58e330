"""The rules that nodes leave in the engine, for processes that only publish.

They are the last message of a reserved item. A publisher reads them there; whoever may write to the
store may have written them, so they are bounded and checked as those of a file are.
"""

import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Annotated, Any, Final, Protocol, Self, cast

import msgspec
from msgspec import Meta
from pydantic import TypeAdapter
from typing_extensions import override

from itemwire.channels.limits.item_rules import NO_RULES, ItemRules
from itemwire.channels.names import RULES_ITEM, channel_of, item_of
from itemwire.channels.node import Node
from itemwire.channels.watched import WATCH_BOUNDS, WATCH_CHANNEL
from itemwire.engines.base import Bounds, ChannelBounds, EngineError, Span
from itemwire.engines.callbacks import answer_or_raise
from itemwire.rules.models import has_structs
from itemwire.rules.options import ChannelOptions, rules_of_options
from itemwire.rules.patterns import Pattern
from itemwire.rules.schemas import JsonSchema, NoSchemaLibrary
from itemwire_auth.settings import LARGEST, LONGEST

logger = logging.getLogger("itemwire.channels")

MAX_BYTES: Final = 524_288
MAX_RULES: Final = 1000
CACHED: Final = 10_000
NO_MODEL: Final = b"null"

RULES_CHANNEL: Final = channel_of(RULES_ITEM)
RULES_BOUNDS: Final = Bounds(messages=0, bytes=0, seconds=1, retained=10 * 365 * 86_400.0)
LAST: Final = Span(0, retained=True)

OWN_BOUNDS: Final = {RULES_CHANNEL: RULES_BOUNDS, WATCH_CHANNEL: WATCH_BOUNDS}
"""The bounds of channels that are no item's."""

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Seconds = Annotated[float, Meta(ge=0, le=LONGEST)]


class StoredRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one rule says about a message before it is stored, and how long it is kept."""

    pattern: Annotated[str, Meta(max_length=512)]
    history: Count | None = None
    history_bytes: Count | None = None
    max_age: Seconds | None = None
    retain: Seconds = 0
    max_message_bytes: Count | None = None
    model: msgspec.Raw = msgspec.Raw(NO_MODEL)  # its JSON Schema


class StoredRules(msgspec.Struct, frozen=True):
    """The rules in the order in which they were declared, and what the settings say besides.

    Fields that only a newer version knows are ignored.
    """

    history: Count
    history_bytes: Count
    max_age: Seconds
    rules: Annotated[list[StoredRule], Meta(max_length=MAX_RULES)]


class DeclaredRule(Protocol):
    """A rule of a node, as far as it is stored."""

    @property
    def pattern(self) -> Pattern:
        """Return the pattern of its items."""
        ...

    @property
    def item_rules(self) -> ItemRules:
        """Return what it changes."""
        ...

    @property
    def model(self) -> object:
        """Return what messages must be, or None."""
        ...


class SharedRules(ChannelBounds):
    """The rules that a publisher has read, and the bounds that follow from them."""

    def __init__(self, default: Bounds, rules: Sequence[tuple[Pattern, ItemRules]] = ()) -> None:
        self._default = default
        self._rules = rules
        self.of_item = lru_cache(CACHED)(self._of_item)

    @classmethod
    def read(cls, text: bytes, default: Bounds) -> Self:
        """Return the rules in a text; ValueError if it is none that a node has written."""
        if len(text) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        try:
            stored = _decode(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from error
        bounds = Bounds(stored.history, stored.history_bytes, stored.max_age, default.total_bytes)
        return cls(bounds, [(Pattern.parse(one.pattern), _rules_of(one)) for one in stored.rules])

    @override
    def of(self, channel: str, /) -> Bounds:
        own = OWN_BOUNDS.get(channel)
        if own is not None:
            return own
        return self.of_item(item_of(channel)).bounds(self._default)

    @property
    @override
    def largest(self) -> Bounds:
        return largest_of(self._default, [rules for _, rules in self._rules])

    def _of_item(self, item_id: str) -> ItemRules:
        for pattern, rules in self._rules:
            if pattern.match(item_id) is not None:
                return rules
        return NO_RULES


def largest_of(default: Bounds, rules: Iterable[ItemRules]) -> Bounds:
    """Return bounds that no channel exceeds: the default itself if no rule exceeds it."""
    each = [default, *(one.bounds(default) for one in rules)]
    largest = Bounds(
        max(one.messages for one in each),
        max(one.bytes for one in each),
        max(one.seconds for one in each),
        default.total_bytes,
        max(one.retained for one in each),
    )
    return default if largest == default else largest


async def share_rules(node: Node, rules: Iterable[DeclaredRule], default: Bounds) -> None:
    """Leave the rules of a node in its engine, if others are there; a failure is logged."""
    text = written(rules, default)
    if len(text) > MAX_BYTES:
        logger.warning("rules_not_shared problem=larger than %d bytes", MAX_BYTES)
        return
    try:
        there = await answer_or_raise(partial(node.history, RULES_ITEM, LAST))
        last = there.retained
        if last is None or isinstance(last.data, str) or bytes(last.data) != text:
            publish = partial(node.publishing.from_code, RULES_ITEM, msgspec.Raw(text))
            await answer_or_raise(publish)
    except EngineError as error:
        logger.warning("rules_not_shared problem=%s", error)


def written(rules: Iterable[DeclaredRule], default: Bounds) -> bytes:
    """Return rules as they are stored."""
    stored = StoredRules(
        default.messages, default.bytes, default.seconds, [_stored(rule) for rule in rules]
    )
    return msgspec.json.encode(stored)


def _stored(rule: DeclaredRule) -> StoredRule:
    own = rule.item_rules
    return StoredRule(
        rule.pattern.text,
        own.history,
        own.history_bytes,
        own.max_age,
        own.retain,
        own.max_message_bytes,
        _schema_of(rule.model),
    )


def _schema_of(model: Any) -> msgspec.Raw:  # noqa: ANN401 - a type, or a union
    """Return the JSON Schema of a model as its text; null where there is none."""
    if model is None:
        return msgspec.Raw(NO_MODEL)
    try:
        if isinstance(model, JsonSchema):
            return msgspec.Raw(model.text.encode())
        has = has_structs(model)
        schema = msgspec.json.schema(model) if has else TypeAdapter(model).json_schema()
        return msgspec.Raw(msgspec.json.encode(schema))
    except Exception as error:  # noqa: BLE001 - both libraries have many; nodes check by the model
        logger.warning("model_not_shared model=%r problem=%s", model, error)
        return msgspec.Raw(NO_MODEL)


def _rules_of(stored: StoredRule) -> ItemRules:
    """Return a rule as it holds here; its model is left out where it cannot be checked."""
    said = {
        "history": stored.history,
        "history_bytes": stored.history_bytes,
        "max_age": stored.max_age or None,
        "retain": stored.retain or None,
        "max_message_bytes": stored.max_message_bytes or None,
    }
    options = cast(
        "ChannelOptions", {name: value for name, value in said.items() if value is not None}
    )
    text = bytes(stored.model)
    if text == NO_MODEL:
        return rules_of_options(options, LARGEST)
    try:
        with_model: ChannelOptions = {**options, "model": JsonSchema.read(text)}
        return rules_of_options(with_model, LARGEST)
    except NoSchemaLibrary as error:
        logger.warning("model_unchecked pattern=%r problem=%s", stored.pattern, error)
    except ValueError as error:
        logger.warning("model_unreadable pattern=%r problem=%s", stored.pattern, error)
    return rules_of_options(options, LARGEST)


_decode: Final = msgspec.json.Decoder(StoredRules).decode
