"""Asks a NATS server for what would cost messages: no JetStream, or hardly any room in it."""

# pyright: reportUnknownMemberType=false
# nats-py annotates its callbacks in part only.

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from itemwire.engines.base import EngineError
from itemwire.engines.nats.client import connect
from itemwire.engines.nats.target import NatsTarget
from itemwire.engines.report import Concern, EngineReport

EXAMINE_SECONDS: Final = 5.0
NEARLY: Final = 0.9  # of its room
ACCOUNT: Final = "$JS.API.INFO"


async def examine(url: str) -> EngineReport:
    """Return what a server says of itself; EngineError if it says nothing."""
    target = NatsTarget.of(url)
    client = Client()
    try:
        async with asyncio.timeout(EXAMINE_SECONDS):
            await connect(client, target, target.read_files(), _ignore_error, _ignore_end)
            version = str(client.connected_server_version)
            concerns = await _concerns(client)
    except (NatsError, OSError) as error:  # TimeoutError is one
        raise EngineError(str(error) or type(error).__name__) from error
    finally:
        await client.close()
    return EngineReport(f"NATS {version}", None, concerns)


async def _concerns(client: Client) -> tuple[Concern, ...]:
    try:
        answer = await client.request(ACCOUNT, b"", timeout=EXAMINE_SECONDS / 2)
    except (NatsError, TimeoutError):
        refused = "JetStream does not tell this user of the account's room"
        remedy = f"let it publish to `{ACCOUNT}`; nothing else needs that"
        return (Concern(refused, remedy),)
    account: dict[str, Any] = json.loads(answer.data)
    if "error" in account:
        told = account["error"].get("description", "JetStream is not enabled")
        return (Concern(str(told), "enable JetStream for the account", is_fault=True),)
    limits = account.get("limits", {})
    most, used = limits.get("max_storage", -1), account.get("storage", 0)
    if 0 < NEARLY * most < used:
        return (Concern("JetStream's storage is nearly full", "raise the account's limit"),)
    return ()


async def _ignore_error(_error: Exception) -> None:
    """Do nothing: what matters is raised by the request."""


async def _ignore_end() -> None:
    """Do nothing: the client was closed here."""
