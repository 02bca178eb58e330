"""Tests of forwarded.py: whom a proxy names, in every form that proxies write."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest

from itemwire_auth.addresses import MAX_ADDRESS_LENGTH
from itemwire_auth.forwarded import Told, TrustedProxies, as_scope

PROXY: Final = "192.0.2.1"
TRUSTED: Final = TrustedProxies([PROXY, "10.0.0.0/8", "2001:db8:1::/48", "fe80::1%eth0"])

Headers = list[tuple[bytes, bytes]]


def x_for(*values: str) -> Headers:
    """Write X-Forwarded-For, one header for each value."""
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


def forwarded(*values: str) -> Headers:
    """Write Forwarded, one header for each value."""
    return [(b"forwarded", value.encode("latin-1")) for value in values]


# The headers of a request by a trusted proxy, and the client that it names by them.
CHAINS: Final[dict[str, tuple[Headers, tuple[str, int] | None]]] = {
    "nothing": ([], None),
    "an address": (x_for("198.51.100.1"), ("198.51.100.1", 0)),
    "a port": (x_for("198.51.100.1:5000"), ("198.51.100.1", 5000)),
    "IPv4 in IPv6": (x_for("::ffff:198.51.100.1"), ("198.51.100.1", 0)),
    "IPv6": (x_for("2001:DB8::0:1"), ("2001:db8::1", 0)),
    "brackets": (x_for("[2001:db8::1]"), ("2001:db8::1", 0)),
    "brackets and a port": (x_for("[2001:db8::1]:443"), ("2001:db8::1", 443)),
    "a zone": (x_for("fe80::2%eth0"), ("fe80::2", 0)),
    "a zone in brackets": (x_for("[fe80::2%25eth0]:1"), ("fe80::2", 1)),
    "what a stranger wrote": (x_for("127.0.0.1, 198.51.100.1"), ("198.51.100.1", 0)),
    "a trusted hop": (x_for("198.51.100.1, 10.1.2.3"), ("198.51.100.1", 0)),
    "a trusted hop with a port": (x_for("198.51.100.1, 10.1.2.3:9"), ("198.51.100.1", 0)),
    "a trusted hop in IPv6": (x_for("198.51.100.1, ::ffff:10.1.2.3"), ("198.51.100.1", 0)),
    "a trusted hop in brackets": (x_for("198.51.100.1, [2001:db8:1::5]:1"), ("198.51.100.1", 0)),
    "a trusted hop with a zone": (x_for("198.51.100.1, fe80::1%eth9"), ("198.51.100.1", 0)),
    "trusted hops alone": (x_for("10.0.0.1, 10.0.0.2"), ("10.0.0.1", 0)),
    "two headers": (x_for("127.0.0.1", "198.51.100.1"), ("198.51.100.1", 0)),
    "an empty header": (x_for(""), None),
    "empty members": (x_for(" , 198.51.100.1, ,"), ("198.51.100.1", 0)),
    "tabs": (x_for("127.0.0.1,\t198.51.100.1\t"), ("198.51.100.1", 0)),
    "unknown": (x_for("198.51.100.1, unknown"), ("unknown", 0)),
    "a hidden name": (x_for("198.51.100.1, _hidden"), ("_hidden", 0)),
    "words": (x_for("198.51.100.1, a b"), ("a b", 0)),
    "Forwarded": (forwarded("for=198.51.100.1"), ("198.51.100.1", 0)),
    "Forwarded with a port": (forwarded('for="198.51.100.1:80"'), ("198.51.100.1", 80)),
    "Forwarded IPv6": (forwarded('For="[2001:db8::1]:443"'), ("2001:db8::1", 443)),
    "Forwarded pairs": (
        forwarded("by=10.0.0.1;for=198.51.100.1;host=a;proto=https"),
        ("198.51.100.1", 0),
    ),
    "Forwarded spaces": (forwarded("for=127.0.0.1 , for=198.51.100.1 ; by=a"), ("198.51.100.1", 0)),
    "Forwarded hops": (
        forwarded("for=127.0.0.1, for=198.51.100.1, for=10.0.0.9"),
        ("198.51.100.1", 0),
    ),
    "Forwarded twice": (forwarded("for=127.0.0.1", "for=198.51.100.1"), ("198.51.100.1", 0)),
    "Forwarded unknown": (forwarded("for=127.0.0.1, for=unknown"), ("unknown", 0)),
    "Forwarded hidden": (forwarded('for="_gazonk"'), ("_gazonk", 0)),
    "Forwarded without for": (forwarded("for=127.0.0.1, proto=https"), ("unknown", 0)),
    "Forwarded with nothing": (forwarded('for=127.0.0.1, for=""'), ("unknown", 0)),
    "an open quote of a stranger": (forwarded('for="', "for=198.51.100.1"), ("198.51.100.1", 0)),
    "a quote around the hop": (
        forwarded('for="127.0.0.1, for=', 'for="[2001:db8::1]"'),
        ("2001:db8::1", 0),
    ),
    "no Forwarded at all": (
        forwarded("for=127.0.0.1, 198.51.100.1"),
        ("for=127.0.0.1, 198.51.100.1", 0),
    ),
    "both": (x_for("198.51.100.1") + forwarded("for=127.0.0.1"), ("198.51.100.1", 0)),
}


@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}", "10.9.9.9", "fe80::1", "fe80::1%eth1"])
@pytest.mark.parametrize("name", CHAINS)
def test_a_trusted_proxy_names_its_client(name: str, peer: str) -> None:
    """The hop before the trusted ones, by any address by which the proxy may come (138)."""
    headers, client = CHAINS[name]

    assert TRUSTED.told_by(peer, headers).client == client


@pytest.mark.parametrize("peer", ["192.0.2.2", "::ffff:192.0.2.2", "fe80::2", "unknown", "", None])
@pytest.mark.parametrize("name", CHAINS)
def test_nobody_else_names_a_client(name: str, peer: str | None) -> None:
    """The twin: a stranger, and a Unix socket where that is not named (requirement 11)."""
    assert TRUSTED.told_by(peer, CHAINS[name][0]) == Told()


@pytest.mark.parametrize("peer", [None, PROXY, "198.51.100.1"])
@pytest.mark.parametrize("entry", ["unix", "*", PROXY])
def test_words_stand_for_whole_kinds_of_peers(entry: str, peer: str | None) -> None:
    """`unix` for those without an address, and `*` for everybody."""
    trusts = {"unix": peer is None, "*": True, PROXY: peer == PROXY}[entry]

    assert (peer in TrustedProxies([entry])) is trusts


def test_everybody_is_believed_from_the_first_hop_on() -> None:
    """As uvicorn does it: there is no stranger in the chain."""
    told = TrustedProxies(["*"]).told_by("198.51.100.9", x_for("198.51.100.1, 198.51.100.2"))

    assert told.client == ("198.51.100.1", 0)


PROTO: Final = b"x-forwarded-proto"
SCHEMES: Final[dict[str, tuple[Headers, str | None]]] = {
    "one": ([(PROTO, b"https")], "https"),
    "in capitals": ([(PROTO, b" HTTPS ")], "https"),
    "of a socket": ([(PROTO, b"wss")], "wss"),
    "unknown": ([(PROTO, b"gopher")], None),
    "empty": ([(PROTO, b"")], None),
    "beside a client": ([*x_for("198.51.100.1"), (PROTO, b"https")], "https"),
    "of the client's hop": (
        [*x_for("198.51.100.1, 10.0.0.1"), (PROTO, b"https, http")],
        "https",
    ),
    "what a stranger wrote": ([*x_for("a, 198.51.100.1"), (PROTO, b"https, http")], "http"),
    "a list of another length": ([*x_for("198.51.100.1"), (PROTO, b"https, http")], "http"),
    "a list alone": ([(PROTO, b"https, http")], "http"),
    "twice": ([(PROTO, b"https"), (PROTO, b"http")], "http"),
    "of Forwarded": (forwarded("for=198.51.100.1;proto=https"), "https"),
    "of the hop in Forwarded": (
        forwarded("for=198.51.100.1;proto=https, for=10.0.0.1;proto=http"),
        "https",
    ),
    "beside Forwarded": ([*forwarded("for=198.51.100.1;proto=http"), (PROTO, b"https")], "https"),
    "Forwarded beside the other": (x_for("198.51.100.1") + forwarded("proto=https"), None),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_a_trusted_proxy_names_the_scheme(name: str) -> None:
    """By which TLS is required and a page of the same origin is known."""
    headers, scheme = SCHEMES[name]

    assert TRUSTED.told_by(PROXY, headers).scheme == scheme


@pytest.mark.parametrize(
    ("kind", "scheme", "expected"),
    [
        ("http", "https", "https"),
        ("websocket", "https", "wss"),
        ("websocket", "http", "ws"),
        ("websocket", "wss", "wss"),
        ("http", None, None),
    ],
)
def test_a_scope_has_the_scheme_of_its_kind(
    kind: str, scheme: str | None, expected: str | None
) -> None:
    """ASGI names that of a socket `ws` or `wss`."""
    changed = as_scope(Told(scheme=scheme), {"type": kind})

    assert changed == ({} if expected is None else {"scheme": expected})


def test_a_scope_has_the_client_that_is_named() -> None:
    """Under the name by which ASGI applications read it: limits and logs go by that address."""
    told = TRUSTED.told_by(PROXY, x_for("198.51.100.1:5000"))

    assert as_scope(told, {"type": "http"}) == {"client": ("198.51.100.1", 5000)}


def test_the_longest_address_may_be_of_a_proxy() -> None:
    """Longer texts are strangers' and none of them is remembered."""
    longest = "fe80::1%".ljust(MAX_ADDRESS_LENGTH, "a")

    assert longest in TRUSTED
    assert f"{longest}a" not in TRUSTED


def test_a_long_forwarded_header_is_read_at_once() -> None:
    """A stranger writes all of it but the last hop (requirement 123)."""
    hostile = [b'for="' * 10_000, b"a=" * 20_000, b";" * 60_000, b'a="\\' * 10_000, b"," * 32]
    for start in hostile:
        told = TRUSTED.told_by(PROXY, [(b"forwarded", start + b", for=198.51.100.1")])

        assert told.client == ("198.51.100.1", 0)


def test_keeps_no_text_that_is_no_address() -> None:
    """A stranger may write 60 KB of them with each request."""
    proxies = TrustedProxies([PROXY])
    for number in range(100):
        proxies.told_by(PROXY, x_for(f"198.51.100.1, {number:01000}", PROXY))

    assert proxies._is_listed.cache_info().currsize <= 2


LONG: Final[dict[str, str]] = {
    "many hops": "for=10.1.2.3," * 5000,
    "many hops in quotes": 'for="10.1.2.3",' * 4000,
    "commas in quotes": 'for="' + "a," * 30_000 + '"',
    "one quote": 'for="' + "for=10.1.2.3," * 5000,
    "pairs": "a=b;" * 15_000,
    "escapes": 'for="' + '\\"' * 30_000,
    "commas": "," * 60_000,
    "blanks": " " * 60_000,
}


def _seconds(headers: Headers) -> float:
    """Return the processor time that a header costs, at best."""
    times: list[float] = []
    for _ in range(5):
        began = time.process_time()
        TRUSTED.told_by(PROXY, headers)
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("write", [x_for, forwarded])
def test_a_long_header_costs_little_and_hides_no_client(
    name: str, write: Callable[..., Headers]
) -> None:
    """A stranger wrote 60 KB that its proxy passes on: reading Forwarded took 13 seconds."""
    last = "198.51.100.1" if write is x_for else "for=198.51.100.1"
    long = write(f"{LONG[name]},{last}")
    ordinary = _seconds(write(",".join([last] * 100)))

    assert TRUSTED.told_by(PROXY, long).client == ("198.51.100.1", 0)
    assert _seconds(long) < 10 * max(ordinary, 0.001)  # 13 seconds were over 1000 times it


@pytest.mark.parametrize("write", [x_for, forwarded])
def test_a_long_header_without_a_client_is_not_the_proxy_s(write: Callable[..., Headers]) -> None:
    """Whatever it says: the proxy may be exempt from what limits its clients."""
    assert TRUSTED.told_by(PROXY, write("a" * 60_000)).client == ("unknown", 0)


def test_commas_in_quotes_belong_to_a_hop_up_to_a_number() -> None:
    """Of more than any proxy writes it is a hop that cannot be read, and no client is made up."""
    quoted = ["a"] * 8
    read = TRUSTED.told_by(PROXY, forwarded(f'for=198.51.100.1;by="{",".join([*quoted, "a"])}"'))
    unread = TRUSTED.told_by(
        PROXY, forwarded(f'for=198.51.100.1;by="{",".join([*quoted, "a", "a"])}"')
    )

    assert read.client == ("198.51.100.1", 0)
    assert unread.client is not None
    assert unread.client[0] != "198.51.100.1"
