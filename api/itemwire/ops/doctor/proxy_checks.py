"""Checks of the proxy: the server's public URL is opened, as clients do."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from itemwire.ops.doctor.findings import Finding, Level, doubtful, good, wrong
from itemwire.ops.doctor.proxy_advice import (
    ADDRESS,
    CERTIFICATES,
    EVENTS_HELD,
    FORGED,
    HEAD,
    HOST,
    IDLE,
    OWN_HOST,
    SCHEME,
    TOKEN,
    UNREACHED,
    UPGRADE,
)
from itemwire.ops.doctor.visit import Visit
from itemwire_auth import http_client as httpx
from itemwire_auth.forwarded import TrustedProxies
from itemwire_auth.origins import SELF

STEP_SECONDS: Final = 10.0
EVENT_SECONDS: Final = 4.0  # in which the first event has to come
STRANGER: Final = "203.0.113.77"  # of a network for documentation, RFC 5737
ITEM: Final = "itemwire-doctor"
ECHOED: Final = "itemwire doctor"
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Probe = Callable[["PublicSide"], AsyncIterator[Finding]]


class PublicSide:
    """What is seen of a server through its proxy."""

    def __init__(
        self, visit: Visit, url: str, client: httpx.AsyncClient, tls: ssl.SSLContext
    ) -> None:
        self.visit = visit
        self.url = httpx.URL(url)
        self.client = client
        self._tls = tls if self.url.scheme == "https" else None

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of somebody whom the server knows."""
        token = self.visit.token
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """Ask for a path below the URL."""
        return await self.client.get(self.at(path), **options)

    def at(self, path: str) -> str:
        """Return the URL of a path."""
        return f"{str(self.url).rstrip('/')}{path}"

    async def echo(self) -> ClientConnection:
        """Open a socket that says back what it is told."""
        return await connect(
            self.at("/ws/echo").replace("http", "ws", 1),
            additional_headers=self.headers,
            open_timeout=STEP_SECONDS,
            ping_interval=None,  # the server's pings are what is tried
            proxy=None,
            ssl=self._tls,
        )


async def check_proxy(visit: Visit) -> AsyncIterator[Finding]:
    """Open the public URL in every way in which clients do."""
    if visit.public_url is None:
        return
    if visit.public_url.startswith("http:"):
        yield doubtful("tokens travel unencrypted", "let the proxy have a certificate")
    try:
        tls = httpx.create_ssl_context()
    except OSError as error:
        yield wrong(f"certificates cannot be read: {_told(error)}", CERTIFICATES)
        return
    way = httpx.AsyncHTTPTransport(verify=tls, local_address=visit.source, trust_env=False)
    async with httpx.AsyncClient(transport=way, timeout=STEP_SECONDS) as client:
        side = PublicSide(visit, visit.public_url, client, tls)
        try:
            reached = await side.get("/health/live")
        except (httpx.HTTPError, OSError) as error:
            yield wrong(f"{side.url} is not reached: {_told(error)}", UNREACHED)
            return
        if reached.status_code != HTTPStatus.OK:
            yield wrong(f"{side.url} answers with {reached.status_code}", UNREACHED)
            return
        async for finding in _probed(side):
            yield finding


async def _probed(side: PublicSide) -> AsyncIterator[Finding]:
    """Try each way; one that fails ends no other."""
    for name, probe in PROBES.items():
        try:
            async for finding in probe(side):
                yield finding
        except (httpx.HTTPError, OSError, WebSocketException) as error:
            yield wrong(f"{name} failed: {_told(error)}", UNREACHED)


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _seen(side: PublicSide) -> AsyncIterator[Finding]:
    """Compare what the server sees of a request with what was sent."""
    answer = await side.get("/auth/seen", headers=side.headers)
    if answer.status_code != HTTPStatus.OK:
        yield _unseen(answer)
        return
    seen = answer.json()
    addressed = [*_addressed(side.url, seen)]
    for finding in addressed:
        yield finding
    if all(finding.level is Level.OK for finding in addressed):  # else the cause has been told
        async for finding in _of_own_page(side):
            yield finding
    if not seen["forwarded"]:
        yield wrong(f"the server counts everybody as {seen['client']}", ADDRESS)
    elif seen["client"] in TrustedProxies(side.visit.settings.trusted_proxies):
        yield good(f"you come from {seen['client']}, which is trusted to name its clients")
        return
    yield await _forged(side, seen)


def _addressed(url: httpx.URL, seen: dict[str, Any]) -> Iterator[Finding]:
    """Compare host and scheme."""
    if _origin(url.scheme, seen["host"]) != _origin(url.scheme, _netloc(url)):
        yield wrong(f"the server is told the Host {seen['host']!r}", HOST)
    else:
        yield good("Host is passed on")
    if seen["scheme"] != url.scheme:
        yield wrong(f"the server takes a request by {url.scheme} for {seen['scheme']}", SCHEME)


async def _of_own_page(side: PublicSide) -> AsyncIterator[Finding]:
    """Sign out as a page of the public URL does, which needs no credential and ends nothing."""
    if SELF not in side.visit.settings.allowed_origins:
        return
    origin = f"{side.url.scheme}://{_netloc(side.url)}"
    answer = await side.client.delete(side.at("/auth/session"), headers={"Origin": origin})
    if answer.status_code == HTTPStatus.FORBIDDEN:
        yield wrong(f"the server takes its own pages at {origin} for foreign ones", OWN_HOST)
    elif answer.is_success:
        yield good("pages of the public URL may use the session cookie")


async def _forged(side: PublicSide, seen: dict[str, Any]) -> Finding:
    """Write the headers of a proxy, as a client should not be able to."""
    forged = {**side.headers, "X-Forwarded-For": STRANGER, "Forwarded": f"for={STRANGER}"}
    again = await side.get("/auth/seen", headers=forged)
    if again.json().get("client") == STRANGER:
        return wrong("a client may choose the address by which it is counted", FORGED)
    return good(f"no client chooses the address by which it is counted; yours is {seen['client']}")


def _unseen(answer: httpx.Response) -> Finding:
    reason = answer.json().get("code") if "json" in answer.headers.get("Content-Type", "") else None
    if reason == "tls_required":
        return wrong("the server takes a request by https for http", SCHEME)
    told = f"no token was taken ({reason or answer.status_code}), so Host and address are not known"
    return doubtful(told, TOKEN)


def _netloc(url: httpx.URL) -> str:
    return url.netloc.decode("ascii")


def _origin(scheme: str, host: str) -> tuple[str, int | None]:
    try:
        url = httpx.URL(f"{scheme}://{host}")
    except httpx.InvalidURL:
        return host, None
    return url.host, url.port or DEFAULT_PORTS.get(scheme)


async def _upgraded(side: PublicSide) -> AsyncIterator[Finding]:
    """Open a socket, and let it say something."""
    try:
        connection = await side.echo()
    except InvalidStatus as error:
        status = error.response.status_code
        remedy = TOKEN if status in {401, 403} else UPGRADE
        yield wrong(f"a socket is answered with {status}", remedy)
        return
    except TimeoutError:
        yield wrong("a socket is not answered", UPGRADE)
        return
    async with connection, asyncio.timeout(STEP_SECONDS):
        try:
            await connection.send(ECHOED)
            await connection.recv()
        except ConnectionClosed as closed:
            yield _closed(closed)
            return
    yield good("sockets pass")


def _closed(closed: ConnectionClosed) -> Finding:
    reason = closed.rcvd.reason if closed.rcvd else "no close frame"
    told = f"sockets pass, and one was closed with {reason or 'no reason'}"
    return doubtful(told, SCHEME if reason == "tls_required" else TOKEN)


async def _evented(side: PublicSide) -> AsyncIterator[Finding]:
    """Listen to an item until its first event."""
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(EVENT_SECONDS),
            side.client.stream(
                "GET", side.at(f"/items/{ITEM}/events"), headers=side.headers
            ) as answer,
        ):
            if answer.status_code != HTTPStatus.OK:
                told = f"events are answered with {answer.status_code}, and were not tried"
                yield doubtful(told, TOKEN)
                return
            async for _ in answer.aiter_raw():
                break
    except TimeoutError:
        yield wrong(f"no event has come within {EVENT_SECONDS:.0f} s", EVENTS_HELD)
        return
    yield good(f"events are not held back: the first came after {time.monotonic() - began:.2f} s")


async def _headed(side: PublicSide) -> AsyncIterator[Finding]:
    """Send a head as large as the longest token makes it, in both places."""
    filler = "x" * side.visit.settings.max_token_length
    in_query = await side.get("/health/live", params={"filler": filler})
    in_header = await side.get("/health/live", headers={"X-Filler": filler})
    failed = {
        place: answer.status_code
        for place, answer in (("query", in_query), ("header", in_header))
        if answer.status_code != HTTPStatus.OK
    }
    for place, status in failed.items():
        yield wrong(f"the longest token in a {place} is answered with {status}", HEAD)
    if not failed:
        yield good(f"a token of {len(filler)} characters passes")


async def _kept(side: PublicSide) -> AsyncIterator[Finding]:
    """Leave a socket alone, but for the server's pings."""
    seconds = side.visit.idle_seconds
    if not seconds:
        return
    try:
        connection = await side.echo()
    except (InvalidStatus, TimeoutError):
        return  # `_upgraded` has told that
    began = time.monotonic()
    async with connection:
        try:
            async with asyncio.timeout(seconds):
                await connection.recv()
        except TimeoutError:
            yield good(f"a socket that says nothing is kept for {seconds:.0f} s")
        except ConnectionClosed:
            yield wrong(f"a silent socket is cut after {time.monotonic() - began:.0f} s", IDLE)


PROBES: Final[dict[str, Probe]] = {
    "a request": _seen,
    "a socket": _upgraded,
    "a stream of events": _evented,
    "a large head": _headed,
    "a silent socket": _kept,
}
"""In which ways the public URL is opened."""
