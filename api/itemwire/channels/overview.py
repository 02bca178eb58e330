"""What operators may see of a node: its connections, its channels and their members."""

from dataclasses import dataclass

from itemwire.channels.hub import Hub
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.channels.presence.presence import Presence


@dataclass(frozen=True, slots=True)
class Overview:
    """The parts of a node that hold what is looked at; looking changes nothing."""

    node_id: str
    hub: Hub
    registry: ConnectionRegistry
    presence: Presence
