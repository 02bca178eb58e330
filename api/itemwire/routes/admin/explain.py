"""Explains which check accepts or refuses a token."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from itemwire.authorization.late_bodies import judged_after_body
from itemwire.responses.request_bodies import (
    BODY_PROBLEMS,
    MAX_MODEL_BYTES,
    described_model,
    read_model,
)
from itemwire_auth.audit import log_administered
from itemwire_auth.dependencies import Administrator
from itemwire_auth.scopes import Action
from itemwire_auth.state import explain_to

router = APIRouter()


class Question(BaseModel):
    """A token, and what its bearer wants to do; without an item the token alone is checked."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=MAX_MODEL_BYTES)]
    item: str | None = None
    action: Action | None = None


class Explained(BaseModel):
    """Whether the token is accepted, the reason a client would get, and how each check ended."""

    accepted: bool
    reason: str | None
    checks: list[dict[str, Any]]


@router.post("/explain", responses=BODY_PROBLEMS, openapi_extra=described_model(Question))
async def explain(request: Request, admin: Administrator) -> Explained:
    """Return the decision on a token and the result of each check, in their order.

    An application's own `authorize_item` is not asked, because the caller has made no request.
    """
    async with judged_after_body(request, admin):
        asked = await read_model(request, Question)
    decision = await explain_to(request, asked.token, asked.item, asked.action)
    log_administered(request, admin, "explain", {"reason": decision.reason})
    return Explained(**decision.report())
