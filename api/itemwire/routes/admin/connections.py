"""Lists the connections of this node, and ends connections on any node."""

from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from itemwire.channels.connection import Connection
from itemwire.dependencies import node_of
from itemwire.routes.admin.ending import UNDELIVERED, EndedConnections, end_connections
from itemwire.routes.any_text import ANY_TEXT
from itemwire_auth.dependencies import Administrator
from itemwire_auth.revocation import Revocation
from itemwire_auth.tokens.claims import MAX_SUBJECT_LENGTH

WantedIssuer = Annotated[
    Annotated[str, Field(min_length=1, max_length=2048)] | None,
    Query(description="Only tokens of this issuer."),
]

router = APIRouter()


class Connected(BaseModel):
    """A connection: its caller, the items it is joined to, its begin and end in Unix seconds.

    Without `expires_at`, its caller has no expiry.
    """

    id: str
    subject: str
    issuer: str | None
    items: list[str]
    since: int
    expires_at: int | None

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Describe a connection."""
        principal = connection.principal
        return cls(
            id=connection.id,
            subject=principal.subject,
            issuer=principal.issuer,
            items=[one.item_id for one in connection.subscriptions.values()],
            since=connection.since,
            expires_at=connection.expiry,
        )


class ConnectedPage(BaseModel):
    """Some connections of the node that answers; `next` is the `after` of the next page."""

    connections: list[Connected]
    next: str | None


@router.get("/connections")
async def list_connections(
    request: Request,
    _admin: Administrator,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str, Query(max_length=64, description="The `next` of a page before.")] = "",
) -> ConnectedPage:
    """List the connections of this node, in the order of their ids."""
    found = [Connected.of(one) for one in node_of(request).connections(limit + 1, after)]
    page = found[:limit]
    return ConnectedPage(connections=page, next=page[-1].id if len(found) > limit else None)


@router.delete("/connections/{connection_id}", responses=UNDELIVERED)
async def disconnect(
    request: Request,
    admin: Administrator,
    connection_id: Annotated[str, Path(max_length=64)],
) -> EndedConnections:
    """End one connection, on whichever node it is; its token may come back."""
    node = node_of(request)
    count = await end_connections(
        request,
        admin,
        "disconnect",
        {"connection": connection_id},
        lambda answer: node.disconnect(connection_id, answer),
    )
    return EndedConnections(closed=count)


@router.delete(f"/subjects/{{subject:{ANY_TEXT}}}/connections", responses=UNDELIVERED)
async def disconnect_subject(
    request: Request,
    admin: Administrator,
    subject: Annotated[str, Path(min_length=1, max_length=MAX_SUBJECT_LENGTH)],
    issuer: WantedIssuer = None,
) -> EndedConnections:
    """End the connections of a subject, on every node; its tokens may come back."""
    node = node_of(request)
    revocation = Revocation(node.revocations.now(), subject=subject, issuer=issuer)
    count = await end_connections(
        request,
        admin,
        "disconnect",
        {"subject": subject, "issuer": issuer},
        lambda answer: node.revoke(revocation, answer),
    )
    return EndedConnections(closed=count)
