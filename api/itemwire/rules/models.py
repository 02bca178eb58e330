"""Checks payloads by the model of a channel, and says where one does not fit."""

import inspect
import re
from functools import partial
from typing import Any, Final, get_args

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from itemwire.channels.limits.item_rules import Check
from itemwire.messages import Payload
from itemwire.rules.model_work import check_model_work, failing_fast
from itemwire.rules.schemas import FindFault, JsonSchema, fault_finder_of

_PATH: Final = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)  # how msgspec ends its errors
MAX_LISTED: Final = 1000  # faults that are listed, to say what the first one is
_SHOWN: Final = 200  # characters of an error: a model may repeat what it was given


def check_of(model: object) -> Check:
    """Return the check of a Pydantic model, a msgspec struct, a union, or a JSON Schema.

    What is stored is what was sent, so nothing is converted: `"1"` is no `int`. Raises ValueError
    for what is no type that JSON can be checked by.
    """
    find_fault = _fault_finder_of(model)

    def check(data: Payload) -> str | None:
        if type(data) is bytes:  # raw JSON is a kind of bytes, too
            return "data: bytes do not fit the model of this channel"
        json = msgspec.json.encode(data) if isinstance(data, str) else bytes(data)
        fault = find_fault(json)
        return None if fault is None else fault[:_SHOWN]

    return check


def _fault_finder_of(model: object) -> FindFault:
    if isinstance(model, JsonSchema):
        return fault_finder_of(model)
    if inspect.isroutine(model) or isinstance(model, partial):
        raise ValueError(f"model={model!r} is a function: it must be a type, or a JSON Schema")
    return _by_msgspec(model) if has_structs(model) else _by_pydantic(model)


def has_structs(model: object) -> bool:
    """Return whether msgspec checks a model, and not Pydantic."""
    kinds: tuple[object, ...] = get_args(model) or (model,)
    return any(isinstance(kind, type) and issubclass(kind, msgspec.Struct) for kind in kinds)


def _by_msgspec(model: Any) -> FindFault:  # noqa: ANN401 - a type, or a union
    try:
        decode = msgspec.json.Decoder(model).decode
    except TypeError as error:
        raise ValueError(f"model={model!r}: {error}") from error

    def find_fault(json: bytes) -> str | None:
        try:
            decode(json)
        except msgspec.ValidationError as error:
            said = _PATH.fullmatch(str(error))
            return f"data{said[2]}: {said[1]}" if said else f"data: {error}"
        return None

    return find_fault


def _by_pydantic(model: Any) -> FindFault:  # noqa: ANN401 - a type, or a union
    try:
        adapter: TypeAdapter[object] = TypeAdapter(model)
        check_model_work(adapter)
        validate = failing_fast(adapter).validate_json
    except Exception as error:  # Pydantic has many
        raise ValueError(f"model={model!r}: {error}") from error

    def find_fault(json: bytes) -> str | None:
        try:
            validate(json, strict=True)
        except ValidationError as error:
            if error.error_count() > MAX_LISTED:  # to list them takes longer than to find them
                return f"data: it has {error.error_count()} faults"
            first = error.errors(include_url=False, include_input=False)[0]
            return f"data{_path_of(first)}: {first['msg']}"
        return None

    return find_fault


def _path_of(fault: ErrorDetails) -> str:
    return "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in fault["loc"])
