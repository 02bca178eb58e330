"""The example of requests and hooks on the page about embedding, run as it stands there."""

import re
import time

import pytest

from docs.examples.requests_and_hooks import app, present
from itemwire.testing.servers import live_application
from tests.docs.pages import DOCS, page

NAME = "requests_and_hooks"


def test_the_page_shows_the_example() -> None:
    """From its imports on."""
    shown = re.search(
        rf"<!-- docs/examples/{NAME}.py -->\n\n```py\n(.*?)```", page("embedding.md"), re.DOTALL
    )
    assert shown is not None

    assert (DOCS / "examples" / f"{NAME}.py").read_text().endswith(shown.group(1))


@pytest.mark.server
def test_it_answers_checks_and_is_told() -> None:
    """All that the page says of it."""
    with live_application(app) as server:
        with server.client("/live/items/order:7/ws?token=x") as client:
            client.welcome()
            reply = client.ask("request", name="mark_read", data={"upto": 3})
            refused = client.ask("publish", data={"text": "damn"})
            client.publish({"text": " hello "})
            message = client.message()
            assert wait_until_present({"ann"})
        assert wait_until_present(set())

    assert reply["data"] == {"order": 7, "unread": 2}
    assert (refused["code"], refused["detail"]) == ("profanity", "Mind your language.")
    assert message["data"] == {"text": "hello"}


def wait_until_present(who: set[str]) -> bool:
    """Wait until the application has been told that so many are there."""
    until = time.monotonic() + 20
    while present != who and time.monotonic() < until:
        time.sleep(0.01)
    return present == who
