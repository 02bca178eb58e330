"""Itemwire's application on the protocol classes that uvicorn has itself."""

from benchmarks.peers.itemwire import settings_for
from benchmarks.peers.serving import run_asgi
from itemwire.main import create_app

if __name__ == "__main__":
    run_asgi(create_app(settings_for(0)))
