"""JSON Schemas as models of messages: of a file, or of what a node says of its own.

They are checked by `jsonschema-rs`, which the extra `schema` installs: it is written in Rust, knows
every draft, and fetches nothing. `schema_work` refuses what a message could keep it busy with.
"""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from itemwire.rules.schema_choices import CHOICES, NONE_FITS, by_tag, short
from itemwire.rules.schema_work import check_schema_work
from itemwire.wire.payloads import payload_of
from itemwire_auth.plain_text import read_text_file

if TYPE_CHECKING:
    import jsonschema_rs

MAX_SCHEMA_BYTES: Final = 262_144
MAX_PATTERN_BYTES: Final = 65_536  # of a compiled pattern, which may be run through for each byte
NO_FIT: Final = "data: it does not fit the model of this channel"
NONE_OF_THEM: Final = "the value fits none of the choices, or more than one"
INSTALL: Final = "a JSON Schema is checked by an extra: pip install 'itemwire[schema]'"

FindFault = Callable[[bytes], "str | None"]


class NoSchemaLibrary(ValueError):
    """The extra that checks JSON Schemas is not installed."""


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """A JSON Schema by its text, so that two with the same text are the same."""

    text: str

    @classmethod
    def of(cls, schema: Mapping[str, object] | bool) -> Self:
        """Return a schema that was written as a value; ValueError for one that is too large."""
        try:
            text = msgspec.json.encode(schema)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"model is no JSON Schema: {error}") from error
        return cls.read(text)

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Return the schema in a text; ValueError if it is no JSON, or too large or too deep."""
        if len(text) > MAX_SCHEMA_BYTES:
            raise ValueError(f"model is a JSON Schema of more than {MAX_SCHEMA_BYTES} bytes")
        try:
            value = msgspec.json.decode(text)
            payload_of(msgspec.Raw(text))  # which bounds how deep it is nested
            decoded = text.decode()
        except (ValueError, RecursionError) as error:
            raise ValueError(f"model is no JSON: {error}") from error
        if not isinstance(value, dict | bool):
            raise ValueError("model is no JSON Schema: it is neither an object nor true or false")  # noqa: TRY004 - a fault of the file
        return cls(decoded)

    @classmethod
    def read_file(cls, path: Path) -> Self:
        """Return the schema in a file; ValueError names a file that cannot be read."""
        try:
            return cls.read(read_text_file(path))
        except OSError as error:
            raise ValueError(f"model: cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{error} ({path})") from error

    @property
    def value(self) -> dict[str, Any]:
        """Return it as an object; `true` and `false` as the objects that mean the same."""
        value: dict[str, Any] | bool = msgspec.json.decode(self.text)
        return value if isinstance(value, dict) else ({} if value else {"not": {}})


def fault_finder_of(schema: JsonSchema) -> FindFault:
    """Return what finds the first fault of a JSON text, with its path.

    Raises ValueError for what is no JSON Schema, refers to others, or would keep the event loop
    busy with a small message, and NoSchemaLibrary.
    """
    value = schema.value
    if not any(f"/{choice}/" in schema.text for choice in CHOICES):  # no reference leads there
        value = by_tag(value)
    _library()
    try:
        check_schema_work(value)
    except ValueError as error:
        raise ValueError(f"model is no JSON Schema that can be used: {error}") from error
    fits = _validator_of(value).is_valid
    find_error = _error_finder_of(value)

    def find_fault(json: bytes) -> str | None:
        data = msgspec.json.decode(json)
        return None if fits(data) else find_error(data)

    return find_fault


def _error_finder_of(schema: dict[str, Any]) -> Callable[[object], str]:
    """Return what says where data that does not fit has its first fault."""
    library = _library()
    try:
        validate = _validator_of(short(schema)).validate
    except ValueError:  # a reference leads to what stands elsewhere now
        return lambda _data: NO_FIT

    def find_error(data: object) -> str:
        try:
            validate(data)
        except library.ValidationError as error:
            path = "".join(
                f"[{one}]" if isinstance(one, int) else f".{one}" for one in error.instance_path
            )
            is_choice = error.message.startswith(NONE_FITS)
            return f"data{path}: {NONE_OF_THEM if is_choice else error.message}"
        return NO_FIT

    return find_error


def _validator_of(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    library = _library()
    try:
        validator: jsonschema_rs.Validator = library.validator_for(
            schema,
            offline=True,
            mask="the value",  # as with the other models, nothing of what was sent is repeated
            # In linear time: a message must not be able to keep the event loop busy.
            pattern_options=library.RegexOptions(size_limit=MAX_PATTERN_BYTES),
        )
    except (ValueError, library.ReferencingError) as error:
        problem = str(error).partition("\n")[0]
        raise ValueError(f"model is no JSON Schema that can be used: {problem}") from error
    return validator


def _library() -> ModuleType:
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise NoSchemaLibrary(INSTALL) from error
    return jsonschema_rs
