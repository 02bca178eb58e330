"""Serves one item's channel as server-sent events, for clients that only listen."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.sse import EventSourceResponse
from pydantic import AfterValidator

from itemwire.authorization.reauthorization import reauthorization_of_stream
from itemwire.channels.delivery.outbox import Transport
from itemwire.channels.delivery.recovery import LIVE
from itemwire.channels.limits.requests import RequestKind
from itemwire.channels.sessions.events import EventsSession
from itemwire.dependencies import (
    Replay,
    Since,
    SubscribeGrant,
    assembly_of,
    spend,
    start_of,
    written_position,
)
from itemwire.middleware.admission import acquire_slot, hand_over_slot
from itemwire.middleware.head_requests import is_head
from itemwire.routes.items import ITEM_PATH, item_channel
from itemwire.routes.messages import PROBLEMS
from itemwire.transports.asgi import log_connected
from itemwire.transports.sse import EventStream, head_of_stream
from itemwire_auth.releasing import release

LastEventId = Annotated[
    str | None,
    Header(description="The id of the last event received; it takes precedence over `since`."),
    AfterValidator(lambda written: written_position(written or None)),
]

STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Events until the end.", "content": {"text/event-stream": {}}}
}

router = APIRouter(tags=["messages"], responses=PROBLEMS)


@router.get(
    ITEM_PATH + "/events",
    response_model=None,
    responses=STREAM,
)
async def item_events(
    request: Request,
    grant: SubscribeGrant,
    last_event_id: LastEventId = None,
    since: Since = None,
    replay: Replay = 0,
) -> EventSourceResponse:
    """Stream the item's messages until the token ends, from the last received event on."""
    start = start_of(request, grant, last_event_id or since, replay)
    if start != LIVE:
        spend(request, grant.principal, RequestKind.HISTORY, 0)
    assembly = assembly_of(request)
    node = assembly.node
    if is_head(request.scope):
        return head_of_stream()
    acquire_slot(request, assembly.slots, grant.principal)
    await release(request)
    reauthorization = None
    if node.rechecks is not None:
        owner = assembly.reauthorizer
        reauthorization = reauthorization_of_stream(request, owner, item_channel, "/events")

    codec = assembly.event_codecs.of_item(grant.item_id)

    def join(transport: Transport) -> EventsSession:
        connection = node.connect(grant.principal, codec, transport)
        session = EventsSession(node, connection, grant, start, reauthorization)
        hand_over_slot(request, session)
        log_connected(request, session)
        return session

    return EventStream(join, node.limits.ping_interval, assembly.streams)
