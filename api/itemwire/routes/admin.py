"""What operators do: take tokens back, see who is connected, end connections."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Self, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from itemwire.channels.connection import Connection
from itemwire.close_reasons import MESSAGE_TOO_BIG, OVERLOADED
from itemwire.dependencies import asked, node_of
from itemwire.engines.base import Answer, EngineError
from itemwire.responses.problems import Problem
from itemwire_auth.audit import log_administered
from itemwire_auth.dependencies import Administrator
from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocation
from itemwire_auth.scopes import Action
from itemwire_auth.state import explain_to
from itemwire_auth.tokens.claims import LAST_DATE, MAX_SUBJECT_LENGTH
from itemwire_auth.tokens.parsed_token import MAX_LEEWAY

ENGINE_SECONDS: Final = 5.0  # in which the engine must have taken what nodes tell each other
MAX_BODY_BYTES: Final = 16_384
LONGEST_DRAIN: Final = 3600  # seconds
LONGEST_MARGIN: Final = 300  # seconds: what is taken back must not be good for long

B = TypeVar("B", bound=BaseModel)

Name = Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT_LENGTH)]
TokenId = Annotated[str, Field(min_length=1, max_length=1024)]
Issuer = Annotated[str, Field(min_length=1, max_length=2048)]
WantedIssuer = Annotated[Issuer | None, Query(description="Only tokens of this issuer.")]
Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Ended(BaseModel):
    """How many connections ended on the node that answers; the other nodes end theirs."""

    closed: int


class Revoked(Ended):
    """How many ended, or were told on the same node that they end when the margin is over."""

    expiring: int


class WantedRevocation(BaseModel):
    """A token, or those of a subject or a session (`sid`), of any issuer unless one is named.

    `issued_before` keeps newer tokens. `until` is when all of them have expired, at the latest:
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
        self.in_force_until(0)
        return self

    def in_force_until(self, until: float) -> Revocation:
        """Make it a revocation."""
        return Revocation(
            until,
            self.token_id,
            self.subject,
            self.issuer,
            self.issued_before,
            self.session,
        )


class WantedDrain(BaseModel):
    """How long it may take to end all sockets; the setting says it otherwise."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seconds: Annotated[float, Field(ge=0, le=LONGEST_DRAIN, allow_inf_nan=False)] | None = None


class Drained(BaseModel):
    """How many connections of this node are being ended."""

    closing: int


class Connected(BaseModel):
    """A connection: whose it is, what it hears, since and until when (Unix seconds)."""

    id: str
    subject: str
    issuer: str | None
    items: list[str]
    since: int
    expires_at: int

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Describe a connection."""
        principal = connection.principal
        return cls(
            id=connection.id,
            subject=principal.subject,
            issuer=principal.issuer,
            items=[one.item_id for one in connection.subscriptions.values()],
            since=connection.since,
            expires_at=connection.expires_at,
        )


class ConnectedPage(BaseModel):
    """Some connections of the node that answers; `next` is the `after` of the next page."""

    connections: list[Connected]
    next: str | None


class Question(BaseModel):
    """A token, and where a handshake with it would go; without an item the token alone."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=MAX_BODY_BYTES)]
    item: str | None = None
    action: Action | None = None


class Explained(BaseModel):
    """Whether it is let in, the reason a client would be given, how each check ended."""

    accepted: bool
    reason: str | None
    checks: list[dict[str, Any]]


async def wanted_revocation(request: Request, _admin: Administrator) -> WantedRevocation:
    """Read a revocation from the body, for administrators only."""
    return await _read(request, WantedRevocation)


async def wanted_drain(request: Request, _admin: Administrator) -> WantedDrain:
    """Read how to drain from the body, which may be empty; for administrators only."""
    return await _read(request, WantedDrain, empty=b"{}")


async def question(request: Request, _admin: Administrator) -> Question:
    """Read what is to be explained from the body, for administrators only."""
    return await _read(request, Question)


async def _read(request: Request, kind: type[B], empty: bytes = b"") -> B:
    """Read a body, and no more than it may take.

    FastAPI would read and parse all that a stranger sends before it asks who that is.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(
                status.HTTP_413_CONTENT_TOO_LARGE,
                MESSAGE_TOO_BIG.reason,
            )
    try:
        return kind.model_validate_json(bytes(body) or empty)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(faults) from error


router = APIRouter(
    prefix="/admin",
    tags=["admin"],
    dependencies=[Depends(HTTPBearer(auto_error=False, description="With the scope `admin`."))],
    responses={
        401: {"model": Problem, "description": "No bearer token, or none that is accepted."},
        403: {"model": Problem, "description": "A token without the right `admin`."},
    },
)

UNDELIVERED: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": Problem, "description": "Done here; other nodes could not be told: ask again."}
}


@router.post(
    "/revocations",
    responses={413: {"model": Problem, "description": "A body over 16 KiB."}, **UNDELIVERED},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": WantedRevocation.model_json_schema()}},
        }
    },
)
async def revoke(
    request: Request,
    admin: Administrator,
    wanted: Annotated[WantedRevocation, Depends(wanted_revocation)],
) -> Revoked:
    """Take tokens back: their sockets end, at once or after the margin, and cannot come back."""
    node = node_of(request)
    check_dates(wanted, node.revocations.now())
    until = node.revocations.end_of_life() if wanted.until is None else wanted.until
    revocation = wanted.in_force_until(until)
    margin = wanted.reauth_margin_seconds
    done = await ended(
        request,
        admin,
        "revoke",
        {**wanted.model_dump(), "until": until},
        lambda answer: node.revoke(revocation, answer, margin=margin),
    )
    late = done.closed if margin else 0
    return Revoked(closed=done.closed - late, expiring=late)


@router.get("/connections")
async def list_connections(
    request: Request,
    _admin: Administrator,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str, Query(max_length=64, description="The `next` of a page before.")] = "",
) -> ConnectedPage:
    """List the connections of this node, in the order of their ids."""
    found = [Connected.of(one) for one in node_of(request).connections(limit + 1, after)]
    page = found[:limit]
    return ConnectedPage(connections=page, next=page[-1].id if len(found) > limit else None)


@router.delete("/connections/{connection_id}", responses=UNDELIVERED)
async def disconnect(
    request: Request,
    admin: Administrator,
    connection_id: Annotated[str, Path(max_length=64)],
) -> Ended:
    """End one connection, on whichever node it is; its token may come back."""
    node = node_of(request)
    facts = {"connection": connection_id}
    return await ended(
        request, admin, "disconnect", facts, lambda answer: node.disconnect(connection_id, answer)
    )


@router.delete("/subjects/{subject:path}/connections", responses=UNDELIVERED)
async def disconnect_subject(
    request: Request,
    admin: Administrator,
    subject: Annotated[str, Path(min_length=1, max_length=MAX_SUBJECT_LENGTH)],
    issuer: WantedIssuer = None,
) -> Ended:
    """End the connections of a subject, on every node; its tokens may come back."""
    node = node_of(request)
    revocation = Revocation(node.revocations.now(), subject=subject, issuer=issuer)
    facts = {"subject": subject, "issuer": issuer}
    return await ended(
        request, admin, "disconnect", facts, lambda answer: node.revoke(revocation, answer)
    )


def check_dates(wanted: WantedRevocation, now: float) -> None:
    """Refuse dates that nobody can mean: most are milliseconds."""
    if wanted.until is not None and not now < wanted.until <= LAST_DATE:
        fault = "until is not ahead, in Unix seconds"
    # Clocks differ a little, and who asks may mean just now.
    elif wanted.issued_before is not None and wanted.issued_before > now + MAX_LEEWAY:
        fault = "issued_before is ahead: it is Unix seconds"
    else:
        return
    raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, fault)


async def ended(
    request: Request,
    admin: Principal,
    action: str,
    facts: Mapping[str, object],
    ask: Callable[[Answer[int]], None],
) -> Ended:
    """Do something that ends connections, log who did it, and tell how many they were."""
    result = await answer_of(ask)
    log_administered(request, admin, action, {**facts, "closed": result})
    if isinstance(result, EngineError):
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, OVERLOADED.reason)
    return Ended(closed=result)


async def answer_of(ask: Callable[[Answer[int]], None]) -> int | EngineError:
    """Ask, and wait for the answer as long as anybody should."""
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            return await asked(ask)
    except TimeoutError:
        return EngineError(f"no answer in {ENGINE_SECONDS:g} s")


@router.post(
    "/explain",
    responses={413: {"model": Problem, "description": "A body over 16 KiB."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Question.model_json_schema()}},
        }
    },
)
async def explain(
    request: Request, admin: Administrator, asked: Annotated[Question, Depends(question)]
) -> Explained:
    """Say what would be decided of a token here, by which check, in the order of the checks.

    An application's own `authorize_item` is not asked, for there is no request of the caller's.
    """
    decision = await explain_to(request, asked.token, asked.item, asked.action)
    log_administered(request, admin, "explain", {"reason": decision.reason})
    return Explained(**decision.report())


@router.post(
    "/drain",
    status_code=status.HTTP_202_ACCEPTED,
    responses={413: {"model": Problem, "description": "A body over 16 KiB."}},
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"schema": WantedDrain.model_json_schema()}}
        }
    },
)
async def drain(
    request: Request, admin: Administrator, wanted: Annotated[WantedDrain, Depends(wanted_drain)]
) -> Drained:
    """Take this node out of service, for good: not ready, nobody let in, all sockets ended.

    The process stays until it is stopped. Asked again, the seconds count anew for who is left.
    """
    closing = node_of(request).drain(wanted.seconds)
    log_administered(request, admin, "drain", {**wanted.model_dump(), "closing": closing})
    return Drained(closing=closing)
