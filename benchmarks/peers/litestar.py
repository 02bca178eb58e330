"""Litestar with its channels in memory, on uvicorn."""

from typing import Annotated

from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.params import Parameter

from benchmarks.peers.serving import run_asgi
from benchmarks.tokens import subject_of


async def current_subject(token: Annotated[str, Parameter(query="token")]) -> str:
    """Check the token."""
    subject = subject_of(token)
    if subject is None:
        raise NotAuthorizedException
    return subject


@websocket("/items/{item_id:str}/ws", dependencies={"subject": Provide(current_subject)})
async def watch(
    socket: WebSocket,
    item_id: str,
    subject: str,  # noqa: ARG001 - a dependency, for the check
    channels: ChannelsPlugin,
) -> None:
    """Send each message of the socket to all subscribers of the item."""
    await socket.accept()
    async with (
        channels.start_subscription([item_id]) as subscriber,
        subscriber.run_in_background(socket.send_data),
    ):
        try:
            while True:
                channels.publish(await socket.receive_text(), item_id)
        except WebSocketDisconnect:
            return


app = Litestar(
    [watch],
    plugins=[ChannelsPlugin(backend=MemoryChannelsBackend(), arbitrary_channels_allowed=True)],
)

if __name__ == "__main__":
    run_asgi(app)
