"""Itemwire as `itemwire serve` runs it."""

from typing import Final

from benchmarks.peers.serving import HOST, run
from itemwire.serving.server import serve
from itemwire.settings import Settings

UNLIMITED: Final = {
    "publish_rate": 0,
    "bytes_rate": 0,
    "request_rate": 0,
    "delivery_rate": 0,
    "delivery_bytes_rate": 0,
}


def settings_for(port: int, log_level: str = "warning") -> Settings:
    """Return default settings, without rate limits: the server is measured, not a limit."""
    return Settings.model_validate(
        {"host": HOST, "port": port, "log_level": log_level, **UNLIMITED}
    )


def start(port: int) -> None:
    """Serve."""
    serve(settings_for(port), lambda _url: None)


if __name__ == "__main__":
    run(start)
