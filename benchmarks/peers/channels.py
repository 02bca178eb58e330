"""Django Channels with channels_redis, like its tutorial, on uvicorn: a group per item.

Of the two layers of channels_redis, it uses the faster one.
"""

import os
from urllib.parse import parse_qs

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

from benchmarks.peers.serving import ENGINE_VARIABLE, run_asgi
from benchmarks.tokens import subject_of

settings.configure(
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [os.environ[ENGINE_VARIABLE]]},
        }
    },
)
django.setup()


class Watcher(AsyncWebsocketConsumer):
    """Sends each message to all subscribers of the item."""

    async def connect(self) -> None:
        """Check the token and join the item's group."""
        token = parse_qs(self.scope["query_string"].decode()).get("token", [""])[0]
        if subject_of(token) is None:
            await self.close()
            return
        # A group name may not contain a colon.
        self.group = self.scope["url_route"]["kwargs"]["item_id"].replace(":", ".")
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - Channels gives it
        """Leave the group."""
        if hasattr(self, "group"):
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,  # noqa: ARG002 - Channels gives it
    ) -> None:
        """Send a message to the group."""
        await self.channel_layer.group_send(
            self.group, {"type": "item.message", "message": text_data}
        )

    async def item_message(self, event: dict[str, str]) -> None:
        """Send a message of the group to the client."""
        await self.send(text_data=event["message"])


app = ProtocolTypeRouter(
    {"websocket": URLRouter([path("items/<str:item_id>/ws", Watcher.as_asgi())])}
)

if __name__ == "__main__":
    run_asgi(app)
