"""The channels of the stand-alone server, from a TOML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import httpx
import pytest
from click.testing import CliRunner

from itemwire.cli import main
from itemwire.cli.configuration import EXIT_CONFIGURATION
from itemwire.rules.channels import ChannelRules
from itemwire.rules.file import add_channels_of
from itemwire.testing import live_server
from itemwire.testing.servers import settings_for
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret

FILE: Final = """
unknown = "forbid"

["order:first"]
history = 1

["order:{number}"]
history = 2
max_age = 60

["cursor:{board}"]
history = 0
presence = "off"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a file with three channels."""
    path = tmp_path / "channels.toml"
    path.write_text(FILE)
    return path


def bearer(tokens: TokenFactory, **claims: object) -> dict[str, str]:
    """Make the header of a good token."""
    return {"Authorization": f"Bearer {tokens.good(**claims)}"}


@pytest.mark.server
def test_the_rules_hold_and_tokens_decide(file: Path) -> None:
    """Also for items that no pattern matches."""
    tokens = TokenFactory(signing_key_from_secret(new_secret()))
    with (
        live_server(settings_for(tokens, channels_file=file)) as server,
        httpx.Client(base_url=server.url, headers=bearer(tokens)) as http,
    ):
        for number in range(3):
            for item in ("order:first", "order:7"):
                http.post(f"/items/{item}/messages", json=number)
        histories = [
            [one["data"] for one in http.get(f"/items/{item}/messages").json()["messages"]]
            for item in ("order:first", "order:7")
        ]
        ephemeral = http.post("/items/cursor:7/messages", json=1)
        members = http.get("/items/cursor:7/members")
        unknown = http.post("/items/else/messages", json=1)
        stranger = httpx.post(
            server.url + "/items/order:7/messages",
            json=1,
            headers=bearer(tokens, scope="items:*:subscribe"),
        )

    assert histories == [[2], [1, 2]]
    assert (ephemeral.status_code, ephemeral.json()) == (202, {"ephemeral": True})
    assert [one.json()["code"] for one in (members, unknown, stranger)] == [
        "forbidden",
        "forbidden",
        "scope_missing",
    ]


@pytest.mark.server
def test_streams_and_commands_show_ephemeral_messages(file: Path) -> None:
    """An event without an id, so that a stream goes on from what is stored."""
    tokens = TokenFactory(signing_key_from_secret(new_secret()))
    with (
        live_server(settings_for(tokens, channels_file=file)) as server,
        httpx.Client(base_url=server.url, headers=bearer(tokens)) as http,
        http.stream("GET", "/items/cursor:7/events") as stream,
        server.client("/items/cursor:7/ws", headers=bearer(tokens)) as client,
    ):
        client.welcome()
        events = stream.iter_lines()
        while not next(events).startswith("id: "):  # the stream has begun to be live
            pass
        while next(events):  # the rest of that block
            pass
        options = ["cursor:7", "hello", "--url", server.url, "--token", tokens.good()]
        published = CliRunner().invoke(main, ["publish", *options])
        lines = [line for line in (next(events) for _ in range(4)) if line]
        message = client.message()

    assert published.output == "ephemeral\n"
    assert lines[0] == "event: message"
    assert json.loads(lines[1].removeprefix("data: ")) == message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "is no TOML"),
        ("unknown = 1", "unknown=1 must be one of policy, forbid"),
        ("[order]\nhistory = -1", "['order'] history=-1 must be a number of messages"),
        ("[order]\nspeed = 1", "['order'] speed is no option"),
        ("[order]\nmodel = 'order.json'", "['order'] model: cannot read"),
        ("[order]\nmodel = 5", "['order'] model=5 must be a JSON Schema, or the name of a file"),
        ("[order]\nmodel = {type = 'Order'}", "['order'] model is no JSON Schema that can be used"),
        ("['order:{']\necho = true", "['order:{'] 'order:{' is no pattern"),
        ("['a:{b}']\n[x]\n['a:{b}'.c]\nd = 1", "['a:{b}'] c is no option"),
        ("order = 1", "['order'] is no table"),
    ],
)
def test_says_which_file_table_and_key_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    """The start ends with it, before anything is served."""
    path = tmp_path / "channels.toml"
    path.write_text(text)

    with pytest.raises(ValueError, match=r"channels\.toml") as refused:
        add_channels_of(path, ChannelRules(), 65_536)

    assert problem in str(refused.value)


def test_the_command_shows_the_channels_of_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are understood, in the order in which they are asked."""
    monkeypatch.setenv("ITEMWIRE_CHANNELS_FILE", str(file))

    shown = CliRunner().invoke(main, ["config"])
    as_json = CliRunner().invoke(main, ["config", "--json"])

    assert "history=2 max_age=60" in shown.output
    assert json.loads(as_json.output)["channels"] == {
        "order:first": {"history": 1},
        "order:{number}": {"history": 2, "max_age": 60},
        "cursor:{board}": {"history": 0, "presence": "off"},
    }


@pytest.mark.parametrize("command", [["config"], ["serve", "--port", "0"]])
def test_a_fault_ends_the_start_with_78(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """EX_CONFIG: a supervisor need not try again."""
    monkeypatch.setenv("ITEMWIRE_SECRET", new_secret())
    monkeypatch.setenv("ITEMWIRE_CHANNELS_FILE", str(tmp_path / "none.toml"))

    ended = CliRunner().invoke(main, command)

    assert ended.exit_code == EXIT_CONFIGURATION
    assert "none.toml: No such file" in ended.output


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = " + "[" * 5000, "is nested too deeply"),
        ("a = " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("a = " + "{ a = " * 5000, "is nested too deeply"),
        ("a." * 5000 + "a = 1", "['a'] a is no option"),
        ('["a".model]\n' + "a." * 5000 + "a = 1", "['a'] model is no JSON"),
        ("a = [", "is no TOML"),
    ],
)  # fmt: skip
def test_a_file_that_is_nested_deeply_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    """Python runs out of stack while it reads such a text, or what it holds."""
    path = tmp_path / "channels.toml"
    path.write_text(text)
    monkeypatch.setenv("ITEMWIRE_SECRET", new_secret())
    monkeypatch.setenv("ITEMWIRE_CHANNELS_FILE", str(path))

    ended = CliRunner().invoke(main, ["config"])

    assert ended.exit_code == EXIT_CONFIGURATION
    assert problem in ended.output
    assert len(ended.output.splitlines()) == 1
