"""What the connection of an operator does that watches the figures of all nodes."""

from collections.abc import Callable
from typing import Final

from typing_extensions import override

from itemwire.channels.connection import Connection
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.node import Node
from itemwire.channels.sessions.session import Session
from itemwire.close_reasons import RATE_LIMITED
from itemwire.messages import Frame

OTHER: Final = RequestKind.OTHER  # found once: looking in an enumeration is slow


class OperationsSession(Session):
    """Hears the figures; what its client sends is counted against its rate, and dropped."""

    __slots__ = ("_begin",)

    def __init__(
        self, node: Node, connection: Connection, begin: Callable[[Connection], None]
    ) -> None:
        super().__init__(node, connection)
        self._begin = begin

    @override
    def opened(self) -> None:
        self._begin(self.connection)

    @override
    def _act(self, frame: Frame, size: int) -> None:
        rates = self.node.rates
        if rates is not None and rates.spend(self.connection, OTHER, size):
            self.connection.end(RATE_LIMITED)
