"""Completes the OpenAPI document: every error that can come, as a problem.

FastAPI describes each response as `application/json` and each 422 in a form of its own.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI

from itemwire.messages import MAX_META
from itemwire.responses.problems import Problem, ProblemResponse
from itemwire.responses.request_bodies import COMPONENT

Json = dict[str, Any]

JSON_TYPE: Final = "application/json"
REFERENCE: Final = {"$ref": COMPONENT.format(model="Problem")}
META: Final = {
    "type": "object",
    "maxProperties": MAX_META,
    "additionalProperties": {"type": "string"},
}
FASTAPIS: Final = ("HTTPValidationError", "ValidationError")
OPEN: Final = "health"  # the tag of routes that ask nobody who is calling
META_HEADER: Final = "Itemwire-Meta"

ANYWHERE: Final[dict[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "No request, or one with too many parts.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "A URL over the limit.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too often: ask again after `Retry-After`.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "Headers over the limit.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of the server, which its log explains.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now: ask again after `Retry-After`.",
}
OF_CALLERS: Final[dict[HTTPStatus, str]] = {
    HTTPStatus.UNAUTHORIZED: "No credential, or none that is accepted.",
    HTTPStatus.FORBIDDEN: "Not this, by this credential or from this page.",
}


def describe_problems(app: FastAPI) -> None:
    """Make the OpenAPI document say which problems the routes answer with."""
    write = app.openapi
    app.openapi = lambda: _completed(app, write)  # type: ignore[method-assign] # as FastAPI has it done


def _completed(app: FastAPI, write: Callable[[], Json]) -> Json:
    if app.openapi_schema is None:
        document = write()
        components = document.setdefault("components", {}).setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template=COMPONENT)
        components |= {**problem.pop("$defs"), "Problem": problem}
        for operation in _operations(document):
            _complete(operation, components)
        for name in FASTAPIS:
            components.pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from path.values()


def _complete(operation: Json, components: Json) -> None:
    told = ANYWHERE if OPEN in operation.get("tags", ()) else {**ANYWHERE, **OF_CALLERS}
    responses: Json = operation["responses"]
    for status, description in told.items():
        responses.setdefault(str(status.value), {"description": description, **_content(REFERENCE)})
    for response in responses.values():
        if _is_problem(response):
            response |= {"content": {ProblemResponse.media_type: {"schema": REFERENCE}}}
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == META_HEADER:  # it holds JSON, which a schema of texts cannot say
            del parameter["schema"]
            parameter["content"] = {JSON_TYPE: {"schema": META}}
    for body in operation.get("requestBody", {}).get("content", {}).values():
        components |= body["schema"].pop("$defs", {})


def _content(schema: Json) -> Json:
    return {"content": {JSON_TYPE: {"schema": schema}}}


def _is_problem(response: Json) -> bool:
    schema = response.get("content", {}).get(JSON_TYPE, {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2] in {"Problem", *FASTAPIS}
