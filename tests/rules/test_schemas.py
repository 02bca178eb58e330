"""JSON Schemas as models: what fits, what is refused and where, and what is no schema."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest

from itemwire import Itemwire
from itemwire.rules.asyncapi import Credentials, described, document_of
from itemwire.rules.channels import ChannelRules
from itemwire.rules.file import add_channels_of, options_shown
from itemwire.rules.models import check_of
from itemwire.rules.schemas import MAX_SCHEMA_BYTES, JsonSchema, NoSchemaLibrary
from itemwire.testing import live_server
from itemwire.testing.servers import settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.test_startup_checks import settings_of

ORDER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["kind"],
    "properties": {
        "kind": {"enum": ["shipped", "packed"]},
        "parcels": {"type": "array", "items": {"$ref": "#/$defs/parcel"}},
    },
    "additionalProperties": False,
    "$defs": {"parcel": {"type": "integer", "minimum": 1}},
}
FILE: Final = """
["order:{number}"]
model = "order.json"

["news:{name}".model]
type = "string"
maxLength = 5
"""


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"kind": "shipped", "parcels": [1, 2]}, None),
        ({"kind": "lost"}, "data.kind: "),
        ({"kind": "packed", "parcels": [1, 0]}, "data.parcels[1]: "),
        ({}, "data: "),
        ({"kind": "packed", "secret-key": 1}, "data: "),
        (None, "data: "),
    ],
)
def test_says_where_a_message_does_not_fit(data: object, fault: str | None) -> None:
    """By the path to it; nothing of what was sent is repeated."""
    found = check_of(JsonSchema.of(ORDER))(msgspec.Raw(json.dumps(data).encode()))

    assert found is None if fault is None else (found or "").startswith(fault)
    assert "lost" not in (found or "")


def test_texts_fit_as_strings_and_bytes_do_not() -> None:
    """A plain socket sends texts."""
    check = check_of(JsonSchema.of({"type": "string"}))

    assert check("text") is None
    assert check(b"\xff") == "data: bytes do not fit the model of this channel"


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "nope"}, "no JSON Schema that can be used"),
        ({"$ref": "https://schemas.example/order.json"}, "no JSON Schema that can be used"),
        ({"$ref": "#/$defs/missing"}, "no JSON Schema that can be used"),
        ({"pattern": "(?P<"}, "no JSON Schema that can be used"),
        ({"pattern": "(a{1000}){1000}"}, "no JSON Schema that can be used"),
        ({"$schema": "https://schemas.example/own"}, "no JSON Schema that can be used"),
    ],
)
def test_refuses_what_is_no_schema(schema: dict[str, Any], problem: str) -> None:
    """At the start, and without fetching anything."""
    with pytest.raises(ValueError, match=problem):
        check_of(JsonSchema.of(schema))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "no JSON"),
        (b"[]", "neither an object"),
        (b"\xff", "no JSON"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "deeper than 64"),
        (b'{"a":' * 100_00 + b"1" + b"}" * 100_00, "no JSON"),
        (b'{"description":"%b"}' % (b"x" * MAX_SCHEMA_BYTES), "more than"),
    ],
)
def test_refuses_a_text_that_is_none(text: bytes, problem: str) -> None:
    """Whoever has written it."""
    with pytest.raises(ValueError, match=problem):
        JsonSchema.read(text)


def test_neither_a_schema_nor_a_message_keeps_it_busy() -> None:
    """A pattern with nested repetition; `test_checking_work` has the rest."""
    began = time.perf_counter()

    fault = check_of(JsonSchema.of({"pattern": "^(a+)+$"}))("a" * 50_000 + "!")

    assert fault is not None
    assert time.perf_counter() - began < 5


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most servers need no schemas, and no library for them."""
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    live = Itemwire(user=lambda: None, settings=settings_of(secret=None))

    with pytest.raises(NoSchemaLibrary, match=r"pip install 'itemwire\[schema\]'"):
        live.add_channel("order:{number}", model=ORDER)
    live.add_channel("other:{number}", model=int)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a file with two models, one of them in a file of its own."""
    (tmp_path / "order.json").write_text(json.dumps(ORDER))
    path = tmp_path / "channels.toml"
    path.write_text(FILE)
    return path


def test_a_file_names_or_holds_the_models_of_its_channels(file: Path) -> None:
    """Which `itemwire config` shows, and the document describes."""
    rules = ChannelRules()
    add_channels_of(file, rules, 65_536)

    shown = [options_shown(rule) for rule in rules]
    document = json.loads(document_of(described(rules), Credentials()))
    schemas = document["components"]["schemas"]

    assert shown == [{"model": "JSON Schema"}] * 2
    assert schemas["news_name_data"] == {"type": "string", "maxLength": 5}
    parcels = schemas["order_number_data"]["properties"]["parcels"]
    assert parcels["items"] == {"$ref": "#/components/schemas/order_number_parcel"}
    assert schemas["order_number_parcel"] == ORDER["$defs"]["parcel"]


@pytest.mark.server
def test_a_server_alone_refuses_what_does_not_fit(file: Path) -> None:
    """To its publisher, with the path of the fault."""
    tokens = TokenFactory(signing_key_from_secret(new_secret()))
    headers = {"Authorization": f"Bearer {tokens.good()}"}
    with live_server(settings_for(tokens, channels_file=file)) as server:
        url = f"{server.url}/items/order:7/messages"
        taken = httpx.post(url, json={"kind": "shipped", "parcels": [1]}, headers=headers)
        refused = httpx.post(url, json={"kind": "shipped", "parcels": ["1"]}, headers=headers)

    assert taken.status_code == 201
    assert (refused.status_code, refused.json()["code"]) == (422, "payload_invalid")
    assert refused.json()["detail"].startswith("data.parcels[0]: ")
