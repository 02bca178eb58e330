"""Tells an application over HTTP what has happened on its channels.

It may be written in any language.

    POST <ITEMWIRE_WEBHOOK_URL>
    webhook-id: 3fJr0T_xq1c0                 the same each time that a batch is sent
    webhook-timestamp: 1795368359
    webhook-signature: v1,<base64 of HMAC-SHA256 over "<id>.<timestamp>.<body>">

    {"events": [{"type": "joined", "at": 1795368358.9, "connection": "kP3v", "subject": "alice",
                 "item": "order:42"}, …]}

These are the headers and the signature of Standard Webhooks. A batch is sent again until it is
answered with 2xx, so each event arrives at least once, in order for one node.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from itertools import islice
from secrets import token_urlsafe
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import override

from itemwire.channels.connection_log import LoggedConnection, Observer
from itemwire.messages import Member
from itemwire_auth import http_client as httpx
from itemwire_auth.policy_url import is_this_machine

logger = logging.getLogger("itemwire.webhooks")

EVENTS: Final = frozenset({"connected", "disconnected", "joined", "left"})

MAX_WAITING: Final = 10_000  # events: some 4 MB
MAX_BATCH: Final = 100  # events of one request
BATCH_SECONDS: Final = 0.2  # that an event waits for others to go with it
ANSWER_SECONDS: Final = 10.0
FIRST_PAUSE: Final = 1.0  # seconds before a batch is sent again; then twice as long each time
LONGEST_PAUSE: Final = 60.0
MAX_ATTEMPTS: Final = 10  # some six minutes; then the batch is dropped
GRACE: Final = 5.0  # seconds in which a node that stops still sends what waits

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets of Standard Webhooks begin with
MIN_SECRET_BYTES: Final = 24


class WebhookEvent(msgspec.Struct):
    """Something that has happened to a connection; `at` is a Unix time."""

    type: str
    at: float
    connection: str
    subject: str
    item: str | UnsetType = UNSET


class Webhooks(Observer, AbstractAsyncContextManager["Webhooks"]):
    """Sends events to a URL while it is entered: batched, signed, retried, and bounded.

    Events that find no room are dropped, which the log says, and so is a batch that was refused
    `MAX_ATTEMPTS` times.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        events: Collection[str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check what was configured; ValueError says what to write instead."""
        _check_url(url)
        unknown = sorted(set(events) - EVENTS)
        if unknown:
            raise ValueError(
                f"ITEMWIRE_WEBHOOK_EVENTS: {unknown[0]!r} is none of {', '.join(sorted(EVENTS))}"
            )
        self._url = url
        self._key = _key_of(secret)
        self._events = frozenset(events)
        self._clock = clock
        self._waiting: deque[WebhookEvent] = deque()
        self._is_dropping = False
        self._is_stopping = asyncio.Event()
        self._has_some = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    @override
    async def __aenter__(self) -> Self:
        self._is_stopping, self._has_some = asyncio.Event(), asyncio.Event()
        self._sender = asyncio.create_task(self._send_all())
        return self

    @override
    async def __aexit__(self, *_: object) -> None:
        sender, self._sender = self._sender, None
        self._is_stopping.set()
        self._has_some.set()
        if sender is not None:
            await asyncio.wait({sender}, timeout=GRACE)
            sender.cancel()
            await asyncio.wait({sender})
        if self._waiting:
            logger.error("webhooks_dropped events=%d", len(self._waiting))
            self._waiting.clear()

    @override
    def connected(self, connection: LoggedConnection) -> None:
        self._add("connected", connection.id, connection.principal.subject)

    @override
    def disconnected(self, connection: LoggedConnection) -> None:
        self._add("disconnected", connection.id, connection.principal.subject)

    @override
    def joined(self, item_id: str, member: Member) -> None:
        self._add("joined", member.connection, member.subject, item_id)

    @override
    def left(self, item_id: str, member: Member) -> None:
        self._add("left", member.connection, member.subject, item_id)

    def _add(self, kind: str, connection: str, subject: str, item: str | UnsetType = UNSET) -> None:
        if kind not in self._events or self._sender is None:
            return
        if len(self._waiting) >= MAX_WAITING:
            if not self._is_dropping:
                self._is_dropping = True
                logger.error("webhooks_dropped events=%d", 1)
            return
        self._is_dropping = False
        self._waiting.append(WebhookEvent(kind, self._clock(), connection, subject, item))
        self._has_some.set()

    async def _send_all(self) -> None:
        timeout = httpx.Timeout(ANSWER_SECONDS)
        async with httpx.open_client(httpx.create_ssl_context(), timeout) as client:
            while True:
                await self._has_some.wait()
                await self._pause(BATCH_SECONDS)
                batch = list(islice(self._waiting, MAX_BATCH))
                if batch:
                    await self._send(client, batch)
                    for _ in batch:  # and not before: what is being sent takes room, too
                        self._waiting.popleft()
                elif self._is_stopping.is_set():
                    return
                else:
                    self._has_some.clear()

    async def _send(self, client: httpx.AsyncClient, batch: list[WebhookEvent]) -> None:
        """Send a batch until it is taken, or for the last time."""
        body = msgspec.json.encode({"events": batch})
        batch_id, pause = token_urlsafe(12), FIRST_PAUSE
        for attempt in range(1, MAX_ATTEMPTS + 1):
            problem = await self._attempt(client, batch_id, body)
            if problem is None:
                return
            logger.warning("webhook_failed attempt=%d problem=%s", attempt, problem)
            if attempt < MAX_ATTEMPTS:
                await self._pause(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
                pause = min(pause * 2, LONGEST_PAUSE)
        logger.error("webhooks_dropped events=%d", len(batch))

    async def _attempt(self, client: httpx.AsyncClient, batch_id: str, body: bytes) -> str | None:
        """Send a batch once; return why it was not taken, or None."""
        timestamp = str(int(self._clock()))
        headers = {
            "content-type": "application/json",
            "webhook-id": batch_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature_of(self._key, batch_id, timestamp, body),
        }
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                client.stream("POST", self._url, content=body, headers=headers) as response,
            ):
                return None if response.is_success else f"status {response.status_code}"
        except (httpx.HTTPError, TimeoutError) as error:
            return type(error).__name__

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for long once this is left."""
        if self._is_stopping.is_set():
            seconds = min(seconds, BATCH_SECONDS)
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._is_stopping.wait()
        except TimeoutError:
            return


def signature_of(key: bytes, batch_id: str, timestamp: str, body: bytes) -> str:
    """Return the `webhook-signature` of a request, as Standard Webhooks defines it."""
    signed = b"%s.%s.%s" % (batch_id.encode(), timestamp.encode(), body)
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) < MIN_SECRET_BYTES:
        raise ValueError(
            "ITEMWIRE_WEBHOOK_SECRET is `whsec_` and the base64 of at least 24 random bytes: "
            "write whsec_ and what `openssl rand -base64 32` prints"
        )
    return key


def _check_url(url: str) -> None:
    try:
        httpx.checked_url(url)
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"ITEMWIRE_WEBHOOK_URL is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("ITEMWIRE_WEBHOOK_URL is not a URL: write https://host/path")
    if "@" in parts.netloc:
        raise ValueError("ITEMWIRE_WEBHOOK_URL holds a password: the signature proves the sender")
    if parts.scheme == "http" and not is_this_machine(parts.hostname):
        raise ValueError("ITEMWIRE_WEBHOOK_URL would tell who is there unencrypted: use https")
