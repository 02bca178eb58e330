"""What a server listens on: a Unix socket, a descriptor, or both versions of IP at once."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from pydantic import ValidationError
from websockets.sync.client import unix_connect

from itemwire.serving.listening import bind, file_removed, place_of, url_of
from itemwire.settings import Settings
from itemwire.testing import live_server
from tests.conftest import SECRET
from tests.redis_server import RedisServer
from tests.scenarios.clients import PATIENCE, item_path, token

COMMAND: Final = (sys.executable, "-c", "from itemwire.cli import main; main()", "serve")


def at(settings: Settings, **changes: object) -> Settings:
    """Give settings with others in their place."""
    return settings.model_copy(update=changes)


@contextlib.contextmanager
def running(*options: str, pass_fds: tuple[int, ...] = (), **variables: str) -> Iterator[str]:
    """Run `itemwire serve`, and say where it listens."""
    names = {f"ITEMWIRE_{name.upper()}": value for name, value in variables.items()}
    own = {name: value for name, value in os.environ.items() if not name.startswith("ITEMWIRE_")}
    with subprocess.Popen(
        [*COMMAND, *options],
        env={**own, "ITEMWIRE_SECRET": SECRET, **names},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    ) as process:
        try:
            assert process.stderr is not None
            yield _announced(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def _announced(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"[Ll]istening on (\S+)", line):
            return match[1]
    raise AssertionError("it has ended before it listened")


def get(path: Path, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask over a Unix socket; a server that is about to serve is waited for."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=PATIENCE) as client:
        return client.get("http://server/health/live", headers=headers)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder whose name is short: a path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="iw") as name:
        yield Path(name)


def test_serves_http_and_sockets_on_a_path(folder: Path) -> None:
    """As nginx wants it on the same machine; the file is gone afterwards."""
    path = folder / "s"
    with running("--uds", str(path)) as announced:
        live = get(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        with unix_connect(
            str(path),
            f"ws://server{item_path('1', {'token': token()})}",
            open_timeout=PATIENCE,
            compression=None,
        ) as connection:
            connection.send("hello")
            heard = connection.recv(timeout=PATIENCE)

    assert announced == f"unix:{path}"
    assert (live.status_code, mode, heard) == (200, 0o660, "hello")
    assert not path.exists()


def test_workers_share_a_path(folder: Path) -> None:
    """The supervisor has it, and removes it when all have ended."""
    path = folder / "s"
    engine = RedisServer(folder)
    engine.start()
    try:
        options = ("--uds", str(path), "--workers", "2")
        with running(*options, engine_url=engine.url, uds_mode="600"):
            statuses = {get(path).status_code for _ in range(4)}
            mode = stat.S_IMODE(path.stat().st_mode)
    finally:
        engine.kill()

    assert (statuses, mode, path.exists()) == ({200}, 0o600, False)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_serves_on_a_socket_that_is_open_already(folder: Path, kind: str) -> None:
    """As a systemd socket unit passes it on; it stays with its owner."""
    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as owned:
        owned.bind(("127.0.0.1", 0) if kind == "tcp" else str(folder / "s"))
        owned.listen()
        with running("--fd", str(owned.fileno()), pass_fds=(owned.fileno(),)) as announced:
            if kind == "unix":
                live = get(folder / "s")
            else:
                live = httpx.get(f"{announced}/health/live", timeout=PATIENCE)
        still_there = owned.fileno() >= 0 and (kind == "tcp" or (folder / "s").exists())

    assert live.status_code == 200
    assert still_there


def test_a_file_that_a_killed_server_has_left_is_replaced(settings: Settings, folder: Path) -> None:
    """Nobody listens on it any more: a restart must not need a hand."""
    here = at(settings, uds=folder / "s")
    bind(here).close()
    left = (folder / "s").lstat().st_ino
    with bind(here) as listener, file_removed(here):
        assert url_of(listener) == f"unix:{folder / 's'}"
        assert left or (folder / "s").exists()

    assert not (folder / "s").exists()


def test_a_server_that_listens_is_left_alone(settings: Settings, folder: Path) -> None:
    """Not even one that is too busy to take another connection."""
    here = at(settings, uds=folder / "s")
    with bind(here) as listener:
        listener.listen(0)
        with contextlib.ExitStack() as waiting:
            while True:  # until its queue is full
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                if client.connect_ex(str(here.uds)):
                    break
            with pytest.raises(OSError, match="in use"):
                bind(here)
        assert select.select([listener], [], [], 0)[0] == [listener]

    assert (folder / "s").exists()


def test_the_file_of_another_server_is_not_removed(settings: Settings, folder: Path) -> None:
    """One that was started in its place while this one drained."""
    here = at(settings, uds=folder / "s")
    first = bind(here)
    with file_removed(here):
        first.close()
        (folder / "s").rename(folder / "old")
        second = bind(here)
    second.close()

    assert (folder / "s").exists()


Prepare = Callable[[Path], dict[str, object]]


def _file(folder: Path) -> dict[str, object]:
    (folder / "s").write_text("not a socket")
    return {"uds": folder / "s"}


WRONG: Final[dict[str, tuple[Prepare, str]]] = {
    "a file": (_file, "no socket"),
    "no folder": (lambda folder: {"uds": folder / "none" / "s"}, "No such file"),
    "a long path": (lambda folder: {"uds": folder / ("s" * 200)}, "longer than"),
    "no descriptor": (lambda _: {"fd": 999_999}, "Bad file descriptor"),
    "a descriptor of a file": (lambda _: {"fd": os.open(__file__, os.O_RDONLY)}, "non-socket"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_listened_on_is_an_error(
    settings: Settings, folder: Path, name: str
) -> None:
    """Told in one line, with where it was to be."""
    prepare, problem = WRONG[name]
    here = at(settings, **prepare(folder))

    with pytest.raises(OSError, match=problem):
        bind(here)
    assert place_of(here) in {str(here.uds), f"descriptor {here.fd}"}


def test_a_datagram_socket_is_none_to_listen_on(settings: Settings) -> None:
    """A unit of another protocol; its owner keeps it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as owned:
        with pytest.raises(OSError, match="no stream socket"):
            bind(at(settings, fd=owned.fileno()))

        assert owned.getsockname()


@pytest.mark.parametrize(("text", "mode"), [("660", 0o660), ("0600", 0o600), ("0o777", 0o777)])
def test_a_mode_is_read_as_octal(monkeypatch: pytest.MonkeyPatch, text: str, mode: int) -> None:
    """As `chmod` takes it."""
    monkeypatch.setenv("ITEMWIRE_UDS_MODE", text)

    assert Settings().uds_mode == mode


@pytest.mark.parametrize("text", ["rw", "680", "66", "4755", "-600"])
def test_what_is_no_mode_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The twin: 680 is no octal number, and would open the file to others."""
    monkeypatch.setenv("ITEMWIRE_UDS_MODE", text)

    with pytest.raises(ValidationError, match="three octal digits"):
        Settings()


def test_a_path_and_a_descriptor_are_one_too_many() -> None:
    """Which of them is meant would be a guess."""
    with pytest.raises(ValidationError, match="ITEMWIRE_UDS and ITEMWIRE_FD"):
        Settings(uds=Path("s"), fd=3, _env_file=None)


# By each form of listener: how a proxy on this machine reaches it, and as whom the server sees it.
LISTENERS: Final = {
    "IPv4": ("0.0.0.0", "127.0.0.1"),
    "both": ("::", "127.0.0.1"),
    "IPv6": ("::", "::1"),
}
FORWARDED: Final = {"X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [
        ("127.0.0.1", {"IPv4", "both"}),
        ("::1", {"IPv6"}),
        ("127.0.0.0/8,::1,unix", {"IPv4", "both", "IPv6", "unix"}),
        ("::ffff:127.0.0.1", {"IPv4", "both"}),
        ("unix", {"unix"}),
        ("*", {"IPv4", "both", "IPv6", "unix"}),
        ("192.0.2.1", set()),
    ],
)
def test_a_proxy_is_trusted_by_whatever_listener_it_comes(
    folder: Path, trusted: str, believed: set[str]
) -> None:
    """One on `::` sees IPv4 as IPv6, and a Unix socket has no addresses (requirement 138)."""
    seen: set[str] = set()

    def serving(**listener: object) -> Settings:
        given = {"secret": SECRET, "require_tls": True, "trusted_proxies": trusted, **listener}
        return Settings.model_validate(given)

    for host in {host for host, _ in LISTENERS.values()}:
        with live_server(serving(host=host)) as server:
            port = server.url.rpartition(":")[2]
            for name, (listens, peer) in LISTENERS.items():
                address = f"[{peer}]" if ":" in peer else peer
                if listens == host and _is_believed(httpx.Client(), f"http://{address}:{port}"):
                    seen.add(name)
    with live_server(serving(uds=folder / "s")):
        transport = httpx.HTTPTransport(uds=str(folder / "s"))
        if _is_believed(httpx.Client(transport=transport), "http://server"):
            seen.add("unix")

    assert seen == believed


def _is_believed(client: httpx.Client, url: str) -> bool:
    """Return whether a server that requires TLS takes a proxy's word that there was some."""
    with client:
        plain, told = [
            client.get(f"{url}/openapi.json", headers=headers, timeout=PATIENCE).status_code
            for headers in ({}, FORWARDED)
        ]
    assert plain == 403
    return told == 200
