"""Payloads that clients cannot read: refused on every way in, survived where they are stored."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from itemwire.assembly import Assembly
from itemwire.cli import main
from itemwire.engines.base import EngineError
from itemwire.main import create_app
from itemwire.messages import Position
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.principal import Principal
from itemwire_auth.rights import ScopeSet
from tests.conftest import SECRET
from tests.scenarios.clients import (
    EVERYTHING,
    PATIENCE,
    item_path,
    json_client,
    many_client,
    plain_client,
    token,
)
from tests.scenarios.conftest import Serve
from tests.scenarios.event_source import event_source
from tests.wire.test_payloads import POISON

REFUSED: Final = [no for no, _ in POISON.values()]
ACCEPTED: Final = [yes for _, yes in POISON.values()]

# Reads frames, one a line, and prints each value again. What JavaScript reads as infinite would be
# printed as `null`, so it is told instead.
NODE: Final = """
const finite = (key, value) => {
  if (typeof value === "number" && !Number.isFinite(value)) throw new Error(`not finite: ${key}`);
  return value;
};
const lines = require("fs").readFileSync(0, "utf8").trim().split("\\n");
for (const line of lines) console.log(JSON.stringify(JSON.parse(line, finite)));
"""


def posted(server: LiveServer, path: str, body: str) -> httpx.Response:
    """Post JSON as `alice`."""
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    return httpx.post(server.url + path, headers=headers, content=body, timeout=PATIENCE)


def by_socket(server: LiveServer, item_id: str, text: str) -> object:
    """Publish on a socket of one item; give the code of the error, or None."""
    with json_client(server, item_id) as alice:
        alice.connection.send(f'{{"type":"publish","ref":"mine","data":{text}}}')
        answer = alice.read()
        while answer.get("ref") != "mine":
            answer = alice.read()
    return answer.get("code")


def by_many(server: LiveServer, item_id: str, text: str) -> object:
    """Publish on a socket of many items, with the data ahead of the ref."""
    with many_client(server) as alice:
        alice.ask("join", item=item_id)
        alice.connection.send(f'{{"type":"publish","data":{text},"item":"{item_id}","ref":"mine"}}')
        answer = alice.read()
        while answer.get("ref") != "mine":
            answer = alice.read()
    return answer.get("code")


def by_http(server: LiveServer, item_id: str, text: str) -> object:
    """Publish by a request."""
    answer = posted(server, f"/items/{item_id}/messages", text)
    return answer.json().get("code") if answer.status_code != 201 else None


def by_batch(server: LiveServer, item_id: str, text: str) -> object:
    """Publish beside another message, which is stored all the same."""
    pair = (f'{{"item":"{item_id}","data":{data}}}' for data in (text, '"beside"'))
    first, second = posted(server, "/messages", f'{{"messages":[{",".join(pair)}]}}').json()[
        "results"
    ]
    assert "offset" in second
    return first.get("code")


def by_command(server: LiveServer, item_id: str, text: str) -> object:
    """Publish from a shell; the command says what is wrong before it connects."""
    result = itemwire(server, "publish", item_id, "--data-json", stdin=text)
    if result.exit_code == 0:
        return None
    assert result.exit_code == 2
    assert "data: " in result.stderr
    return "payload_invalid"


WAYS: Final[list[Callable[[LiveServer, str, str], object]]] = [
    by_socket,
    by_many,
    by_http,
    by_batch,
    by_command,
]
each_way = pytest.mark.parametrize("publish", WAYS)


def itemwire(server: LiveServer, *arguments: str, stdin: str = "") -> Result:
    """Run a command as somebody who may do everything."""
    credential = ("--url", server.url, "--token", token("alice", EVERYTHING))
    return CliRunner().invoke(main, [*arguments, *credential], input=stdin)


def history_of(server: LiveServer, item_id: str) -> str:
    """Read the history over HTTP as text."""
    headers = {"Authorization": f"Bearer {token()}"}
    url = f"{server.url}/items/{item_id}/messages"
    answer = httpx.get(url, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200
    return answer.text


@each_way
def test_no_way_in_takes_poison(
    server: LiveServer, item_id: str, publish: Callable[[LiveServer, str, str], object]
) -> None:
    """Requirement 133: the publisher is told, and nothing of it is stored."""
    told = {text[:40]: publish(server, item_id, text) for text in REFUSED}

    assert set(told.values()) == {"payload_invalid"}
    stored = json.loads(history_of(server, item_id))["messages"]
    assert {one["data"] for one in stored} <= {"beside"}


@each_way
def test_what_is_accepted_is_read_back_by_every_reader(
    server: LiveServer, item_id: str, publish: Callable[[LiveServer, str, str], object]
) -> None:
    """The twins: by two parsers of Python, by JavaScript's, and by our own command."""
    node = shutil.which("node")
    assert node is not None, "this test reads messages with Node: install Node.js 20 or later"
    assert [publish(server, item_id, text) for text in ACCEPTED] == [None] * len(ACCEPTED)

    frames = listened(server, item_id)
    read = [json.loads(frame) for frame in frames]
    data = [one["data"] for one in read if one["data"] != "beside"]
    assert data == [json.loads(text) for text in ACCEPTED]
    assert [msgspec.json.decode(frame) for frame in frames] == read
    told = subprocess.run(
        [node, "-e", NODE], input="\n".join(frames), capture_output=True, text=True, check=False
    )
    assert (told.stderr, told.stdout.count("\n")) == ("", len(frames))
    tail = itemwire(server, "tail", item_id, "--replay", "99", "--count", str(len(frames)))
    assert (tail.stderr, len(tail.stdout.splitlines())) == ("", len(frames))


def listened(server: LiveServer, item_id: str) -> list[str]:
    """Replay an item, and give its messages as they come."""
    with json_client(server, item_id, replay=99) as bob:
        count = bob.welcome["offset"]
        return [str(bob.connection.recv(timeout=PATIENCE)) for _ in range(count)]


@pytest.mark.parametrize("text", ["1e999", "9" * 5000, "[" * 900 + "]" * 900, '{"a":"\\ud800"}'])
def test_what_a_plain_client_publishes_is_a_string_to_others(
    server: LiveServer, item_id: str, text: str
) -> None:
    """It looks like JSON and is not taken for any, so it needs no bounds."""
    with json_client(server, item_id) as alice, plain_client(server, item_id) as bob:
        bob.send(text)
        bob.send(text.encode())
        as_text, as_bytes = alice.messages(2)

    assert as_text["data"] == text
    assert as_bytes["encoding"] == "base64"


# What servers of earlier versions took. The last one is from a Python with a deeper stack.
STORED: Final = ["1e999", "9" * 5000, '{"a":' * 900 + "1" + "}" * 900, "[" * 5000 + "]" * 5000]


def survives(server: LiveServer, item_id: str) -> None:
    """Check that every reader of ours gets past what is stored, to the message after it."""
    frames = listened(server, item_id)
    found = history_of(server, item_id)
    for text in STORED:
        assert sum(f'"data":{text}' in frame for frame in frames) == 1
        assert f'"data":{text}' in found
    assert json.loads(frames[-1])["data"] == "after"

    with event_source(server, item_id, replay=99) as carol:
        heard = [carol.read() for _ in range(len(STORED) + 2)]
    assert heard[-1].envelope["data"] == "after"

    path = item_path(item_id, {"token": token(), "replay": 99})
    with server.client(path) as kit:
        assert [kit.message(data=text)["offset"] for text in STORED] == [1, 2, 3, 4]
        assert kit.ask("ping")["type"] == "pong"

    tail = itemwire(server, "tail", item_id, "--replay", "99", "--count", str(len(STORED) + 1))
    assert (tail.exit_code, tail.exception) == (0, None)
    lines = tail.stdout.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [*STORED, "after"]
    assert tail.stderr == ""


def test_survives_what_is_kept_in_memory(serve: Serve, settings: Settings, item_id: str) -> None:
    """By the application's own code, whose payloads the edge does not see."""
    app = create_app(settings)
    caller = Principal(None, "old", ScopeSet(), 2**40)
    with serve(settings, app) as server:
        for text in [*STORED, '"after"']:
            store(Assembly.of(app), caller, item_id, text)
        survives(server, item_id)


def store(assembly: Assembly, caller: Principal, item_id: str, text: str) -> None:
    """Publish by the node, which trusts its callers."""
    stored = threading.Event()

    def answer(position: Position | EngineError) -> None:
        assert isinstance(position, Position)
        stored.set()

    payload = "after" if text == '"after"' else msgspec.Raw(text.encode())
    assembly.node.publish(caller, item_id, payload, None, answer)
    assert stored.wait(PATIENCE)


def test_survives_what_a_file_holds(serve: Serve, tmp_path: Path, item_id: str) -> None:
    """A file of an earlier version, which has the same tables."""
    path = tmp_path / "old.db"
    settings = Settings(secret=SECRET, engine_url=f"sqlite:///{path}", _env_file=None)
    with serve(settings) as server, json_client(server, item_id) as alice:
        for data in [*range(len(STORED)), "after"]:
            alice.ask("publish", data=data)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for number, text in enumerate(STORED):
            done = database.execute(
                "UPDATE messages SET message = replace(message, ?, ?) WHERE offset = ?",
                (f'"data":{number}', f'"data":{text}', number + 1),
            )
            assert done.rowcount == 1

    with serve(settings) as server:
        survives(server, item_id)
