"""React's StrictMode in a real Chromium: it sets everything up twice, and the server sees one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from playwright.sync_api import Browser, Page, WebSocket, expect

from itemwire import Itemwire
from itemwire.serving.server import FASTPATH
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.clients.react_pages import with_react
from tests.conftest import SECRET
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import PATIENCE, token

PROGRAM: Final = """
import { createElement, StrictMode, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { ItemwireClient } from "itemwire";
import { ItemwireProvider, useItem, useMembers, useStatus } from "itemwire/react";

const fetchToken = async () => (await fetch("/token")).text();
const wire = new ItemwireClient({ url: "/live", token: fetchToken });
window.effects = 0;
window.heard = [];

function Order() {
  useEffect(() => void effects++, []);
  const item = useItem("order:1", { onMessage: ({ data }) => heard.push(data) });
  const names = useMembers("order:1").map(({ subject }) => subject);
  return `${useStatus()} ${item.state} ${names.sort()}`;
}

window.mount = () => {
  window.root = createRoot(document.querySelector("#root"));
  const order = createElement(Order);
  const provider = createElement(ItemwireProvider, { client: wire }, order);
  root.render(createElement(StrictMode, null, provider));
};
"""


@dataclass
class Sockets:
    """The sockets that a page has opened, and what it sent on them."""

    opened: list[WebSocket] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note all that the page opens from now on."""
        page.on("websocket", self._note)

    @property
    def open(self) -> int:
        """Count those that are not closed."""
        return sum(not socket.is_closed() for socket in self.opened)

    def wait_until_closed(self) -> None:
        """Wait until each is closed; raises Playwright's TimeoutError if one is not."""
        for socket in self.opened:
            if not socket.is_closed():
                socket.wait_for_event("close", timeout=PATIENCE * 1000)

    @property
    def asked(self) -> list[str]:
        """List what was asked of the server, without signs of life."""
        kinds: list[Any] = [json.loads(frame)["type"] for frame in self.sent]
        return [kind for kind in kinds if kind != "ping"]

    def _note(self, socket: WebSocket) -> None:
        self.opened.append(socket)
        socket.on("framesent", self._note_frame)

    def _note_frame(self, frame: str | bytes) -> None:
        self.sent.append(str(frame))


@pytest.fixture(scope="module")
def live() -> Itemwire:
    """Make the channels of this file's application."""
    return Itemwire(settings=Settings(secret=SECRET, _env_file=None))


@pytest.fixture(scope="module")
def server(live: Itemwire) -> Iterator[LiveServer]:
    """Run an application with channels, a page with React, and where it gets its token."""
    app = FastAPI()
    app.include_router(live.router, prefix="/live")
    app.get("/token", response_class=PlainTextResponse)(lambda: token("ann"))
    with live_application(with_react(app, PROGRAM), protocols=FASTPATH) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


def shows(page: Page, text: str) -> None:
    """Wait until the component shows this."""
    expect(page.locator("#root")).to_have_text(text, timeout=PATIENCE * 1000)


def test_one_socket_and_one_join_and_none_is_left(
    chromium: Browser, server: LiveServer, live: Itemwire
) -> None:
    """Another member sees one come and go, each time that the component is on the page."""
    page, sockets = chromium.new_page(), Sockets()
    sockets.watch(page)
    with server.client(f"/live/items/order:1/ws?token={token('bob')}") as bob:
        bob.welcome()
        page.goto(f"{server.url}/react/")
        for times in (1, 2):
            page.evaluate("mount()")
            shows(page, "connected joined ann,bob")
            assert bob.expect("joined")["member"]["subject"] == "ann"
            live.publish_sync("order:1", times)
            page.wait_for_function(f"heard.length === {times}")
            assert page.evaluate("effects") == 2 * times  # or StrictMode did nothing
            assert (len(sockets.opened), sockets.open) == (times, 1)
            page.evaluate("root.unmount()")
            assert bob.expect("left")["member"]["subject"] == "ann"
            sockets.wait_until_closed()
        assert page.evaluate("heard") == [1, 2]
        assert (len(sockets.opened), sockets.open) == (2, 0)
        assert sockets.asked == ["join", "join"]
