"""How much work a JSON Schema makes of a message: `checking_work` adds it up."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import unquote

from itemwire.rules.checking_work import Inside, Step, check_work
from itemwire.wire.payloads import MAX_DEPTH

Schema = dict[str, Any]
Within = Callable[[object], Iterator[object]]

MAX_DIGITS: Final = 7  # of a place in a list
PATTERN_WORK: Final = 250
PLAIN_PATTERN_WORK: Final = 25  # one that repeats nothing by numbers
PLAIN_PATTERN_LENGTH: Final = 100
FRACTION_WORK: Final = 50
FINE_FRACTION_WORK: Final = 500

# Where the parts of a schema stand, and which values they are about.
LISTS_HERE: Final = ("allOf", "anyOf", "oneOf", "extends")
TRIED: Final = ("anyOf", "oneOf")  # and tried again for what is unevaluated
MAPS_HERE: Final = ("dependentSchemas", "dependencies")
ONES_HERE: Final = ("not", "if", "extends")
ONE_OF_TWO: Final = ("then", "else")
EACH_ITEM: Final = ("contains",)
LISTS_OF_ITEMS: Final = ("items", "prefixItems")
ONE_ITEM: Final = ("items", "additionalItems", "unevaluatedItems")
EACH_MEMBER: Final = ("propertyNames",)
MAPS_OF_EACH_MEMBER: Final = ("patternProperties",)
MAPS_OF_MEMBERS: Final = ("properties",)
OTHER_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")
UNEVALUATED: Final = ("unevaluatedItems", "unevaluatedProperties")
SINGLE_KINDS: Final = (set[type](), {str}, {int})  # values that are found at once among many
REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
ANCHORS: Final = ("$anchor", "$dynamicAnchor")
DEFINED: Final = ("$defs", "definitions")

MAPS: Final = (*MAPS_HERE, *MAPS_OF_EACH_MEMBER, *MAPS_OF_MEMBERS, *DEFINED)
_LISTS: Final = (*LISTS_HERE, *LISTS_OF_ITEMS)
_ONES: Final = (*ONES_HERE, *ONE_OF_TWO, *EACH_ITEM, *ONE_ITEM, *EACH_MEMBER, *OTHER_MEMBERS)
PARTS: Final = frozenset((*MAPS, *_LISTS, *_ONES, *REFERENCES))

MAX_PATTERN_WORK: Final = 100 * PATTERN_WORK  # of all patterns together, which are compiled


def check_schema_work(schema: Schema) -> None:
    """Raise ValueError if a small message could keep a schema busy."""
    if sum(_work_of_patterns(one) for one in _all_in(schema)) > MAX_PATTERN_WORK:
        raise ValueError("it has too many patterns, or too long ones")
    check_work(_Steps(schema).root(), MAX_DEPTH)


def _parts_of(schema: Schema) -> Iterator[object]:
    """Return what stands in a schema where schemas stand."""
    for keyword in MAPS:
        yield from _values(schema.get(keyword))
    for keyword in _LISTS:
        yield from _items(schema.get(keyword))
    for keyword in _ONES:
        yield schema.get(keyword)


def referred(root: Schema, reference: str) -> object:
    """Return what a reference within a schema leads to; ValueError if that is nothing."""
    if reference != "#" and not reference.startswith("#/"):
        raise ValueError(f"{reference!r} is no reference of the form `#/$defs/name`")
    found: object = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        listed = list(_items(found))
        inside = _dict(found)
        if name.isdecimal() and len(name) < MAX_DIGITS and int(name) < len(listed):
            found = listed[int(name)]
        elif name in inside:
            found = inside[name]
        else:
            raise ValueError(f"{reference!r} leads to nothing")
    return found


class _Steps:
    """The steps of all schemas in one."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._anchors = {
            f"#{one[word]}": one for one in _all_in(root) for word in ANCHORS if word in one
        }
        self._steps: dict[int, Step] = {}
        self._leaves: dict[int, Step] = {}
        self._waiting: list[tuple[Schema, Step]] = []

    def root(self) -> Step:
        root = self._of(self._root)
        while self._waiting:
            schema, step = self._waiting.pop()
            self._fill(schema, step)
        return root

    def _of(self, schema: object) -> Step:
        if not isinstance(schema, dict):
            return self._leaf(1)
        found = cast("Schema", schema)
        if not PARTS.intersection(found):
            return self._leaf(_work_of(found))
        known = self._steps.get(id(found))
        if known is None:
            known = self._steps[id(found)] = Step()
            self._waiting.append((found, known))
        return known

    def _leaf(self, work: int) -> Step:
        return self._leaves.setdefault(work, Step(work))  # there are many, and they are alike

    def _fill(self, schema: Schema, step: Step) -> None:
        def steps(words: tuple[str, ...], within: Within) -> list[Step]:
            return [self._of(one) for word in words for one in within(schema.get(word))]

        if schema is not self._root and isinstance(schema.get("$id", schema.get("id")), str):
            raise ValueError("a schema inside has an `$id`: refer to it as `#/$defs/name`")
        step.work = _work_of(schema)
        step.here = [
            *steps(LISTS_HERE, _items),
            *steps(MAPS_HERE, _values),
            *steps(ONES_HERE, _one),
            *(self._of(self._target(schema[one])) for one in REFERENCES if one in schema),
        ]
        names = Inside(each=steps(EACH_MEMBER, _one))
        if names.each:
            step.here.append(Step(0, in_object=names))
        step.tried = [*steps(TRIED, _items), *steps(("if",), _one)]
        step.either = steps(ONE_OF_TWO, _one)
        step.in_array = Inside(
            each=steps(EACH_ITEM, _one),
            one=[*steps(LISTS_OF_ITEMS, _items), *steps(ONE_ITEM, _one)],
        )
        step.in_object = Inside(
            each=steps(MAPS_OF_EACH_MEMBER, _values),
            one=steps(MAPS_OF_MEMBERS, _values),
            others=steps(OTHER_MEMBERS, _one),
        )
        step.unevaluated = steps(UNEVALUATED, _one)

    def _target(self, reference: object) -> object:
        text = str(reference)
        return self._anchors[text] if text in self._anchors else referred(self._root, text)


def _all_in(root: Schema) -> Iterator[Schema]:
    """Find all schemas in one, whether anything refers to them or not."""
    waiting: list[object] = [root]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, dict):
            yield cast("Schema", schema)
            waiting.extend(_parts_of(cast("Schema", schema)))


def _work_of(schema: Schema) -> int:
    """Return what the keywords of one schema cost that are no schemas."""
    work = 1 + len(_dict(schema.get("dependentRequired"))) + len(_dict(schema.get("dependencies")))
    listed = list(_items(schema.get("enum")))
    kinds = {type(one) for one in listed} - {type(None), bool}
    work += 0 if kinds in SINGLE_KINDS else len(listed)
    work += _work_of_patterns(schema)
    step = schema.get("multipleOf", schema.get("divisibleBy"))
    if isinstance(step, float) and not step.is_integer():
        work += FRACTION_WORK if abs(step) > 1e-9 else FINE_FRACTION_WORK  # noqa: PLR2004
    return work


def _work_of_patterns(schema: Schema) -> int:
    patterns = [schema.get("pattern"), *_dict(schema.get("patternProperties"))]
    texts = [one for one in patterns if isinstance(one, str)]
    plain = [one for one in texts if "{" not in one and len(one) <= PLAIN_PATTERN_LENGTH]
    return PATTERN_WORK * (len(texts) - len(plain)) + PLAIN_PATTERN_WORK * len(plain)


def _dict(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _values(value: object) -> Iterator[object]:
    yield from (one for one in _dict(value).values() if not isinstance(one, list))


def _items(value: object) -> Iterator[object]:
    yield from cast("list[object]", value) if isinstance(value, list) else ()


def _one(value: object) -> Iterator[object]:
    if isinstance(value, dict | bool):
        yield cast("object", value)
