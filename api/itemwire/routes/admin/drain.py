"""Takes this node out of service."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, status
from pydantic import BaseModel, ConfigDict, Field

from itemwire.authorization.late_bodies import judged_after_body
from itemwire.dependencies import node_of
from itemwire.responses.request_bodies import BODY_PROBLEMS, described_model, read_model
from itemwire_auth.audit import log_administered
from itemwire_auth.dependencies import Administrator

LONGEST_DRAIN: Final = 3600  # seconds

router = APIRouter()


class WantedDrain(BaseModel):
    """The seconds in which all sockets are to end; the setting decides if they are left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seconds: Annotated[float, Field(ge=0, le=LONGEST_DRAIN, allow_inf_nan=False)] | None = None


class Drained(BaseModel):
    """How many connections of this node are being ended."""

    closing: int


@router.post(
    "/drain",
    status_code=status.HTTP_202_ACCEPTED,
    responses=BODY_PROBLEMS,
    openapi_extra=described_model(WantedDrain, is_required=False),
)
async def drain(request: Request, admin: Administrator) -> Drained:
    """Take this node out of service, for good: not ready, nobody let in, all sockets ended.

    The process stays until it is stopped. Asked again, the seconds count anew for those left.
    """
    async with judged_after_body(request, admin):
        wanted = await read_model(request, WantedDrain, empty=b"{}")
    closing = node_of(request).drain(wanted.seconds)
    log_administered(request, admin, "drain", {**wanted.model_dump(), "closing": closing})
    return Drained(closing=closing)
