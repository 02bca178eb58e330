"""Lists the channels of all nodes, looks at one of them, and empties its history."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Request, status
from pydantic import BaseModel

from itemwire.channels.limits.requests import RequestKind
from itemwire.dependencies import answer_of, assembly_of, node_of, spend
from itemwire.engines.base import Span
from itemwire.messages import message_size
from itemwire.ops.channel_list import (
    MOST_CHANNELS,
    MOST_CURSOR,
    ChannelPage,
    ListedChannel,
    Order,
    WantedChannels,
    merged,
    read_cursor,
)
from itemwire.responses.problems import UNPROCESSABLE, Problem
from itemwire.routes.admin.asking import AskingAdministrator
from itemwire.routes.admin.examples import example_of
from itemwire.routes.admin.items import ITEM, ITEM_ALONE, NamedItem
from itemwire_auth.audit import log_administered
from itemwire_auth.dependencies import Administrator

CHANNEL: Final = {
    "item": "order-7",
    "listeners": 12,
    "nodes": 2,
    "members": 12,
    "messages_per_second": 1.5,
    "offset": 310,
    "epoch": "3fJr0T_x",
}

PAGE: Final = {
    "channels": [CHANNEL],
    "next": "12:order-7",
    "nodes": ["QxgFRk2VsNCV", "q8Zt0cXhV0rN"],
    "missing": [],
}

LOOK: Final[dict[str, object]] = {
    **CHANNEL,
    "by_node": {"QxgFRk2VsNCV": 8, "q8Zt0cXhV0rN": 4},
    "history": {"length": 100, "bytes": 5200, "oldest": 1795391058.925},
    "retain": 86_400.0,
    "missing": [],
}

router = APIRouter()


class KeptHistory(BaseModel):
    """How much of a history is kept: messages, their bytes, and when the oldest was sent."""

    length: int
    bytes: int
    oldest: float | None


class ChannelLook(BaseModel):
    """One channel; `by_node` is how many listeners each node has.

    `retain` is for how many seconds the last message is kept for who comes late, `null` where it
    is not. Nodes that are `missing` did not answer in time.
    """

    item: str
    listeners: int
    nodes: int
    members: int | None
    messages_per_second: float
    offset: int
    epoch: str
    by_node: dict[str, int]
    history: KeptHistory
    retain: float | None
    missing: list[str]


@router.get("/channels", responses=example_of(PAGE))
async def list_channels(
    request: Request,
    _admin: AskingAdministrator,
    pattern: Annotated[
        str | None,
        Query(description="Only items that it matches: `*` is a segment, as in scopes."),
    ] = None,
    order: Order = "listeners",
    limit: Annotated[int, Query(ge=1, le=MOST_CHANNELS)] = MOST_CHANNELS,
    after: Annotated[
        str | None, Query(max_length=MOST_CURSOR, description="The `next` of a page before.")
    ] = None,
) -> ChannelPage:
    """List the channels that have listeners on any node, the most used first."""
    try:
        wanted = WantedChannels(
            pattern, order, limit, None if after is None else read_cursor(after)
        )
        wanted.matcher()
    except ValueError as error:
        raise HTTPException(UNPROCESSABLE, str(error)) from error
    return await assembly_of(request).operations.channels.page(wanted)


@router.delete(
    ITEM + "/history",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={503: {"model": Problem, "description": "Perhaps not done: ask again."}},
)
async def erase_history(request: Request, admin: Administrator, item: NamedItem) -> None:
    """Empty the history of an item, its retained message included; offsets go on counting.

    A client that resumes from before is told `recovered: false`.
    """
    spend(request, admin, RequestKind.OTHER, 0)
    log_administered(request, admin, "erase_history", {"item": item})
    await answer_of(partial(assembly_of(request).operations.erase, item))


@router.get(ITEM_ALONE, responses=example_of(LOOK))
async def look_at_channel(request: Request, admin: Administrator, item: NamedItem) -> ChannelLook:
    """Return what is known of an item, whether or not somebody listens."""
    spend(request, admin, RequestKind.HISTORY, 0)
    node, operations = node_of(request), assembly_of(request).operations
    span = Span(node.rules_of(item).most_read(node.limits.history_limit))
    history = await answer_of(partial(node.history, item, span))
    found = await operations.channels.of_item(item)
    listed: ListedChannel = merged(item, found.by_node.values())
    members = None
    if node.rules_of(item).presence != "off":
        page = await answer_of(partial(node.members, item, limit=0))
        members = page.count
    kept = history.publications
    return ChannelLook(
        item=item,
        listeners=listed.listeners,
        nodes=listed.nodes,
        members=members,
        messages_per_second=listed.messages_per_second,
        offset=history.position.offset,
        epoch=history.position.epoch,
        by_node={id_: share.listeners for id_, share in found.by_node.items()},
        history=KeptHistory(
            length=len(kept),
            bytes=sum(map(message_size, kept)),
            oldest=kept[0].sent_at if kept else None,
        ),
        retain=node.rules_of(item).retain or None,
        missing=found.missing,
    )
