"""Writes the types of models as TypeScript, from their JSON Schema."""

import json
import re
from collections.abc import Callable, Iterable
from types import GenericAlias
from typing import Any, Final, Literal, cast, get_args

import msgspec
from pydantic import PydanticSchemaGenerationError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from itemwire.rules.declared_types import UNKNOWN

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]

REF: Final = "#/"
NAMES: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")

SCALARS: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


class TypeScriptTypes:
    """Names the models of an application, each once, and writes what refers to them."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken: dict[str, str] = dict.fromkeys(reserved, "")  # what each name stands for
        self.declarations: list[str] = []

    def of(self, annotation: Any, mode: Mode) -> str:  # noqa: ANN401 - an annotation
        """Return the type of what a client sends (`validation`) or gets (`serialization`)."""
        if annotation in (UNKNOWN, Any, object):
            return "unknown"
        try:
            schema, definitions = _schema_of(annotation, mode)
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, TypeError):
            return "unknown"  # nothing that a schema can describe
        return _Writer(self, definitions).type_of(schema)

    def name_for(self, name: str, meaning: str) -> tuple[str, bool]:
        """Return the name of a type, and whether it is yet to be declared.

        Two models of one name and different fields get two names.
        """
        wanted, number = re.sub(r"\W", "_", name), 1
        chosen = wanted
        while self._taken.get(chosen, meaning) != meaning:
            number += 1
            chosen = f"{wanted}{number}"
        is_new = chosen not in self._taken
        self._taken[chosen] = meaning
        return chosen, is_new


class _Writer:
    """Writes the types of one schema and its definitions."""

    def __init__(self, types: TypeScriptTypes, definitions: Schema) -> None:
        self._types = types
        self._definitions = definitions

    def type_of(self, schema: Schema | bool) -> str:
        """Return a schema as a type."""
        if isinstance(schema, bool):
            return "unknown" if schema else "never"
        for keyword, write in KEYWORDS.items():
            if keyword in schema:
                return write(self, schema[keyword])
        return self._by_kind(schema)

    def union(self, schemas: list[Schema]) -> str:
        """Return what fits one of several schemas."""
        return union_of(map(self.type_of, schemas))

    def all_of(self, schemas: list[Schema]) -> str:
        """Return what fits each of several schemas."""
        return " & ".join(_grouped(self.type_of(one)) for one in schemas)

    def name_of(self, reference: str) -> str:
        """Return the name of a definition, which is declared at its first mention."""
        name = reference.removeprefix(REF)
        chosen, is_new = self._types.name_for(name, self._meaning_of(name))
        if is_new:
            self._declare(chosen, self._definitions[name])
        return chosen

    def _by_kind(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = cast("list[str]", kind)
            return union_of(self._by_kind({**schema, "type": one}) for one in kinds)
        if kind == "array":
            return self._array(schema)
        if kind == "object" or "properties" in schema:
            return self._object(schema)
        return SCALARS.get(str(kind), "unknown")

    def _array(self, schema: Schema) -> str:
        items = schema.get("items", True)
        first = [self.type_of(one) for one in schema.get("prefixItems", ())]
        if not first:
            return f"{_grouped(self.type_of(items))}[]"
        # A tuple has as many members as it names, unless more are described.
        if schema.get("maxItems") != len(first) and items is not False:
            first.append(f"...{_grouped(self.type_of(items))}[]")
        return f"[{', '.join(first)}]"

    def _object(self, schema: Schema) -> str:
        members = self._members(schema)
        return f"{{ {'; '.join(members)} }}" if members else "{ [name: string]: never }"

    def _members(self, schema: Schema) -> list[str]:
        required = schema.get("required", ())
        members = [
            f"{member(name)}{'' if name in required else '?'}: {self.type_of(one)}"
            for name, one in schema.get("properties", {}).items()
        ]
        further = schema.get("additionalProperties", not members)
        if further is not False:
            kind = "unknown" if members else self.type_of(further)
            members.append(f"[name: string]: {kind}")
        return members

    def _declare(self, name: str, schema: Schema) -> None:
        place = len(self._types.declarations)
        if schema.get("type") == "object" and KEYWORDS.keys().isdisjoint(schema):
            members = [f"  {one};\n" for one in self._members(schema)]
            written = f"export interface {name} {{\n{''.join(members)}}}"
        else:
            written = f"export type {name} = {self.type_of(schema)};"
        # In the place of its first mention: what it refers to comes after it.
        self._types.declarations.insert(place, _comment(schema) + written)

    def _meaning_of(self, name: str) -> str:
        """Return what tells two models of one name apart: the schema with all it refers to."""
        reached: dict[str, Any] = {}
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached[one] = self._definitions[one]
                waiting += re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(reached[one]))
        return json.dumps(reached, sort_keys=True)


KEYWORDS: Final[dict[str, Callable[[_Writer, Any], str]]] = {
    "$ref": _Writer.name_of,
    "const": lambda _, value: _literal(value),
    "enum": lambda _, values: union_of(map(_literal, values)),
    "anyOf": _Writer.union,
    "oneOf": _Writer.union,
    "allOf": _Writer.all_of,
}
"""The keywords that say all of a schema, each with what writes it."""


def _schema_of(annotation: Any, mode: Mode) -> tuple[Schema, Schema]:  # noqa: ANN401 - as above
    """Return a schema and the definitions that it refers to by `#/<name>`."""
    if _has_struct(annotation):
        (schema,), definitions = msgspec.json.schema_components(
            [annotation], ref_template=REF + "{name}"
        )
        return schema, definitions
    # As a member of a list a model is referred to by its name, and not written out.
    list_of: Any = GenericAlias(list, annotation)
    adapter: TypeAdapter[Any] = TypeAdapter(list_of)
    listed = adapter.json_schema(ref_template=REF + "{model}", mode=mode)
    definitions = listed.get("$defs", {})
    if mode == "serialization":  # a model is written whole, with what it has by default
        for one in definitions.values():
            one["required"] = list(one.get("properties", ()))
    return listed["items"], definitions


def _has_struct(annotation: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return True
    return any(map(_has_struct, get_args(annotation)))


def _comment(schema: Schema) -> str:
    text = str(schema.get("description", "")).partition("\n\n")[0].replace("*/", "*\\/")
    return f"/** {' '.join(text.split())} */\n" if text else ""


def _literal(value: object) -> str:
    return json.dumps(value)


def member(name: str) -> str:
    """Return the name of a member as it stands in a type."""
    return name if NAMES.fullmatch(name) else json.dumps(name)


def union_of(types: Iterable[str]) -> str:
    """Return what is one of several types; `never` of none."""
    return " | ".join(dict.fromkeys(types)) or "never"


def _grouped(written: str) -> str:
    """Return a type so that something may stand beside it."""
    return f"({written})" if " | " in written or " & " in written else written
