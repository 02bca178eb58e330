"""`publish` and `tail` against a real server."""

import json
import subprocess

import pytest

from itemwire.cli.channels import _line as line_of
from itemwire.settings import Settings
from itemwire.testing import live_server
from tests.cli.conftest import ITEMWIRE, CommandLine, Started
from tests.conftest import SECRET
from tests.proxy import Proxy
from tests.scenarios.clients import token


@pytest.fixture(autouse=True)
def client(dev: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer's settings, as a shell would export them."""
    monkeypatch.setenv("ITEMWIRE_URL", dev.url)
    monkeypatch.setenv("ITEMWIRE_TOKEN", dev.writer)


def test_what_is_published_is_read_back(itemwire: CommandLine) -> None:
    """One authenticated round trip, the shortest one there is."""
    published = itemwire("publish", "cli:1", "hello")
    read = itemwire("tail", "cli:1", "--replay", "1", "--count", "1")

    epoch, offset = published.output.strip().split(":")
    assert (bool(epoch), offset) == (True, "1")
    assert read.stdout == "1 writer: hello\n"


def test_publishing_takes_two_rights_as_its_help_says(itemwire: CommandLine) -> None:
    """Who publishes on a socket is on the item; a request over HTTP takes one."""
    with live_server(Settings(secret=SECRET, _env_file=None)) as server:
        refused, accepted = (
            itemwire("publish", "cli:6", "x", "--url", server.url, "--token", token(scope=scope))
            for scope in ("items:publish", "items:publish items:subscribe")
        )

    assert "scope_missing" in refused.stderr
    assert accepted.exit_code == 0
    assert "needs the right `subscribe` beside `publish`" in " ".join(
        itemwire("publish", "--help").stdout.split()
    )


def test_json_goes_in_and_out_as_json(itemwire: CommandLine) -> None:
    """For programs on both ends of a pipe."""
    published = itemwire("publish", "cli:2", '{"a": [1, 2]}', "--data-json", "--json")
    read = itemwire("tail", "cli:2", "--replay", "1", "--count", "1", "--json")

    answer = json.loads(published.stdout)
    welcome, message = map(json.loads, read.stdout.splitlines())
    assert answer == {"epoch": welcome["epoch"], "offset": 1}
    assert message["data"] == {"a": [1, 2]}


def test_data_may_come_from_standard_input(itemwire: CommandLine) -> None:
    """A text that is too long for an argument list, or not for its history."""
    itemwire("publish", "cli:3", stdin="two\nlines")
    read = itemwire("tail", "cli:3", "--replay", "1", "--count", "1")

    assert read.stdout == "1 writer: two\nlines\n"


def test_tail_shows_what_a_terminal_would_obey(itemwire: CommandLine) -> None:
    """Anyone who may publish must not clear the screen of who watches, or set its title."""
    itemwire("publish", "cli:5", "\x1b[2J\x9b1mhello\u202e \N{SNOWMAN}")
    read = itemwire("tail", "cli:5", "--replay", "1", "--count", "1")

    assert read.stdout == "1 writer: \\x1b[2J\\x9b1mhello\\u202e \N{SNOWMAN}\n"


def test_tail_shows_who_comes_and_goes(itemwire: CommandLine, dev: Started) -> None:
    """A running `tail` hears of every other client."""
    command = [ITEMWIRE, "tail", "cli:4", "--count", "2", "--token", dev.reader]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        while watcher.poll() is None:  # a writer joins between any two messages
            itemwire("publish", "cli:4", "hello")
        assert watcher.stdout is not None
        lines = watcher.stdout.read().splitlines()

    assert "* writer joined" in lines
    assert lines[-1].endswith("writer: hello")


def test_tail_ends_quietly_when_its_reader_has_seen_enough(
    itemwire: CommandLine, dev: Started
) -> None:
    """`itemwire tail … | head -1` is no error."""
    itemwire("publish", "cli:9", "hello")
    command = [ITEMWIRE, "tail", "cli:9", "--replay", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        first = tail.stdout.readline()
        tail.stdout.close()
        while tail.poll() is None:
            itemwire("publish", "cli:9", "more")

        assert first == "1 writer: hello\n"
        assert tail.stderr.read() == ""


def test_tail_goes_on_after_a_break(itemwire: CommandLine, dev: Started) -> None:
    """Nothing is missed, and standard error says what happened."""
    itemwire("publish", "cli:11", "one")
    with Proxy(int(dev.url.rpartition(":")[2])).running() as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        command = [ITEMWIRE, "tail", "cli:11", "--replay", "1", "--count", "2", "--url", url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as tail:
            assert tail.stdout is not None
            assert tail.stderr is not None
            first = tail.stdout.readline()
            proxy.cut()
            told = tail.stderr.readline()
            itemwire("publish", "cli:11", "two")
            rest = [line for line in tail.stdout if "writer: " in line]

    assert (first, rest) == ("1 writer: one\n", ["2 writer: two\n"])
    assert told.startswith("reconnecting: ")


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param({"type": "gap", "item": "a", "from": 3, "to": 7}, id="gap"),
        pytest.param({"type": "welcome", "was_recovering": True, "recovered": False}, id="resume"),
    ],
)
def test_tail_says_where_messages_are_lost(lost: dict[str, object]) -> None:
    """A reader must not take what follows for all there is."""
    assert line_of(lost) == "* messages are lost"
    assert line_of({"type": "welcome", "was_recovering": False, "recovered": False}) is None
    assert line_of({"type": "welcome", "was_recovering": True, "recovered": True}) is None


@pytest.mark.parametrize(
    ("credential", "told"),
    [
        pytest.param("expired", "1008 credentials_invalid", id="expired"),
        pytest.param(None, "1008 credentials_missing", id="none"),
    ],
)
def test_a_refusal_is_one_line_with_its_reason(
    itemwire: CommandLine,
    dev: Started,
    monkeypatch: pytest.MonkeyPatch,
    credential: str | None,
    told: str,
) -> None:
    """What a browser would see, and in words."""
    monkeypatch.setenv("ITEMWIRE_TOKEN", getattr(dev, credential) if credential else "")

    result = itemwire("publish", "cli:5", "hello")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_refusal_over_http_is_told_with_its_reason(
    itemwire: CommandLine, settings: Settings
) -> None:
    """It stands in the body; the status alone says little. Another server has no such body."""
    with live_server(settings.model_copy(update={"refusal": "http"})) as server:
        ours = itemwire("publish", "cli:10", "hello", "--url", server.url, "--token", "x")
        other = itemwire("publish", "cli:10", "hello", "--url", f"{server.url}/elsewhere")

    assert "refused with HTTP 401 credentials_invalid: A credential" in ours.stderr
    assert other.stderr == "Error: refused with HTTP 403\n"


def test_a_missing_right_is_told(itemwire: CommandLine, dev: Started) -> None:
    """A reader may read and not write; its twin is the writer of the first test."""
    result = itemwire("publish", "cli:6", "hello", "--token", dev.reader)

    assert result.exit_code == 1
    assert "scope_missing" in result.stderr


def test_no_server_is_one_clear_line(itemwire: CommandLine) -> None:
    """Not a traceback."""
    result = itemwire("publish", "cli:7", "hello", "--url", "http://127.0.0.1:9")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cannot connect to http://127.0.0.1:9: ")


def test_data_that_is_no_json_is_refused_before_connecting(itemwire: CommandLine) -> None:
    """The server is not asked to judge a typing error."""
    result = itemwire("publish", "cli:8", "{", "--data-json")

    assert result.exit_code == 2
    assert "not JSON" in result.stderr
