"""How much work a Pydantic model makes of a message: `checking_work` adds it up."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from pydantic import TypeAdapter
from pydantic_core import CoreSchema, SchemaValidator

from itemwire.rules.checking_work import Step, check_work
from itemwire.wire.payloads import MAX_DEPTH

Core = dict[str, Any]

VALUE_WORK: Final = 10  # a value that does not fit is described, once for each choice
FIELD_WORK: Final = 1
JSON_DEPTH: Final = 256  # of JSON in a string, which no bound of the message holds for

# By the kind of a core schema: where it holds others, and which values they are about.
SAME_VALUE: Final = frozenset(
    {
        "function-after",
        "function-before",
        "function-wrap",
        "default",
        "nullable",
        "model",
        "dataclass",
        "custom-error",
        "definitions",
        "union",
        "chain",
        "call",
        "named-tuple",
    }
)
ONE_OF_THEM: Final = frozenset({"tagged-union", "lax-or-strict", "json-or-python"})
EACH_MEMBER: Final = frozenset({"dict", "frozendict", "ordered-dict", "counter"})
ONE_MEMBER: Final = frozenset({"model-fields", "typed-dict", "dataclass-args"})
ENDING: Final = ("list", "tuple", "set", "frozenset")  # which may end at their first fault
ONE_ITEM: Final = frozenset({"list", "deque", "tuple", "set", "frozenset", "generator"})
REFERENCE: Final = "definition-ref"

# Keys that hold nothing by which JSON is checked.
NOT_CHECKED: Final = frozenset(
    {
        "computed_fields",
        "config",
        "default",
        "expected",
        "metadata",
        "python_schema",
        "return_schema",
        "serialization",
    }
)


def check_model_work(adapter: TypeAdapter[Any]) -> None:
    """Raise ValueError if a small message could keep a model busy."""
    steps = _Steps()
    root = steps.of(cast("Core", adapter.core_schema))
    check_work(root, JSON_DEPTH if steps.reads_json else MAX_DEPTH)


def failing_fast(adapter: TypeAdapter[Any]) -> SchemaValidator:
    """Return what checks as an adapter does, and ends at the first fault in a list.

    A description of each of thousands of faults is carried out of each level of a message.
    """
    schema = _failing_fast(adapter.core_schema)
    # A model inside would be checked by the validator of its own otherwise.
    return SchemaValidator(cast("CoreSchema", schema), _use_prebuilt=False)


def _failing_fast(value: object) -> object:
    if isinstance(value, list | tuple):
        found = cast("list[object]", value)
        return type(found)(_failing_fast(one) for one in found)
    if type(value) is not dict:
        return value
    schema = cast("Core", value)
    copied = {key: one if key in NOT_CHECKED else _failing_fast(one) for key, one in schema.items()}
    return {**copied, "fail_fast": True} if schema.get("type") in ENDING else copied


class _Steps:
    """The steps of all core schemas in one."""

    def __init__(self) -> None:
        self.reads_json = False
        self._steps: dict[int, Step] = {}
        self._named: dict[str, Step] = {}
        self._refers: list[tuple[Step, str]] = []

    def of(self, root: Core) -> Step:
        """Return the step of a core schema, with all that follow."""
        first = Step()
        waiting = [(root, first)]
        while waiting:
            schema, step = waiting.pop()
            self._name(schema, step)
            for part in self._parts(schema):
                inner = Step()
                waiting.append((part, inner))
                self._add(schema, step, part, inner)
        for step, name in self._refers:
            step.here.append(self._named[name])
        return first

    def _name(self, schema: Core, step: Step) -> None:
        kind = schema["type"]
        self.reads_json |= kind == "json"
        if isinstance(schema.get("ref"), str):
            self._named[schema["ref"]] = step
        if kind == REFERENCE:
            self._refers.append((step, schema["schema_ref"]))
        is_wrapper = kind in SAME_VALUE or kind in ONE_OF_THEM or kind == REFERENCE
        fields = schema.get("fields", ())
        step.work = 0 if is_wrapper else VALUE_WORK + FIELD_WORK * len(fields)

    def _parts(self, schema: Core) -> Iterator[Core]:
        for key, value in schema.items():
            if key not in NOT_CHECKED:
                yield from _schemas_in(value)

    def _add(self, schema: Core, step: Step, part: Core, inner: Step) -> None:
        kind = schema["type"]
        if kind == "definitions" and part is not schema["schema"]:
            return  # it counts where something refers to it
        if kind in SAME_VALUE:
            step.here.append(inner)
        elif kind in ONE_OF_THEM:
            step.either.append(inner)
        elif kind in EACH_MEMBER:
            step.in_object.each.append(inner)
        elif kind in ONE_MEMBER:
            step.in_object.one.append(inner)
        elif kind in ONE_ITEM:
            step.in_array.one.append(inner)
        else:
            step.in_array.each.append(inner)
            step.in_object.each.append(inner)


def _schemas_in(value: object) -> Iterator[Core]:
    """Find the core schemas that a key of another one holds."""
    if isinstance(value, Mapping):
        found = cast("Core", value)
        if isinstance(found.get("type"), str):
            # A field of a model is no schema itself; its own one is about the same value.
            own = found.get("schema")
            is_field = found["type"].endswith(("-field", "-parameter")) or "name" in found
            yield own if is_field and isinstance(own, dict) else found
        else:
            for one in found.values():
                yield from _schemas_in(one)
    elif isinstance(value, list | tuple):
        for one in cast("list[object]", value):
            yield from _schemas_in(one)
