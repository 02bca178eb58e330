"""The attack catalogue on an application whose credentials are no JWTs: channels inside of it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Final

import pytest
from fastapi import Cookie, Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from itemwire import Itemwire, Rights
from itemwire.testing import (
    BEARER,
    COOKIE,
    QUERY,
    LiveServer,
    Route,
    Severity,
    Verdict,
    attacks_for,
    faults,
    run_attacks,
)
from itemwire.testing.servers import live_application
from tests.test_startup_checks import settings_of

KEY: Final = "k-7Vd0cXr2mQ"

ROUTE: Final = Route(
    "/live/items/{item}/ws",
    good=lambda: KEY,
    sources=(BEARER, QUERY, COOKIE),
    subprotocols=("itemwire.v1.json",),
    severity=Severity.RULE,
)

# A page that presents a token of its own is believed whatever cookie the browser adds, which the
# application does not see then.
COOKIE_UNSEEN: Final = {
    "origin_foreign_beside_token_in_query",
    "origin_foreign_beside_token_in_header",
}

# What the application's own readers of cookies and of `Authorization` take for the same key.
ITS_OWN_READING: Final = {
    "cookie_twice",
    "cookie_bad_before_good",
    "cookie_spelt_quoted",
    *(f"header_spelt_{blank}" for blank in ("two_spaces", "tab")),
    *(
        f"query_spelt_{blank}"
        for blank in (
            "space_before",
            "space_after",
            "plus_before",
            "plus_after",
            "tab_after",
            "line_break_after",
        )
    ),
}


def current_user(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    session: Annotated[str, Cookie()] = "",
) -> dict[str, str]:
    """Know one user, by a key."""
    if (bearer.credentials if bearer else session) != KEY:
        raise HTTPException(401)
    return {"id": "carol"}


@pytest.fixture(scope="module")
def host() -> Iterator[LiveServer]:
    """Run an application with one channel, whose users have keys."""
    live = Itemwire(user=current_user, settings=settings_of(secret=None))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("{name}")
    def anything(name: str) -> Rights:
        return Rights("subscribe", "history")

    with live_application(app) as server:
        yield server


def test_all_but_the_known_are_refused(host: LiveServer) -> None:
    """Each attack's twin is the good key, and a forged JWT is no key."""
    reports = run_attacks(host, attacks_for(ROUTE))

    found = faults(reports)
    assert set(found.values()) <= {Verdict.LET_IN.value}
    assert set(found) <= COOKIE_UNSEEN | ITS_OWN_READING
    assert len(reports) > 200


def test_without_its_key_nothing_is_tried(host: LiveServer) -> None:
    """The kit cannot guess a credential, and says so once."""
    route = replace(ROUTE, good=None)

    (report,) = run_attacks(host, attacks_for(route, only={"query_empty", "token_alg_none"}))

    assert report.verdict is Verdict.GOOD_REFUSED
