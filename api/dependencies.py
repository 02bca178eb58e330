"""What routes declare beside the caller, and what they ask of the application."""

from typing import Annotated

from fastapi import Query, Security
from pydantic import AfterValidator
from starlette.requests import HTTPConnection

from api.channels.node import Node
from api.channels.recovery import Start
from api.messages import read_position
from auth.dependencies import permitted, refusal
from auth.errors import ScopeMissing
from auth.principal import Grant
from auth.scopes import Action

SubscribeGrant = Annotated[Grant, Security(permitted, scopes=[Action.SUBSCRIBE])]

Replay = Annotated[int, Query(ge=0, description="How many recent messages come first.")]


def _written_position(written: str | None) -> str | None:
    if written is not None:
        read_position(written)
    return written


Since = Annotated[
    str | None,
    Query(description="The position, <epoch>:<offset>, to go on from."),
    AfterValidator(_written_position),
]


def node_of(connection: HTTPConnection) -> Node:
    """Find the node of this application.

    No dependency: each costs a handshake 8 µs, and this one decides nothing.
    """
    node: Node = connection.app.state.node
    return node


def start_of(connection: HTTPConnection, grant: Grant, since: str | None, replay: int) -> Start:
    """Say where a subscription begins, or refuse.

    A replay is no less than reading history. To go on from a position is to hear what a subscriber
    that had stayed would have heard, so it needs no other right than that.
    """
    if replay and not grant.allows(Action.HISTORY):
        raise refusal(connection, ScopeMissing("replay needs the right to history"))
    return Start(read_position(since) if since is not None else None, replay)
