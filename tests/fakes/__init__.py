"""Fakes for the socket, the engine and the event loop, and peers that talk."""

from tests.fakes.engine import LateEngine
from tests.fakes.rules import ItemRules, Rules
from tests.fakes.stage import ManyPeer, Peer, Stage, Talker, complete, known_members
from tests.fakes.timers import ManualTimers
from tests.fakes.transport import Close, RecordingTransport
from tests.fakes.values import (
    BOUNDS,
    CHANNEL,
    EVERYTHING,
    ITEM,
    JSON,
    LIMITS,
    MSGPACK,
    NOW,
    PLAIN,
    Clock,
    draft,
    principal,
)

__all__ = [
    "BOUNDS",
    "CHANNEL",
    "EVERYTHING",
    "ITEM",
    "JSON",
    "LIMITS",
    "MSGPACK",
    "NOW",
    "PLAIN",
    "Clock",
    "Close",
    "ItemRules",
    "LateEngine",
    "ManualTimers",
    "ManyPeer",
    "Peer",
    "RecordingTransport",
    "Rules",
    "Stage",
    "Talker",
    "complete",
    "draft",
    "known_members",
    "principal",
]
