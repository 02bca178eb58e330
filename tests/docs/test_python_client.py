"""docs/python-client.md is run as it stands there, and its tables are compared with the code."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from typing import Any

import pytest

from itemwire import client
from itemwire.client import AsyncClient, ClientError, Refused, TokenRequest
from itemwire.client.async_client import ClientArguments
from itemwire.client.async_item import ITEM_EVENTS
from itemwire.client.router import EVENTS
from itemwire.testing import LiveServer
from tests.docs.pages import DOCS, page, table
from tests.scenarios.clients import PATIENCE, token

TEXT = page("python-client.md")
CHAT = DOCS / "examples" / "chat.py"


class _Stop(Exception):
    """Ends a loop that would listen for ever."""


def block(mark: str) -> str:
    """Return the code that follows a mark."""
    shown = re.search(rf"<!-- {mark} -->\n\n```py\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None, mark
    return shown[1]


def first_cells(mark: str) -> list[str]:
    """Return the names in the first column of a table."""
    return re.findall(r"^\| `(\w+)`", table(TEXT, mark), re.MULTILINE)


def fetch_token(_: TokenRequest) -> str:
    """Return a token that is good for everything."""
    return token()


@pytest.mark.server
def test_the_asyncio_example_runs(server: LiveServer) -> None:
    """It prints what it has published."""
    printed: list[tuple[object, ...]] = []

    def print_and_stop(*values: object) -> None:
        printed.append(values)
        raise _Stop

    code = block("asyncio").replace("https://wire.example.com", server.url)
    names: dict[str, Any] = {"fetch_token": fetch_token, "print": print_and_stop}
    with pytest.raises(_Stop):
        exec(code, names)  # noqa: S102 - the page's own code

    ((offset, sender, data),) = printed
    assert (offset, sender, data) == (1, "alice", {"status": "shipped"})


@pytest.mark.server
def test_the_blocking_example_runs(server: LiveServer) -> None:
    """In plain code."""
    printed: list[object] = []
    names: dict[str, Any] = {
        "fetch_token": fetch_token,
        "url": server.url,
        "print": printed.append,
    }
    exec(block("blocking"), names)  # noqa: S102 - the page's own code

    assert printed == [{"status": "shipped"}]


@pytest.mark.server
def test_the_example_of_types_runs(server: LiveServer) -> None:
    """Inside of a coroutine, where a client is open."""
    printed: list[object] = []
    imports, _, rest = block("types").partition("\n\n\n")
    body = textwrap.indent(rest, "    ")
    code = f"{imports}\nasync def run(wire):\n{body}"
    names: dict[str, Any] = {"print": printed.append}
    exec(code, names)  # noqa: S102 - the page's own code

    async def main() -> None:
        async with AsyncClient(server.url, token=fetch_token) as wire:
            await names["run"](wire)

    asyncio.run(main())
    assert printed == ["packed"]


def test_the_options_are_those_of_the_client() -> None:
    """With their defaults."""
    parameters = inspect.signature(AsyncClient).parameters
    options = [one for one in parameters if one not in {"url", "token", *_FOR_TESTS}]
    shown = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table(TEXT, "options"), re.MULTILINE))

    assert list(shown) == options
    for name, text in shown.items():
        default = parameters[name].default
        said = None if text == "none" else eval(text.strip("`"))  # noqa: S307 - the page's own
        assert default == said, name


_FOR_TESTS = ("clock", "connect", "random")


def test_the_blocking_twin_takes_the_same() -> None:
    """An editor knows them there, too."""
    parameters = inspect.signature(AsyncClient).parameters

    assert list(ClientArguments.__annotations__) == [one for one in parameters if one != "url"]


def test_the_events_are_those_that_are_emitted() -> None:
    """Those of an item stand in a sentence."""
    assert first_cells("events") == list(EVENTS)
    sentence = re.search(r"`item.on` knows (.+)\.", TEXT)
    assert sentence is not None
    assert re.findall(r"`(\w+)`", sentence[1]) == list(ITEM_EVENTS)


def test_the_errors_are_those_that_are_raised() -> None:
    """Each is a public name of the client."""
    public = [getattr(client, name) for name in client.__all__]
    errors = {one for one in public if isinstance(one, type) and issubclass(one, ClientError)}

    assert {getattr(client, name) for name in first_cells("errors")} == errors - {ClientError}
    assert issubclass(client.Unauthorized, Refused)


def test_the_chat_is_short() -> None:
    """As the page says."""
    assert len(CHAT.read_text().splitlines()) <= 45


@pytest.mark.server
def test_two_people_chat(server: LiveServer) -> None:
    """Each in a process of their own, as the docstring of the example says."""
    with ExitStack() as stack:
        ann, bob = (stack.enter_context(chatting(server, name)) for name in ("ann", "bob"))
        wait_for(ann, "* here: ann, bob\n")
        wait_for(bob, "* here: ann, bob\n")
        say(ann, "hello")
        wait_for(bob, "ann: hello\n")
        say(bob, "hi")
        wait_for(ann, "bob: hi\n")
        for person in (ann, bob):
            assert person.stdin is not None
            person.stdin.close()
            assert person.wait(PATIENCE) == 0


def chatting(server: LiveServer, name: str) -> subprocess.Popen[str]:
    """Start the example for somebody."""
    return subprocess.Popen(
        [sys.executable, str(CHAT), server.url, "room:chat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"ITEMWIRE_TOKEN": token(name)},
    )


def say(person: subprocess.Popen[str], text: str) -> None:
    """Type a line."""
    assert person.stdin is not None
    person.stdin.write(f"{text}\n")
    person.stdin.flush()


def wait_for(person: subprocess.Popen[str], line: str) -> None:
    """Read what somebody sees up to a line; the limit of the test ends a wait in vain."""
    assert person.stdout is not None
    while (shown := person.stdout.readline()) != line:
        assert shown, f"it ended without {line!r}"
