"""No client reaches a reserved name, on whatever way, with whatever right; an item it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from itemwire.channels import names
from itemwire.channels.names import RESERVED
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import EVERYTHING, JSON, PATIENCE, close_of, token
from tests.scenarios.conftest import Serve

NAMES: Final = sorted(
    value for value in vars(names).values() if isinstance(value, str) and value[:1] == RESERVED
)
TWIN: Final = "operations"

# All that a token can say, and what somebody might try: each beside every other right.
PATTERNS: Final = ("*", "$*", "$operations", "$watch", "$direct", "$rules", "$")
SCOPE: Final = " ".join([EVERYTHING, "admin", *(f"items:{one}:*" for one in PATTERNS), "items:*"])


def bearer() -> dict[str, str]:
    """Give the header of somebody whose token claims all there is."""
    return {"Authorization": f"Bearer {token('root', SCOPE)}"}


@pytest.fixture(scope="module")
def open_server(serve: Serve) -> Iterator[LiveServer]:
    """Run a server with every route there is."""
    with serve(Settings(secret=SECRET, admin=True, _env_file=None)) as running:
        yield running


def over_http(method: str, path: str, **body: Any) -> Callable[[LiveServer, str], bool]:  # noqa: ANN401 - JSON
    """Give a way to ask for an item by a URL."""

    def ask(server: LiveServer, item: str) -> bool:
        url = f"{server.url}{path.replace('ITEM', item)}"
        answer = httpx.request(method, url, headers=bearer(), timeout=PATIENCE, **body)
        assert answer.status_code < 500, answer.text
        return answer.is_success

    return ask


def by_events(server: LiveServer, item: str) -> bool:
    """Hear it as server-sent events."""
    url = f"{server.url}/items/{item}/events"
    with httpx.stream("GET", url, headers=bearer(), timeout=PATIENCE) as answer:
        return answer.is_success


def in_a_batch(server: LiveServer, item: str) -> bool:
    """Publish to it beside others."""
    body = {"messages": [{"item": item, "data": 1}]}
    answer = httpx.post(f"{server.url}/messages", headers=bearer(), json=body, timeout=PATIENCE)
    return answer.is_success and "offset" in answer.json()["results"][0]


def on_its_socket(server: LiveServer, item: str) -> bool:
    """Connect to it."""
    with server.connect(f"/items/{item}/ws", headers=bearer(), subprotocols=(JSON,)) as socket:
        try:
            return "welcome" in str(socket.recv(timeout=PATIENCE))
        except ConnectionClosed as ended:
            return close_of(ended) != (1008, "item_invalid")


def asked_for(kind: str, **fields: Any) -> Callable[[LiveServer, str], bool]:  # noqa: ANN401 - JSON
    """Give a way to ask for an item on a socket of many."""

    def ask(server: LiveServer, item: str) -> bool:
        with server.client("/ws", headers=bearer()) as client:
            if kind != "join" and item == TWIN:
                client.ask("join", item=item)
            answer = client.ask(kind, item=item, **fields)
            return bool(answer["type"] != "error")

    return ask


def joined_in_a_list(server: LiveServer, item: str) -> bool:
    """Join it among others."""
    with server.client("/ws", headers=bearer()) as client:
        client.send(json.dumps({"type": "join", "ref": 1, "items": [{"item": item}]}))
        return bool(client.envelope()["type"] == "welcome")


WAYS: Final[dict[str, Callable[[LiveServer, str], bool]]] = {
    "publish": over_http("POST", "/items/ITEM/messages", json=1),
    "history": over_http("GET", "/items/ITEM/messages"),
    "members": over_http("GET", "/items/ITEM/members"),
    "operator-publishes": over_http("POST", "/admin/channels/ITEM/messages", json=1),
    "operator-looks": over_http("GET", "/admin/channels/ITEM"),
    "operator-erases": over_http("DELETE", "/admin/channels/ITEM/history"),
    "events": by_events,
    "batch": in_a_batch,
    "socket": on_its_socket,
    "join": asked_for("join"),
    "join-list": joined_in_a_list,
    "publish-on-a-socket": asked_for("publish", data=1),
    "history-on-a-socket": asked_for("history"),
    "members-on-a-socket": asked_for("members"),
}


def test_there_are_reserved_names() -> None:
    """A sweep over nothing would show nothing."""
    assert {"$operations", "$watch", "$direct", "$rules"} <= set(NAMES)


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_a_reserved_name(way: str, open_server: LiveServer) -> None:
    """Written as it is or escaped, with a token that claims all there is."""
    reach = WAYS[way]

    assert reach(open_server, TWIN)
    for name in [*NAMES, *(one.replace("$", "%24") for one in NAMES)]:
        assert not reach(open_server, name), name


def test_what_operators_see_lists_no_reserved_name(open_server: LiveServer) -> None:
    """Neither among channels nor as an item of the connection that watches."""
    with open_server.connect(f"/admin/ops/ws?token={token('root', 'admin')}") as socket:
        socket.recv(timeout=PATIENCE)
        found = [
            httpx.get(f"{open_server.url}/admin/{path}", headers=bearer(), timeout=PATIENCE).json()
            for path in ("channels", "connections")
        ]

    assert not [one for one in found[0]["channels"] if one["item"].startswith(RESERVED)]
    assert [one["items"] for one in found[1]["connections"]] == [[]]
