"""How a connection to a NATS server is opened, and what is checked before it is used."""

# pyright: reportUnknownMemberType=false
# nats-py annotates its callbacks in part only.

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nats.aio.client import Client, ServerVersion
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from itemwire.engines.base import EngineError
from itemwire.engines.nats.credentials import NatsKeys
from itemwire.engines.nats.target import NatsFiles, NatsTarget

CONNECT_SECONDS: Final = 1.0  # of one server
OLDEST: Final = (2, 11)


async def subscribe(
    client: Client,
    subject: str,
    receive: Callable[[Msg], Awaitable[None]],
    *,
    is_bounded: bool = True,
) -> Subscription:
    """Subscribe to a subject; unless it is bounded, nats-py drops no message."""
    if is_bounded:
        return await client.subscribe(subject, cb=receive)
    return await client.subscribe(subject, cb=receive, pending_msgs_limit=0, pending_bytes_limit=0)


async def connect(
    client: Client,
    target: NatsTarget,
    files: NatsFiles,
    on_error: Callable[[Exception], Awaitable[None]],
    on_closed: Callable[[], Awaitable[None]],
) -> None:
    """Connect to one of the servers; EngineError, or an error of nats-py, says why not."""
    options = _options(target, files.tls)
    if files.keys is not None:
        options |= _key_options(client, files.keys, files.tls)
    await client.connect(**options, error_cb=on_error, closed_cb=on_closed)
    _check_encrypted(files.tls)
    _check_version(client.connected_server_version)


def _options(target: NatsTarget, tls: ssl.SSLContext | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "servers": list(target.servers),
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": 0,
        "connect_timeout": CONNECT_SECONDS,
        "name": "itemwire",
    }
    if tls is not None:
        options["tls"] = tls
    if target.secret is not None:
        secret = _guarded(target.secret, tls)
        options |= {"token": secret} if target.user is None else {"password": secret}
    if target.user is not None:
        options["user"] = _guarded(target.user, tls)
    return options


def _key_options(client: Client, keys: NatsKeys, tls: ssl.SSLContext | None) -> dict[str, Any]:
    """Return how nats-py shows a key; its own options for files do not look at the encryption."""

    def sign(nonce: str) -> bytes:
        _check_encrypted(tls)  # who stands in between could have the signature of a real nonce
        return keys.sign(nonce)

    # Without a user it shows the key to no server that also takes those without.
    options: dict[str, Any] = {"signature_cb": sign, "user": _guarded("", tls)}
    if keys.jwt is None:
        client._public_nkey = keys.public_key  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        return options
    jwt = keys.jwt.encode()
    return {**options, "user_jwt_cb": lambda: jwt}


def _guarded(secret: str, tls: ssl.SSLContext | None) -> Callable[[], str]:
    """Return a callback that gives the secret away only once the connection is encrypted."""

    def give() -> str:
        _check_encrypted(tls)
        return secret

    return give


def _check_encrypted(tls: ssl.SSLContext | None) -> None:
    """Check that TLS is on if it has to be; nats-py leaves that to the server."""
    if tls is not None and not tls.session_stats()["connect_good"]:
        raise EngineError("the server does not encrypt")


def _check_version(version: ServerVersion) -> None:
    if (version.major, version.minor) < OLDEST:
        told = f"{version.major}.{version.minor}.{version.patch}"
        oldest = ".".join(map(str, OLDEST))
        raise EngineError(f"the server is {told}, and {oldest} is the oldest that will do")
