"""`dev` and `serve` as real processes."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from itemwire.cli.configuration import EXIT_CONFIGURATION
from itemwire.cli.serving import make_tokens, workers_of_platform
from itemwire.engines.sqlite.file import SqliteFile, close_file, open_file
from itemwire.settings import Settings
from itemwire_auth.building import build_authenticator
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import new_secret
from tests.cli.conftest import ITEMWIRE, Started


def started(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start `itemwire` with an environment of its own."""
    return started_in(Path.cwd(), *arguments, **variables)


def started_in(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start it in a folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ITEMWIRE_")}
    return subprocess.Popen(
        [ITEMWIRE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment | variables,
    )


def test_dev_prints_what_to_paste_next() -> None:
    """Tokens, the console's link, a shell's line, and what it is not for."""
    with started("dev", "--port", "0") as process:
        assert process.stdout is not None
        page = ""
        while "itemwire serve" not in page:
            page += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)

    tokens = re.findall(r"^(ey\S+)$", page, re.MULTILINE)
    assert len(tokens) == 3
    assert re.search(r"http://127\.0\.0\.1:\d+/#item=42&token=ey", page)
    assert "websocat 'ws://127.0.0.1:" in page
    assert "wscat -c 'ws://127.0.0.1:" in page
    assert "Not for production" in page
    assert not any(token in log for token in tokens)
    assert "Traceback" not in log


def test_dev_serves_the_console_and_is_ready(dev: Started) -> None:
    """The printed link works at once."""
    assert httpx.get(dev.url).status_code == 200
    assert httpx.get(f"{dev.url}/health/ready").json() == {"status": "ready"}


def test_dev_sets_a_session_cookie_that_works_without_https(dev: Started) -> None:
    """Safari takes no Secure cookie from http://localhost; `serve` sets no other."""
    response = httpx.post(
        f"{dev.url}/auth/session", headers={"Authorization": f"Bearer {dev.reader}"}
    )

    assert "HttpOnly" in response.headers["set-cookie"]
    assert "Secure" not in response.headers["set-cookie"]


def test_dev_makes_its_own_secret_whatever_is_set(tmp_path: Path) -> None:
    """Development tokens must never be good for production."""
    others = {
        "ITEMWIRE_KEYS_FILE": str(tmp_path / "none"),
        "ITEMWIRE_ISSUERS_FILE": str(tmp_path / "none"),
        "ITEMWIRE_JWKS_URL": "https://issuer.test/keys",
    }
    with started("dev", "--port", "0", "--json", **others) as dev:
        assert dev.stdout is not None
        line = dev.stdout.readline()
        dev.terminate()
        dev.communicate(timeout=60)

    assert '"writer"' in line


@pytest.mark.parametrize("given", [{}, {"issuer": "i", "audience": ["a"], "token_types": ["jwt"]}])
def test_ready_made_tokens_are_what_they_say(given: dict[str, object]) -> None:
    """Also where the settings ask for an issuer, an audience or a type."""
    secret = new_secret()
    settings = Settings.model_validate({"secret": secret, **given})
    verifier = build_authenticator(settings).verifier

    tokens = make_tokens(settings, signing_key_from_secret(secret))

    accepted = {t.name: all(c.passed for c in verifier.explain(t.value)) for t in tokens}
    assert accepted == {"reader": True, "writer": True, "expired": False}


def test_serve_says_where_it_listens_and_stops_on_a_signal() -> None:
    """On standard error: standard output is for results, and this has none."""
    with started("serve", "--port", "0", ITEMWIRE_SECRET=new_secret()) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.removeprefix("Listening on ").strip()
        status = httpx.get(f"{url}/health/live", timeout=60).status_code
        process.terminate()
        output, _ = process.communicate(timeout=60)

    assert status == 200
    assert output == ""
    assert process.returncode in {0, -signal.SIGTERM}


def test_serve_runs_one_process_where_a_platform_asks_for_more() -> None:
    """It sets the variable unasked; the engine lives in one process, and the log says so."""
    variables = {"ITEMWIRE_SECRET": new_secret(), "WEB_CONCURRENCY": "2"}
    with started("serve", "--port", "0", **variables) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline(), process.stderr.readline()]
        process.terminate()
        process.communicate(timeout=60)

    assert "web_concurrency_ignored value='2' engine=memory" in lines[0]
    assert lines[1].startswith("Listening on ")


@pytest.mark.parametrize(
    ("given", "asked", "workers"),
    [
        pytest.param({}, "3", 3, id="followed"),
        pytest.param({}, "", None, id="not-set"),
        pytest.param({"workers": 1}, "3", None, id="own-setting-wins"),
        pytest.param({"engine_url": "sqlite:///x.db"}, "3", None, id="one-process"),
        pytest.param({}, "many", None, id="no-number"),
        pytest.param({}, "0", None, id="none"),
        pytest.param({}, "1000", None, id="too-many"),
    ],
)
def test_serve_follows_the_platform_where_it_can(
    given: dict[str, object], asked: str, workers: int | None
) -> None:
    """As uvicorn and gunicorn do, so that moving here changes nothing."""
    engine = {"engine_url": "redis://127.0.0.1/0"}
    settings = Settings.model_validate({"secret": new_secret(), **engine, **given})

    assert workers_of_platform(settings, asked) == workers


def test_a_taken_port_is_one_clear_line() -> None:
    """The other server may be one's own from yesterday."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with started("serve", "--port", port, ITEMWIRE_SECRET=new_secret()) as process:
            _, log = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("variable", "value", "status"),
    [
        ("HOST", "tcp://192.0.2.1:80", 78),
        ("HOST", "127.0.0.1:80", 78),
        ("HOST", "[::1]", 78),
        ("HOST", "192.0.2.1", 1),  # of no machine (RFC 5737), but an address may come
        ("FD", "777", 78),
        ("UDS", "tcp://192.0.2.1:80", 1),  # a folder `tcp:` may come
        ("UDS", "x" * 108, 78),
        ("UDS", "file", 78),
        ("UDS", "folder", 78),
        ("UDS", "absent/socket", 1),
    ],
)
def test_the_status_says_whether_starting_again_may_help(
    variable: str, value: str, status: int, tmp_path: Path
) -> None:
    """A supervisor that leaves out 78 would start a server with a wrong address for ever."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    given = {f"ITEMWIRE_{variable}": value, "ITEMWIRE_SECRET": new_secret()}
    with started_in(tmp_path, "serve", **given) as process:
        _, log = process.communicate(timeout=60)

    assert (process.returncode, "cannot listen on" in log) == (status, True), log
    assert "Traceback" not in log


def test_a_file_that_another_server_has_is_one_clear_line(tmp_path: Path) -> None:
    """Two servers on one file would not hear each other; nothing is listened to before that."""
    path = tmp_path / "itemwire.db"
    url = f"sqlite:///{path}"
    connection = open_file(SqliteFile(path))
    variables = {"ITEMWIRE_SECRET": new_secret(), "ITEMWIRE_ENGINE_URL": url}
    with started("serve", "--port", "0", **variables) as process:
        _, log = process.communicate(timeout=60)
    close_file(connection)

    assert process.returncode == EXIT_CONFIGURATION
    assert log.splitlines() == [
        f"Error: ITEMWIRE_ENGINE_URL: {path} is in use: a file belongs to one server at a time"
    ]


@pytest.mark.parametrize(
    ("arguments", "url", "told"),
    [
        (("--share-engine",), "redis://localhost", "unset it, or set ITEMWIRE_WORKERS"),
        (("--share-engine", "--workers", "2"), "memory://", "share theirs anyway; unset it"),
        (("--share-engine", "--workers", "2"), "sqlite:///x.db", "share theirs anyway; unset it"),
    ],
    ids=["one", "memory", "sqlite"],
)
def test_to_share_an_engine_that_is_not_to_be_shared_is_one_clear_line(
    arguments: tuple[str, ...], url: str, told: str, tmp_path: Path
) -> None:
    """By the option or by the setting; tests/scenarios/test_share_engine.py has who does share."""
    variables = {"ITEMWIRE_SECRET": new_secret(), "ITEMWIRE_ENGINE_URL": url}
    by_setting = variables | {"ITEMWIRE_SHARE_ENGINE": "true"}
    for given, environment in ((arguments, variables), (arguments[1:], by_setting)):
        with started_in(tmp_path, "serve", "--port", "0", *given, **environment) as process:
            _, log = process.communicate(timeout=60)

        assert process.returncode == EXIT_CONFIGURATION
        assert len(log.splitlines()) == 1
        assert log.startswith("Error: ITEMWIRE_SHARE_ENGINE is for")
        assert told in log
