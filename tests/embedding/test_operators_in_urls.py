"""Nothing in a URL administers, however an application reads it: URLs end up in logs."""

from collections.abc import Iterator
from typing import Annotated, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.security import APIKeyQuery

from itemwire import Itemwire
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.embedding.conftest import settings_of
from tests.fakes.plain_credentials import KINDS, SECRET, Kind, Pairs, user_of

pytestmark = pytest.mark.server

EVIL: Final = ("Origin", "https://evil.example")
REFUSED: Final = (401, "credentials_invalid")
MISSING: Final = (401, "credentials_missing")
FOREIGN: Final = (403, "origin_denied")


def whole_request(request: Request) -> object:
    """Find the operator by whatever stands in the URL, or else by a header."""
    in_url = request.query_params.get("key") or request.url.query.removeprefix("key=")
    return user_of(in_url, request.headers.get("x-key"))


def query_or_header(
    scheme: Annotated[str | None, Depends(APIKeyQuery(name="key", auto_error=False))],
    plain: str = "",
    x_key: Annotated[str, Header()] = "",
) -> object:
    """Find the operator as an application does that takes its users' keys in either place."""
    return user_of(scheme, plain, x_key)


OPERATORS: Final[dict[str, Kind]] = {
    name: kind for name, kind in KINDS.items() if not name.startswith(("tutorial", "needed_query"))
} | {
    "whole_request": Kind(whole_request, ("X-Key", "{}")),
    "whole_url": Kind(whole_request, query="key"),
    "either_header": Kind(query_or_header, ("X-Key", "{}")),
    "either_scheme": Kind(query_or_header, query="key"),
    "either_plain": Kind(query_or_header, query="plain"),
}

HIDDEN: Final = {"whole_url"}  # read of the request itself, so that it is not known to be there

ALL: Final = pytest.mark.parametrize("name", list(OPERATORS))


def user() -> None:
    """Find nobody: users are not the matter here."""


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run an application with channels for each kind of operator."""
    app = FastAPI()
    settings = settings_of(slow_after_refusals=0, stop_after_refusals=0)
    for find in dict.fromkeys(kind.user for kind in OPERATORS.values()):
        live = Itemwire(user=user, operator=find, settings=settings)
        app.include_router(live.router, prefix=f"/{find.__name__}")
    with live_application(app) as running:
        yield running


def told(server: LiveServer, kind: Kind, query: str, headers: Pairs) -> tuple[int, str | None]:
    """Ask the admin API; return the status and the code of a refusal."""
    url = f"{server.url}/{kind.user.__name__}/admin/connections?{query}"
    answer = httpx.get(url, headers=headers, timeout=30)
    return answer.status_code, answer.json().get("code")


@ALL
def test_a_url_names_no_operator(server: LiveServer, name: str) -> None:
    """Whatever comes beside it, and from whichever page; a header or a cookie does."""
    kind = OPERATORS[name]
    query, headers = kind.present(SECRET)
    own = ("Origin", server.url)
    at_home = [told(server, kind, query, [*headers, *more]) for more in ([], [own])]
    foreign = told(server, kind, query, [*headers, EVIL])

    if query:
        assert at_home == [MISSING if name in HIDDEN else REFUSED] * 2
        assert foreign == (FOREIGN if name in HIDDEN else REFUSED)
    else:
        assert at_home == [(200, None)] * 2
        assert foreign == ((200, None) if name == "mixed_bearer" else FOREIGN)


@ALL
def test_strangers_are_no_operators(server: LiveServer, name: str) -> None:
    """Told as on every other route: a wrong credential, and none."""
    kind = OPERATORS[name]
    query, headers = kind.present("the-wrong-secret")

    assert told(server, kind, "", []) == MISSING
    hides = name in HIDDEN or name == "whole_request"
    assert told(server, kind, query, headers) == (MISSING if hides else REFUSED)


def test_what_is_no_credential_may_stand_in_the_url(server: LiveServer) -> None:
    """The parameters of the admin API itself."""
    kind = OPERATORS["either_header"]
    _, headers = kind.present(SECRET)

    assert told(server, kind, "limit=5", headers) == (200, None)


def by_scheme(key: Annotated[str, Depends(APIKeyQuery(name="key"))]) -> object:
    """Find the operator by nothing else than the URL."""
    return user_of(key)


def by_parameter(key: Annotated[str, Query()]) -> object:
    """Find it so by a plain parameter."""
    return user_of(key)


def below(user: Annotated[object, Depends(by_parameter)]) -> object:
    """Depend on one that does."""
    return user


@pytest.mark.parametrize("operator", [by_scheme, by_parameter, below])
def test_an_operator_that_needs_the_url_is_refused_at_once(operator: object) -> None:
    """It would find nobody; the same dependency may find users."""
    with pytest.raises(ValueError, match="needs key of the query"):
        Itemwire(user=user, operator=operator, settings=settings_of())  # type: ignore[arg-type]

    Itemwire(user=operator, operator=query_or_header, settings=settings_of())  # type: ignore[arg-type]
