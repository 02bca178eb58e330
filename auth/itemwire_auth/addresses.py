"""Reads client addresses, in one normal form, and what a client is counted by.

A server names its client in the ASGI scope; behind a trusted proxy that name is what stood in
X-Forwarded-For, so a stranger may have written it. A name that is not an IP address is therefore
no address: it is shown in quotes, and all such clients count as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, Final, NamedTuple, TypeAlias

from itemwire_auth.principal import Identity

UNKNOWN: Final = "unknown"  # stands for every client whose name is not an address
MAX_ADDRESS_LENGTH: Final = 100  # the longest has 45 characters, a zone, brackets and a port
SITE_PREFIX: Final = 64  # bits of an IPv6 address: the rest is its owner's (RFC 4291 2.5.1)
BLOCK_PREFIX: Final = 48  # what one site may be given (RFC 6177): 65,536 prefixes of 64 bits
MAX_REMEMBERED: Final = 4096  # texts that were read; then the one read least recently is forgotten
BLOCK_SHARE: Final = 16  # times the limit of one of them: a carrier gives each phone its own
MAPPED_PREFIX: Final = 96  # bits of ::ffff:0:0, which IPv4 addresses follow (RFC 4291 2.5.5.2)

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Caller: TypeAlias = str | Identity

_WITH_PORT: Final = re.compile(
    r"\[(?P<ipv6>[^\[\]]*:[^\[\]]*)\](?::(?P<port6>[0-9]{1,5}))?"
    r"|(?P<ipv4>[0-9.]+):(?P<port4>[0-9]{1,5})"
)


class ClientAddress(NamedTuple):
    """The client of a connection: its name as the server has it, its port, its IP address."""

    name: str
    port: int | None
    ip: Address | None  # None if the name is not an address
    host: str  # the normal form of the address; UNKNOWN if the name is not an address


def client_address(scope: Mapping[str, Any]) -> ClientAddress | None:
    """Return the client that an ASGI scope names, or None: a Unix socket has no addresses.

    Nothing else reads `client` of a scope.
    """
    client: Sequence[Any] | None = scope.get("client")
    if not client or not client[0]:
        return None
    name, port = client
    return ClientAddress(name, port, *_read(name))


def client_host(scope: Mapping[str, Any]) -> str | None:
    """Return the client's address in its normal form; UNKNOWN, or None as `client_address`."""
    client = client_address(scope)
    return None if client is None else client.host


def parse_address(text: str) -> Address | None:
    """Return the IP address that a text is, or None if it is none.

    IPv4 in IPv6 (`::ffff:192.0.2.7`) is the IPv4 address. A zone (`fe80::1%eth0`), brackets and a
    port are left out.
    """
    return _read(text)[0]


def _read(text: str) -> tuple[Address | None, str]:
    """Return the address that a text is, and its normal form; None and UNKNOWN if it is none."""
    return (None, UNKNOWN) if len(text) > MAX_ADDRESS_LENGTH else _read_short(text)


@lru_cache(MAX_REMEMBERED)
def _read_short(text: str) -> tuple[Address | None, str]:
    address = _parse(text)
    return address, UNKNOWN if address is None else str(address)


def _parse(text: str) -> Address | None:
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(text if match is None else match["ipv6"] or match["ipv4"])
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # which leaves out the zone


def parse_port(text: str) -> int | None:
    """Return the port behind an address, or None if there is none."""
    match = _WITH_PORT.fullmatch(text)
    port = match and (match["port6"] or match["port4"])
    return int(port) if port else None


def parse_networks(
    texts: Iterable[str], setting: str = "ITEMWIRE_THROTTLE_EXEMPT"
) -> tuple[Network, ...]:
    """Parse addresses and networks; ValueError says what a text is that no peer can match."""
    return tuple(_network(text, setting) for text in texts)


def _network(text: str, setting: str) -> Network:
    """Parse an address as it is compared, without a zone and brackets, or a network."""
    try:
        network = ip_network(text) if "/" in text else _of_one(text)
    except ValueError:
        network = None
    if network is None:
        raise ValueError(f"{setting}: {text!r} matches nobody: {_fault_of(text)}")
    return _unmapped(network)


def _of_one(text: str) -> Network | None:
    address = None if parse_port(text) else parse_address(text)
    if address is None or address.is_unspecified:
        return None
    return ip_network(address)


def _fault_of(text: str) -> str:
    """Return what keeps a text from being an address or a network, and what to write."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is not None and network.prefixlen < network.max_prefixlen:
        return f"it has bits behind its prefix; write {network}, or an address alone"
    if network is not None:
        return "it is the address of no peer; write a network, such as 0.0.0.0/0"
    if (address := parse_address(text)) is not None:
        return f"peers are known without their port; write {address}"
    return "it is no address; write one, such as 192.0.2.1 or ::1, or a network, as 192.0.2.0/24"


def _unmapped(network: Network) -> Network:
    """Return a network of IPv4 addresses written as IPv6 as the IPv4 network it is."""
    if isinstance(network, IPv4Network) or network.prefixlen < MAPPED_PREFIX:
        return network
    mapped = network.network_address.ipv4_mapped
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - MAPPED_PREFIX))


def site_finder(exempt: Sequence[Network]) -> Callable[[str], str | None]:
    """Return the function that finds what an address is counted by; None if it is exempt.

    Of IPv6 that is the prefix which a stranger cannot choose.
    """

    @lru_cache(MAX_REMEMBERED)
    def site_of(host: str) -> str | None:
        address, normal = _read(host)
        if address is None:
            return UNKNOWN
        if any(address in network for network in exempt):
            return None
        return normal if isinstance(address, IPv4Address) else _network_of(address, SITE_PREFIX)

    return site_of


@lru_cache(MAX_REMEMBERED)
def _network_of(address: IPv6Address, prefix: int) -> str:
    return str(ip_network((address, prefix), strict=False))


def shares_of(caller: Caller | None) -> Iterator[tuple[Caller, int]]:
    """Yield each address or block that a caller counts for, with its multiple of the limit.

    An IPv6 site also counts for its block: the owner of a block has 65,536 sites.
    """
    if caller is None:
        return
    yield caller, 1
    if isinstance(caller, str) and caller.endswith(f"/{SITE_PREFIX}"):
        yield _network_of(IPv6Address(caller.partition("/")[0]), BLOCK_PREFIX), BLOCK_SHARE
