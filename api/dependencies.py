"""What routes declare beside the caller: the node, and the query of a channel."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Security
from starlette.requests import HTTPConnection

from api.channels.node import Node
from auth.dependencies import permitted, refusal
from auth.errors import ScopeMissing
from auth.principal import Grant
from auth.scopes import Action


async def current_node(connection: HTTPConnection) -> Node:
    """Find the node of this application."""
    node: Node = connection.app.state.node
    return node


CurrentNode = Annotated[Node, Depends(current_node)]

SubscribeGrant = Annotated[Grant, Security(permitted, scopes=[Action.SUBSCRIBE])]


@dataclass(frozen=True, slots=True)
class Joining:
    """What a client that may subscribe asked for, and the node it joins."""

    node: Node
    grant: Grant
    replay: int


async def joining(
    connection: HTTPConnection,
    grant: SubscribeGrant,
    replay: Annotated[int, Query(ge=0, description="How many recent messages come first.")] = 0,
) -> Joining:
    """Read the query of a subscription; a replay is reading history, and needs the right to."""
    if replay and not grant.allows(Action.HISTORY):
        raise refusal(connection, ScopeMissing("replay needs the right to history"))
    # Not by `CurrentNode`: each dependency costs a handshake 8 µs, and this one decides nothing.
    return Joining(await current_node(connection), grant, replay)


CurrentJoining = Annotated[Joining, Depends(joining)]
