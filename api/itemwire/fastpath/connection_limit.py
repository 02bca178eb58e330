"""Limits the TCP connections of one server, in total and per address."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

logger = logging.getLogger("itemwire.fastpath")

STATE_KEY: Final = "itemwire.connection_limit"
"""The key in the lifespan's state under which an application gives its limit to the server."""


def peer_host(transport: asyncio.BaseTransport) -> str | None:
    """Return the address of a connection's peer, also once it is lost; None for a Unix socket."""
    peer: object = transport.get_extra_info("peername")
    return str(cast("tuple[object, ...]", peer)[0]) if isinstance(peer, tuple) else None


class ConnectionLimit:
    """Counts the connections of each address, and admits no more than there may be.

    The application has limits of its own for sockets, which refuse with a reason. This one also
    counts connections that never send a request, or linger after a refusal: without it strangers
    use up the process's file descriptors. `site_of` returns what an address counts as, None for
    an exempt one. 0 sets no limit.
    """

    def __init__(self, total: int, per_address: int, site_of: Callable[[str], str | None]) -> None:
        self._total = total
        self._per_address = per_address
        self._site_of = site_of
        self._counts: Counter[str] = Counter()
        self._is_full_logged = False
        self.refused = {"total": 0, "address": 0}  # so far

    def admit(self, open_connections: int, host: str | None) -> HTTPStatus | None:
        """Count a connection, or return the status that refuses it."""
        if self._total and open_connections > self._total:
            self._log_full(open_connections)
            self.refused["total"] += 1
            return HTTPStatus.SERVICE_UNAVAILABLE
        self._is_full_logged = self._is_full_logged and open_connections * 2 > self._total
        site = self._counted_site(host)
        if site is not None:
            if self._counts[site] >= self._per_address:
                self.refused["address"] += 1
                return HTTPStatus.TOO_MANY_REQUESTS
            self._counts[site] += 1
        return None

    def release(self, host: str | None) -> None:
        """Count an admitted connection no longer."""
        site = self._counted_site(host)
        if site is not None:
            self._counts[site] -= 1
            if self._counts[site] <= 0:
                del self._counts[site]

    def _counted_site(self, host: str | None) -> str | None:
        return self._site_of(host) if host and self._per_address else None

    def _log_full(self, open_connections: int) -> None:
        """Log once, until half of the connections are gone: a flood must not fill the log."""
        if not self._is_full_logged:
            self._is_full_logged = True
            logger.warning(
                "connections_full open=%d limit=%d",
                open_connections - 1,
                self._total,
            )
