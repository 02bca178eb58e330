"""Lines about the channels are redacted where a host configures the log, and no others are."""

import asyncio
import logging
from collections.abc import Mapping

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message

from itemwire.application import ChannelApplication
from itemwire.observability.host_logs import redact_channel_lines
from itemwire_auth.redaction import SERVERS

ACCESS = '%s - "%s %s HTTP/%s" %d'


@pytest.fixture(autouse=True)
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have channels at `/live` been reached, as before each line about them."""
    for name in SERVERS:  # an application without channels redacts every line of its process
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    redact_channel_lines()
    redact_channel_lines()  # a second application in the process
    host = Starlette(routes=[Mount("/live", ChannelApplication())])

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_message: Message) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/live/none", "headers": []}
    asyncio.run(host({**scope, "query_string": b"", "root_path": ""}, receive, send))


def logged(
    caplog: pytest.LogCaptureFixture, name: str, line: str, *args: str | int | Mapping[str, str]
) -> str:
    """Log a line and return how it is written."""
    with caplog.at_level(logging.INFO, name):
        logging.getLogger(name).info(line, *args)
    return caplog.messages[-1]


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/live/items/7/ws?token=secret", "/live/items/7/ws?[redacted]"),
        ("/live?token=secret", "/live?[redacted]"),
        ("/liv%65/ws?token=secret", "/liv%65/ws?[redacted]"),
        ("/lively?token=secret", "/lively?token=secret"),
        ("/orders/7?token=secret", "/orders/7?token=secret"),
        ("/orders/live/7?token=secret", "/orders/live/7?token=secret"),
        ("/orders?next=/live/ws?token=secret", "/orders?next=/live/ws?token=secret"),
    ],
)
def test_an_access_line_is_judged_by_its_path(
    caplog: pytest.LogCaptureFixture, path: str, written: str
) -> None:
    """Its parts stay where a formatter of the server looks for them."""
    line = logged(caplog, "uvicorn.access", ACCESS, "127.0.0.1:5", "GET", path, "1.1", 200)

    assert line == f'127.0.0.1:5 - "GET {written} HTTP/1.1" 200'
    assert isinstance(caplog.records[-1].args, tuple)
    assert len(caplog.records[-1].args) == 5


def test_a_line_that_is_made_of_a_mapping_is_redacted(caplog: pytest.LogCaptureFixture) -> None:
    """The access log of hypercorn."""
    atoms = {"r": "GET /live/ws?token=secret 2"}

    assert logged(caplog, "hypercorn.access", "%(r)s", atoms) == "GET /live/ws?[redacted] 2"


def test_own_lines_are_always_redacted(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever they are about, with their tracebacks."""
    logger = logging.getLogger("itemwire.refusals")
    try:
        int("/ws?token=secret")
    except ValueError:
        logger.exception("route_failed path=%r", "/ws?token=secret")

    assert "secret" not in caplog.messages[-1]
    assert "invalid literal for int() with base 10: '/ws?[redacted]'" in caplog.text


def test_lines_of_the_host_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Its own loggers, even about channels: it writes what it wants to."""
    line = "calls /live/ws?token=secret"

    assert logged(caplog, "shop.orders", line) == line
