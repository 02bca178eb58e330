"""Lists the connections of all nodes, and ends connections on any node."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from itemwire.dependencies import assembly_of, node_of
from itemwire.ops.connection_list import (
    MOST_CONNECTIONS,
    ConnectedPage,
    WantedConnections,
)
from itemwire.routes.admin.asking import AskingAdministrator
from itemwire.routes.admin.ending import UNDELIVERED, EndedConnections, end_connections
from itemwire.routes.admin.examples import example_of
from itemwire.routes.any_text import ANY_TEXT
from itemwire_auth.dependencies import Administrator
from itemwire_auth.revocation import Revocation
from itemwire_auth.tokens.claims import MAX_SUBJECT_LENGTH

WantedIssuer = Annotated[
    Annotated[str, Field(min_length=1, max_length=2048)] | None,
    Query(description="Only tokens of this issuer."),
]

router = APIRouter()


EXAMPLE: Final = {
    "connections": [
        {
            "id": "q8Zt0cXhV0rN",
            "node": "QxgFRk2VsNCV",
            "subject": "alice",
            "issuer": "https://id.example.com",
            "items": ["order-7"],
            "item_count": 1,
            "since": 1795391058,
            "age": 300,
            "expires_at": 1795391658,
            "codec": "json",
            "outbox_bytes": 0,
            "lag": 0,
            "address": "192.0.2.7",
        }
    ],
    "next": "q8Zt0cXhV0rN",
    "nodes": ["QxgFRk2VsNCV"],
    "missing": [],
}


@router.get("/connections", responses=example_of(EXAMPLE))
async def list_connections(
    request: Request,
    _admin: AskingAdministrator,
    subject: Annotated[
        str | None,
        Query(min_length=1, max_length=MAX_SUBJECT_LENGTH, description="Only this subject's."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_CONNECTIONS)] = 100,
    after: Annotated[str, Query(max_length=64, description="The `next` of a page before.")] = "",
) -> ConnectedPage:
    """List the connections of all nodes, in the order of their ids."""
    wanted = WantedConnections(subject, limit, after)
    return await assembly_of(request).operations.connections.page(wanted)


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
