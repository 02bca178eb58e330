"""The tutorial's WebSocket examples on `live.accept`, as docs/embedding.md shows them."""

import re
import runpy
from collections.abc import Iterator

import pytest

from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.docs.pages import DOCS, page

pytestmark = pytest.mark.server

EXAMPLE = DOCS / "examples" / "own_sockets.py"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run the example."""
    with live_application(runpy.run_path(str(EXAMPLE))["app"]) as running:
        yield running


def test_the_page_shows_the_file() -> None:
    """From its imports on."""
    text = page("embedding.md")
    shown = re.search(r"<!-- docs/examples/own_sockets.py -->\n\n```py\n(.*?)```", text, re.DOTALL)

    assert shown is not None
    assert EXAMPLE.read_text().endswith(shown[1])


def test_echo_and_items(server: LiveServer) -> None:
    """With a cookie or a token; anybody else reads why not, where a browser can show it."""
    cookie = {"cookie": "session=token-of-bob"}
    with server.client("/ws?token=token-of-alice", subprotocols=()) as client:
        client.send("hello")
        assert client.receive() == "Message text was: hello"
    with server.client("/items/a/ws?q=3", headers=cookie, subprotocols=()) as client:
        client.send("hello")
        assert client.receive() == "Message text was: hello, for item ID: a, q: 3"
    refusal = server.refusal("/items/a/ws?token=wrong")
    assert refusal.browser_sees == (1008, "credentials_missing")


def test_many_clients(server: LiveServer) -> None:
    """Each hears all, and that one has left."""
    path = "/ws/{}?token=token-of-alice"
    with server.client(path.format(1), subprotocols=()) as first:
        first.send("alone")
        assert first.receive() == "Client #1 says: alone"
        with server.client(path.format(2), subprotocols=()) as second:
            second.send("hi")
            assert first.receive() == second.receive() == "Client #2 says: hi"
        assert first.receive() == "Client #2 left the chat"
