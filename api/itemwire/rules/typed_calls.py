"""Functions of an application that are given data of a client, beside their dependencies."""

import inspect
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Annotated, Any, Final, get_args

import msgspec
from fastapi import BackgroundTasks, Depends, Response, params
from fastapi.security import SecurityScopes
from msgspec import UNSET, UnsetType
from pydantic import TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from itemwire.authorization.asking import AskedCall
from itemwire.authorization.solving import Dependant, Overrides
from itemwire.messages import Payload
from itemwire.rules.declared_types import DeclaredTypes
from itemwire_auth.principal import Principal
from itemwire_auth.releasing import FUNCTION_STACK, REQUEST_STACK

_given: Final[ContextVar[object]] = ContextVar("given")

_NULL: Final = msgspec.Raw(b"null")
_SPECIAL: Final = (HTTPConnection, Response, BackgroundTasks, SecurityScopes)


class DataFault(Exception):
    """What a client sent is not what a function takes; the message says where, and what is."""


async def given() -> object:
    """Return the data of the call that is being made, as a dependency."""
    return _given.get()


class TypedCall:
    """A function whose first parameter that is neither a dependency nor the pattern's is data.

    The data is read as the parameter's annotation says: a Pydantic model, a msgspec struct, or
    whatever else Pydantic reads. Without an annotation it is any JSON value.
    """

    def __init__(self, function: Callable[..., Any], pattern_parameters: Collection[str]) -> None:
        signature = inspect.signature(function, eval_str=True)
        data = [
            one
            for one in signature.parameters.values()
            if one.name not in pattern_parameters and _may_be_data(one)
        ]
        if len(data) > 1:
            names = " and ".join(one.name for one in data)
            raise ValueError(f"only one of the parameters {names} can be the data")
        self.types = DeclaredTypes.of(signature, data[0] if data else None, pattern_parameters)
        self._reader = _reader_of(data[0]) if data else None
        self._asked = AskedCall(_with_given(function, signature, data), pattern_parameters)

    def under(self, overrides: Overrides) -> Dependant:
        """Return what the function depends on, with an application's overrides in place."""
        return self._asked.under(overrides)

    def read(self, data: Payload | UnsetType) -> object:
        """Return data as the function takes it, or raise DataFault."""
        if self._reader is None:
            if data is UNSET or data == _NULL:
                return None
            raise DataFault("data: none is taken here")
        return self._reader(data)

    async def ask(
        self,
        connection: HTTPConnection,
        overrides: Overrides,
        data: object,
        *,
        parameters: Mapping[str, str],
        principal: Principal | None = None,
    ) -> object:
        """Return what the function returns; what its dependencies opened is closed by then.

        Raises what it or a dependency raises.
        """
        _given.set(data)  # in the task of this call alone
        async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
            connection.scope[REQUEST_STACK] = request_stack
            connection.scope[FUNCTION_STACK] = function_stack
            return await self._asked.ask(
                connection, overrides, parameters=parameters, principal=principal
            )


def _may_be_data(parameter: inspect.Parameter) -> bool:
    """Return whether FastAPI would find no value for a parameter but in a body."""
    annotation, *metadata = [parameter.annotation]
    if hasattr(annotation, "__metadata__"):
        annotation, *metadata = get_args(annotation)
    if any(
        isinstance(one, params.Depends | params.Param) for one in (parameter.default, *metadata)
    ):
        return False
    return not (isinstance(annotation, type) and issubclass(annotation, _SPECIAL))


def _with_given(
    function: Callable[..., Any], signature: inspect.Signature, data: list[inspect.Parameter]
) -> Callable[..., Any]:
    """Return a function that depends on `given` in place of its data parameter."""

    async def call(**values: object) -> object:
        return await function(**values)

    def call_in_thread(**values: object) -> object:
        return function(**values)

    parameters: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        keyword = one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        if one in data:
            annotation = Annotated[object, Depends(given, use_cache=False)]
            keyword = keyword.replace(annotation=annotation, default=inspect.Parameter.empty)
        parameters.append(keyword)
    chosen = call if _is_coroutine_function(function) else call_in_thread
    chosen.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # FastAPI reads it
    chosen.__name__ = getattr(function, "__name__", type(function).__name__)
    return chosen


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - of an object that is called
    )


def _reader_of(parameter: inspect.Parameter) -> Callable[[Payload | UnsetType], object]:
    kind = object if parameter.annotation is inspect.Parameter.empty else parameter.annotation
    validate = _validator_of(kind)
    default = parameter.default

    def read(data: Payload | UnsetType) -> object:
        if data is UNSET:
            if default is not inspect.Parameter.empty:
                return default
            data = _NULL
        return validate(data)

    return read


def _validator_of(kind: Any) -> Callable[[Payload], object]:  # noqa: ANN401 - an annotation
    if kind in (object, Any):
        return _plain_value
    if _has_struct(kind):
        return _struct_validator_of(kind)
    adapter: TypeAdapter[object] = TypeAdapter(kind)

    def validate(data: Payload) -> object:
        try:
            if isinstance(data, msgspec.Raw):
                return adapter.validate_json(bytes(data))
            return adapter.validate_python(data)
        except ValidationError as error:
            raise DataFault(_first_fault(error)) from error

    return validate


def _struct_validator_of(kind: Any) -> Callable[[Payload], object]:  # noqa: ANN401 - as above
    decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder(kind)

    def validate(data: Payload) -> object:
        try:
            if isinstance(data, msgspec.Raw):
                return decoder.decode(data)
            return msgspec.convert(data, kind)
        except (msgspec.ValidationError, ValueError) as error:
            raise DataFault(f"data: {error}") from error

    return validate


def _plain_value(data: Payload) -> object:
    return msgspec.json.decode(data) if isinstance(data, msgspec.Raw) else data


def _has_struct(kind: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return True
    return any(map(_has_struct, get_args(kind)))


def _first_fault(error: ValidationError) -> str:
    """Describe the first fault by its path and what is wrong; nothing of the data is repeated."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(["data", *map(str, first["loc"])])
    return f"{path}: {first['msg']}"
