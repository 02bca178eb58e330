"""The page on the JavaScript client: what it promises is tested, and its examples run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, expect

from itemwire import Itemwire
from itemwire.settings import Settings
from itemwire.testing.servers import live_application
from tests.clients.node import CLIENT, need_node, run
from tests.conftest import SECRET
from tests.docs.pages import page
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import PATIENCE, token

PAGE: Final = page("javascript.md")


def example(language: str, marker: str) -> str:
    """Return the example of the page that has this text in it."""
    fences: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = (text for text in fences if marker in text)
    return found


def test_every_promise_has_a_test_of_its_number() -> None:
    """The page says so."""
    promised = [int(number) for number in re.findall(r"^(\d+)\. ", PAGE, re.MULTILINE)]
    tests = "".join(path.read_text() for path in (CLIENT / "test").glob("*.test.js"))
    shown = {int(number) for number in re.findall(r"test\([\"`](\d+) ", tests)}

    assert promised == list(range(1, 36))
    assert shown == set(promised)


def test_every_option_is_on_the_page() -> None:
    """A name that is only in the code is found by nobody."""
    types = (CLIENT / "types.js").read_text()
    options = re.search(r"Times are in milliseconds\..*?\}\} Options", types, re.DOTALL)
    assert options is not None
    names = set(re.findall(r"^ \*   (\w+)\??:", options[0], re.MULTILINE))

    assert {name for name in names if f"`{name}`" not in PAGE} == set()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


@pytest.mark.server
def test_the_first_example_shows_what_is_published(chromium: Browser) -> None:
    """As it stands on the page; the session cookie is the credential."""
    live, app = Itemwire(settings=Settings(secret=SECRET, _env_file=None)), FastAPI()
    app.include_router(live.router, prefix="/live")

    @app.get("/", response_class=HTMLResponse)
    async def show() -> str:
        return "<!doctype html>" + example("html", "itemwire.js")

    with live_application(app) as server:
        context = chromium.new_context()
        context.add_cookies([{"name": "session", "value": token("alice"), "url": server.url}])
        tab = context.new_page()
        with server.client(f"/live/items/order:7/ws?token={token('bob')}") as bob:
            bob.welcome()
            tab.goto(server.url)
            bob.expect("joined")
        live.publish_sync("order:7", {"status": "shipped"})

        expect(tab.locator("#log")).to_contain_text(
            'null: {"status":"shipped"}', timeout=PATIENCE * 1000
        )


@pytest.mark.server
def test_the_example_of_a_test_runs() -> None:
    """With the clock that is moved: it takes no time."""
    need_node()
    program = example("js", "new FakeServer()").replace("itemwire/testing", "./testing.js")
    checked = f"""
        import {{ ItemwireClient }} from "./itemwire.js";
        {program}
        if (wire.state !== "connected") throw new Error(wire.state);
        console.log(order.position.split(":")[1]);
    """

    assert run(["node", "--input-type=module", "-e", checked], CLIENT).strip() == "1"
