"""Looks at start-up for what is unsafe: one row a fault, each with what to do about it.

What cannot be meant is refused; what may be meant is warned of, loudly and once.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import Mount, Router, WebSocketRoute

from itemwire.engines import UNSHARED
from itemwire.settings import Settings
from itemwire_auth.dependencies import GUARDS
from itemwire_auth.origins import NULL

logger = logging.getLogger("itemwire.startup")

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]

ANY_ORIGIN: Final = "*"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SERVERS: Final = ("uvicorn", "fastapi", "hypercorn", "granian", "gunicorn")
OWN_COMMAND: Final = "itemwire"
WORKER_OPTIONS: Final = ("--workers", "-w")
JOINED_WORKERS: Final = re.compile(r"-w=?([0-9]+)")


@dataclass(frozen=True, slots=True)
class Start:
    """What the server was started with."""

    settings: Settings
    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """One fault: how to find it, what it means and what to do."""

    finds: Callable[[Start], bool]
    fault: str
    remedy: str
    refuses: bool = False


def _has_unshared_workers(start: Start) -> bool:
    scheme = start.settings.engine_url.partition("://")[0]
    asked = max(start.settings.workers, workers_asked(start.arguments, start.environment))
    return scheme in UNSHARED and asked > 1


def _takes_cookies_from_anywhere(start: Start) -> bool:
    return ANY_ORIGIN in start.settings.allowed_origins


def _takes_cookies_from_nowhere(start: Start) -> bool:
    return NULL in start.settings.allowed_origins


def _asks_in_the_clear(start: Start) -> bool:
    settings = start.settings
    return settings.policy_allow_http and (settings.policy_url or "").startswith("http:")


def _fetches_keys_in_the_clear(start: Start) -> bool:
    return start.settings.jwks_allow_http


def _believes_everybody(start: Start) -> bool:
    return "*" in start.settings.trusted_proxies


def _never_stops_strangers(start: Start) -> bool:
    return not start.settings.stop_after_refusals


CHECKS: Final[dict[str, Check]] = {
    "workers": Check(
        _has_unshared_workers,
        "several workers were asked for, and each would have channels of its own: what is "
        "published in one never reaches clients of another",
        "run one worker (unset ITEMWIRE_WORKERS, WEB_CONCURRENCY and --workers), or set "
        "ITEMWIRE_ENGINE_URL to an engine that shares",
        refuses=True,
    ),
    "any_origin": Check(
        _takes_cookies_from_anywhere,
        "ITEMWIRE_ALLOWED_ORIGINS has the allowed origin '*': every page on the web could use "
        "your visitors' session cookies (CWE-1385)",
        "name the origins of your pages, as https://app.example.com or https://*.example.com",
        refuses=True,
    ),
    "null_origin": Check(
        _takes_cookies_from_nowhere,
        "ITEMWIRE_ALLOWED_ORIGINS has 'null': a sandboxed frame on any page has that origin, and "
        "could use your visitors' session cookies",
        "take it out, unless this server is reached by local files only",
    ),
    "policy_in_the_clear": Check(
        _asks_in_the_clear,
        "claims go to ITEMWIRE_POLICY_URL unencrypted, and whoever is between may grant rights",
        "use https, or be sure that the network is your own",
    ),
    "keys_in_the_clear": Check(
        _fetches_keys_in_the_clear,
        "ITEMWIRE_JWKS_ALLOW_HTTP is set: whoever is between could put in keys of his own, and a "
        "name that leads to a private address is followed",
        "use https at a public address, or be sure that the network is your own",
    ),
    "any_proxy": Check(
        _believes_everybody,
        "ITEMWIRE_TRUSTED_PROXIES has '*': whoever connects chooses the address it is counted, "
        "limited and logged by",
        "name your proxies' addresses, unless nobody else can reach this server",
    ),
    "strangers": Check(
        _never_stops_strangers,
        "ITEMWIRE_STOP_AFTER_REFUSALS is 0: nobody is stopped from trying tokens",
        "set it, unless a proxy limits them",
    ),
}
"""What a wrong secret or key means is `itemwire_auth.keys.static`'s affair, which refuses it."""


def audit_settings(
    settings: Settings,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Warn of what is unsafe; ValueError where the server must not start."""
    start = Start(
        settings,
        sys.argv if arguments is None else arguments,
        os.environ if environment is None else environment,
    )
    for name, check in CHECKS.items():
        if check.finds(start):
            if check.refuses:
                raise ValueError(f"{check.fault}; {check.remedy}")
            logger.warning("unsafe check=%s: %s; %s", name, check.fault, check.remedy)


def workers_asked(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Tell how many workers were asked for; a server's worker sees its parent's arguments.

    Not of `itemwire serve`: how many that runs is in the settings.
    """
    command = PurePath(arguments[0] if arguments else "").parts[-2:]  # or <server>/__main__.py
    if PurePath(*command[-1:]).stem == OWN_COMMAND:
        return 1
    asked = environment.get("WEB_CONCURRENCY", "")
    options = list(arguments[1:]) if not set(SERVERS).isdisjoint(command) else []
    if "gunicorn" in command:  # whose command line has the last word
        options = [*environment.get("GUNICORN_CMD_ARGS", "").split(), *options]
    for option, value in zip(options, [*options[1:], ""], strict=False):
        name, separator, joined = option.partition("=")
        if name in WORKER_OPTIONS:
            asked = joined if separator else value
        elif short := JOINED_WORKERS.fullmatch(option):
            asked = short[1]
    return int(asked) if asked.isascii() and asked.isdecimal() else 1


def warn_of_open_routes(app: FastAPI) -> None:
    """Warn of each route by which a stranger gets a socket, or changes an item."""
    for path in open_routes(app):
        logger.warning(
            "unsafe check=open_route path=%r: no dependency asks who is calling; depend on "
            "itemwire_auth.permitted or itemwire_auth.current_principal, or on "
            "itemwire_auth.open_to_strangers if it is meant",
            path,
        )


def open_routes(app: Starlette | Router) -> Iterator[str]:
    """List the paths of sockets, and of publishing over HTTP, that ask nobody who it is."""
    overrides: Overrides = getattr(app, "dependency_overrides", {})  # FastAPI's have some
    for route in iter_route_contexts(app.routes):
        mounted = getattr(route.original_route, "app", None)
        if isinstance(route.original_route, Mount) and isinstance(mounted, Starlette | Router):
            yield from (f"{route.path}{below}" for below in open_routes(mounted))
        elif _needs_a_door(route):
            dependant: Dependant | None = getattr(route, "dependant", None)
            if dependant is None or GUARDS.isdisjoint(_calls(dependant, overrides)):
                yield str(route.path)


def _needs_a_door(route: RouteContext) -> bool:
    """Tell a socket, and a request that may change an item, from all other routes."""
    if isinstance(route.original_route, WebSocketRoute):
        return True
    return bool(set(route.methods or ()) - SAFE_METHODS) and "{item_id" in (route.path or "")


def _calls(dependant: Dependant, overrides: Overrides) -> Iterator[Any]:
    """List what is called for a route, in any depth, and what is called in its place."""
    call = dependant.call
    yield call
    if call is not None and call in overrides and call not in GUARDS:
        # The application's own: what the original asked for is no longer asked.
        dependant = get_dependant(path="", call=overrides[call])
    for below in dependant.dependencies:
        yield from _calls(below, overrides)
