"""The handshake: the request, the answer, and the report of a refusal."""

import asyncio
import dataclasses
import ssl
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from itemwire.bench.client import Listener
from itemwire.bench.crowd import Crowd, allow_files, crowd
from itemwire.bench.errors import HandshakeRefused, TooFewFiles, Unreachable
from itemwire.bench.target import BenchTarget, Dialect, target_of
from tests.bench.servers import PassingOn, port_of, serving
from tests.docs.test_readme import free_port

GREETING = Dialect(hello=(("0", "40"), ("40", "")))


async def opened(target: BenchTarget, count: int = 1) -> Crowd[Listener]:
    """Open some sockets and close them again."""
    async with crowd(target, count, lambda number: Listener(number, target.dialect)) as gathered:
        return gathered


def test_nothing_listens() -> None:
    """The address is in the message, for anyone who mistyped it."""
    port = free_port()

    with pytest.raises(Unreachable, match=f"nothing listens at 127.0.0.1:{port}"):
        asyncio.run(opened(target_of(f"127.0.0.1:{port}")))


def test_an_unknown_host() -> None:
    """A name that nobody has (RFC 6761)."""
    with pytest.raises(Unreachable, match="cannot resolve http://nobody"):
        target_of("http://nobody.invalid")


def test_a_denied_handshake() -> None:
    """The status and what the body says, such as Itemwire's reason."""

    def check(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "scope_missing")

    async def run() -> None:
        async with serving(PassingOn(), check=check) as target:
            await opened(target)

    with pytest.raises(HandshakeRefused, match="403 Forbidden scope_missing"):
        asyncio.run(run())


def test_accepted_then_closed() -> None:
    """So that a browser can read why; it is a refusal all the same."""

    async def refuse(connection: ServerConnection) -> None:
        await connection.close(1008, "credentials_invalid")

    async def run() -> None:
        async with serving(refuse) as target:
            await opened(target)

    with pytest.raises(HandshakeRefused, match="closed with 1008 credentials_invalid"):
        asyncio.run(run())


def test_no_web_server() -> None:
    """What answers is not always HTTP."""

    async def run() -> None:
        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await opened(target_of(f"127.0.0.1:{port}"))

    with pytest.raises(HandshakeRefused, match="refused with 220"):
        asyncio.run(run())


def test_a_protocol_with_a_greeting() -> None:
    """Frames are waited for and answered before the socket counts as open."""
    heard: list[str | bytes] = []

    async def greet(connection: ServerConnection) -> None:
        await connection.send('0{"sid":"x"}')
        heard.append(await connection.recv())
        await connection.send('40{"sid":"x"}')
        await connection.wait_closed()

    async def run() -> Crowd[Listener]:
        async with serving(greet, dialect=GREETING) as target:
            return await opened(target, 3)

    gathered = asyncio.run(run())

    assert len(gathered.listeners) == 3
    assert heard == ["40"] * 4  # one more than asked for: the first is to see that it works


def test_nodes_get_connections_in_turn() -> None:
    """The first is always the first node: publishers are there, even if another was quicker."""

    async def run() -> tuple[list[int], list[int]]:
        async with serving(PassingOn()) as one, serving(PassingOn()) as other:
            both = dataclasses.replace(one, more_ports=(other.port,))
            async with crowd(both, 6, lambda _number: Listener()) as gathered:
                sockets = [listener.transport for listener in gathered.listeners]
                ports = [socket.get_extra_info("peername")[1] for socket in sockets]
                return ports, [one.port, other.port]

    ports, nodes = asyncio.run(run())

    assert ports == nodes * 3


def test_more_sockets_than_files() -> None:
    """Said before anything is opened."""
    with pytest.raises(TooFewFiles, match="are allowed"):
        allow_files(2**31)


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), serial_number=1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    path = folder / "bench.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_is_spoken_and_certificates_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    """Most deployments are behind it; a token must not go to a stranger."""
    path = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(path)

    async def run() -> Crowd[Listener]:
        async with serve(PassingOn(), "127.0.0.1", 0, ssl=tls) as server:
            return await opened(target_of(f"https://127.0.0.1:{port_of(server)}"), 3)

    if trusted:
        assert len(asyncio.run(run()).listeners) == 3
    else:
        with pytest.raises(Unreachable, match="certificate verify failed"):
            asyncio.run(run())
