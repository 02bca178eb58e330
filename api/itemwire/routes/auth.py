"""Credentials for browsers: one-time tickets for the URL, and the session cookie."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field, field_validator

from itemwire_auth.dependencies import (
    Bearer,
    CurrentPrincipal,
    from_own_page,
    open_to_strangers,
    sent_bearer,
    without_ticket,
)
from itemwire_auth.errors import ItemInvalid
from itemwire_auth.origins import normal_origin
from itemwire_auth.scopes import is_item_id
from itemwire_auth.state import session_cookie_of, tickets_of

MAX_BODY_BYTES: Final = 4096  # it is read before anybody has looked at the caller


def keep_nowhere(response: Response) -> None:
    """Keep what is answered here out of every cache."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(keep_nowhere)])


class TicketRequest(BaseModel):
    """Where a ticket is to be good; anywhere, if nothing is said."""

    model_config = ConfigDict(extra="forbid")

    item: str | None = Field(None, description="The one item whose routes it opens.")
    origin: str | None = Field(None, description="The web origin of the one page that may use it.")

    @field_validator("origin")
    @classmethod
    def _is_an_origin(cls, origin: str | None) -> str | None:
        if origin is not None and normal_origin(origin) is None:
            raise ValueError("write the scheme://host[:port] of a page")
        return origin


class NewTicket(BaseModel):
    """A ticket, and the Unix time at which it is worth nothing."""

    ticket: str
    expires_at: int


class NewSession(BaseModel):
    """The Unix time at which the session ends, which a script cannot see from the cookie."""

    expires_at: int


@router.post("/tickets", dependencies=[Depends(without_ticket)], max_body_size=MAX_BODY_BYTES)
async def make_ticket(
    request: Request, principal: CurrentPrincipal, wanted: TicketRequest | None = None
) -> NewTicket:
    """Make a ticket that lets the caller in once, soon, with what the caller's token may do."""
    wanted = wanted or TicketRequest()
    if wanted.item is not None and not is_item_id(wanted.item):
        raise ItemInvalid("a ticket was asked for what can be no item")
    ticket = await tickets_of(request).make(principal, item_id=wanted.item, origin=wanted.origin)
    return NewTicket(ticket=ticket.value, expires_at=ticket.expires_at)


@router.post("/session", dependencies=[Depends(from_own_page)])
async def begin_session(
    request: Request, response: Response, bearer: Annotated[Bearer, Depends(sent_bearer)]
) -> NewSession:
    """Put the token of the Authorization header into the session cookie."""
    cookie = session_cookie_of(request)
    if not cookie.fits(bearer.token):
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT, "a browser would not keep a token this long"
        )
    expires_at = bearer.principal.expires_at
    response.headers["Set-Cookie"] = cookie.holding(bearer.token, expires_at)
    return NewSession(expires_at=expires_at)


@router.delete(
    "/session",
    dependencies=[Depends(from_own_page), Depends(open_to_strangers)],
    status_code=status.HTTP_204_NO_CONTENT,
)
async def end_session(request: Request, response: Response) -> None:
    """Clear the session cookie; who has none, or one that is no longer good, may do so too."""
    response.headers["Set-Cookie"] = session_cookie_of(request).cleared()
