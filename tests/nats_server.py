"""A NATS server of the tests' own, on a free port: killed, stopped, started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import nats
from nats.aio.client import Client
from typing_extensions import override

from tests.certificates import localhost_certificate
from tests.server_process import START_SECONDS, ServerProcess, free_port

STORED: Final = ("itemwire", "itemwire-kept", "itemwire-notices")
STREAMS: Final = (*STORED, "itemwire-life")


def find_server() -> str:
    """Find a server: on the PATH, or the one that the extra `dev` brings."""
    found = shutil.which("nats-server") or shutil.which(
        "nats-server", path=sys.exec_prefix + "/bin"
    )
    assert found is not None, "there is no nats-server: pip install '.[dev]'"
    return found


class NatsServer(ServerProcess):
    """One server process with its store in a folder; with `config` beside what every one has."""

    def __init__(self, folder: Path, config: str = "", jetstream: str | None = "") -> None:
        super().__init__(folder)
        self.store = folder / f"store-{self.port}"
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / f"{self.port}.conf"
        self.configure(config, jetstream)

    def configure(self, config: str, jetstream: str | None = "") -> None:
        """Write what it is to start with; without JetStream where nothing is said of it."""
        store = f"jetstream {{ store_dir: '{self.store}', {jetstream} }}"
        lines = [f"listen: 127.0.0.1:{self.port}", store if jetstream is not None else "", config]
        self._config.write_text("\n".join(lines))

    @override
    def _command(self) -> list[str]:
        return [find_server(), "-c", str(self._config)]

    def reload(self, config: str) -> None:
        """Let it take another configuration while it serves."""
        self.configure(config)
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def empty(self) -> None:
        """Throw away what it has stored, while it does not run."""
        shutil.rmtree(self.store, ignore_errors=True)

    def copy_to(self, copy: Path) -> None:
        """Copy what it has stored, while it does not run."""
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.store, copy)

    def put_back(self, copy: Path) -> None:
        """Put a copy in the place of what it has stored, while it does not run."""
        self.empty()
        shutil.copytree(copy, self.store)

    @override
    def _answers(self) -> bool:
        # It listens once its streams are there.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                return client.recv(4) == b"INFO"
        except OSError:
            return False


@contextlib.contextmanager
def running_nats(folder: Path, config: str = "", jetstream: str = "") -> Iterator[NatsServer]:
    """Run a server for as long as this is entered."""
    server = NatsServer(folder, config, jetstream)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def running_trio(folder: Path) -> Iterator[list[NatsServer]]:
    """Run a cluster of three; each is called by its port."""
    routes = [free_port() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        servers = [NatsServer(folder) for _ in routes]
        for server, route in zip(servers, routes, strict=True):
            others = ", ".join(f"'nats://127.0.0.1:{other}'" for other in routes)
            cluster = f"name: trio, listen: '127.0.0.1:{route}', routes: [{others}]"
            server.configure(f"server_name: '{server.port}'\ncluster {{ {cluster} }}")
            stack.callback(server.kill)
            server.start()
        asyncio.run(_until_led([server.url for server in servers]))
        yield servers


async def _until_led(urls: list[str]) -> None:
    """Wait until the servers have found each other, and can store something on all three."""
    client = await nats.connect(urls)
    jetstream = client.jsm()
    async with asyncio.timeout(3 * START_SECONDS):
        while True:
            with contextlib.suppress(nats.errors.Error):
                await jetstream.add_stream(name="probe", subjects=["probe"], num_replicas=3)
                break
            await asyncio.sleep(0.1)
    await jetstream.delete_stream("probe")
    await client.close()


async def leader_of(url: str, stream: str) -> str:
    """Give the name of the server that leads a stream, once one does."""
    client = await nats.connect(url.partition("?")[0].split(","))
    async with asyncio.timeout(3 * START_SECONDS):
        while True:
            with contextlib.suppress(nats.errors.Error):
                info = await client.jsm().stream_info(stream)
                if info.cluster is not None and info.cluster.leader:
                    break
            await asyncio.sleep(0.1)
    await client.close()
    return str(info.cluster.leader)


async def until_whole(url: str) -> None:
    """Wait until each stream of a cluster has a leader, and all its other servers are with it.

    Of a server that was just started again the leader still has what it knew of it before. Until it
    has heard from it anew, and given it what is in memory alone, its vote does not count.
    """
    client = await nats.connect(url.partition("?")[0].split(","))
    begun = time.monotonic()
    async with asyncio.timeout(3 * START_SECONDS):
        for stream in STREAMS:
            while not await _is_whole(client, stream, begun):  # noqa: ASYNC110 - it is another process that changes
                await asyncio.sleep(0.1)
    await client.close()


async def _is_whole(client: Client, stream: str, begun: float) -> bool:
    try:
        cluster = (await client.jsm().stream_info(stream)).cluster
    except nats.errors.Error:
        return False
    others = cluster.replicas or [] if cluster is not None and cluster.leader else []
    seconds = time.monotonic() - begun
    return len(others) == 2 and all(
        one.current and not one.offline and not one.lag and (one.active or 0) / 1e9 < seconds
        for one in others
    )


def purge(url: str) -> None:
    """Delete all that is stored on a server, while it serves; but not which life it is."""

    async def purge_streams() -> None:
        client = await nats.connect(url.partition("?")[0])
        jetstream = client.jsm()
        for stream in STORED:
            await jetstream.purge_stream(stream)
        await client.close()

    asyncio.run(purge_streams())


@contextlib.contextmanager
def nats_url(folder: Path) -> Iterator[str]:
    """Give the URL of ITEMWIRE_TEST_NATS_URL, or of a server that is started."""
    given = os.environ.get("ITEMWIRE_TEST_NATS_URL")
    if given is not None:
        yield given
        return
    with running_nats(folder) as server:
        yield server.url


@contextlib.contextmanager
def tls_nats_url(folder: Path) -> Iterator[str]:
    """Give the URL of a server that encrypts."""
    certificate = folder / "localhost.pem"
    certificate.write_bytes(localhost_certificate())
    config = f"tls {{ cert_file: '{certificate}', key_file: '{certificate}' }}"
    with running_nats(folder, config) as server:
        yield f"tls://localhost:{server.port}?tls_ca={certificate}"
