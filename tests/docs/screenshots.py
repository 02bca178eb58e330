"""Makes the pictures of the pages in docs/: `.venv/bin/python -m tests.docs.screenshots`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from playwright.sync_api import Page, ViewportSize

from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from tests.conftest import SECRET
from tests.docs.pages import DOCS
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import EVERYTHING, json_client, token

SIZE: Final[ViewportSize] = {"width": 1120, "height": 740}


def picture_of_the_console(page: Page, server: LiveServer) -> None:
    """Two items on one socket, messages of two people, and the frames."""
    page.goto(f"{server.url}/#item=order:42&item=order:43&token={token('writer')}")
    page.click("#connect")
    page.wait_for_selector("#composer fieldset:not([disabled])")
    page.click("#frames summary")
    with json_client(server, "order:42", "reader", scope=EVERYTHING) as reader:
        page.wait_for_selector("#log li[data-kind=joined]")
        for text in ("packed", "on its way"):
            page.fill("#message", text)
            page.press("#message", "Enter")
        reader.messages(2)
        reader.ask("publish", data={"status": "shipped", "stops": [3, 4]})
        page.wait_for_selector("#log li[data-payload=json]")
        with json_client(server, "order:43", "reader") as other:
            other.ask("publish", data="billed")
            page.wait_for_selector("#tabs .tag")
        page.wait_for_timeout(300)  # what is drawn once a frame
        page.screenshot(path=DOCS / "console.png")


PICTURES: Final[dict[str, Callable[[Page, LiveServer], None]]] = {
    "console.png": picture_of_the_console,
}


def main() -> None:
    """Take every picture, of a server of its own."""
    settings = Settings(secret=SECRET, admin=True, _env_file=None)
    with live_server(settings) as server, running_browser() as browser:
        for take in PICTURES.values():
            take(browser.new_context(viewport=SIZE, color_scheme="light").new_page(), server)


if __name__ == "__main__":
    main()
