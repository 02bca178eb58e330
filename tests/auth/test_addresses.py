"""Tests of addresses.py: the normal form of addresses, and what a client is counted by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire_auth.addresses import (
    UNKNOWN,
    client_address,
    client_host,
    parse_address,
    parse_networks,
    shares_of,
    site_finder,
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


NOBODY = {
    "nowhere": "it is no address",
    "": "it is no address",
    "proxy.internal:80": "it is no address",
    "/run/proxy.sock": "it is no address",
    "192.0.2.0/33": "it is no address",
    "::1/129": "it is no address",
    "10.0.0.1/8": "write 10.0.0.0/8, or an address alone",
    "2001:db8::1/32": "write 2001:db8::/32, or an address alone",
    "127.0.0.1:8000": "write 127.0.0.1",
    "[::1]:8000": "write ::1",
    "0.0.0.0": "the address of no peer",
    "::": "the address of no peer",
}


@pytest.mark.parametrize("text", NOBODY)
def test_refuses_what_no_peer_can_match(text: str) -> None:
    """A typing error must not exempt or trust anybody, nor silently nobody."""
    with pytest.raises(ValueError, match=r"^A_SETTING: .* matches nobody: ") as refused:
        parse_networks([text], "A_SETTING")

    assert NOBODY[text] in str(refused.value)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("[2001:DB8::1]", "2001:db8::1/128"),
        ("fe80::1%eth0", "fe80::1/128"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_an_entry_is_read_as_peers_are(text: str, network: str) -> None:
    """The twin: in the one normal form in which everything is compared."""
    assert [str(one) for one in parse_networks([text])] == [network]


def test_a_name_is_looked_at_if_it_is_no_longer_than_an_address_can_be() -> None:
    """A zone may be long; a stranger's text is not even kept as no address."""
    zone = "fe80::1%"

    assert parse_address(zone.ljust(100, "z")) is not None
    assert parse_address(zone.ljust(101, "z")) is None
