"""The proxies of `deploy/proxies/`, each run as it stands there but for addresses and paths."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from typing_extensions import override
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.certificates import certificate_of
from tests.continuous_integration import is_continuous_integration
from tests.scenarios.clients import PATIENCE
from tests.server_process import ServerProcess

EXAMPLES: Final = Path(__file__).parents[2] / "deploy" / "proxies"
HOST: Final = "localhost"
MISSING: Final = (
    "the tests of deploy/ need: "
    "`apt-get install --no-install-recommends nginx-light haproxy caddy apache2 prometheus`"
)
MODULES: Final = Path("/usr/lib/apache2/modules")
APACHE_MODULES: Final = (
    "mpm_event",
    "authz_core",
    "ssl",
    "proxy",
    "proxy_http",
    "proxy_wstunnel",
    "slotmem_shm",
    "proxy_balancer",
    "lbmethod_bybusyness",
    "headers",
)

Change = tuple[str, str]
"""A text of an example, and what stands in its place."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example is to listen, to pass on to, and to write."""

    folder: Path
    port: int
    upstream: int
    certificate: Path


@dataclass(frozen=True, slots=True)
class ProxyKind:
    """A proxy: its program, its example, and how that is started at a place."""

    program: str
    example: str
    prepare: Callable[[Place, str], str]
    arguments: tuple[str, ...]  # before the path of the configuration
    modules: tuple[str, ...] = ()


def _nginx(place: Place, text: str) -> str:
    text = text.replace("listen 443", f"listen 127.0.0.1:{place.port}")
    text = text.replace("/var/log/nginx", str(place.folder))
    parts = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{part}_temp_path {place.folder}/{part};\n" for part in parts)
    return (
        f"daemon off;\nmaster_process off;\npid {place.folder}/nginx.pid;\n"
        f"error_log {place.folder}/nginx.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{text}}}\n"
    )


def _haproxy(place: Place, text: str) -> str:
    text = text.replace("bind :443", f"bind 127.0.0.1:{place.port}")
    return f"global\n    log stdout format raw local0\n{text}"


def _caddy(place: Place, text: str) -> str:
    own = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {place.folder}\n"
    text = text.replace("{\n\t#", f"{own}\t#", 1)
    site = f"{HOST}:{place.port}"
    text = text.replace("{$WIRE_HOST:wire.example.com}", site)
    text = text.replace("{$WIRE_UPSTREAM:127.0.0.1:8000}", "127.0.0.1:8000")
    tls = f"\tbind 127.0.0.1\n\ttls {place.certificate} {place.certificate}\n"
    return text.replace("\tlog\n", f"\tlog\n{tls}", 1)


def _apache(place: Place, text: str) -> str:
    text = text.replace("*:443", f"*:{place.port}")
    loaded = "".join(f"LoadModule {one}_module {MODULES}/mod_{one}.so\n" for one in APACHE_MODULES)
    return (
        f"{loaded}ServerRoot {place.folder}\nServerName {HOST}\nListen 127.0.0.1:{place.port}\n"
        f"PidFile {place.folder}/apache.pid\nErrorLog {place.folder}/apache.log\n"
        f"DefaultRuntimeDir {place.folder}\nUser #65534\nGroup #65534\n"
        "StartServers 1\nServerLimit 1\nThreadsPerChild 64\nMaxRequestWorkers 64\n"
        "MinSpareThreads 1\nMaxSpareThreads 64\n"  # else it ends and starts children meanwhile
        f"Define APACHE_LOG_DIR {place.folder}\n{text}"
    )


KINDS: Final[dict[str, ProxyKind]] = {
    "nginx": ProxyKind("nginx", "nginx.conf", _nginx, ("-c",)),
    "haproxy": ProxyKind("haproxy", "haproxy.cfg", _haproxy, ("-db", "-f")),
    "caddy": ProxyKind("caddy", "Caddyfile", _caddy, ("run", "--adapter", "caddyfile", "--config")),
    "apache": ProxyKind("apache2", "apache.conf", _apache, ("-D", "FOREGROUND", "-f")),
}


def find_program(name: str) -> str:
    """Find a program of the system; without it skip the test, and in CI fail it."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        if is_continuous_integration(os.environ):
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)
    return found


class ProxyProcess(ServerProcess):
    """A proxy in front of a server of this machine, with clients that trust its certificate."""

    def __init__(
        self, kind: str, folder: Path, upstream: int, changes: Sequence[Change] = ()
    ) -> None:
        super().__init__(folder)
        self._kind = KINDS[kind]
        self._program = find_program(self._kind.program)
        self.certificate = folder / "itemwire.pem"
        self.certificate.write_bytes(certificate_of(HOST))
        self.folder = folder
        self.url = f"https://{HOST}:{self.port}"
        self._file = folder / self._kind.example
        self._file.write_text(self._configuration(upstream, changes))

    def _configuration(self, upstream: int, changes: Sequence[Change]) -> str:
        place = Place(self.folder, self.port, upstream, self.certificate)
        text = (EXAMPLES / self._kind.example).read_text()
        for old, new in changes:
            assert old in text, f"{self._kind.example} has no {old!r}"
            text = text.replace(old, new)
        text = self._kind.prepare(place, text)
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
        text = text.replace("wire.example.com", HOST)
        return re.sub(r"/etc/ssl/itemwire\.\w+", str(self.certificate), text)

    @override
    def _command(self) -> list[str]:
        return [self._program, *self._kind.arguments, str(self._file)]

    @override
    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/health/live").status_code > 0
        except httpx.TransportError:
            return False

    @property
    def trust(self) -> ssl.SSLContext:
        """Make a context that trusts this proxy alone."""
        return ssl.create_default_context(cafile=self.certificate)

    @property
    def _socket_trust(self) -> ssl.SSLContext:
        """Make one for websockets, which reads in one thread and writes in another.

        OpenSSL forbids both at once. With TLS 1.3 that is so at each handshake: the tickets that
        come after it wake the reader while the request is written. It hung, or crashed.
        """
        context = self.trust
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def client(self) -> httpx.Client:
        """Make a client of HTTP, which goes to IPv4 at once."""
        transport = httpx.HTTPTransport(verify=self.trust, local_address="127.0.0.1")
        return httpx.Client(base_url=self.url, transport=transport, timeout=PATIENCE)

    def connect(
        self,
        path: str,
        *,
        source: str = "127.0.0.1",
        headers: dict[str, str] | None = None,
        subprotocols: Sequence[str] = (),
    ) -> ClientConnection:
        """Open a socket through the proxy, from an address of this machine."""
        opened = socket.create_connection(
            ("127.0.0.1", self.port), timeout=PATIENCE, source_address=(source, 0)
        )
        return connect(
            f"wss://{HOST}:{self.port}{path}",
            sock=opened,
            ssl=self._socket_trust,
            additional_headers=headers,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            open_timeout=PATIENCE,
            compression=None,
        )

    @override
    def stop(self) -> None:
        """End it at once: Apache's threads wait for streams whose clients have gone."""
        assert self._process is not None
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        self.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def written(self) -> str:
        """Return all that it has logged anywhere."""
        logs = [*self.folder.glob("*.log")]
        return "".join(log.read_text(errors="replace") for log in logs)


@contextlib.contextmanager
def running_proxy(
    kind: str, folder: Path, upstream: int, changes: Sequence[Change] = ()
) -> Iterator[ProxyProcess]:
    """Run a proxy for as long as this is entered."""
    folder.mkdir(parents=True, exist_ok=True)
    proxy = ProxyProcess(kind, folder, upstream, changes)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@contextlib.contextmanager
def running_proxies(
    folder: Path, upstream: int, changes: Sequence[Change] = ()
) -> Iterator[dict[str, ProxyProcess]]:
    """Run one of each kind; a change counts where the example has its text."""
    with contextlib.ExitStack() as stack:
        proxies = {}
        for kind, row in KINDS.items():
            text = (EXAMPLES / row.example).read_text()
            own = [one for one in changes if one[0] in text]
            proxies[kind] = stack.enter_context(running_proxy(kind, folder / kind, upstream, own))
        yield proxies
