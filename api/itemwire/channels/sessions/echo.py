"""What an echo connection does: it sends back every message as it came."""

from typing import Final

from typing_extensions import override

from itemwire.channels.limits.requests import Kind
from itemwire.channels.sessions.session import Session
from itemwire.close_reasons import RATE_LIMITED
from itemwire.messages import Frame

ECHO: Final = Kind.PUBLISH  # found once: an enumeration is slow to look in


class EchoSession(Session):
    """Sends back every message as it came."""

    __slots__ = ()

    @override
    def _act(self, frame: Frame, size: int) -> None:
        rates = self._node.rates
        if rates is not None and rates.spend(self.connection, ECHO, size):
            self.connection.end(RATE_LIMITED)  # it says nothing but what its client said
        else:
            self.connection.push(frame)
