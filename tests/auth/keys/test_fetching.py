"""Tests of keys/fetching.py: which servers it connects to."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.fetching import Fetching, KeySetURL
from itemwire_auth.keys.jwks import JWKSKeys
from itemwire_auth.testing import signing_key
from tests.auth.key_server import Answer, KeyServer, key_server
from tests.auth.odd_urls import CALLED, NEVER_CALLED
from tests.certificates import localhost_certificate

ALLOWED = Fetching(allow_http=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for `localhost` that signs itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(localhost_certificate())
    return path


@pytest.fixture
def published(certificate: Path) -> Iterator[KeyServer]:
    """Run an issuer that speaks TLS."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with key_server(tls) as server:
        server.publish(signing_key("ES256", "a"))
        yield server


@pytest.mark.server
def test_the_certificate_must_be_of_the_host_in_the_url(
    published: KeyServer, certificate: Path
) -> None:
    """The address is looked up first and connected to; the name is still what must be proven."""
    trusted = ssl.create_default_context(cafile=str(certificate))
    by_name = JWKSKeys(published.url("localhost"), ALLOWED, tls=trusted)
    by_address = JWKSKeys(published.url("127.0.0.1"), ALLOWED, tls=trusted)
    untrusted = JWKSKeys(published.url("localhost"), ALLOWED)

    assert asyncio.run(by_name.refresh())
    assert not asyncio.run(by_address.refresh())
    assert not asyncio.run(untrusted.refresh())
    assert published.paths == ["/keys"]
    assert published.hosts == [f"localhost:{published.port}"]


@pytest.mark.server
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "127.1"],
)
def test_a_private_address_is_not_connected_to(
    host: str,
    published: KeyServer,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However written: a URL meant for the internet must not reach inside (requirement 46)."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    keys = JWKSKeys(published.url(host))

    assert not asyncio.run(keys.refresh())
    assert "no public address" in caplog.text
    assert published.paths == []
    allowed = JWKSKeys(published.url("localhost"), ALLOWED)
    assert asyncio.run(allowed.refresh())


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("ff0e::1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:169.254.169.254", False),
    ],
)
def test_connects_to_the_address_that_was_checked(
    address: str, public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that changes its address between the look and the connection gains nothing."""
    connected: list[str] = []
    keys = JWKSKeys("https://keys.test/set")

    async def look_up(*_args: object, **_options: object) -> list[tuple[object, ...]]:
        return [(None, None, None, "", (address, 443))]

    async def get(_url: KeySetURL, _client: object, address: str) -> bytes:
        connected.append(str(ipaddress.ip_address(address)))
        return b""

    async def scene() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        monkeypatch.setattr(KeySetURL, "_get", get)
        await keys.refresh()

    asyncio.run(scene())
    assert connected == ([address] if public else [])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("http://keys.test/set", "https", id="http"),
        pytest.param("ftp://keys.test/set", "https", id="ftp"),
        pytest.param("file:///etc/passwd", "host", id="file"),
        pytest.param("https:///set", "host", id="no-host"),
        pytest.param("keys.test/set", "host", id="no-scheme"),
        pytest.param("https://me:secret@keys.test/", "password", id="user"),
        *(pytest.param(url, "not valid", id=name) for name, url in NEVER_CALLED.items()),
    ],
)
def test_refuses_to_start_with_a_url(url: str, why: str) -> None:
    """Who stands between could put in keys of his own; the message shows no password."""
    with pytest.raises(KeyProblem, match=why) as refused:
        JWKSKeys(url)

    assert "secret" not in str(refused.value)
    assert JWKSKeys("https://keys.test/set").source == "the JWK Set at https://keys.test/set"


@pytest.mark.parametrize("url", [pytest.param(url, id=name) for name, url in CALLED.items()])
def test_takes_whatever_can_be_called(url: str) -> None:
    """However the host is written."""
    assert JWKSKeys(url).fetches == 0


def test_only_the_switch_lets_http_in() -> None:
    """And nothing else but http."""
    assert JWKSKeys("http://keys.test/set", ALLOWED).fetches == 0
    with pytest.raises(KeyProblem, match="https"):
        JWKSKeys("ftp://keys.test/set", ALLOWED)


def test_the_query_of_the_url_is_not_shown() -> None:
    """It may hold an API key."""
    assert "key=" not in JWKSKeys("https://keys.test/set?key=1").source


def test_secrets_cannot_be_published() -> None:
    """An issuer whose only algorithm is HMAC has nothing to publish."""
    with pytest.raises(KeyProblem, match="nothing else"):
        JWKSKeys("https://keys.test/set", algorithms=["HS256"])


@pytest.mark.server
@pytest.mark.parametrize(
    ("status", "size", "is_taken"),
    [
        pytest.param(200, 1000, True, id="of the size"),
        pytest.param(200, 1001, False, id="one byte more"),
        pytest.param(500, 1000, False, id="an error with good keys"),
        pytest.param(302, 1000, False, id="a redirect with good keys"),
    ],
)
def test_takes_a_good_answer_of_a_bounded_size(status: int, size: int, is_taken: bool) -> None:
    """Keys in an answer that is none, or a file without end, are not looked at."""
    with key_server() as server:
        server.publish(signing_key("ES256", "a"))
        body = server.answer.body.ljust(size)
        server.answer = Answer(body, status, {"Location": server.url()})
        keys = JWKSKeys(server.url(), Fetching(allow_http=True, max_bytes=1000))

        assert asyncio.run(keys.refresh()) is is_taken


def test_a_key_set_may_have_a_quarter_of_a_mebibyte() -> None:
    """And keys come over TLS alone, unless an operator says otherwise."""
    assert Fetching().max_bytes == 262_144
    assert not Fetching().allow_http


def test_keys_are_fetched_as_often_as_is_documented() -> None:
    """Every five minutes, and for an unknown `kid` at most every 30 seconds."""
    assert (Fetching().refresh, Fetching().cooldown, Fetching().timeout) == (300, 30, 5)
