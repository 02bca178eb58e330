"""The OpenAPI document says which errors can come, and in which form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from itemwire.main import create_app
from itemwire.responses.problems import problem
from itemwire.settings import Settings
from tests.conftest import SECRET

METRICS_TOKEN = "a-token-for-metrics-that-only-tests-know"
ANYWHERE = {"400", "414", "429", "431", "500", "503"}
OF_BODIES = {"408", "413", "415", "422"}

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    """Give the document of a server with every route."""
    settings = Settings(secret=SECRET, admin=True, metrics_token=METRICS_TOKEN, _env_file=None)
    return create_app(settings).openapi()


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """List what can be asked, with its name."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_operation_names_the_errors_that_can_come(document: Json) -> None:
    """Those of its body, of its callers, and of any request at all."""
    for name, operation in operations(document):
        told = set(operation["responses"])
        assert told >= ANYWHERE, name
        assert told >= (OF_BODIES if "requestBody" in operation else set()), name
        assert told >= (set() if "/health/" in name else {"401", "403"}), name


def test_every_error_is_a_problem(document: Json) -> None:
    """But for a server that is not ready, which says so in the form of its readiness."""
    forms = {
        (status, media_type, str(content["schema"].get("$ref")).rpartition("/")[2])
        for name, operation in operations(document)
        for status, response in operation["responses"].items()
        if int(status) >= 400 and (name, status) != ("get /health/ready", "503")
        for media_type, content in response["content"].items()
    }

    assert {form[1:] for form in forms} == {("application/problem+json", "Problem")}


@pytest.mark.parametrize(
    "detail",
    ["forbidden", [{"type": "missing", "loc": ["query", 0], "msg": "Field required"}], []],
)
def test_a_problem_is_what_the_document_says(document: Json, detail: object) -> None:
    """Its detail is a text or, for a malformed request, a list of faults."""
    answer = problem(422, detail)
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}

    assert list(Draft202012Validator(schema).iter_errors(json.loads(bytes(answer.body)))) == []


def test_every_reference_leads_somewhere(document: Json) -> None:
    """A program that writes a client from it follows each of them."""
    found = set(_references(document))

    assert found
    assert {one for one in found if one not in document["components"]["schemas"]} == set()


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield str(part["$ref"]).removeprefix("#/components/schemas/")
        for below in part.values():
            yield from _references(below)
    elif isinstance(part, list):
        for below in part:
            yield from _references(below)
