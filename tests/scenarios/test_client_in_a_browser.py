"""The JavaScript client in a real Chromium, as a page loads it from the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, BrowserContext, Page, expect

from itemwire import Itemwire
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.conftest import SECRET
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import PATIENCE, token

expect.set_options(timeout=PATIENCE * 1000)

PAGE: Final = """<!doctype html>
<title>Orders</title>
<p id="state"></p>
<ul id="log"></ul>
<script type="module">
  import { ItemwireClient } from "/live/itemwire.js";

  const show = (line) => {
    log.append(Object.assign(document.createElement("li"), { textContent: line }));
  };
  window.wire = new ItemwireClient({
    url: "/live",
    backoff: { base: 100 },
    token: async () => (await fetch("/token")).text(),
  });
  wire.on("state", (now) => (state.textContent = now));
  window.order = wire.item("order:1");
  order.on("gap", () => show("gap"));
  order.on("message", ({ data }) => show(data));
  await order.join();
</script>
"""


def _add_pages(app: FastAPI) -> None:
    """Add the page, another one to go to, and where the page gets its token."""

    @app.get("/page", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @app.get("/elsewhere", response_class=HTMLResponse)
    async def elsewhere() -> str:
        return "<!doctype html><title>Elsewhere</title><p>Elsewhere</p>"

    @app.get("/token")
    async def fetch_token() -> HTMLResponse:
        return HTMLResponse(token("alice"))


@pytest.fixture(scope="module")
def live() -> Itemwire:
    """Make the channels of this file's application."""
    return Itemwire(settings=Settings(secret=SECRET, _env_file=None))


@pytest.fixture(scope="module")
def shop(live: Itemwire) -> Iterator[LiveServer]:
    """Run an application with channels below a prefix, and a page that uses the client."""
    app = FastAPI()
    app.include_router(live.router, prefix="/live")
    _add_pages(app)
    with live_application(app) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser(without=["--disable-back-forward-cache"]) as browser:
        yield browser


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Open a browser of one person."""
    context = chromium.new_context()
    yield context
    context.close()


def opened(context: BrowserContext, shop: LiveServer) -> Page:
    """Open the page and wait until it has joined."""
    page = context.new_page()
    page.goto(f"{shop.url}/page")
    expect(page.locator("#state")).to_have_text("connected")
    page.wait_for_function("order.state === 'joined'")
    return page


def hears(page: Page, *lines: str) -> None:
    """Wait until the page has heard exactly these lines."""
    expect(page.locator("#log li")).to_have_text(list(lines))


def test_two_pages_below_a_prefix_hear_each_other(
    context: BrowserContext, shop: LiveServer
) -> None:
    """Both load the client from the server by `<script type="module">`, without a build."""
    one, other = opened(context, shop), opened(context, shop)
    one.evaluate("order.publish('from one')")
    hears(other, "from one")
    other.evaluate("order.publish('from the other')")

    hears(one, "from one", "from the other")
    hears(other, "from one", "from the other")


def test_a_page_that_was_offline_gets_what_it_has_missed(
    context: BrowserContext, shop: LiveServer, live: Itemwire
) -> None:
    """Its line is dead and does not say so; when the network is back, that is found in seconds."""
    page = opened(context, shop)
    live.publish_sync("order:1", "before")
    hears(page, "before")
    context.set_offline(True)
    with ThreadPoolExecutor(1) as pool:  # Playwright has a loop in this thread
        pool.submit(lambda: asyncio.run(live.disconnect("alice"))).result(PATIENCE)
    live.publish_sync("order:1", "meanwhile")
    context.set_offline(False)

    hears(page, "before", "meanwhile")
    expect(page.locator("#state")).to_have_text("connected")


def test_a_page_that_was_frozen_goes_on_where_it_was(
    context: BrowserContext, shop: LiveServer, live: Itemwire
) -> None:
    """As a tab in the background is, and a phone in a pocket."""
    page = opened(context, shop)
    session = context.new_cdp_session(page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    live.publish_sync("order:1", "while frozen")
    session.send("Page.setWebLifecycleState", {"state": "active"})

    hears(page, "while frozen")
    assert page.evaluate("wire.state") == "connected"


def test_back_and_forward_find_the_page_as_it_was(
    context: BrowserContext, shop: LiveServer, live: Itemwire
) -> None:
    """An open socket or an `unload` handler would keep it out of the back-forward cache."""
    page = opened(context, shop)
    page.evaluate("window.isTheSame = true")
    live.publish_sync("order:1", "before")
    hears(page, "before")
    page.goto(f"{shop.url}/elsewhere")
    expect(page.locator("p")).to_have_text("Elsewhere")
    live.publish_sync("order:1", "meanwhile")
    page.evaluate("history.back()")

    hears(page, "before", "meanwhile")
    assert page.evaluate("[isTheSame, wire.state]") == [True, "connected"]


def test_messages_are_handed_over_together_once_a_frame(
    context: BrowserContext, shop: LiveServer
) -> None:
    """A page that draws at each message would draw more often than anybody sees."""
    page = opened(context, shop)
    page.evaluate(
        """async () => {
          const { ItemwireClient } = await import("/live/itemwire.js");
          const token = await (await fetch("/token")).text();
          const calm = new ItemwireClient({ url: "/live", token, batch: requestAnimationFrame });
          window.drawn = [];
          const item = calm.item("order:2");
          item.on("message", ({ data }) => drawn.push(data));
          await item.join();
          await Promise.all([1, 2, 3].map((number) => item.publish(number)));
        }"""
    )

    page.wait_for_function("drawn.length === 3")
    assert page.evaluate("drawn") == [1, 2, 3]


def test_a_page_without_the_right_is_told_and_does_not_ask_again(
    context: BrowserContext, shop: LiveServer
) -> None:
    """The rest of its connection goes on."""
    page = opened(context, shop)
    outcome = page.evaluate(
        "wire.item('not an item').join().catch(({ reason, retry }) => [reason, retry])"
    )

    assert outcome == ["item_invalid", "never"]
    assert page.evaluate("[wire.state, order.state]") == ["connected", "joined"]
