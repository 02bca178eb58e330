"""A real stream in the parsers that others use: all of them read the same events in it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import httpx_sse
import pytest
import sseclient
from playwright.sync_api import Browser

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.clients.node import CLIENT, SECONDS, need_node
from tests.conftest import SECRET
from tests.scenarios.browsers import running_browser
from tests.scenarios.clients import EVERYTHING, PATIENCE, json_client, token
from tests.scenarios.conftest import Serve

Heard = tuple[str, str, str]  # the name of an event, the id that counts after it, its data

BEAT_SECONDS: Final = 0.05
SAID: Final = ("one", "two\r\nlines", "ö", "")

IN_NODE: Final = """
import { createParser } from "eventsource-parser";
import { readFileSync } from "node:fs";
const heard = [];
let last = "";
createParser({
  onEvent({ event, id, data }) {
    last = id ?? last;
    heard.push([event ?? "message", last, data]);
  },
}).feed(readFileSync(0, "utf-8"));
console.log(JSON.stringify(heard));
"""

IN_A_PAGE: Final = """async names => {
  const heard = [];
  const source = new EventSource(window.stream);
  const note = ({ type, lastEventId, data }) => heard.push([type, lastEventId, data]);
  await new Promise(ended => {
    for (const name of [...names, "message"]) source.addEventListener(name, note);
    source.onerror = () => { source.close(); ended(); };
  });
  return heard;
}"""


@pytest.fixture(scope="module")
def beating(serve: Serve) -> Iterator[LiveServer]:
    """Run a server whose streams are full of comments."""
    settings = Settings(secret=SECRET, admin=True, ping_interval=BEAT_SECONDS, _env_file=None)
    with serve(settings) as running:
        yield running


@pytest.fixture(scope="module")
def stream(beating: LiveServer) -> bytes:
    """Record a stream from its welcome to its closing, with silence before each message."""
    recorded = bytearray()
    asked = {"Authorization": f"Bearer {token('carol', EVERYTHING)}"}
    operator = {"Authorization": f"Bearer {token('root', 'admin')}"}
    with (
        json_client(beating, "parsed") as alice,
        httpx.Client(base_url=beating.url, timeout=PATIENCE) as client,
        client.stream("GET", "/items/parsed/events", headers=asked) as answer,
    ):
        pieces = answer.iter_raw()

        def read_past(what: bytes) -> None:
            while what not in recorded:
                recorded.extend(next(pieces))

        for text in SAID:
            beats = recorded.count(b"\n:")
            alice.ask("publish", data=text)
            until_beaten = beats + 2
            while recorded.count(b"\n:") < until_beaten:
                recorded.extend(next(pieces))
        revocation = {"subject": "carol"}
        httpx.post(
            f"{beating.url}/admin/revocations", headers=operator, json=revocation, timeout=PATIENCE
        ).raise_for_status()
        read_past(b"event: closing")
        for piece in pieces:
            recorded.extend(piece)
    return bytes(recorded)


def by_the_standard(stream: bytes) -> list[Heard]:
    """Read a stream as the HTML standard says, 9.2.6."""
    heard, fields, last = [], {"event": "message"}, ""
    for line in stream.decode().split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line and name:
            fields[name] = value
            last = value if name == "id" else last
        elif not line:
            if "data" in fields:
                heard.append((fields["event"], last, fields["data"]))
            fields = {"event": "message"}
    return heard


def by_httpx_sse(stream: bytes) -> list[Heard]:
    """Read it with httpx-sse, to which a block of comments is an empty message."""
    headers = {"content-type": "text/event-stream"}
    source = httpx_sse.EventSource(httpx.Response(200, headers=headers, content=stream))
    return [(one.event, one.id, one.data) for one in source.iter_sse()]


def by_sseclient(stream: bytes) -> list[Heard]:
    """Read it with sseclient-py, which knows the id of an event alone."""
    events, last = [], ""
    for one in sseclient.SSEClient(iter([stream])).events():
        last = one.id or last
        events.append((one.event, last, one.data))
    return events


def by_eventsource_parser(stream: bytes) -> list[Heard]:
    """Read it with eventsource-parser of npm, on Node."""
    need_node()
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", IN_NODE],
        input=stream,
        cwd=CLIENT,
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=True,
    )
    return [tuple(one) for one in json.loads(done.stdout)]


PARSERS: Final[dict[str, Callable[[bytes], list[Heard]]]] = {
    "httpx-sse": by_httpx_sse,
    "sseclient-py": by_sseclient,
    "eventsource-parser": by_eventsource_parser,
}


def test_the_stream_has_what_parsers_disagree_about(stream: bytes) -> None:
    """Comments between its events, and no block without data: that is why all read it alike."""
    blocks = stream.split(b"\n\n")[:-1]

    assert stream.count(b"\n:") >= 2 * len(SAID)
    assert [block for block in blocks if b"\ndata: " not in block] == []
    messages = [data for name, _, data in by_the_standard(stream) if name == "message"]
    assert [json.loads(data)["data"] for data in messages] == list(SAID)


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_reads_what_the_standard_says(stream: bytes, name: str) -> None:
    """The same events, with the same ids: none is empty and none is missing."""
    assert PARSERS[name](stream) == by_the_standard(stream)


def test_a_browser_reads_what_the_standard_says(beating: LiveServer, stream: bytes) -> None:
    """Chromium, to which the recorded bytes are served again."""
    expected = by_the_standard(stream)
    names = sorted({name for name, _, _ in expected} - {"message"})
    with running_browser() as browser:
        heard = _in_a_page(browser, beating, stream, names)

    assert [tuple(one) for one in heard] == expected


def _in_a_page(
    browser: Browser, server: LiveServer, stream: bytes, names: list[str]
) -> list[list[str]]:
    page = browser.new_context().new_page()
    headers = {"content-type": "text/event-stream"}
    page.route("**/recorded", lambda route: route.fulfill(body=stream, headers=headers))
    page.goto(f"{server.url}/health/live")
    page.evaluate("window.stream = '/recorded'")
    heard: list[list[str]] = page.evaluate(IN_A_PAGE, names)
    return heard
