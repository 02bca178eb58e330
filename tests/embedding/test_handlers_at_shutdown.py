"""Handlers of a host on `live.accept` that wait for something else, when their server stops."""

import socket
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.scenarios.processes import started

pytestmark = pytest.mark.server

APPLICATION: Final = """
import asyncio

from fastapi import FastAPI, WebSocket

from itemwire import Itemwire
from itemwire.settings import Settings


async def current_user() -> dict[str, str]:
    return {"id": "ann"}


live = Itemwire(user=current_user, settings=Settings(secret=None, jwks_url=None))
app = FastAPI()
app.include_router(live.router, prefix="/live")


@app.get("/health/ready")
async def ready() -> str:
    return "ready"


@app.websocket("/own")
async def own(websocket: WebSocket) -> None:
    async with live.accept(websocket, {"id": "ann"}) as accepted:
        await accepted.send_text(await accepted.receive_text())
        await asyncio.Event().wait()
"""

SERVERS: Final = {
    "uvicorn": "uvicorn waiting:app --port {}",
    "gunicorn": "gunicorn waiting:app -k uvicorn_worker.UvicornWorker --bind 127.0.0.1:{}"
    " --graceful-timeout 100",
}


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_a_handler_that_waits_does_not_hold_up_its_server(tmp_path: Path, command: str) -> None:
    """It is cancelled 5 seconds after its socket has ended; uvicorn waits for it as long as that.

    A server that is stopped closes its sockets itself, and a handler that does not read hears
    nothing of that.
    """
    (tmp_path / "waiting.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    name, *options = command.format(port).split()
    program = str(Path(sys.executable).with_name(name))
    with (
        started([program, *options], tmp_path) as running,
        running.server.client("/own", subprotocols=()) as client,
    ):
        client.send("hello")
        assert client.receive() == "hello"
        running.stop()
        assert client.ending().code == 1012
        running.process.wait(60)
