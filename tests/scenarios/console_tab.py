"""A person's tab on the console, in a real Chromium."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, expect

from itemwire.testing import LiveServer
from tests.scenarios.clients import PATIENCE

expect.set_options(timeout=PATIENCE * 1000)


class Tab:
    """The tab, and what went wrong in it."""

    def __init__(self, browser: Browser, server: LiveServer, **context: Any) -> None:  # noqa: ANN401 - Playwright's
        self.page: Page = browser.new_context(**context).new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda line: self.problems.append(line.text) if line.type == "error" else None,
        )
        self._url = server.url

    def join(self, item: str, credential: str, replay: int = 0) -> Tab:
        """Open the console by its link and connect."""
        self.page.goto(f"{self._url}/#item={item}&token={credential}&replay={replay}")
        self.page.click("#connect")
        return self

    def join_all(self, items: list[str], credential: str, **named: object) -> Tab:
        """Open the console by a link to many items and connect."""
        fragment = urlencode([*(("item", one) for one in items), *named.items()])
        self.page.goto(f"{self._url}/#{fragment}&token={credential}")
        self.page.click("#connect")
        return self.is_open()

    def is_open(self) -> Tab:
        """Wait until the connection is open and the server has answered every join."""
        expect(self.page.locator("#state[data-state=open]")).to_be_visible()
        unanswered = "[role=tab]:not([data-state=joined], [data-state=refused])"
        expect(self.page.locator(unanswered)).to_have_count(0)
        return self

    def send(self, text: str) -> None:
        """Type a message and press Enter."""
        self.page.fill("#message", text)
        self.page.press("#message", "Enter")

    def sees(self, selector: str, text: str) -> None:
        """Wait until a line with the text is there."""
        expect(self.page.locator(selector, has_text=text).first).to_be_visible()
