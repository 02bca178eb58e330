"""What an echo connection does: it sends back every message as it came."""

from typing import Final

from typing_extensions import override

from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.sessions.session import Session
from itemwire.close_reasons import RATE_LIMITED
from itemwire.messages import Frame

ECHO: Final = RequestKind.PUBLISH  # found once: looking in an enumeration is slow


class EchoSession(Session):
    """Sends back every message as it came."""

    __slots__ = ()

    @override
    def _act(self, frame: Frame, size: int) -> None:
        rates = self.node.rates
        if rates is not None and rates.spend(self.connection, ECHO, size):
            self.connection.end(RATE_LIMITED)  # an echo has no words of its own for an error
        else:
            self.connection.push(frame)
