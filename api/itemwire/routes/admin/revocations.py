"""Takes tokens back: one token, or those of a subject or a session."""

from typing import Annotated, Final, Self

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from itemwire.authorization.late_bodies import judged_after_body
from itemwire.dependencies import node_of
from itemwire.responses.problems import UNPROCESSABLE
from itemwire.responses.request_bodies import BODY_PROBLEMS, described_model, read_model
from itemwire.routes.admin.ending import UNDELIVERED, EndedConnections, end_connections
from itemwire_auth.dependencies import Administrator
from itemwire_auth.revocation import Revocation
from itemwire_auth.tokens.claims import LAST_DATE, MAX_SUBJECT_LENGTH
from itemwire_auth.tokens.parsed_token import MAX_LEEWAY

LONGEST_MARGIN: Final = 300  # seconds: a revoked token must not be good for long

Name = Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT_LENGTH)]
TokenId = Annotated[str, Field(min_length=1, max_length=1024)]
Issuer = Annotated[str, Field(min_length=1, max_length=2048)]
Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]

router = APIRouter()


class RevokedConnections(EndedConnections):
    """How many ended, and how many were told that they end once the margin is over."""

    expiring: int


class WantedRevocation(BaseModel):
    """A token, or those of a subject or a session (`sid`), of any issuer unless one is named.

    `issued_before` spares newer tokens. `until` is when all of them have expired, at the latest:
    by default the time of the longest token that is accepted. Both are Unix seconds. Sockets have
    `reauth_margin_seconds` to be refreshed with a token that was not taken back.
    """

    # A misspelt `issued_before` would lock a subject out instead of its old tokens.
    model_config = ConfigDict(extra="forbid", strict=True)

    token_id: TokenId | None = None
    subject: Name | None = None
    session: TokenId | None = None
    issuer: Issuer | None = None
    issued_before: Moment | None = None
    until: Moment | None = None
    reauth_margin_seconds: Annotated[int, Field(ge=0, le=LONGEST_MARGIN)] = 0
    reason: Annotated[str, Field(max_length=200)] | None = None

    @model_validator(mode="after")
    def _names_what_it_takes_back(self) -> Self:
        self.in_force_until(0)  # which raises ValueError for anything else
        return self

    def in_force_until(self, until: float) -> Revocation:
        """Make the revocation that was asked for."""
        return Revocation(
            until,
            self.token_id,
            self.subject,
            self.issuer,
            self.issued_before,
            self.session,
        )


@router.post(
    "/revocations",
    responses={**BODY_PROBLEMS, **UNDELIVERED},
    openapi_extra=described_model(WantedRevocation),
)
async def revoke(request: Request, admin: Administrator) -> RevokedConnections:
    """Take tokens back: their sockets end, at once or after the margin, and cannot come back."""
    async with judged_after_body(request, admin):
        wanted = await read_model(request, WantedRevocation)
    node = node_of(request)
    fault = dates_fault(wanted.until, wanted.issued_before, node.revocations.now())
    if fault is not None:
        raise HTTPException(UNPROCESSABLE, fault)
    until = node.revocations.end_of_life() if wanted.until is None else wanted.until
    revocation = wanted.in_force_until(until)
    margin = wanted.reauth_margin_seconds
    count = await end_connections(
        request,
        admin,
        "revoke",
        {**wanted.model_dump(), "until": until},
        lambda answer: node.revoke(revocation, answer, margin=margin),
    )
    if margin:  # none has ended yet
        return RevokedConnections(closed=0, expiring=count)
    return RevokedConnections(closed=count, expiring=0)


def dates_fault(until: float | None, issued_before: float | None, now: float) -> str | None:
    """Return what is wrong with dates that nobody can mean, most of which are milliseconds."""
    if until is not None and not now < until <= LAST_DATE:
        return "until is not ahead, in Unix seconds"
    # Clocks differ a little, and `issued_before` may well be this very moment.
    if issued_before is not None and issued_before > now + MAX_LEEWAY:
        return "issued_before is ahead: it is Unix seconds"
    return None
