"""What a Redis URL names: a server, a cluster, or sentinels that know the server."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from itemwire.engines.redis.client import MakeConnection, RedisPyConnection, options_of
from itemwire.engines.redis.connection import CONNECT_SECONDS
from itemwire.engines.redis.sentinel import Sentinels
from itemwire.engines.urls import check_files, hide_password

CLUSTER: Final = "redis+cluster"
SENTINEL: Final = "redis+sentinel"
PATHS: Final = frozenset({"unix", "redis+unix"})
SENTINEL_PORT: Final = 26379
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")

OF_REDIS_PY: Final[dict[str, str]] = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
    "redis+unix": "unix",
    CLUSTER: "redis",
    SENTINEL: "redis",
}
"""By the scheme of a URL, the one that redis-py has for it."""

FORMS: Final[dict[str, str]] = {
    "unix": "unix:///run/redis.sock?db=0",
    "redis+unix": "redis+unix:///run/redis.sock?db=0",
    SENTINEL: "redis+sentinel://user:password@sentinel-1:26379,sentinel-2:26379/service/0",
}

OF_SEVERAL: Final = frozenset({"redis", "rediss", "valkey", "valkeys"})
"""The schemes whose URL may list several servers that know nothing of each other."""

KEY_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
DATABASE: Final = re.compile(r"/?|/[0-9]+")  # redis-py takes anything else for no database
SERVICE: Final = re.compile(r"/(?P<service>[^/]+)(?P<database>/[0-9]+)?/?")

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A server, a cluster or the sentinels of a service, and how to connect to it."""

    kind: Callable[..., RedisPyConnection]
    options: dict[str, Any]
    is_cluster: bool
    shown: str  # without the password
    sentinels: Sentinels | None = None
    servers: str = ""  # which list of servers it is one of, if it is one of several

    @classmethod
    def of(cls, url: str) -> RedisTarget:
        """Read a URL; ValueError says what is wrong with it, without showing a password."""
        scheme = url.partition("://")[0]
        try:
            target = _sentinels(url) if scheme == SENTINEL else _server(url, scheme)
            target.maker(target.address)()  # redis-py knows all of its options
        except (TypeError, ValueError):  # whose text may be a part of the password
            form = FORMS.get(scheme, f"{scheme}://user:password@host:6379/0")
            raise ValueError(
                f"ITEMWIRE_ENGINE_URL is not a URL as {form} "
                "(percent-encode what is special in the password), or its options after ? are not "
                "those of a connection of redis-py"
            ) from None
        check_files(url, KEY_FILES)
        return target

    @property
    def prefix(self) -> str:
        """Return the beginning of every name: pub/sub knows no databases, so one has its number."""
        return f"itemwire:{self.options.get('db', 0)}:"

    @property
    def address(self) -> Address:
        """Return the host and port that the URL names; of a file, its path and no port."""
        if "path" in self.options:
            return self.options["path"], 0
        return self.options["host"], self.options["port"]

    @property
    def name(self) -> str:
        """Return the host and the port, by which a log names one of several servers."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"

    @property
    def at(self) -> str:
        """Return what names one of several servers in the log after a connection; else nothing."""
        return f"@{self.name}" if self.servers else ""

    @property
    def life_key(self) -> str | None:
        """Return the key that names the store's life; in a cluster there is none."""
        return None if self.is_cluster else f"{self.prefix}life"

    @property
    def claim_key(self) -> str:
        """Return the key by which nodes claim one of several servers."""
        return f"{self.prefix}servers"

    def maker(self, address: Address) -> MakeConnection:
        """Return what makes connections to an address; with sentinels, to whom they name."""
        if self.sentinels is not None:
            return self.sentinels.maker(self.kind, self.options)
        where = {} if "path" in self.options else {"host": address[0], "port": address[1]}
        return lambda: self.kind(**self.options | where)


def urls_of(url: str) -> list[str]:
    """Return a URL for each server that a URL lists; the URL itself where it lists none."""
    scheme, separator, rest = url.partition("://")
    place = re.split("[/?#]", rest)[0]
    who, at, where = place.rpartition("@")
    if scheme not in OF_SEVERAL or "," not in where:
        return [url]
    if "" in where.split(","):
        raise ValueError("ITEMWIRE_ENGINE_URL: a server between two commas has no host")
    end = rest.removeprefix(place)
    return [f"{scheme}{separator}{who}{at}{one}{end}" for one in where.split(",")]


def _server(url: str, scheme: str) -> RedisTarget:
    path = urlsplit(url).path
    if scheme in PATHS:
        if len(path) <= 1 or urlsplit(url).hostname:
            raise ValueError("it names no file")
    elif not DATABASE.fullmatch(path):
        raise ValueError("the database is no number")
    kind, options = options_of(f"{OF_REDIS_PY[scheme]}://{url.partition('://')[2]}")
    return RedisTarget(kind, _completed(options), scheme == CLUSTER, hide_password(url))


def _sentinels(url: str) -> RedisTarget:
    """Read a URL with sentinels in the place of the host, and a service ahead of the database."""
    parts = urlsplit(url)
    named = SERVICE.fullmatch(parts.path)
    if named is None:
        raise ValueError("it names no service")
    who, at, where = parts.netloc.rpartition("@")
    asked = [_address(one) for one in where.split(",")]
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = {name: query.pop(name, None) for name in SENTINEL_OPTIONS}
    host = where.split(",")[0]
    rest = f"{who}{at}{host}{named['database'] or ''}?{urlencode(query)}"
    kind, options = options_of(f"redis://{rest}")
    login = {name.removeprefix("sentinel_"): value for name, value in own.items() if value}
    sentinels = Sentinels(
        unquote(named["service"]), asked, lambda at: kind(**_completed(login | _place(at)))
    )
    return RedisTarget(kind, _completed(options), False, hide_password(url), sentinels)


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query:
        raise ValueError("a sentinel has no host")
    return parts.hostname, parts.port or SENTINEL_PORT


def _place(address: Address) -> dict[str, Any]:
    return {"host": address[0], "port": address[1]}


def _completed(options: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {} if "path" in options else {"host": "localhost", "port": 6379}
    # RESP2, whose pub/sub connections answer a ping; and no time limits but our own.
    ours = {"protocol": 2, "socket_timeout": None, "driver_info": None}
    return defaults | options | ours | {"socket_connect_timeout": CONNECT_SECONDS}
