"""Start-up checks for unsafe settings and open routes: a row per fault, with its remedy.

A setting that is never right stops the start; one that may be intended gets one warning.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import Mount, Router, WebSocketRoute

from itemwire.authorization.routes import SocketRoute
from itemwire.authorization.solving import Dependant, Overrides, calls_of
from itemwire.engines import OF_WORKERS, UNSHARED
from itemwire.settings import Settings
from itemwire_auth.dependencies import GUARDS
from itemwire_auth.origins import NULL
from itemwire_auth.tokens.verifier import EARLIEST

logger = logging.getLogger("itemwire.startup")

ANY_ORIGIN: Final = "*"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SERVERS: Final = ("uvicorn", "fastapi", "hypercorn", "granian", "gunicorn")
OWN_COMMAND: Final = "itemwire"
WORKER_OPTIONS: Final = ("--workers", "-w")
JOINED_WORKERS: Final = re.compile(r"-w=?([0-9]+)")


@dataclass(frozen=True, slots=True)
class Launch:
    """What the server was started with: settings, command line, environment."""

    settings: Settings
    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """One fault: how to find it, what it means and what to do about it."""

    finds: Callable[[Launch], bool]
    fault: str
    remedy: str
    refuses: bool = False


def _has_a_clock_that_was_never_set(_launch: Launch) -> bool:
    return time.time() < EARLIEST


def _has_unshared_workers(launch: Launch) -> bool:
    scheme = launch.settings.engine_url.partition("://")[0]
    asked = max(launch.settings.workers, workers_asked(launch.arguments, launch.environment))
    return scheme in UNSHARED and asked > 1


def _shares_no_engine(launch: Launch) -> bool:
    """Return whether a server was asked to share an engine, and no process was started for it."""
    scheme = launch.settings.engine_url.partition("://")[0]
    return launch.settings.share_engine and scheme != OF_WORKERS and _serves(launch.arguments)


def _accepts_cookies_from_any_origin(launch: Launch) -> bool:
    return ANY_ORIGIN in launch.settings.allowed_origins


def _accepts_cookies_from_null_origin(launch: Launch) -> bool:
    return NULL in launch.settings.allowed_origins


def _asks_policy_unencrypted(launch: Launch) -> bool:
    settings = launch.settings
    return settings.policy_allow_http and (settings.policy_url or "").startswith("http:")


def _fetches_keys_unencrypted(launch: Launch) -> bool:
    return launch.settings.jwks_allow_http


def _trusts_any_proxy(launch: Launch) -> bool:
    return "*" in launch.settings.trusted_proxies


def _never_blocks_callers(launch: Launch) -> bool:
    return not launch.settings.stop_after_refusals


CHECKS: Final[dict[str, Check]] = {
    "workers": Check(
        _has_unshared_workers,
        "several workers were asked for, and each would have channels of its own: what is "
        "published in one never reaches clients of another",
        "leave the workers to `itemwire serve --workers` and the engine to ITEMWIRE_ENGINE_URL, or "
        "run one worker (unset WEB_CONCURRENCY), or set an engine that is shared",
        refuses=True,
    ),
    "share_engine": Check(
        _shares_no_engine,
        "ITEMWIRE_SHARE_ENGINE is set, and no process has the engine for these workers: each would "
        "have connections of its own",
        "leave the workers to `itemwire serve --workers` and the engine to ITEMWIRE_ENGINE_URL, or "
        "unset ITEMWIRE_SHARE_ENGINE",
        refuses=True,
    ),
    "any_origin": Check(
        _accepts_cookies_from_any_origin,
        "ITEMWIRE_ALLOWED_ORIGINS has the allowed origin '*': every page on the web could use "
        "your visitors' session cookies (CWE-1385)",
        "name the origins of your pages, as https://app.example.com or https://*.example.com",
        refuses=True,
    ),
    "null_origin": Check(
        _accepts_cookies_from_null_origin,
        "ITEMWIRE_ALLOWED_ORIGINS has 'null': a sandboxed frame on any page has that origin, and "
        "could use your visitors' session cookies",
        "take it out, unless this server is reached by local files only",
    ),
    "policy_in_the_clear": Check(
        _asks_policy_unencrypted,
        "claims go to ITEMWIRE_POLICY_URL unencrypted, and anybody on the network between may "
        "grant rights",
        "use https, or be sure that the network is your own",
    ),
    "keys_in_the_clear": Check(
        _fetches_keys_unencrypted,
        "ITEMWIRE_JWKS_ALLOW_HTTP is set: anybody on the network between could put in other keys, "
        "and a name that leads to a private address is followed",
        "use https at a public address, or be sure that the network is your own",
    ),
    "any_proxy": Check(
        _trusts_any_proxy,
        "ITEMWIRE_TRUSTED_PROXIES has '*': any client chooses the address by which it is counted, "
        "limited and logged",
        "name your proxies' addresses, unless nobody else can reach this server",
    ),
    "clock": Check(
        _has_a_clock_that_was_never_set,
        "this machine's clock says 1970: no token can be judged, and all callers are told to come "
        "back",
        "set the clock; nothing has to be started again",
    ),
    "strangers": Check(
        _never_blocks_callers,
        "ITEMWIRE_STOP_AFTER_REFUSALS is 0: nobody is stopped from trying tokens",
        "set it, unless a proxy limits them",
    ),
}
"""Weak secrets and keys are not listed here: `itemwire_auth.keys.static` refuses them."""


def audit_settings(
    settings: Settings,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Warn of unsafe settings; raise ValueError for those with which it must not start."""
    launch = Launch(
        settings,
        sys.argv if arguments is None else arguments,
        os.environ if environment is None else environment,
    )
    for name, check in CHECKS.items():
        if check.finds(launch):
            if check.refuses:
                raise ValueError(f"{check.fault}; {check.remedy}")
            logger.warning("unsafe check=%s: %s; %s", name, check.fault, check.remedy)


def workers_asked(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return how many workers the command line or the environment asks for.

    A server's worker sees the arguments of its parent. For `itemwire serve` this is always 1: how
    many workers that runs is in the settings.
    """
    command = PurePath(arguments[0] if arguments else "").parts[-2:]  # or <server>/__main__.py
    if PurePath(*command[-1:]).stem == OWN_COMMAND:
        return 1
    asked = environment.get("WEB_CONCURRENCY", "")
    options = list(arguments[1:]) if not set(SERVERS).isdisjoint(command) else []
    if "gunicorn" in command:  # its command line overrides its environment variable
        options = [*environment.get("GUNICORN_CMD_ARGS", "").split(), *options]
    for option, value in zip(options, [*options[1:], ""], strict=False):
        name, separator, joined = option.partition("=")
        if name in WORKER_OPTIONS:
            asked = joined if separator else value
        elif short := JOINED_WORKERS.fullmatch(option):
            asked = short[1]
    return int(asked) if asked.isascii() and asked.isdecimal() else 1


def _serves(arguments: Sequence[str]) -> bool:
    """Return whether this is the command line of a server, ours or another."""
    command = PurePath(arguments[0] if arguments else "").parts[-2:]
    if PurePath(*command[-1:]).stem == OWN_COMMAND:
        return "serve" in arguments[1:]
    return not set(SERVERS).isdisjoint(command)


def warn_of_open_routes(app: FastAPI) -> None:
    """Warn of each route through which a stranger could open a socket or change an item."""
    for path in open_routes(app):
        logger.warning(
            "unsafe check=open_route path=%r: no dependency asks who is calling; depend on "
            "itemwire_auth.permitted or itemwire_auth.current_principal, or on "
            "itemwire_auth.open_to_strangers if it is meant",
            path,
        )


def open_routes(app: Starlette | Router) -> Iterator[str]:
    """List the socket and publishing routes that do not authenticate their callers."""
    overrides: Overrides = getattr(app, "dependency_overrides", {})  # only FastAPI has them
    for route in iter_route_contexts(app.routes):
        mounted = getattr(route.original_route, "app", None)
        if isinstance(route.original_route, Mount) and isinstance(mounted, Starlette | Router):
            yield from (f"{route.path}{below}" for below in open_routes(mounted))
        elif _needs_guard(route) and not _asks_who_is_calling(route, overrides):
            yield str(route.path)


def _needs_guard(route: RouteContext) -> bool:
    """Return whether a route is a socket, or may change an item."""
    if isinstance(route.original_route, WebSocketRoute):
        return True
    return bool(set(route.methods or ()) - SAFE_METHODS) and "{item_id" in (route.path or "")


def _asks_who_is_calling(route: RouteContext, overrides: Overrides) -> bool:
    dependant = _declared_by(route)
    if dependant is None:
        return False
    # An override of a guard is the application's own guard, whatever it asks for.
    inside = {call: instead for call, instead in overrides.items() if call not in GUARDS}
    return not GUARDS.isdisjoint(calls_of(dependant, inside))


def _declared_by(route: RouteContext) -> Dependant | None:
    """Return what a route depends on, before any override; None for a route of Starlette's.

    Once it has served a handshake, a socket's `dependant` has the overrides in it, and the guards
    they replace are no longer found there.
    """
    if isinstance(route.original_route, SocketRoute):
        return route.original_route.declared
    return getattr(route, "dependant", None)
