"""Itemwire as `itemwire serve` runs it."""

from api.server import serve
from api.settings import Settings
from benchmarks.peers.serving import HOST, run


def start(port: int) -> None:
    """Serve with default settings."""
    serve(Settings(host=HOST, port=port, log_level="warning"), lambda _url: None)


if __name__ == "__main__":
    run(start)
