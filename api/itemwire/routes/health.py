"""Tells load balancers and orchestrators whether the process is alive and can serve."""

from typing import Literal

from fastapi import APIRouter, Request, Response, status
from pydantic import BaseModel

from itemwire.dependencies import node_of
from itemwire_auth.state import auth_of

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Whether sockets can be served, or why not."""

    status: Literal["ready", "not_ready", "draining"]


@router.get("/live")
async def live() -> Live:
    """Answer, which shows that the process is alive."""
    return Live()


@router.get("/ready", responses={503: {"model": Ready, "description": "Not ready to serve."}})
async def ready(request: Request, response: Response) -> Ready:
    """Return whether the node is started, has its engine and a key, and does not drain."""
    node = node_of(request)
    if node.is_ready and auth_of(request).authenticator.can_judge:
        return Ready(status="ready")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Ready(status="draining" if node.is_draining else "not_ready")
