"""The client for Python: `AsyncClient` for asyncio, and `Client`, its blocking twin.

It needs `websockets` and `msgspec`, and nothing of the server.
"""

from itemwire.client.async_client import AsyncClient
from itemwire.client.async_item import AsyncItem
from itemwire.client.blocking import BlockingItem, Client
from itemwire.client.errors import (
    ClientClosed,
    ClientError,
    NotConnected,
    PublishUnconfirmed,
    Refused,
    RequestTimeout,
    Unauthorized,
)
from itemwire.client.received import (
    ItemHistory,
    ItemMember,
    PayloadMismatch,
    PublishResult,
    ReceivedMessage,
)
from itemwire.client.token_source import TokenRequest
from itemwire.messages import Gap, Position

__all__ = [
    "AsyncClient",
    "AsyncItem",
    "BlockingItem",
    "Client",
    "ClientClosed",
    "ClientError",
    "Gap",
    "ItemHistory",
    "ItemMember",
    "NotConnected",
    "PayloadMismatch",
    "Position",
    "PublishResult",
    "PublishUnconfirmed",
    "ReceivedMessage",
    "Refused",
    "RequestTimeout",
    "TokenRequest",
    "Unauthorized",
]
