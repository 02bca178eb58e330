"""Rewrites the choices of a JSON Schema (`anyOf`, `oneOf`) so that they cost little.

Choices that a property tells apart, as a discriminator does, become one look at that property. For
errors, a choice is only said not to fit: the library would list what is wrong with each branch, and
with each branch inside of it, which takes thousands of times as long as to find that none fits.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from itemwire.rules.schema_work import MAPS, Schema, referred

CHOICES: Final = ("anyOf", "oneOf")
MAX_CHOICES: Final = 100  # each is one level deeper in what is written in their place
NONE_FITS: Final = '{"not":{"anyOf":', '{"not":{"oneOf":'  # how the error of `short` begins

_VALUES: Final = frozenset({"const", "enum", "default", "examples"})  # hold data, not schemas


def by_tag(root: Schema) -> Schema:
    """Return a schema that means the same, where a property decides between its choices."""

    def rewritten(schema: Schema) -> Schema:
        for keyword in CHOICES:
            choices = schema.get(keyword)
            if isinstance(choices, list):
                found = _by_tag(root, schema, cast("list[object]", choices))
                if found is not None:
                    rest = {name: one for name, one in schema.items() if name != keyword}
                    schema = _with(rest, found)
        return schema

    return cast("Schema", _each(root, rewritten))


def short(root: Schema) -> Schema:
    """Return a schema for errors alone: it finds where one is, and lists no branches."""

    def rewritten(schema: Schema) -> Schema:
        rest = {name: one for name, one in schema.items() if not name.startswith("unevaluated")}
        for keyword in CHOICES:
            if keyword in rest:
                rest = _with(rest, {"not": {"not": {keyword: rest.pop(keyword)}}})
        return rest

    return cast("Schema", _each(root, rewritten))


def _each(value: object, rewritten: Callable[[Schema], Schema], *, is_map: bool = False) -> object:
    """Return a value with all objects in it rewritten that may be schemas."""
    if isinstance(value, list):
        return [_each(one, rewritten) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("Schema", value)
    done = {
        name: one
        if name in _VALUES and not is_map
        else _each(one, rewritten, is_map=not is_map and name in MAPS)
        for name, one in found.items()
    }
    return done if is_map else rewritten(done)


def _with(schema: Schema, another: Schema) -> Schema:
    others = schema.get("allOf")
    return {**schema, "allOf": [*(others if isinstance(others, list) else ()), another]}


def _by_tag(root: Schema, schema: Schema, choices: list[object]) -> Schema | None:
    if not 1 < len(choices) <= MAX_CHOICES:
        return None
    branches = [_resolved(root, one) for one in choices]
    name = _dict(schema.get("discriminator")).get("propertyName")
    names = [name] if isinstance(name, str) else list(_properties(branches[0]))
    for one in names:
        tags = [_tags(branch, one, is_needed=name is None) for branch in branches]
        listed = [tag for found in tags for tag in found]
        if all(tags) and len(set(listed)) == len(listed):
            return _chain(one, list(zip(tags, choices, strict=True)))
    return None


def _chain(name: str, choices: list[tuple[list[str], object]]) -> Schema:
    chain: object = False
    for tags, choice in reversed(choices):
        is_it = {"type": "object", "required": [name], "properties": {name: {"enum": tags}}}
        chain = {"if": is_it, "then": choice, "else": chain}
    return cast("Schema", chain)


def _tags(branch: Mapping[str, Any], name: str, *, is_needed: bool) -> list[str]:
    """Return the texts of a property by which a branch is known, if it is."""
    required = branch.get("required")
    if branch.get("type") != "object" or (
        is_needed and not (isinstance(required, list) and name in required)
    ):
        return []
    found = _dict(_properties(branch).get(name))
    tags = found.get("enum", [found["const"]] if "const" in found else [])
    listed = cast("list[object]", tags) if isinstance(tags, list) else [None]
    texts = [one for one in listed if isinstance(one, str)]
    return texts if len(texts) == len(listed) else []


def _properties(branch: Mapping[str, Any]) -> Mapping[str, object]:
    return _dict(branch.get("properties"))


def _dict(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _resolved(root: Schema, branch: object) -> Schema:
    """Return a branch, or what it refers to, or an empty one for anything else."""
    if not isinstance(branch, dict):
        return {}
    found = cast("Schema", branch)
    if isinstance(found.get("$ref"), str):
        try:
            target = referred(root, found["$ref"])
        except ValueError:
            return {}
        return cast("Schema", target) if isinstance(target, dict) else {}
    return found
