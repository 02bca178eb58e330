"""What a stream of server-sent events does: it joins one channel and sends no commands."""

from typing_extensions import override

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.recovery import LIVE, StartPoint
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Reauthorize
from itemwire.channels.sessions.item_recheck import ItemRecheck
from itemwire.channels.sessions.session import Session
from itemwire.engines.base import EngineError
from itemwire.messages import Frame
from itemwire.wire.events_codec import Cursor
from itemwire_auth.principal import Grant


class EventsSession(Session):
    """Sends what is published on one item's channel."""

    __slots__ = ("_start", "_subscription")

    def __init__(
        self,
        node: Node,
        connection: Connection,
        grant: Grant,
        start: StartPoint,
        reauthorize: Reauthorize | None = None,
    ) -> None:
        super().__init__(node, connection)
        self._start = start
        self._subscription = Subscription(connection, grant)
        ItemRecheck.begin(node, self._subscription, reauthorize)

    @override
    def opened(self) -> None:
        start, self._start = self._start, LIVE  # it is not needed again
        self.node.join(self._subscription, start, self._joined)

    def _joined(self, problem: EngineError | None) -> None:
        """Send the stream's position, now that everything up to it has been sent."""
        if problem is not None:
            self.connection.end(problem.fault.refusal)
        else:
            self.connection.send_after_replay(Cursor())

    @override
    def _act(self, frame: Frame, size: int) -> None:
        """Do nothing: a stream has no way to ask."""
