"""Ends the connections of a node that has been cut off from the other nodes for too long."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Final

from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.close_reasons import OVERLOADED, CloseReason

logger = logging.getLogger("itemwire.channels")

CUT_OFF_TICKS: Final = 30  # of a second: a restart or a failover of the engine is over by then
SHARE: Final = 0.2  # of the connections, in each tick
MIN_BATCH: Final = 500


class CutOff:
    """Counts for how long the engine has been away, and sends subscribers to other nodes.

    A short outage costs nobody a connection: what was missed is delivered after it. After
    `CUT_OFF_TICKS` a subscriber would rather know that it hears nothing. It counts ticks and reads
    no clock, so that neither a clock that steps nor a process that stood still ends anybody.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        end_all: Callable[[Mapping[Connection, CloseReason]], object],
    ) -> None:
        self._registry = registry
        self._end_all = end_all
        self._ticks = 0

    def hear(self) -> None:
        """Note that the engine is there."""
        self._ticks = 0

    def tick(self) -> None:
        """Note that it was away for one more second; after too many, end connections in batches."""
        self._ticks += 1
        if self._ticks < CUT_OFF_TICKS:
            return
        subscribers = [one for one in self._registry.all() if one.subscriptions]
        if self._ticks == CUT_OFF_TICKS:
            logger.warning("cut_off seconds=%d connections=%d", CUT_OFF_TICKS, len(subscribers))
        batch = max(MIN_BATCH, math.ceil(len(subscribers) * SHARE))
        self._end_all(dict.fromkeys(subscribers[:batch], OVERLOADED))
