"""Makes the pictures of the pages in docs/: `.venv/bin/python -m tests.docs.screenshots`.

That of the operations page shows four minutes of real traffic, so it takes as long.
"""

from __future__ import annotations

import math
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, ViewportSize

from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from tests.conftest import SECRET
from tests.docs.pages import DOCS
from tests.redis_server import running_redis
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import EVERYTHING, JsonClient, json_client, token

SIZE: Final[ViewportSize] = {"width": 1120, "height": 740}
MINUTES: Final = 4
ITEMS: Final = 9


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


def picture_of_operations(page: Page, servers: list[LiveServer]) -> None:
    """Two nodes with traffic that goes up and down."""
    page.goto(f"{servers[0].url}/ops")
    page.fill("#token", token("root", f"admin {EVERYTHING}", lifetime=3600))
    page.press("#token", "Enter")
    page.wait_for_selector("#nodes tr")
    with ExitStack() as stack:
        clients: list[JsonClient] = []
        begun = time.monotonic()
        while (second := time.monotonic() - begun) < MINUTES * 60:
            if len(clients) < 20 + 20 * math.sin(second / 50) ** 2:
                number = len(clients)
                item = f"order:{int(ITEMS * (number / 40) ** 2) + 40}"
                server = servers[number % 2]
                joined = json_client(server, item, f"user-{number}", scope=EVERYTHING)
                clients.append(stack.enter_context(joined))
            if int(second) % 40 < 3:
                servers[1].refusal("/items/order:1/ws?token=not.a.token")
            busy = 1 + int(8 * abs(math.sin(second / 30)))
            for client in clients[:busy]:
                client.ask("publish", data={"status": "on its way"})
            for client in clients[busy:]:
                client.ask("ping")  # and read what waits before the answer
            page.wait_for_timeout(200)  # the page goes on meanwhile
        page.set_viewport_size({"width": 1120, "height": 900})
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=DOCS / "ops.png")


def main() -> None:
    """Take every picture, of servers of its own."""
    settings = Settings(secret=SECRET, admin=True, _env_file=None)
    with (
        running_browser() as browser,
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as stack,
    ):
        context = browser.new_context(viewport=SIZE, color_scheme="light")
        picture_of_the_console(context.new_page(), stack.enter_context(live_server(settings)))
        redis = stack.enter_context(running_redis(Path(folder)))
        shared = settings.model_copy(update={"engine_url": redis.url})
        servers = [stack.enter_context(live_server(shared)) for _ in range(2)]
        picture_of_operations(context.new_page(), servers)


if __name__ == "__main__":
    main()
