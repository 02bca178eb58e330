"""An operator's tab on the operations page, in a real Chromium."""

from __future__ import annotations

from typing import Any, Final

from playwright.sync_api import Browser, Page, expect

from itemwire.testing import LiveServer
from tests.scenarios.clients import EVERYTHING, PATIENCE, token

expect.set_options(timeout=PATIENCE * 1000)

OPERATOR: Final = f"admin {EVERYTHING}"


class Operator:
    """The tab, and what went wrong in it."""

    def __init__(self, browser: Browser, server: LiveServer, **context: Any) -> None:  # noqa: ANN401 - Playwright's
        self.page: Page = browser.new_context(**context).new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda line: self.problems.append(line.text) if line.type == "error" else None,
        )
        self.page.goto(f"{server.url}/ops")

    def sign_in(self, scope: str = OPERATOR) -> Operator:
        """Type a token in, with the keyboard alone."""
        self.page.fill("#token", token("root", scope))
        self.page.press("#token", "Enter")
        return self

    def is_live(self) -> Operator:
        """Wait for the first figures."""
        expect(self.page.locator("#state[data-state=open]")).to_have_text("Live")
        expect(self.page.locator("#nodes tr")).to_have_count(2)
        return self

    def look_up(self, box: str, text: str) -> None:
        """Type into a box and press Enter."""
        self.page.fill(box, text)
        self.page.press(box, "Enter")

    def confirm(self, answer: str) -> None:
        """Answer the question that the page asks."""
        expect(self.page.locator("#confirm")).to_be_visible()
        self.page.click(f"#confirm-{answer}")
        expect(self.page.locator("#confirm")).to_be_hidden()
