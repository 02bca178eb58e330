"""How a server process collects garbage."""

import gc
from typing import Final

COLLECTOR_THRESHOLDS: Final = (20_000, 50, 100)


def calm_collector() -> None:
    """Exempt the objects of start-up from garbage collection, and collect less often.

    Each handshake makes thousands of short-lived objects, so by default a full collection visits
    all modules and all sockets every few hundred handshakes. Measured with 1000 handshakes: 1000/s
    with a 95th percentile of 300 ms without this, 1600/s with 45 ms with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
