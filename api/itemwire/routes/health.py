"""Tells load balancers and orchestrators whether the process is alive and can serve."""

from typing import Literal

from fastapi import APIRouter, Request, Response, status
from pydantic import BaseModel

from itemwire.close_reasons import Retry
from itemwire.dependencies import node_of
from itemwire.readiness import Status, state_of
from itemwire_auth.state import auth_of

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Whether sockets can be served, or why not."""

    status: Status
    reason: str | None = None
    """Where it is degraded: why the engine stores nothing, or that an issuer has given no key."""
    retry: Retry | None = None
    """Whether it passes: `later`, or `never` without its operator."""


@router.get("/live")
async def live() -> Live:
    """Answer, which shows that the process is alive."""
    return Live()


@router.get(
    "/ready",
    response_model_exclude_none=True,
    responses={503: {"model": Ready, "description": "Not ready to serve."}},
)
async def ready(request: Request, response: Response) -> Ready:
    """Return whether the node is started, has its engine and a key, and does not drain.

    `degraded` is 200 as well: sockets are served, and what needs what is missing is refused.
    """
    state = state_of(node_of(request), auth_of(request).authenticator)
    if not state.is_served:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Ready(status=state.status, reason=state.reason, retry=state.retry)
