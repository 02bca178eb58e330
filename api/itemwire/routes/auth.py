"""Issues credentials for browsers: one-time tickets for a URL, and the session cookie."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from itemwire.application import application_of
from itemwire.authorization.host_users import HostUser
from itemwire.authorization.late_bodies import judged_after_body
from itemwire.responses.problems import UNPROCESSABLE, Problem
from itemwire.responses.request_bodies import BODY_PROBLEMS, described_model, read_model
from itemwire_auth.dependencies import (
    Bearer,
    CurrentPrincipal,
    current_principal,
    from_own_page,
    open_to_strangers,
    sent_bearer,
    without_ticket,
)
from itemwire_auth.errors import ItemInvalid
from itemwire_auth.forwarded import FORWARDED
from itemwire_auth.origins import normal_origin
from itemwire_auth.scopes import is_item_id
from itemwire_auth.state import session_cookie_of, tickets_of

MAX_BODY_BYTES: Final = 4096


def keep_nowhere(response: Response) -> None:
    """Keep the answers of a router out of every cache."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(keep_nowhere)])

session_router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(keep_nowhere)])
"""Where callers present tokens: an application with users of its own has its own session."""


class TicketRequest(BaseModel):
    """Where a ticket is to be accepted; without a body, or with `null`, it is anywhere."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"type": ["object", "null"]})

    item: str | None = Field(None, description="The only item it is accepted for.")
    origin: str | None = Field(None, description="The only web origin whose pages may use it.")

    @model_validator(mode="before")
    @classmethod
    def _null_binds_to_nothing(cls, body: Any) -> Any:  # noqa: ANN401 - whatever was sent
        return {} if body is None else body

    @field_validator("origin")
    @classmethod
    def _is_an_origin(cls, origin: str | None) -> str | None:
        if origin is not None and normal_origin(origin) is None:
            raise ValueError("write the scheme://host[:port] of a page")
        return origin


class NewTicket(BaseModel):
    """A ticket, and the Unix time at which it expires."""

    ticket: str
    expires_at: int


class Seen(BaseModel):
    """A request as the server sees it, after trusted proxies were believed."""

    client: str | None = Field(description="The address by which the caller is counted and logged.")
    forwarded: bool = Field(description="Whether a trusted proxy has named that address.")
    scheme: str
    host: str


class NewSession(BaseModel):
    """The Unix time at which the session ends; a script cannot read that from the cookie."""

    expires_at: int


@router.post(
    "/tickets",
    dependencies=[Depends(without_ticket)],
    responses=BODY_PROBLEMS,
    openapi_extra=described_model(TicketRequest, is_required=False),
)
async def make_ticket(request: Request, principal: CurrentPrincipal) -> NewTicket:
    """Make a ticket that is accepted once, soon, and has the rights of the caller's token."""
    async with judged_after_body(request, principal):
        wanted = await read_model(
            request, TicketRequest, limit=MAX_BODY_BYTES, empty=b"{}", must_say_json=True
        )
    if wanted.item is not None and not is_item_id(wanted.item):
        raise ItemInvalid("a ticket was asked for an id that no item can have")
    ticket = await tickets_of(request).make(
        principal,
        item_id=wanted.item,
        origin=wanted.origin,
        credential=_kept_credential(request),
    )
    return NewTicket(ticket=ticket.value, expires_at=ticket.expires_at)


@router.get("/seen")
async def seen(request: Request, _principal: CurrentPrincipal) -> Seen:
    """Return how the server sees this request, which shows what a proxy passes on."""
    client = request.client
    return Seen(
        client=client.host if client else None,
        # Other servers say it by a client without a port.
        forwarded=FORWARDED in request.scope or (client is not None and not client.port),
        scheme=request.url.scheme,
        host=request.headers.get("host", ""),
    )


def _kept_credential(request: Request) -> bytes | None:
    """Return what a ticket has to keep where the host finds its users itself, else None."""
    overrides = application_of(request.scope).overrides
    finds = overrides.get(current_principal)
    if not isinstance(finds, HostUser):
        return None
    try:
        return finds.presented(request)
    except ValueError as error:
        raise HTTPException(UNPROCESSABLE, str(error)) from error


@session_router.post(
    "/session",
    dependencies=[Depends(from_own_page)],
    responses={422: {"model": Problem, "description": "A token that no cookie can hold."}},
)
async def begin_session(
    request: Request, response: Response, bearer: Annotated[Bearer, Depends(sent_bearer)]
) -> NewSession:
    """Put the token of the Authorization header into the session cookie."""
    cookie = session_cookie_of(request)
    if not cookie.fits(bearer.token):
        raise HTTPException(UNPROCESSABLE, "a browser would not keep a token this long")
    expires_at = bearer.principal.expires_at
    response.headers["Set-Cookie"] = cookie.holding(bearer.token, expires_at)
    return NewSession(expires_at=expires_at)


@session_router.delete(
    "/session",
    dependencies=[Depends(from_own_page), Depends(open_to_strangers)],
    status_code=status.HTTP_204_NO_CONTENT,
)
async def end_session(request: Request, response: Response) -> None:
    """Clear the session cookie; this needs no session, so an expired one can be cleared."""
    response.headers["Set-Cookie"] = session_cookie_of(request).cleared()
