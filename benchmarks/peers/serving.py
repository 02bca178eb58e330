"""What the peers share: the command line, and running an ASGI application."""

import argparse
from collections.abc import Callable
from typing import Final

HOST: Final = "127.0.0.1"
ENGINE_VARIABLE: Final = "ITEMWIRE_ENGINE_URL"
"""The variable with the URL of the store between nodes; not every peer reads it."""


def run(serve: Callable[[int], None]) -> None:
    """Read `--port` and serve there until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    serve(port)


def run_asgi(app: object) -> None:
    """Serve an ASGI application on uvicorn, without compression and without an access log."""
    import uvicorn  # noqa: PLC0415 - not every peer needs it

    def serve(port: int) -> None:
        uvicorn.run(
            app,  # type: ignore[arg-type]  # any ASGI application, of any framework's type
            host=HOST,
            port=port,
            ws_per_message_deflate=False,
            access_log=False,
            log_level="warning",
        )

    run(serve)
