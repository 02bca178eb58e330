"""`bench` against a real server, with the smallest load."""

import json
import os
import signal
import subprocess

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth.tokens.minting import new_secret
from tests.cli.conftest import ITEMWIRE, CommandLine
from tests.conftest import SECRET
from tests.docs.test_readme import free_port

SMALL = ("--conns", "4", "--seconds", "0.1")


@pytest.fixture(autouse=True)
def target(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> LiveServer:
    """The server, as a shell would export where it is and its secret."""
    monkeypatch.setenv("ITEMWIRE_URL", server.url)
    monkeypatch.setenv("ITEMWIRE_SECRET", SECRET)
    return server


def test_fanout_with_tokens_of_its_own(itemwire: CommandLine) -> None:
    """The server's secret is all that is needed; the table is the only result."""
    done = itemwire("bench", "fanout", *SMALL, "--items", "2", "--inflight", "1,4")

    head, one, four = done.stdout.splitlines()
    assert head.startswith("measure")
    assert "2 items x 2, 1 in flight" in one
    assert "2 items x 2, 4 in flight" in four
    assert "fanout: 1 in flight, 1 of 1" in done.stderr
    assert done.exit_code == 0


def test_all_as_json(itemwire: CommandLine) -> None:
    """Whole figures for programs."""
    options = ("--inflight", "2", "--pid", str(os.getpid()), "--json")
    done = itemwire("bench", *SMALL, *options)

    report = json.loads(done.stdout)
    results = {result["measure"]: result for result in report["results"]}
    assert list(results) == ["idle", "connect", "fanout", "echo"]
    assert [result["problems"] for result in results.values()] == [[]] * 4
    assert results["connect"]["figures"]["connected"] == 4
    assert results["fanout"]["figures"]["missing"] == 0
    assert results["fanout"]["setting"] == {"connections": 4, "items": 1, "in_flight": 2}


def test_envelopes_are_measured_too(itemwire: CommandLine) -> None:
    """What a publisher is answered is no delivery."""
    done = itemwire("bench", "fanout", *SMALL, "--subprotocol", "itemwire.v1.json", "--json")

    (one, eight) = json.loads(done.stdout)["results"]
    assert one["problems"] == eight["problems"] == []
    assert one["figures"]["deliveries"] == 4 * one["figures"]["messages"] > 0


def test_a_rate_is_an_open_loop(itemwire: CommandLine) -> None:
    """Then no number of messages in flight is measured."""
    done = itemwire("bench", "fanout", *SMALL, "--rate", "50", "--json")

    (result,) = json.loads(done.stdout)["results"]
    assert result["setting"] == {"connections": 4, "items": 1, "rate": 50}
    assert result["figures"]["deliveries"] == 20


def test_the_servers_reason_is_the_message(itemwire: CommandLine) -> None:
    """Anyone who has a wrong token reads so at once, before any load."""
    done = itemwire("bench", "connect", *SMALL, "--token", "not.a.token")

    assert done.stderr.endswith("Error: refused: closed with 1008 credentials_invalid\n")
    assert (done.stdout, done.exit_code) == ("", 1)


def test_no_secret_and_no_token(itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may want none; if it does, the way out is said."""
    monkeypatch.delenv("ITEMWIRE_SECRET")

    done = itemwire("bench", "connect", *SMALL)

    assert "closed with 1008 credentials_missing" in done.stderr
    assert "set ITEMWIRE_SECRET" in done.stderr


def test_the_rights_of_its_own_tokens_end_at_its_own_items(
    itemwire: CommandLine, settings: Settings
) -> None:
    """A slip in --path puts no load on an item that people watch."""
    assert settings.secret is not None

    done = itemwire("bench", "connect", *SMALL, "--path", "/items/order:42/ws")

    assert "closed with 1008 forbidden" in done.stderr


def test_tokens_from_a_file(itemwire: CommandLine) -> None:
    """One a line, from standard input too."""
    minted = itemwire(
        "token", "mint", "--subject", "a", "--scope", "items:subscribe items:publish"
    ).stdout

    done = itemwire("bench", "echo", *SMALL, "--tokens-file", "-", stdin=minted)

    assert done.exit_code == 0, done.output


def test_nothing_listens(itemwire: CommandLine) -> None:
    """The address is in the message."""
    url = f"http://127.0.0.1:{free_port()}"

    done = itemwire("bench", "connect", *SMALL, "--url", url)

    assert done.stderr.endswith(f"Error: nothing listens at {url.removeprefix('http://')}\n")
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(["idle", *SMALL], "needs --pid", id="idle"),
        pytest.param(["fanout", "--inflight", "0"], "must be 1 or more", id="in flight"),
        pytest.param(["fanout", "--inflight", "some"], "must be numbers", id="no number"),
        pytest.param(["connect", "--conns", "4000000000"], "open files", id="files"),
        pytest.param(["connect", "--url", "ftp://a"], "is not a server's address", id="url"),
        pytest.param(["run"], "'run' is not one of", id="measure"),
    ],
)
def test_what_cannot_be_done_is_said(
    itemwire: CommandLine, arguments: list[str], problem: str
) -> None:
    """In a line, with an exit code, and without a traceback."""
    done = itemwire("bench", *arguments)

    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert done.exit_code in {1, 2}


def test_a_secret_of_another_server_is_refused(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tokens are good for nothing here."""
    monkeypatch.setenv("ITEMWIRE_SECRET", new_secret())

    done = itemwire("bench", "connect", *SMALL)

    assert "credentials_invalid" in done.stderr


def test_an_interrupt_ends_it_at_once() -> None:
    """Ctrl-C in the middle of a long window, with the exit code a shell expects."""
    with subprocess.Popen(
        [ITEMWIRE, "bench", "fanout", "--conns", "4", "--seconds", "60"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)

    assert first.startswith("fanout: 1 in flight")
    assert "Traceback" not in rest
    assert process.returncode == 130
