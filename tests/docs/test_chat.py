"""The chats of docs/examples that run in a browser: in plain JavaScript, and in React."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from docs.examples.chat_server import app
from itemwire.serving.server import FASTPATH
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.clients.react_pages import compiled, with_react
from tests.docs.pages import DOCS, page
from tests.proxy import Proxy
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import PATIENCE

pytestmark = pytest.mark.server

EXAMPLES: Final = DOCS / "examples"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Run the application that the examples talk to, with a page for the one in React."""
    program = compiled(EXAMPLES / "chat.jsx", tmp_path_factory.mktemp("chat"))
    with live_application(with_react(app, program), protocols=FASTPATH) as running:
        yield running


@pytest.fixture(params=["/", "/react/"], ids=["plain", "react"])
def path(request: pytest.FixtureRequest) -> str:
    """Name the page in plain JavaScript, then the one in React."""
    return str(request.param)


@contextmanager
def chatting(chromium: Browser, address: str, name: str) -> Generator[Page]:
    """Open the chat in a browser of somebody's own, and log in."""
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    tab = context.new_page()
    tab.goto(address)
    tab.fill("[name=name]", name)
    tab.click("text=Log in")
    yield tab
    context.close()


def say(tab: Page, text: str) -> None:
    """Type a line and send it."""
    tab.fill("[name=text]", text)
    tab.click("text=Say")


def sees(tab: Page, where: str, text: str) -> None:
    """Wait until a part of the page has this text and no other."""
    expect(tab.locator(where)).to_have_text(text, timeout=PATIENCE * 1000)


def last_lines(tab: Page, *lines: str) -> None:
    """Wait until the newest line is the last of these, and compare as many lines."""
    expect(tab.locator("#log li").last).to_have_text(lines[-1], timeout=PATIENCE * 1000)

    assert tab.locator("#log li").all_text_contents()[-len(lines) :] == list(lines)


def test_two_people_talk_and_one_leaves(chromium: Browser, path: str, server: LiveServer) -> None:
    """Each sees what both say, and who is there."""
    with chatting(chromium, server.url + path, "ann") as ann:
        sees(ann, "#here", "ann")
        with chatting(chromium, server.url + path, "bob") as bob:
            for tab in (ann, bob):
                sees(tab, "#here", "ann, bob")
            say(ann, "hello")
            last_lines(bob, "ann: hello")
            say(bob, "hi")
            for tab in (ann, bob):
                last_lines(tab, "ann: hello", "bob: hi")
        sees(ann, "#here", "ann")


def test_nothing_is_lost_where_the_line_is_cut(
    chromium: Browser, path: str, server: LiveServer
) -> None:
    """What was said meanwhile comes once and in its place, and the chat goes on."""
    port = urlsplit(server.url).port
    assert port is not None
    with (
        Proxy(port).running() as proxy,
        chatting(chromium, f"http://127.0.0.1:{proxy.port}{path}", "ann") as ann,
        chatting(chromium, server.url + path, "bob") as bob,
    ):
        sees(ann, "#here", "ann, bob")
        say(bob, "before")
        last_lines(ann, "bob: before")
        with proxy.away():
            sees(ann, "#state", "reconnecting")
            say(bob, "meanwhile")
            last_lines(bob, "bob: before", "bob: meanwhile")
        sees(ann, "#state", "connected")
        say(ann, "back")
        for tab in (ann, bob):
            last_lines(tab, "bob: before", "bob: meanwhile", "ann: back")
            sees(tab, "#here", "ann, bob")


@pytest.mark.parametrize("name", ["chat.html", "chat.jsx", "chat.py"])
def test_each_has_forty_lines(name: str) -> None:
    """And the page on its client links to it."""
    client = "python-client.md" if Path(name).suffix == ".py" else "javascript.md"

    assert len((EXAMPLES / name).read_text().splitlines()) <= 42
    assert f"(examples/{name})" in page(client)
