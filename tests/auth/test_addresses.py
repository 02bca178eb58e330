"""Tests of addresses.py: the normal form of addresses, and what a client is counted by."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from itemwire_auth.addresses import (
    UNKNOWN,
    client_address,
    client_host,
    parse_address,
    parse_networks,
    shares_of,
    site_finder,
    with_mapped_forms,
)

# What a server may name its client, or a proxy write into X-Forwarded-For, and what that is.
FORMS = [
    ("192.0.2.7", "192.0.2.7"),
    ("192.0.2.7:50000", "192.0.2.7"),
    ("::ffff:192.0.2.7", "192.0.2.7"),
    ("::FFFF:C000:0207", "192.0.2.7"),
    ("[::ffff:192.0.2.7]:443", "192.0.2.7"),
    ("2001:db8::1", "2001:db8::1"),
    ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("[2001:db8::1]:443", "2001:db8::1"),
    ("fe80::1%eth0", "fe80::1"),
    ("[fe80::1%25eth0]:1", "fe80::1"),
    ("::1", "::1"),
    ("", None),
    ("-", None),
    ("unknown", None),  # RFC 7239 section 6.2: what a proxy writes that cannot say
    ("_hidden", None),  # RFC 7239 section 6.3
    ("localhost", None),
    ("testclient", None),
    ("192.0.2", None),
    ("192.0.2.256", None),
    ("192.0.2.07", None),
    ("192.0.2.7/32", None),
    ("192.0.2.7:", None),
    ("192.0.2.7:port", None),
    ("192.0.2.7%eth0", None),
    ("[192.0.2.7]", None),
    ("[192.0.2.7]:80", None),
    ("[2001:db8::1", None),
    ("2001:db8::1]:443", None),
    ("[2001:db8::1]443", None),
    ("fe80::1%", None),
    (" 192.0.2.7", None),
    ("192.0.2.7\n", None),
    ("\uff11.2.3.4", None),
    ("192.0.2.7 subject=root", None),
    ("x" * 60_000, None),
    ("1" * 60_000, None),
]


@pytest.mark.parametrize(("text", "normal"), FORMS, ids=[repr(text)[:30] for text, _ in FORMS])
def test_one_address_has_one_form(text: str, normal: str | None) -> None:
    """Else one client is counted as many, and what a stranger wrote stands in the log."""
    address = parse_address(text)
    scope = {"client": (text, 1)}

    assert (address and str(address)) == normal
    assert client_host(scope) == (normal or (UNKNOWN if text else None))


@given(st.ip_addresses())
def test_knows_every_address_however_it_is_written(address: object) -> None:
    """Bare, with a port, in capitals: the same address."""
    text = str(address)
    with_port = f"[{text}]:443" if ":" in text else f"{text}:443"

    assert parse_address(text) == parse_address(with_port) == parse_address(text.upper())


def test_a_client_without_an_address_is_nobody() -> None:
    """A Unix socket has none: nothing can be counted by it."""
    for scope in ({}, {"client": None}, {"client": ("", 0)}):
        assert client_address(scope) is None
        assert client_host(scope) is None


def test_keeps_what_the_server_said_beside_the_address() -> None:
    """The log shows the name of a client that has no address, in quotes."""
    client = client_address({"client": ("proxy says: me", None)})

    assert client is not None
    assert (client.name, client.port, client.ip, client.host) == (
        "proxy says: me",
        None,
        None,
        UNKNOWN,
    )


@pytest.mark.parametrize(
    ("host", "site"),
    [
        pytest.param("192.0.2.7", "192.0.2.7", id="ipv4"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", id="mapped"),
        pytest.param("2001:db8:0:1:ffff::9", "2001:db8:0:1::/64", id="ipv6"),
        pytest.param("made-up-1", UNKNOWN, id="no-address"),
        pytest.param("made-up-2", UNKNOWN, id="another"),
        pytest.param("10.1.2.3", None, id="exempt"),
        pytest.param("::ffff:10.1.2.3", None, id="exempt-mapped"),
        pytest.param("::ffff:172.16.0.1", None, id="exempt-network-mapped"),
        pytest.param("172.16.0.1", None, id="exempt-by-a-mapped-network"),
        pytest.param("::1", None, id="exempt-6"),
    ],
)
def test_counts_by_what_a_stranger_cannot_choose(host: str, site: str | None) -> None:
    """A name that a stranger made up is no name of its own: all of them are one."""
    exempt = parse_networks(["10.0.0.0/8", "::ffff:172.16.0.0/108", "::1"])

    assert site_finder(exempt)(host) == site


def test_an_ipv6_site_counts_for_its_block_too() -> None:
    """Sixteen times as much is allowed to the block; an IPv4 address and a name have none."""
    assert list(shares_of("2001:db8:0:1::/64")) == [("2001:db8:0:1::/64", 1), ("2001:db8::/48", 16)]
    assert list(shares_of("192.0.2.7")) == [("192.0.2.7", 1)]
    assert list(shares_of((None, "alice/64"))) == [((None, "alice/64"), 1)]
    assert list(shares_of(None)) == []


@pytest.mark.parametrize("text", ["nowhere", "10.0.0.1/8", "::1/129", ""])
def test_refuses_a_network_that_is_none(text: str) -> None:
    """A typing error must not exempt anybody."""
    with pytest.raises(ValueError, match="ITEMWIRE_THROTTLE_EXEMPT"):
        parse_networks([text])


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [
        pytest.param("10.1.2.3", True, id="ipv4"),
        pytest.param("::ffff:10.1.2.3", True, id="dual-stack"),
        pytest.param("::ffff:11.1.2.3", False, id="dual-stack-other"),
        pytest.param("192.0.2.1", True, id="single"),
        pytest.param("::ffff:192.0.2.1", True, id="single-dual-stack"),
        pytest.param("::ffff:192.0.2.2", False, id="next"),
        pytest.param("2001:db8::1", True, id="ipv6"),
    ],
)
def test_a_trusted_proxy_is_trusted_on_a_dual_stack_socket(peer: str, is_trusted: bool) -> None:
    """A server on `::` names an IPv4 proxy in IPv6: its X-Forwarded-For must count the same."""
    hosts = with_mapped_forms(["10.0.0.0/8", "192.0.2.1", "2001:db8::1"])

    trusted = ProxyHeadersMiddleware(lambda *_: None, hosts).trusted_hosts  # type: ignore[arg-type] # never called

    assert (peer in trusted) is is_trusted


def test_every_proxy_stays_every_proxy() -> None:
    """`*` and a socket's path have no other form."""
    assert with_mapped_forms(["*"]) == ["*"]
    assert with_mapped_forms(["/run/proxy.sock"]) == ["/run/proxy.sock"]
    assert ip_address("::ffff:192.0.2.1") in parse_networks(["::/0"])[0]


def test_a_name_is_looked_at_if_it_is_no_longer_than_an_address_can_be() -> None:
    """A zone may be long; a stranger's text is not even kept as no address."""
    zone = "fe80::1%"

    assert parse_address(zone.ljust(100, "z")) is not None
    assert parse_address(zone.ljust(101, "z")) is None
