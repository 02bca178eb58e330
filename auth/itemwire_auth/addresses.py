"""One normal form of client addresses, and what a client is counted by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from itemwire_auth.principal import Identity

LONGEST_NAME: Final = 64  # characters of a caller that has no address
SITE_PREFIX: Final = 64  # bits of an IPv6 address: the rest is its owner's (RFC 4291 2.5.1)
BLOCK_PREFIX: Final = 48  # what one site may be given (RFC 6177): 65,536 of these
BLOCK_SHARE: Final = 16  # times as much as one of them: a carrier gives each phone its own

Network = IPv4Network | IPv6Network
Caller = str | Identity


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and networks; ValueError says which is none."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"ITEMWIRE_THROTTLE_EXEMPT: {error}; write 192.0.2.0/24 or ::1") from None


def site_of(host: str, exempt: tuple[Network, ...]) -> str | None:
    """Give the address to count by: of IPv6, the part that a stranger cannot choose."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        # A server that names its peers in a way of its own, or a proxy that lets clients do so.
        return host[:LONGEST_NAME]
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in exempt):
        return None
    if isinstance(address, IPv6Address):
        return str(ip_network((address, SITE_PREFIX), strict=False))
    return str(address)


def shares_of(caller: Caller | None) -> Iterator[tuple[Caller, int]]:
    """Give all that a caller is counted by, each with how many times the limit is its own.

    An address of IPv6 is also its block's: who has that has as many addresses as anybody counts.
    """
    if caller is None:
        return
    yield caller, 1
    if isinstance(caller, str) and caller.endswith(f"/{SITE_PREFIX}"):
        try:
            block = ip_network((caller.partition("/")[0], BLOCK_PREFIX), strict=False)
        except ValueError:  # a name that only looks like one
            return
        yield str(block), BLOCK_SHARE
