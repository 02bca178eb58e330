"""Itemwire as `itemwire serve` runs it."""

from benchmarks.peers.serving import HOST, run
from itemwire.serving.server import serve
from itemwire.settings import Settings


def start(port: int) -> None:
    """Serve with default settings, without rate limits: the server is measured, not a limit."""
    settings = Settings(
        host=HOST,
        port=port,
        log_level="warning",
        publish_rate=0,
        bytes_rate=0,
        request_rate=0,
        delivery_rate=0,
        delivery_bytes_rate=0,
    )
    serve(settings, lambda _url: None)


if __name__ == "__main__":
    run(start)
