"""What load balancers and orchestrators ask: whether the process lives, and can serve."""

from typing import Literal

from fastapi import APIRouter, Response, status
from pydantic import BaseModel

from api.dependencies import CurrentNode

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Whether sockets can be served."""

    status: Literal["ready", "not_ready"]


@router.get("/live")
async def live() -> Live:
    """Tell that the process answers."""
    return Live()


@router.get("/ready", responses={503: {"model": Ready, "description": "Not ready to serve."}})
async def ready(node: CurrentNode, response: Response) -> Ready:
    """Tell whether the engine is started and sockets can be served."""
    if node.is_ready:
        return Ready(status="ready")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Ready(status="not_ready")
