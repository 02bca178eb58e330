"""No small message keeps a model busy: what would multiply is refused where it is declared."""

from __future__ import annotations

import json
import time
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, get_args

import msgspec
import pytest
from pydantic import BaseModel, Field, Json, JsonValue, TypeAdapter, ValidationError
from pydantic_core.core_schema import CoreSchemaType
from typing_extensions import TypeAliasType

from itemwire import Itemwire
from itemwire.rules import model_work
from itemwire.rules.models import check_of
from itemwire.rules.schemas import JsonSchema, NoSchemaLibrary
from itemwire.rules.shared import SharedRules
from itemwire.wire.payloads import MAX_DEPTH
from tests.test_channel_options import caller
from tests.test_publisher_rules import DEFAULT
from tests.test_startup_checks import settings_of

T = TypeVar("T")
SIZE: Final = 65_536  # the largest payload, as long as no setting says otherwise
TIMES: Final = 2000  # how much longer a check may take than to read the JSON of the same message
ME: Final[dict[str, Any]] = {"$ref": "#"}
CHILD: Final[dict[str, Any]] = {"properties": {"n": ME}}
TEXT: Final[dict[str, Any]] = {"type": "string"}


def tagged(tag: str, **more: object) -> dict[str, Any]:
    """Return one of several branches that the property `k` tells apart."""
    properties = {"k": {"const": tag}, "n": ME, **more}
    return {"type": "object", "required": ["k"], "properties": properties}


def chained(**branches: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas
    """Return definitions that each lead to the next twice, about the same value."""
    (keyword,) = branches
    names = [f"d{number}" for number in range(40)]
    pairs = pairwise(names)
    twice = {name: {keyword: [{"$ref": f"#/$defs/{then}"}] * 2} for name, then in pairs}
    return {"$defs": {**twice, names[-1]: {"type": "string"}}, "$ref": "#/$defs/d0"}


REFUSED: Final[dict[str, dict[str, Any]]] = {
    "anyOf": {"anyOf": [TEXT, CHILD, CHILD]},
    "oneOf": {"oneOf": [TEXT, CHILD, {**CHILD, "required": ["n"]}]},
    "allOf": {"allOf": [CHILD, CHILD]},
    "if and then": {"if": CHILD, "then": CHILD},
    "not and properties": {"not": CHILD, **CHILD},
    "two patterns": {"patternProperties": {"n": ME, ".": ME}},
    "a pattern and a property": {"patternProperties": {"n": ME}, **CHILD},
    "dependentSchemas": {"dependentSchemas": {"n": CHILD}, **CHILD},
    "dependencies": {"dependencies": {"n": CHILD}, **CHILD},
    "contains and items": {"contains": ME, "items": ME},
    "unevaluatedProperties": {"anyOf": [CHILD], "unevaluatedProperties": False},
    "unevaluatedItems": {"anyOf": [{"items": ME}], "unevaluatedItems": False},
    "$dynamicRef": {"$dynamicAnchor": "n", "allOf": [{"items": {"$dynamicRef": "#n"}}] * 2},
    "$recursiveRef": {"allOf": [{"items": {"$recursiveRef": "#"}}] * 2},
    "an anchor": {"$anchor": "n", "allOf": [{"items": {"$ref": "#n"}}] * 2},
    "tags that are alike": {"oneOf": [tagged("a"), tagged("a")]},
    "choices of choices": chained(anyOf=0),
    "all of all": chained(allOf=0),
    "one of one": chained(oneOf=0),
    "many fine fractions": {"items": {"allOf": [{"multipleOf": 1e-300}] * 5}},
    "many patterns": {"items": {"allOf": [{"pattern": "a{50}"}] * 10}},
    "a long list of objects": {"items": {"enum": [{"a": one} for one in range(3000)]}},
    "a long mixed list": {"items": {"enum": ["a", *range(3000)]}},
    "many dependent names": {
        "items": {"dependentRequired": {str(one): ["a"] for one in range(3000)}}
    },
    "a circle": {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
    "patterns without end": {"properties": {str(one): {"pattern": f"a{{9}}{one}"}
                                            for one in range(200)}},
    "an address inside": {"$defs": {"a": {"$id": "https://a.example/b", "items": {}}},
                          "$ref": "#/$defs/a"},
}  # fmt: skip
ACCEPTED: Final[dict[str, dict[str, Any]]] = {
    "anyOf": {"anyOf": [TEXT, {"type": "null"}, CHILD]},
    "oneOf": {"oneOf": [TEXT, {"type": "null"}, CHILD]},
    "an array or an object": {"anyOf": [TEXT, {"items": ME}, {"additionalProperties": ME}]},
    "allOf": {"allOf": [CHILD, {"required": ["n"]}]},
    "then and else": {"if": {"required": ["n"]}, "then": CHILD, "else": CHILD},
    "not": {"not": {"not": CHILD}},
    "a pattern and others": {"patternProperties": {"n": ME}, "additionalProperties": ME},
    "dependentSchemas": {"dependentSchemas": {"n": CHILD}},
    "contains": {"contains": ME, "uniqueItems": True},
    "many properties": {"properties": {"n": ME, **{str(one): ME for one in range(50)}}},
    "unevaluatedProperties": {"unevaluatedProperties": ME},
    "unevaluated and allOf": {"allOf": [CHILD], "unevaluatedProperties": False},
    "$dynamicRef": {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}},
    "an anchor": {"$anchor": "n", "items": {"$ref": "#n"}},
    "tags": {"oneOf": [tagged("a"), tagged("b", other=ME)]},
    "named tags": {
        "discriminator": {"propertyName": "k"},
        "oneOf": [{**tagged(one), "required": []} for one in "ab"],
    },
    "a choice in a choice": {"anyOf": [{"items": {"anyOf": [TEXT, {"required": ["k"]}] * 9}}]},
    "a long list of texts": {"items": {"enum": [f"v{one}" for one in range(9000)]}},
    "fractions": {"items": {"multipleOf": 0.01}},
    "a pattern": {"items": {"pattern": "^(a+)+$"}},
    "a counted pattern": {"pattern": "[ab]*a[ab]{300}[^ab]"},
    "an address of its own": {"$id": "https://a.example/b", "items": ME},
}


def made_of(part: str, depth: int) -> str:
    """Return JSON as large as a message may be: a part, many times, so deep in the others."""
    text = "[" * (depth - 1) + "{}" + "]" * (depth - 1)
    wide = ",".join([part] * (SIZE // (len(part) + 1) - depth))
    return text.replace("{}", f"[{wide}]")


def nested(before: str, after: str, leaf: str) -> str:
    """Return JSON as deep as a message may be."""
    return before * (MAX_DEPTH - 1) + leaf + after * (MAX_DEPTH - 1)


MESSAGES: Final = {
    "deep objects": nested('{"n":', "}", "5"),
    "deep tagged objects": nested('{"k":"a","n":', "}", "5"),
    "deep objects of more": nested('{"n":1,"m":2,"n":', "}", '"x"'),
    "deep arrays": nested("[", "]", "5"),
    "deep arrays of more": nested("[1,", "]", "{}"),
    **{f"numbers {depth} deep": made_of("5.5", depth) for depth in (1, 30, MAX_DEPTH)},
    **{f"objects {depth} deep": made_of("{}", depth) for depth in (1, 30, MAX_DEPTH - 1)},
    "texts": json.dumps([f"a{one}" for one in range(8000)]),
    "keys": json.dumps({f"n{one}": one for one in range(5000)}),
    "a long text": json.dumps("ab" * (SIZE // 2 - 1)),
}


def check_is_cheap(model: object) -> None:
    """Fail if a message of `MESSAGES` takes a check very much longer than to read it."""
    check = check_of(model)
    largest = max(MESSAGES.values(), key=len)
    reading = min(_cpu(lambda: msgspec.json.decode(largest)) for _ in range(5))
    for name, text in MESSAGES.items():
        data = msgspec.json.decode(text)
        payload = data if isinstance(data, str) else msgspec.Raw(text.encode())
        took = _cpu(partial(check, payload))
        assert took < TIMES * reading, name


def _cpu(run: Any) -> float:  # noqa: ANN401 - any function
    began = time.thread_time()
    run()
    return time.thread_time() - began


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_a_schema_that_multiplies(name: str) -> None:
    """At its declaration, and as a server hands it over to a publisher."""
    live = Itemwire(user=caller, settings=settings_of(secret=None))

    with pytest.raises(ValueError, match="model is no JSON Schema that can be used: ") as refused:
        live.add_channel("order:{id}", model=REFUSED[name])

    assert not isinstance(refused.value, NoSchemaLibrary)


def test_says_what_to_do_instead() -> None:
    """The most likely ways."""
    with pytest.raises(ValueError, match="give them a discriminator, or let one of them alone"):
        check_of(JsonSchema.of(REFUSED["anyOf"]))


@pytest.mark.parametrize("name", ACCEPTED)
def test_no_message_keeps_a_schema_busy(name: str) -> None:
    """However deep or wide it is; to say where a fault is costs little, too."""
    check_is_cheap(JsonSchema.of(ACCEPTED[name]))


def test_a_publisher_does_without_a_model_that_multiplies(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever has written to the store."""
    rule = {"pattern": "order:{id}", "model": REFUSED["anyOf"]}
    other = {"pattern": "news:{id}", "model": ACCEPTED["anyOf"]}
    text = {"history": 1, "history_bytes": 1, "max_age": 1, "rules": [rule, other]}

    rules = SharedRules.read(json.dumps(text).encode(), DEFAULT)

    assert rules.of_item("order:1").check is None
    assert rules.of_item("news:1").check is not None
    assert "model_unreadable pattern='order:{id}'" in caplog.text


class Leaf(BaseModel):
    """What holds nothing."""

    k: Literal["leaf"]


class Left(BaseModel):
    """One of two that hold both."""

    n: Left | Right | int


class Right(BaseModel):
    """The other one."""

    n: Left | Right | int
    m: int = 0


class Cat(BaseModel):
    """One of two that a tag tells apart."""

    k: Literal["a"]
    n: Pet | int | None


class Dog(BaseModel):
    """The other one."""

    k: Literal["b"] = "b"
    n: Pet | list[Pet]


Pet = Annotated[Cat | Dog, Field(discriminator="k")]


class Tree(BaseModel):
    """What holds itself in one way at a time."""

    n: Tree | None = None
    many: list[Tree] = []
    named: dict[str, Tree] = {}


class Box(BaseModel, Generic[T]):
    """What holds itself, and something else."""

    v: T
    n: Box[T] | None = None


class Packed(BaseModel):
    """What holds JSON in a string."""

    n: Json[Any] | None
    k: Json[Packed] | int


class Repacked(BaseModel):
    """What holds two in one."""

    n: Json[Repacked] | Json[list[Repacked]]


Value = TypeAliasType("Value", "int | str | list[Value] | dict[str, Value] | None")
Doubled = TypeAliasType("Doubled", "list[Doubled] | list[Doubled | int]")
Ordered = TypeAliasType(
    "Ordered", "Annotated[list[Ordered] | tuple[Ordered, int], Field(union_mode='left_to_right')]"
)


class Node(msgspec.Struct, tag="node"):
    """A struct that holds itself."""

    n: Node | Edge | int
    many: list[Node | Edge] = []


class Edge(msgspec.Struct, tag="edge"):
    """Another one."""

    n: Node | Edge | None = None


@pytest.mark.parametrize("model", [Left, Left | Right, Doubled, Ordered, list[Left], Repacked])
def test_refuses_a_model_that_multiplies(model: object) -> None:
    """Pydantic tries all choices of a union, however deep."""
    live = Itemwire(user=caller, settings=settings_of(secret=None))

    with pytest.raises(ValueError, match="give them a discriminator"):
        live.add_channel("order:{id}", model=model)


@pytest.mark.parametrize(
    "model",
    [Leaf, Leaf | Cat, Pet, Cat, Tree, Box[int], Packed, Value, JsonValue, int, Node, Node | Edge],
)
def test_no_message_keeps_a_model_busy(model: Any) -> None:  # noqa: ANN401 - a type
    """Nor its JSON Schema, by which a publisher checks."""
    check_is_cheap(model)

    if model not in (Node, Node | Edge):
        check_is_cheap(JsonSchema.of(TypeAdapter(model).json_schema()))


LEAVES: Final = (
    "invalid any none bool int float decimal fraction str bytes date time datetime timedelta "
    "literal missing-sentinel ellipsis enum is-instance is-subclass callable function-plain "
    "url multi-host-url uuid complex"
)


def test_knows_every_kind_of_schema() -> None:
    """A new version of Pydantic may have more: say what they hold, or that they hold nothing."""
    known = {
        *model_work.SAME_VALUE,
        *model_work.ONE_OF_THEM,
        *model_work.EACH_MEMBER,
        *model_work.ONE_MEMBER,
        *model_work.ONE_ITEM,
        model_work.REFERENCE,
        "json",
        "arguments",
        "arguments-v3",
    }
    leaves = set(LEAVES.split())

    assert known.isdisjoint(leaves)
    assert set(get_args(CoreSchemaType)) <= known | leaves


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"k": "a"}, None),
        ({"k": "b", "n": {"k": "a", "n": "x"}}, "data.n.n: the value fits none of the choices"),
        ({"k": "b", "n": {"k": "c"}}, "data.n: "),
        ({"n": {"k": "a"}}, "data: "),
        ("text", "data: "),
        ([], "data: "),
    ],
)
def test_a_tag_decides_between_choices(data: object, fault: str | None) -> None:
    """They mean what they meant, and say where a message does not fit."""
    schema = {"oneOf": [tagged("a"), tagged("b")]}
    schema["oneOf"][0]["properties"]["n"] = {"anyOf": [{"type": "null"}, ME]}
    check = check_of(JsonSchema.of(schema))

    found = check(data if isinstance(data, str) else msgspec.Raw(json.dumps(data).encode()))

    assert found is None if fault is None else (found or "").startswith(fault)


def test_counts_the_faults_of_a_message_that_has_thousands() -> None:
    """To list them takes many times as long as to find them; in a list, the first is enough."""
    check = check_of(dict[str, list[int]])

    def faults(count: int) -> str | None:
        data = {f"n{one}": ["x", "y"] for one in range(count)}
        return check(msgspec.Raw(json.dumps(data).encode()))

    assert faults(0) is None
    assert faults(900) == "data.n0[0]: Input should be a valid integer"
    assert faults(9000) == "data: it has 9000 faults"


class Inner(BaseModel):
    """What is checked as part of another model."""

    many: list[int] = Field(default_factory=list, max_length=5000)
    kept: dict[str, str] = {"type": "list"}


class Outer(BaseModel):
    """What holds it."""

    inner: Inner


def test_ends_at_the_first_fault_in_a_list_of_a_model_inside() -> None:
    """And changes nothing else that a model says."""
    validator = model_work.failing_fast(TypeAdapter(Outer))

    with pytest.raises(ValidationError) as refused:
        validator.validate_json('{"inner": {"many": ["x", "y"]}}')

    assert refused.value.error_count() == 1
    assert validator.validate_json('{"inner": {}}') == Outer(inner=Inner())
