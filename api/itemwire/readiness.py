"""What `/health/ready` and the metrics say of a server: the one table of its states.

docs/operations.md has the same rows, with what to do; a test compares them.
"""

from dataclasses import dataclass
from typing import Final, Literal

from itemwire.channels.node import Node
from itemwire.close_reasons import OVERLOADED, Retry
from itemwire.engines.faults import DEGRADING
from itemwire_auth.authenticator import Authenticator

Status = Literal["ready", "degraded", "not_ready", "draining"]


@dataclass(frozen=True, slots=True)
class ServerState:
    """A state of a server: whether traffic should go to it, and whether it passes by itself."""

    status: Status
    reason: str | None = None
    retry: Retry | None = None

    @property
    def is_served(self) -> bool:
        """Return whether sockets are served: 200, not 503."""
        return self.status in {"ready", "degraded"}


READY: Final = ServerState("ready")
NOT_READY: Final = ServerState("not_ready")
DRAINING: Final = ServerState("draining")
ISSUER_AWAY: Final = ServerState("degraded", "issuer_away", OVERLOADED.retry)

STATES: Final = (
    READY,
    NOT_READY,
    DRAINING,
    ISSUER_AWAY,
    *(ServerState("degraded", fault.name, fault.refusal.retry) for fault in DEGRADING),
)
"""Every state; `degraded` has a reason, of which the engine's comes first."""

REASONS: Final = tuple(state.reason for state in STATES if state.reason is not None)


def state_of(node: Node, authenticator: Authenticator) -> ServerState:
    """Return the state of a server: red only where nothing can be judged or heard."""
    if not (authenticator.can_judge and node.is_ready):
        return DRAINING if node.is_draining else NOT_READY
    if (fault := node.fault) is not None:
        return ServerState("degraded", fault.name, fault.refusal.retry)
    return ISSUER_AWAY if authenticator.lacks_an_issuer else READY
