"""The example of docs/tutorial.md in a real Chromium, with the page that the shop serves."""

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from docs.examples.shop import SESSIONS, app
from itemwire.serving.server import FASTPATH, Protocols
from itemwire.testing import LiveServer
from itemwire.testing.servers import STOCK, live_application
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import PATIENCE

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module", params=[FASTPATH, STOCK], ids=["fastpath", "stock"])
def shop(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """Run the example with our protocol classes, then with uvicorn's own."""
    protocols: Protocols = request.param
    with live_application(app, protocols=protocols) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with running_browser() as browser:
        yield browser


def logged_in(browser: Browser, shop: LiveServer, name: str) -> Page:
    """Open the page in a browser of its own, whose user has logged in."""
    page = browser.new_context().new_page()
    log_in(page, shop, name)
    page.goto(shop.url)
    return page


def log_in(page: Page, shop: LiveServer, name: str) -> None:
    """Have the browser of a page add the cookie of a user from now on."""
    sessions = {name: session for session, name in SESSIONS.items()}
    page.context.add_cookies([{"name": "session", "value": sessions[name], "url": shop.url}])


def sees(page: Page, line: str) -> None:
    """Wait until the page shows a line."""
    expect(page.get_by_text(line, exact=True)).to_be_visible()


def test_the_customer_sees_that_the_seller_ships(chromium: Browser, shop: LiveServer) -> None:
    """What a route publishes reaches the pages of those whom the rule lets in, and no other."""
    sam = logged_in(chromium, shop, "sam")
    stranger = logged_in(chromium, shop, "mallory")
    sees(stranger, "refused: forbidden")
    with stranger.expect_response("**/orders/7/ship") as answered:
        stranger.click("text=Ship it")
    assert answered.value.status == 403
    carol = logged_in(chromium, shop, "carol")

    sam.click("text=Ship it")

    for page in (sam, carol, logged_in(chromium, shop, "carol")):  # the last one comes late
        sees(page, "shipped")


OWN_CLIENT: Final = """async () => {
    const { ItemwireClient } = await import("/live/itemwire.js");
    window.wire = new ItemwireClient({ url: "/live" });
    window.order = wire.item("order:7");
    order.on("refused", ({ reason }) => show(`again: ${reason}`));
    order.join();
}"""


def test_a_page_goes_on_as_whoever_has_logged_in_last(chromium: Browser, shop: LiveServer) -> None:
    """Who was refused logs in as somebody who may, and the page connects anew."""
    page = logged_in(chromium, shop, "mallory")
    page.evaluate(OWN_CLIENT)
    sees(page, "again: forbidden")
    log_in(page, shop, "carol")
    page.evaluate("wire.close(); wire.connect(); order.join()")
    page.wait_for_function("order.state === 'joined'")

    page.click("text=Five stars")
    expect(page.get_by_text("average: 5")).to_be_visible()


def test_the_customer_rates_what_it_got(chromium: Browser, shop: LiveServer) -> None:
    """A page asks the application on its socket; others are told why not."""
    refusal = "forbidden: Only the customer rates an order."
    for name, line in {"carol": "average: 5", "sam": refusal}.items():
        page = logged_in(chromium, shop, name)
        page.wait_for_function("order.state === 'joined'")
        page.click("text=Five stars")
        sees(page, line)


def test_the_console_connects_by_the_cookie(chromium: Browser, shop: LiveServer) -> None:
    """Where the tutorial sends its reader, below the prefix of the shop."""
    page = logged_in(chromium, shop, "carol")

    page.goto(f"{shop.url}/live/#item=order:7")
    page.click("#connect")

    expect(page.locator("#state[data-state=open]")).to_be_visible()
    expect(page.get_by_text("may subscribe, history")).to_be_visible()
