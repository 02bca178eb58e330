"""The servers that are compared: each has a file and a row here.

Each can run alone: `python -m benchmarks.peers.<name> --port N`, with the secret in
ITEMWIRE_SECRET. Each verifies the same JWT at the handshake and sends a message of one socket to
all subscribers of its item. Otherwise it runs as its users would run it, but without compression
and access log.
"""

from dataclasses import dataclass
from typing import Final

from itemwire.bench.target import PLAIN, Dialect

ITEM_PATH: Final = "/items/{item}/ws?token={token}"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to compare, and how clients connect to it."""

    title: str
    path: str = ITEM_PATH
    dialect: Dialect = PLAIN


SOCKETIO: Final = Peer(
    "python-socketio",
    path="/socket.io/?EIO=4&transport=websocket&item={item}&token={token}",
    # Engine.IO 4: open, then CONNECT of the default namespace; 2 is a ping, 3 its pong.
    dialect=Dialect(
        message='42["publish","{marker}"]', hello=(("0", "40"), ("40", "")), replies={"2": "3"}
    ),
)

BASELINE: Final = "tutorial003"

PEERS: Final[dict[str, Peer]] = {
    "itemwire": Peer("Itemwire"),
    "tutorial003": Peer("FastAPI tutorial"),
    "websockets": Peer("websockets broadcast()"),
    "picows": Peer("picows"),
    "socketio": SOCKETIO,
    "litestar": Peer("Litestar channels"),
    "socketify": Peer("socketify (uWebSockets)"),
}

VARIANTS: Final[dict[str, Peer]] = {
    "itemwire_info": Peer("Itemwire, log level info"),
    "itemwire_uvicorn": Peer("Itemwire on uvicorn's own classes"),
    "itemwire_granian": Peer("Itemwire on Granian"),
}
"""Other ways to run Itemwire, which are compared with `itemwire serve` in a table of their own."""

OVER_REDIS: Final[dict[str, Peer]] = {
    "broadcaster": Peer("broadcaster"),
    "channels": Peer("Django Channels"),
    "socketio": SOCKETIO,
}
"""Servers that send messages between nodes through the Redis at ITEMWIRE_ENGINE_URL."""
