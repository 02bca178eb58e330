"""The server: its port, its limits, and settings that it refuses before it listens."""

import contextlib
import gc
import socket

import pytest

from itemwire.serving.collector import calm_collector
from itemwire.serving.listening import UNREAD_BYTES, bind, url_of
from itemwire.serving.server import server_of
from itemwire.settings import Settings
from itemwire_auth.errors import KeyProblem


def test_a_taken_port_is_an_error(settings: Settings) -> None:
    """Two servers on one port would silently share its clients."""
    with bind(settings.model_copy(update={"port": 0})) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(OSError, match="in use"):
            bind(settings.model_copy(update={"port": port}))


def test_a_free_port_is_taken_and_told(settings: Settings) -> None:
    """Port 0 is for tests and for `dev` beside another server."""
    with bind(settings.model_copy(update={"port": 0})) as listener:
        url = url_of(listener)

        assert url == f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:"), ("::", "http://[::1]:")],
)
def test_the_url_is_one_that_this_machine_can_open(
    settings: Settings, host: str, reached_at: str
) -> None:
    """`http://0.0.0.0` opens nowhere."""
    with bind(settings.model_copy(update={"port": 0, "host": host})) as listener:
        assert url_of(listener).startswith(reached_at)


def test_clients_that_come_before_the_application_wait(settings: Settings) -> None:
    """The commands that `dev` prints work at once."""
    with bind(settings.model_copy(update={"port": 0})) as listener:
        early = socket.create_connection(listener.getsockname(), timeout=1)

        early.close()


def test_a_peer_that_takes_nothing_is_dropped_by_the_kernel(settings: Settings) -> None:
    """After the time that a ping may go unanswered (RFC 5482)."""
    with bind(settings.model_copy(update={"port": 0})) as listener:
        patience_ms = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

        assert patience_ms == 40_000


def test_the_kernel_keeps_little_of_what_is_not_read(settings: Settings) -> None:
    """Hundreds of clients that send on when a server stops reading fill no machine.

    The server has read much and fast before, so that the kernel would keep megabytes by itself.
    """
    with (
        bind(settings.model_copy(update={"port": 0})) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        accepted, _ = listener.accept()
        with accepted:
            for _ in range(1000):
                client.sendall(bytes(8 * 1024))
                accepted.recv(8 * 1024, socket.MSG_WAITALL)
            sent = _fill(client)
            heard = accepted.recv(sent)

    assert heard  # what was kept is delivered
    assert UNREAD_BYTES / 4 <= sent <= 8 * UNREAD_BYTES  # both ends together, with their overhead


def _fill(client: socket.socket) -> int:
    """Send until nothing more is taken; return how many bytes were."""
    client.settimeout(1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 64 * 1024 * 1024:
            sent += client.send(bytes(16 * 1024))
    return sent


def test_uvicorn_gets_the_limits(settings: Settings) -> None:
    """Uvicorn's own defaults are 16 MiB a message and a compressor a connection."""
    config = server_of(settings).config

    assert config.ws_max_size == settings.max_message_bytes
    assert config.ws_per_message_deflate is False
    assert config.timeout_graceful_shutdown == settings.graceful_timeout
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (20, 20)


def test_nothing_is_served_without_a_key() -> None:
    """An unsigned token must never be good enough by oversight."""
    with pytest.raises(KeyProblem, match="ITEMWIRE_SECRET"):
        server_of(Settings())


def test_the_collector_leaves_start_up_alone() -> None:
    """A full collection would stop every socket while it visits all modules."""
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        calm_collector()

        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold() > thresholds
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
