"""Itemwire's application on Granian, with one worker as all the others have one process."""

from fastapi import FastAPI
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from benchmarks.peers.itemwire import settings_for
from benchmarks.peers.serving import HOST, run
from itemwire.main import create_app


def application() -> FastAPI:
    """Make the application in the worker."""
    return create_app(settings_for(0))


def start(port: int) -> None:
    """Serve."""
    Server(
        "benchmarks.peers.itemwire_granian:application",
        address=HOST,
        port=port,
        interface=Interfaces.ASGI,
        log_level=LogLevels.warning,
        factory=True,
    ).serve()


if __name__ == "__main__":
    run(start)
