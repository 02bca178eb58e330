"""Sends this node's lines in batches, each batch in one or more numbered notices."""

from collections.abc import Callable
from typing import Final

from itemwire.channels.cluster.gossip import Gossip, Line, NodeStopping, pack_lines
from itemwire.channels.timers import CallLater

BATCH_SECONDS: Final = 0.05
URGENT_SECONDS: Final = 0.01  # a reloaded page may reach another node, and be refused until then


class GossipSender:
    """Collects lines when a batch is due, and sends them.

    At most two timers run: one for the ordinary batch and one for an urgent one. Before `start`
    and after `stop` nothing is sent.
    """

    def __init__(
        self,
        collect: Callable[[], list[Line]],
        send: Callable[[Gossip], None],
        call_later: CallLater,
    ) -> None:
        self._collect = collect
        self._send = send
        self._call_later = call_later
        self._number = 0  # of the notice that was sent last
        self._is_running = False
        self._is_scheduled = False
        self._is_urgent = False
        self._is_heartbeat_due = False
        self.is_hasty = False  # while an urgent batch is sent: what can wait is for the next

    def start(self) -> None:
        """Send a first heartbeat at once, so that the other nodes answer with their own.

        Clients may come as soon as this returns. Until the others know this node they do not ask
        it who is there, so the heartbeat waits for no batch.
        """
        self._is_running = True
        self.require_heartbeat()
        self.flush()

    def stop(self) -> None:
        """Send what is left and that this node stops; send nothing afterwards."""
        self._send_all([*self._collect(), NodeStopping()])
        self._is_running = False

    def require_heartbeat(self) -> None:
        """Send a notice with the next batch even if there is no line to send."""
        self._is_heartbeat_due = True

    def schedule(self) -> None:
        """Send a batch soon, together with everything that follows until then."""
        if self._is_running and not self._is_scheduled:
            self._is_scheduled = True
            self._call_later(BATCH_SECONDS, self._flush_batch)

    def schedule_urgent(self) -> None:
        """Send a batch sooner: a client may be refused elsewhere until it arrives."""
        if self._is_running and not self._is_urgent:
            self._is_urgent = True
            self._call_later(URGENT_SECONDS, self._flush_urgent)

    def flush(self) -> None:
        """Send a batch now."""
        if self._is_running:
            self._send_all(self._collect())

    def _flush_batch(self) -> None:
        self._is_scheduled = False
        self.flush()

    def _flush_urgent(self) -> None:
        self._is_urgent = False
        self.is_hasty = True
        self.flush()
        self.is_hasty = False

    def _send_all(self, lines: list[Line]) -> None:
        packs: list[list[Line]] = list(pack_lines(lines))
        if not packs and self._is_heartbeat_due:
            packs = [[]]
        self._is_heartbeat_due = False
        for pack in packs:
            self._number += 1
            self._send(Gossip(self._number, pack))
