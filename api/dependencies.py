"""What routes declare beside the caller, and what they ask of the application."""

from typing import Annotated

from fastapi import Query, Security
from starlette.requests import HTTPConnection

from api.channels.node import Node
from auth.dependencies import permitted, refusal
from auth.errors import ScopeMissing
from auth.principal import Grant
from auth.scopes import Action

SubscribeGrant = Annotated[Grant, Security(permitted, scopes=[Action.SUBSCRIBE])]

Replay = Annotated[int, Query(ge=0, description="How many recent messages come first.")]


def node_of(connection: HTTPConnection) -> Node:
    """Find the node of this application.

    No dependency: each costs a handshake 8 µs, and this one decides nothing.
    """
    node: Node = connection.app.state.node
    return node


def check_replay(connection: HTTPConnection, grant: Grant, replay: int) -> None:
    """Refuse a replay to who may not read history: it is no less than that."""
    if replay and not grant.allows(Action.HISTORY):
        raise refusal(connection, ScopeMissing("replay needs the right to history"))
