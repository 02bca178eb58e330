"""What goes with a message beside its data: a small map, and the mark of an end."""

from __future__ import annotations

import json
from typing import Final

import httpx
import pytest

from itemwire.messages import MAX_META, META_BYTES
from itemwire.testing import LiveServer
from tests.scenarios.clients import PATIENCE, json_client, plain_client, token

META: Final = {"trace": "é\n", "": ""}
TOO_MUCH: Final = {
    "entries": {str(number): "" for number in range(MAX_META + 1)},
    "bytes": {"a": "a" * META_BYTES},
    "characters": {"a": "é" * (META_BYTES // 2)},
    "a number": {"a": 1},
    "a list": ["a"],
}
MOST: Final = [{str(n): "" for n in range(MAX_META)}, {"a": "a" * (META_BYTES - 1)}]


def post(server: LiveServer, path: str, content: object, **headers: str) -> httpx.Response:
    """Publish over HTTP."""
    sent = {"Authorization": f"Bearer {token('backend')}", "Content-Type": "application/json"}
    sent |= {f"Itemwire-{name}": value for name, value in headers.items()}
    url, body = server.url + path, json.dumps(content)
    return httpx.post(url, headers=sent, content=body, timeout=PATIENCE)


def test_every_way_in_takes_it_and_every_listener_gets_it(server: LiveServer, item_id: str) -> None:
    """Live, in a history, and without a trace where none was given."""
    path = f"/items/{item_id}/messages"
    with json_client(server, item_id) as alice, plain_client(server, item_id) as bob:
        alice.ask("publish", data=1, meta=META)
        post(server, path, 2, Meta=json.dumps(META))
        message = {"item": item_id, "data": 3, "meta": META, "end": True}
        assert "offset" in post(server, "/messages", {"messages": [message]}).json()["results"][0]
        post(server, path, 4, End="true")
        alice.ask("publish", data=5, meta={}, end=False)
        live = alice.messages(5)
        history = alice.ask("history")["messages"]
        assert [bob.recv(timeout=PATIENCE) for _ in range(5)] == ["1", "2", "3", "4", "5"]

    both = {"meta": META, "end": True}
    assert history == live
    assert [one["offset"] for one in live] == [1, 2, 3, 4, 5]
    assert [{name: one[name] for name in ("meta", "end") if name in one} for one in live] == [
        {"meta": META},
        {"meta": META},
        both,
        {"end": True},
        {},
    ]


@pytest.mark.parametrize("meta", TOO_MUCH.values(), ids=TOO_MUCH)
def test_refuses_what_is_no_small_map_of_texts(
    server: LiveServer, item_id: str, meta: object
) -> None:
    """The publisher is told, and nothing is stored."""
    with json_client(server, item_id) as alice:
        refused = alice.ask("publish", data=1, meta=meta)
        history = alice.ask("history")
    message = {"item": item_id, "data": 1, "meta": meta}
    one_of_many = post(server, "/messages", {"messages": [message]}).json()["results"][0]
    over_http = post(server, f"/items/{item_id}/messages", 1, Meta=json.dumps(meta))

    assert refused["code"] == one_of_many["code"] == "payload_invalid"
    assert (over_http.status_code, over_http.json()["code"]) == (422, "payload_invalid")
    assert history["messages"] == []


@pytest.mark.parametrize("headers", [{"Meta": "a"}, {"Meta": '{"a":"\xe9"}'}, {"End": "perhaps"}])
def test_refuses_headers_that_say_nothing(
    server: LiveServer, item_id: str, headers: dict[str, str]
) -> None:
    """A header has no agreed characters beyond ASCII, and JSON can do without them."""
    path = f"/items/{item_id}/messages"
    sent = {"Authorization": f"Bearer {token('backend')}", "Content-Type": "application/json"}
    raw = [(f"Itemwire-{name}".encode(), value.encode()) for name, value in headers.items()]
    pairs = [*((name.encode(), value.encode()) for name, value in sent.items()), *raw]

    assert httpx.post(server.url + path, headers=pairs, content=b"1").status_code == 422


@pytest.mark.parametrize("meta", MOST, ids=["entries", "bytes"])
def test_takes_the_largest_map(server: LiveServer, item_id: str, meta: dict[str, str]) -> None:
    """The accepted twin."""
    with json_client(server, item_id) as alice:
        assert alice.ask("publish", data=1, meta=meta)["offset"] == 1
    assert post(server, f"/items/{item_id}/messages", 1, Meta=json.dumps(meta)).is_success
