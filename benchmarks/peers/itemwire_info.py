"""Itemwire as `itemwire serve` runs it, with a line in the log for each connection."""

from benchmarks.peers.itemwire import settings_for
from benchmarks.peers.serving import run
from itemwire.serving.server import serve


def start(port: int) -> None:
    """Serve at log level `info`, which is the default."""
    serve(settings_for(port, "info"), lambda _url: None)


if __name__ == "__main__":
    run(start)
