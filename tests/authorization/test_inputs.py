"""What dependencies read of a handshake: found in their signatures, kept within a bound."""

from typing import Annotated, Any

import pytest
from fastapi import Cookie, Depends, Header, Query, Request, WebSocket
from fastapi.dependencies.utils import get_dependant
from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBearer
from pydantic import AliasChoices, BaseModel
from starlette.requests import HTTPConnection
from starlette.types import Scope

from itemwire.authorization.inputs import (
    MAX_KEPT_BYTES,
    NO_INPUTS,
    Inputs,
    Presented,
    pack,
    subprotocols_of,
    unpack,
)
from itemwire.authorization.solving import inputs_of
from itemwire_auth.dependencies import CurrentPrincipal, current_principal


class Filters(BaseModel):
    """Several parameters in one model."""

    region: str = ""


async def header(x_region: Annotated[str | None, Header()] = None) -> None:
    """Read a header."""


async def named_header(zone: Annotated[str | None, Header(alias="X-Zone")] = None) -> None:
    """Read a header by another name."""


async def cookie(region: Annotated[str | None, Cookie()] = None) -> None:
    """Read a cookie."""


async def query(region: Annotated[str | None, Query(alias="r")] = None) -> None:
    """Read a query parameter."""


async def deep(_: Annotated[None, Depends(header)], region: str | None = None) -> None:
    """Read a query parameter, and a header below it."""


async def choices(
    region: Annotated[str, Query(validation_alias=AliasChoices("a", "b"))] = "",
) -> None:
    """Read whichever of two parameters is there."""


async def model(filters: Annotated[Filters | None, Query()] = None) -> None:
    """Read the parameters of a model."""


async def request(request: Request) -> None:
    """Read anything of a request."""


async def connection(connection: HTTPConnection) -> None:
    """Read anything of a connection."""


async def socket(websocket: WebSocket) -> None:
    """Read anything of a socket."""


async def caller(_: CurrentPrincipal) -> None:
    """Read no more than who is calling."""


def names(*found: str) -> frozenset[str]:
    """Make a set of names."""
    return frozenset(found)


@pytest.mark.parametrize(
    ("dependency", "inputs"),
    [
        (header, Inputs(headers=names("x-region"))),
        (named_header, Inputs(headers=names("x-zone"))),
        (cookie, Inputs(cookies=names("region"))),
        (query, Inputs(query=names("r"))),
        (deep, Inputs(headers=names("x-region"), query=names("region"))),
        (choices, Inputs(whole=True)),
        (model, Inputs(whole=True)),
        (request, Inputs(whole=True)),
        (connection, Inputs(whole=True)),
        (socket, Inputs(whole=True)),
        (APIKeyHeader(name="X-Key"), Inputs(headers=names("x-key"))),
        (APIKeyCookie(name="key"), Inputs(cookies=names("key"))),
        (APIKeyQuery(name="key"), Inputs(query=names("key"))),
        (HTTPBearer(), Inputs(headers=names("authorization"))),
        (caller, NO_INPUTS),
    ],
)
def test_finds_what_a_dependency_declares(dependency: Any, inputs: Inputs) -> None:  # noqa: ANN401
    """At any depth; the endpoint itself is not called, so it may be given the socket."""

    async def endpoint(
        websocket: WebSocket, _: Annotated[None, Depends(dependency)], mine: str = ""
    ) -> None: ...

    found = inputs_of(get_dependant(path="", call=endpoint), [current_principal])

    assert found == inputs | Inputs(query=names("mine"))


def test_covers_what_is_among_it() -> None:
    """What was kept for one graph of dependencies may be enough for another one."""
    some = Inputs(names("a", "b"), names("c"), names("q"))

    assert some.covers(Inputs(names("a"), names("c")))
    assert Inputs(whole=True).covers(some)
    assert some.covers(NO_INPUTS)
    for more in (
        Inputs(headers=names("c")),
        Inputs(cookies=names("a")),
        Inputs(query=names("a")),
        Inputs(whole=True),
    ):
        assert not some.covers(more)
        assert (some | more).covers(more)


HEADERS = [
    (b"authorization", b"bearer old"),
    (b"cookie", b"region=eu; session=old;other=1"),
    (b"cookie", b"region=us"),
    (b"sec-websocket-protocol", b"itemwire.v1.json, itemwire.token.old"),
    (b"x-region", b"eu"),
    (b"x-region", b"us"),
]
QUERY = b"a=1&token=old&ticket=old&re%67ion=eu&a=2"


def scope() -> Scope:
    """Describe a handshake with a credential in each place."""
    return {"type": "websocket", "headers": HEADERS, "query_string": QUERY}


def test_keeps_what_is_declared_and_nothing_else() -> None:
    """As often as it came, and as it came."""
    inputs = Inputs(names("x-region"), names("region"), names("a", "region"))

    assert Presented.of(scope(), inputs) == Presented(
        b"a=1&re%67ion=eu&a=2",
        [
            (b"cookie", b"region=eu"),
            (b"cookie", b"region=us"),
            (b"x-region", b"eu"),
            (b"x-region", b"us"),
        ],
    )
    assert Presented.of(scope(), Inputs(whole=True)) == Presented(QUERY, HEADERS)


def test_puts_a_new_token_where_the_old_one_was() -> None:
    """And nowhere else, except in the query, where it always is."""
    renewed = Presented.of(scope(), Inputs(whole=True)).with_token("new+1", "session")

    assert b"old" not in b"".join([renewed.query, *(value for _, value in renewed.headers)])
    assert renewed.query == b"a=1&re%67ion=eu&a=2&token=new%2B1"
    assert renewed.headers == [
        (b"authorization", b"Bearer new+1"),
        (b"cookie", b"region=eu; session=new+1; other=1"),
        (b"cookie", b"region=us"),
        (b"sec-websocket-protocol", b"itemwire.v1.json, itemwire.token.new+1"),
        *HEADERS[-2:],
    ]
    assert subprotocols_of(renewed.headers) == ["itemwire.v1.json", "itemwire.token.new+1"]
    assert renewed.with_token("", "session").with_token("new+1", "session") == renewed


def test_another_scheme_is_no_credential_of_this_server() -> None:
    """A proxy may have its own."""
    basic = (b"authorization", b"Basic b3BlbjpzZXNhbWU=")

    assert Presented(b"", [basic]).with_token("new", "session").headers == [basic]


@pytest.mark.parametrize("count", [1, 40, 1000])
def test_keeps_no_more_than_the_bound(count: int) -> None:
    """In one piece, so that many small headers take no more than one large one."""
    each = MAX_KEPT_BYTES // count
    fits = Presented(b"", [(b"a", b"v" * max(each - 12, 0))] * min(count, 500))
    over = Presented(b"", [(b"a", b"v" * each)] * count)
    packed = pack(fits)

    assert packed is not None
    assert len(packed) <= MAX_KEPT_BYTES
    assert unpack(packed) == fits
    assert pack(over) is None
    assert pack(Presented(b"q" * MAX_KEPT_BYTES, [])) is None
