"""What a URL of the NATS engine names: servers, a namespace on them, and credentials."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from itemwire.engines.nats.credentials import KeyFile, NatsKeys
from itemwire.engines.urls import hide_password

DEFAULT_PORT: Final = 4222
WORLD: Final = "itemwire"
MOST_REPLICAS: Final = 5

HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
KEY_FILES: Final = frozenset({"credentials", "nkey"})
OPTIONS: Final = frozenset({"replicas", "sync", "tls_ca"}) | KEY_FILES


class NatsFiles(NamedTuple):
    """What was in the files of a URL: whom to trust, for tls://, and who this node is."""

    tls: ssl.SSLContext | None
    keys: NatsKeys | None


@dataclass(frozen=True, slots=True)
class NatsTarget:
    """The servers, the world and the credentials of a URL."""

    servers: list[str]
    world: str
    shown: str  # without the password
    user: str | None = None
    secret: str | None = field(default=None, repr=False)  # a password, or a token
    keys: KeyFile | None = None
    replicas: int = 1
    is_synced: bool = False
    tls_ca: str | None = None
    is_secure: bool = False

    @property
    def is_cluster(self) -> bool:
        """Return whether several servers of a cluster are named."""
        return len(self.servers) > 1

    @classmethod
    def of(cls, url: str) -> NatsTarget:
        """Read a URL; ValueError says what is wrong with it, without showing a password."""
        try:
            target = cls._of(url)
        except ValueError as error:
            scheme = url.partition("://")[0]
            raise ValueError(
                f"ITEMWIRE_ENGINE_URL is not a URL as {scheme}://user:password@host:4222/world "
                f"(percent-encode what is special in the password): {error}"
            ) from None
        try:
            target.read_files()
        except ValueError as error:
            told = f"ITEMWIRE_ENGINE_URL names a file that will not do: {error}"
            raise ValueError(told) from None
        return target

    @classmethod
    def _of(cls, url: str) -> NatsTarget:
        try:
            parts = urlsplit(url)
        except ValueError:  # whose text may be a part of the password
            raise ValueError("it cannot be read") from None
        who, at, where = parts.netloc.rpartition("@")
        user, colon, password = who.partition(":")
        world = parts.path.strip("/") or WORLD
        if not re.fullmatch("[A-Za-z0-9_-]{1,32}", world):
            raise ValueError("a world is a name of letters, digits, - and _")
        options = _options_of(parts.query)
        if "tls_ca" in options and parts.scheme != "tls":
            raise ValueError("tls_ca is for tls://")
        return cls(
            servers=[_server(parts.scheme, host) for host in where.split(",")],
            world=world,
            shown=hide_password(url),
            user=unquote(user) if colon else None,
            secret=(unquote(password) if colon else unquote(user)) if at else None,
            keys=_key_file_of(options, has_user=bool(at)),
            replicas=_replicas_of(options.get("replicas", "1")),
            is_synced=_is_synced(options.get("sync", "interval")),
            tls_ca=options.get("tls_ca"),
            is_secure=parts.scheme == "tls",
        )

    def read_files(self) -> NatsFiles:
        """Return what is in the files that are named, now; ValueError says which will not do."""
        return NatsFiles(self._tls(), None if self.keys is None else self.keys.read())

    def _tls(self) -> ssl.SSLContext | None:
        if not self.is_secure:
            return None
        try:
            return ssl.create_default_context(cafile=self.tls_ca)
        except OSError as error:
            raise ValueError(f"tls_ca cannot be read: {error.strerror}") from None


def _options_of(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not options.keys() <= OPTIONS:
        raise ValueError(f"its options after ? are not of {', '.join(sorted(OPTIONS))}")
    return options


def _key_file_of(options: dict[str, str], *, has_user: bool) -> KeyFile | None:
    named = sorted(options.keys() & KEY_FILES)
    if len(named) + has_user > 1:
        raise ValueError("it has one of user:password@, a token@, credentials and nkey")
    return KeyFile(named[0], options[named[0]]) if named else None


def _server(scheme: str, host: str) -> str:
    if not HOST.fullmatch(host):
        raise ValueError("one of its hosts is none")
    has_port = bool(re.search(r":[0-9]+\Z", host))
    return f"{scheme}://{host}" if has_port else f"{scheme}://{host}:{DEFAULT_PORT}"


def _replicas_of(text: str) -> int:
    if not re.fullmatch("[1-9]", text) or int(text) > MOST_REPLICAS:
        raise ValueError(f"replicas is a number from 1 to {MOST_REPLICAS}")
    return int(text)


def _is_synced(text: str) -> bool:
    if text not in {"interval", "always"}:
        raise ValueError("sync is interval or always, as the server's own sync_interval")
    return text == "always"
