"""The admin API: see what all nodes do, revoke tokens, end connections, explain."""

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer

from itemwire.responses.problems import Problem
from itemwire.routes.admin import (
    channels,
    connections,
    drain,
    explain,
    figures,
    messages,
    page,
    revocations,
    watching,
)

router = APIRouter(
    prefix="/admin",
    tags=["admin"],
    # For OpenAPI alone; each route asks for an administrator itself.
    dependencies=[Depends(HTTPBearer(auto_error=False, description="With the scope `admin`."))],
    responses={
        401: {"model": Problem, "description": "No bearer token, or none that is accepted."},
        403: {"model": Problem, "description": "A token without the right `admin`."},
    },
)
for group in (revocations, connections, channels, messages, figures, explain, drain):
    router.include_router(group.router)

socket_router = watching.router
page_router = page.router
