"""Dependencies of a host that read a secret, by a security scheme or by a plain parameter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Cookie, Depends, Header, HTTPException, Query, Request, WebSocket
from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBearer
from fastapi.security import HTTPAuthorizationCredentials as Bearer
from pydantic import BaseModel, Field

SECRET: Final = "the-secret-of-ann"

Pairs = list[tuple[str, str]]


def user_of(*secrets: str | None) -> dict[str, str]:
    """Return the user of the first secret that there is, or refuse."""
    if next((one for one in secrets if one), None) != SECRET:
        raise HTTPException(401)
    return {"id": "ann"}


def scheme_cookie(sid: Annotated[str, Depends(APIKeyCookie(name="sid"))]) -> object:
    """Find the user by a cookie that a scheme reads."""
    return user_of(sid)


def plain_cookie(sid: Annotated[str, Cookie()] = "") -> object:
    """Find the user by a plain cookie."""
    return user_of(sid)


def needed_cookie(session: Annotated[str, Cookie(alias="sid", min_length=9)]) -> object:
    """Find the user by a cookie that has to be there, and to have a form."""
    return user_of(session)


class Cookies(BaseModel):
    """The cookies of the host."""

    sid: str = ""
    theme: str = "light"


def cookie_of_a_model(cookies: Annotated[Cookies, Cookie()]) -> object:
    """Find the user by one of the cookies that a model declares."""
    return user_of(cookies.sid)


def scheme_header(key: Annotated[str, Depends(APIKeyHeader(name="X-Key"))]) -> object:
    """Find the user by a header that a scheme reads."""
    return user_of(key)


def plain_header(x_key: Annotated[str | None, Header()] = None) -> object:
    """Find the user by a plain header."""
    return user_of(x_key)


def needed_header(x_key: Annotated[str, Header()]) -> object:
    """Find the user by a header that has to be there."""
    return user_of(x_key)


class Keys(BaseModel):
    """The headers of the host."""

    x_key: str = Field("")


def header_of_a_model(keys: Annotated[Keys, Header()]) -> object:
    """Find the user by a header that a model declares."""
    return user_of(keys.x_key)


def plain_authorization(authorization: Annotated[str, Header()] = "") -> object:
    """Find the user by the header that has a scheme of its own."""
    return user_of(authorization.removeprefix("Key "))


def scheme_query(key: Annotated[str, Depends(APIKeyQuery(name="key", auto_error=False))]) -> object:
    """Find the user by a key in the query that a scheme reads."""
    return user_of(key)


def plain_query(key: str = "") -> object:
    """Find the user by a plain key in the query."""
    return user_of(key)


def needed_query(key: Annotated[str, Query(min_length=9)]) -> object:
    """Find the user by a key that has to be there, and to have a form."""
    return user_of(key)


def cookie_or_token(
    websocket: WebSocket,
    session: Annotated[str | None, Cookie()] = None,
    token: Annotated[str | None, Query()] = None,
) -> object:
    """Find the user as the page about WebSockets of FastAPI's documentation does."""
    assert websocket.scope
    return user_of(session, token)


def bearer_or_cookie(
    request: Request,
    bearer: Annotated[Bearer | None, Depends(HTTPBearer(auto_error=False))],
    sid: Annotated[str, Cookie()] = "",
    accept_language: Annotated[str, Header()] = "",
    also: Annotated[list[str] | None, Query()] = None,
) -> object:
    """Find the user by a scheme and a plain cookie, beside what names nobody."""
    assert request.scope
    assert (accept_language, also) != (SECRET, [SECRET])
    return user_of(bearer.credentials if bearer else None, sid)


@dataclass(frozen=True)
class Kind:
    """How a host finds its user, and how a client presents a secret to it."""

    user: Callable[..., object]
    header: tuple[str, str] | None = None
    query: str = ""

    def present(self, *secrets: str) -> tuple[str, Pairs]:
        """Return the query and the headers that present secrets, all in the same place."""
        query = "&".join(f"{self.query}={one}" for one in secrets) if self.query else ""
        if self.header is None:
            return query, []
        name, value = self.header
        values = [value.format(one) for one in secrets]
        if name == "Cookie" and values:
            return query, [(name, "; ".join(values))]
        return query, [(name, one) for one in values]

    @property
    def is_told_to_pages(self) -> bool:
        """Return whether a foreign page may present it: it is in the query."""
        return bool(self.query)


SID: Final = ("Cookie", "sid={}")
KEY: Final = ("X-Key", "{}")

KINDS: Final[dict[str, Kind]] = {
    "scheme_cookie": Kind(scheme_cookie, SID),
    "plain_cookie": Kind(plain_cookie, SID),
    "needed_cookie": Kind(needed_cookie, SID),
    "cookie_of_a_model": Kind(cookie_of_a_model, SID),
    "scheme_header": Kind(scheme_header, KEY),
    "plain_header": Kind(plain_header, KEY),
    "needed_header": Kind(needed_header, KEY),
    "header_of_a_model": Kind(header_of_a_model, KEY),
    "plain_authorization": Kind(plain_authorization, ("Authorization", "Key {}")),
    "scheme_query": Kind(scheme_query, query="key"),
    "plain_query": Kind(plain_query, query="key"),
    "needed_query": Kind(needed_query, query="key"),
    "tutorial_cookie": Kind(cookie_or_token, ("Cookie", "session={}")),
    "tutorial_token": Kind(cookie_or_token, query="token"),
    "mixed_cookie": Kind(bearer_or_cookie, SID),
    "mixed_bearer": Kind(bearer_or_cookie, ("Authorization", "Bearer {}")),
}
