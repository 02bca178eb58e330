"""Logs each decision once, with all that an operator needs and no credential."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any, Final

from starlette.requests import HTTPConnection

from itemwire_auth.addresses import client_address
from itemwire_auth.errors import AuthError
from itemwire_auth.principal import Principal

LOGGED_LENGTH: Final = 200  # a caller chooses these values: they must not fill the log

_log: Final = logging.getLogger("itemwire.auth")


def log_authenticated(connection: HTTPConnection, principal: Principal, source: str) -> None:
    """Log an accepted caller, and which source held the credential."""
    if not _log.isEnabledFor(logging.INFO):
        return  # quoting costs more than all the rest of a log line
    _log.info(
        "authenticated issuer=%s subject=%s source=%s client=%s origin=%s item=%s",
        quoted(principal.issuer),
        quoted(principal.subject),
        source,
        *_whereabouts(connection),
    )


def log_refused(connection: HTTPConnection, error: AuthError) -> None:
    """Log why a caller was refused; only this line, never the client, learns the cause."""
    _log.warning(
        "refused reason=%s check=%s source=%s client=%s origin=%s item=%s detail=%s",
        error.code,
        getattr(error, "check", None),
        getattr(error, "source", None),
        *_whereabouts(connection),
        quoted(str(error)),
    )


def log_administered(
    connection: HTTPConnection, principal: Principal, action: str, facts: Mapping[str, object]
) -> None:
    """Log what an administrator did, and to whom."""
    _log.warning(
        f"administered action=%s {' '.join(f'{name}=%s' for name in facts)} "
        "by=%s by_issuer=%s client=%s",
        action,
        *map(quoted, facts.values()),
        quoted(principal.subject),
        quoted(principal.issuer),
        _whereabouts(connection)[0],
    )


class Quoted(str):
    """A value as a text log shows it; `value` is for formats that quote by themselves."""

    __slots__ = ("value",)
    value: str | None


def quoted(value: object) -> Quoted:
    """Return a value cut short and on one line, with line breaks and escapes made visible."""
    short = value[:LOGGED_LENGTH] if isinstance(value, str) else value
    text = repr(short)
    shown = Quoted(text if len(text) <= LOGGED_LENGTH else f"{text[:LOGGED_LENGTH]}…")
    shown.value = short if isinstance(short, str) or short is None else str(shown)
    return shown


def client_label(scope: Mapping[str, Any]) -> str:
    """Return the client's address and port for a log line: `192.0.2.7:50000`, `[::1]:50000`.

    A name that is not an address is quoted, for it may be a stranger's; `-` is no name at all.
    """
    client = client_address(scope)
    if client is None:
        return "-"
    if client.ip is None:
        return quoted(client.name)
    host = f"[{client.host}]" if isinstance(client.ip, IPv6Address) else client.host
    return host if client.port is None else f"{host}:{client.port}"


def _whereabouts(connection: HTTPConnection) -> tuple[str, str, str]:
    """Return the client's address, origin and item; not the query string, which holds tokens."""
    return (
        client_label(connection.scope),
        quoted(connection.headers.get("origin")),
        quoted(connection.path_params.get("item_id")),
    )
