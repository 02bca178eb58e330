"""A host application that finds its callers in every usual way, one `Itemwire` for each."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBasicCredentials,
    OAuth2PasswordBearer,
)

from itemwire import Itemwire, Rights
from itemwire.testing import settings_for
from itemwire_auth.revocation import Revocation
from itemwire_auth.testing import TokenFactory

LIFE: Final = 600  # seconds that a login lasts


@dataclass
class User:
    """A user as an application has them."""

    id: str
    expires_at: float


class Logins:
    """The host's sessions and keys, in a database: a secret stands for a user until it expires."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("CREATE TABLE logins (secret TEXT PRIMARY KEY, user TEXT, until)")

    def begin(self, secret: str, user: str) -> None:
        """Log a user in, anew if the secret is there."""
        row = (secret, user, self._clock() + LIFE)
        self._database.execute("INSERT OR REPLACE INTO logins VALUES (?, ?, ?)", row)

    def end(self, secret: str) -> None:
        """Log a user out."""
        self._database.execute("DELETE FROM logins WHERE secret = ?", (secret,))

    def find(self, secret: str | None) -> User | None:
        """Return the user of a secret."""
        query = "SELECT user, until FROM logins WHERE secret = ?"
        row = self._database.execute(query, (secret,)).fetchone()
        return None if row is None or row[1] <= self._clock() else User(*row)

    def of(self, secret: str | None) -> User:
        """Return the user of a secret, or refuse as applications do."""
        user = self.find(secret)
        if user is None:
            raise HTTPException(401)
        return user


@dataclass(frozen=True)
class Way:
    """A way to find the caller: how a client presents a secret, and whether browsers do alone."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: str = ""
    is_ambient: bool = False
    foreign_pages_may: bool = False

    def present(self, secret: str) -> tuple[str, dict[str, str]]:
        """Return the query and the headers that present a secret."""
        query = self.query.replace("{}", secret)
        return query, {name: it.replace("{}", secret) for name, it in self.headers.items()}


COOKIE: Final = Way({"cookie": "sid={}"}, is_ambient=True)
BASIC: Final = Way({"authorization": "Basic {}"}, is_ambient=True)
PROXY: Final = Way({"x-forwarded-user": "{}"}, is_ambient=True)

WAYS: Final[dict[str, Way]] = {
    "jwt": Way({"authorization": "Bearer {}"}, foreign_pages_may=True),
    "jwt_query": Way(query="token={}", foreign_pages_may=True),
    "bearer": Way({"authorization": "Bearer {}"}, foreign_pages_may=True),
    "bearer_query": Way(query="token={}", foreign_pages_may=True),
    "cookie": COOKIE,
    "whole_request": COOKIE,
    "optional_cookie": COOKIE,
    "optional_bearer": Way(query="token={}", foreign_pages_may=True),
    "basic": BASIC,
    "proxy": PROXY,
    "key_header": Way({"x-api-key": "{}"}),
    "key_query": Way(query="api_key={}", foreign_pages_may=True),
}

MOUNTS: Final = {
    name: name.removesuffix("_query") if name != "key_query" else name for name in WAYS
}
MOUNTS["optional_bearer"] = MOUNTS["optional_cookie"] = "optional"


def dependencies(logins: Logins) -> list[Callable[..., Any]]:
    """Return the host's own dependencies, written for HTTP: those for cookies and tokens."""

    def bearer(token: Annotated[str, Depends(OAuth2PasswordBearer("login"))]) -> User:
        return logins.of(token)

    def cookie(sid: Annotated[str | None, Depends(APIKeyCookie(name="sid"))]) -> User:
        return logins.of(sid)

    def whole_request(request: Request) -> User:
        return logins.of(request.cookies.get("sid"))

    def optional(
        sid: Annotated[str | None, Depends(APIKeyCookie(name="sid", auto_error=False))],
        token: Annotated[str | None, Depends(OAuth2PasswordBearer("login", auto_error=False))],
    ) -> User | None:
        return logins.find(sid) or logins.find(token)

    return [bearer, cookie, whole_request, optional]


def other_dependencies(logins: Logins) -> list[Callable[..., Any]]:
    """Return those for secrets that have a place of their own."""

    def basic(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> User:
        return logins.of(given.username)

    def proxy(name: Annotated[str, Depends(APIKeyHeader(name="X-Forwarded-User"))]) -> User:
        return logins.of(name)

    def key_header(key: Annotated[str, Depends(APIKeyHeader(name="X-API-Key"))]) -> User:
        return logins.of(key)

    def key_query(key: Annotated[str, Depends(APIKeyQuery(name="api_key"))]) -> User:
        return logins.of(key)

    return [basic, proxy, key_header, key_query]


@dataclass
class Host:
    """The application, its channels by where they are mounted, and its logins."""

    app: FastAPI
    lives: dict[str, Itemwire]
    logins: Logins
    clock: Callable[[], float]

    def revoke(self, mount: str, subject: str) -> None:
        """Revoke what a subject has, from its node's event loop; called by a route."""
        revocation = Revocation(self.clock() + LIFE, subject=subject)
        node_of(self.lives[mount]).revoke(revocation, lambda _count: None)


def node_of(live: Itemwire) -> Any:  # noqa: ANN401 - a part that is not public
    """Return the node of an application's channels."""
    return live._assembly.node


def host_with_ways(tokens: TokenFactory, clock: Callable[[], float], **settings: Any) -> Host:  # noqa: ANN401
    """Make a host whose channels `order:{number}` are below a prefix for each way."""
    app = FastAPI()
    logins = Logins(clock)
    configured = settings_for(tokens, throttle_exempt=(), **settings)
    lives = {"jwt": Itemwire(settings=configured, clock=clock)}
    for user in (*dependencies(logins), *other_dependencies(logins)):
        live = lives[user.__name__] = Itemwire(user=user, settings=configured, clock=clock)

        @live.channel("order:{number}")
        async def order(number: int, user: Annotated[User, Depends(user)]) -> Rights:
            return Rights("subscribe", "history", publish=number == int(user.id))

    for name, live in lives.items():
        app.include_router(live.router, prefix=f"/{name}")
    host = Host(app, lives, logins, clock)

    @app.post("/revoke/{mount}/{subject}")
    async def revoke(mount: str, subject: str) -> None:
        host.revoke(mount, subject)

    @app.post("/drain/{mount}")
    async def drain(mount: str) -> None:
        node_of(lives[mount]).drain(0)

    return host
