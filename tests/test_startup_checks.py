"""What start-up checks: unsafe settings and open routes, each with its remedy."""

import asyncio
import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Callable
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import Message, Scope

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.startup_checks import CHECKS, audit_settings, open_routes, workers_asked
from itemwire_auth import CurrentPrincipal, Grant, authorize_item, open_to_strangers, permitted
from itemwire_auth.dependencies import administrator, current_principal, sent_bearer
from itemwire_auth.principal import Principal
from itemwire_auth.scopes import Action
from itemwire_auth.tokens.minting import new_secret
from tests.cli.conftest import ITEMWIRE
from tests.conftest import SECRET
from tests.fakes import principal


def settings_of(**given: object) -> Settings:
    """Settings with the tests' secret."""
    return Settings.model_validate({"secret": SecretStr(SECRET), **given})


@pytest.mark.parametrize(
    ("command", "environment", "workers"),
    [
        pytest.param("itemwire serve", {}, 1, id="none"),
        pytest.param("itemwire serve", {"WEB_CONCURRENCY": "4"}, 1, id="own-command"),
        pytest.param("/itemwire/server.py", {"WEB_CONCURRENCY": "4"}, 4, id="environment"),
        pytest.param("uvicorn x:y", {"WEB_CONCURRENCY": "1"}, 1, id="one"),
        pytest.param("gunicorn app", {"GUNICORN_CMD_ARGS": "--workers=4"}, 4, id="gunicorn-words"),
        pytest.param("uvicorn app", {"GUNICORN_CMD_ARGS": "-w 4"}, 1, id="gunicorn-only"),
        pytest.param("uvicorn x:y", {"WEB_CONCURRENCY": "many"}, 1, id="no-number"),
        pytest.param("/venv/bin/uvicorn --workers 4 x:y", {}, 4, id="uvicorn"),
        pytest.param("/venv/bin/uvicorn x:y --workers=3", {}, 3, id="joined"),
        pytest.param("hypercorn -w 2 x:y", {}, 2, id="hypercorn"),
        pytest.param("/a/gunicorn -w 2 x:y", {}, 2, id="gunicorn"),
        pytest.param("granian --workers 2 x:y", {}, 2, id="granian"),
        pytest.param("/a/fastapi run x.py --workers 2", {}, 2, id="fastapi"),
        pytest.param("gunicorn -w2 x:y", {}, 2, id="short-and-joined"),
        pytest.param("gunicorn --worker-class a x:y", {}, 1, id="option-that-looks-alike"),
        pytest.param("/a/uvicorn/__main__.py --workers 2", {}, 2, id="module"),
        pytest.param("uvicorn --workers 1", {"WEB_CONCURRENCY": "4"}, 1, id="option-wins"),
        pytest.param("uvicorn x:y --workers", {}, 1, id="nothing-follows"),
        pytest.param("my_server.py -w 4", {}, 1, id="another-programs-option"),
        pytest.param("", {}, 1, id="no-command"),
    ],
)
def test_knows_how_many_workers_were_asked_for(
    command: str, environment: dict[str, str], workers: int
) -> None:
    """Each server has its own words for it; its workers see the arguments of their parent."""
    assert workers_asked(command.split(), environment) == workers


@pytest.mark.parametrize("url", ["memory://", "sqlite:///itemwire.db"])
def test_refuses_several_workers_on_an_engine_of_one_process(url: str) -> None:
    """Half of the clients would never hear the other half, and nothing would say so."""
    settings = settings_of(engine_url=url)
    with pytest.raises(ValueError, match="WEB_CONCURRENCY") as refused:
        audit_settings(settings, ["uvicorn", "--workers", "2"], {})
    with pytest.raises(ValueError, match="itemwire serve --workers"):
        audit_settings(settings_of(engine_url=url, workers=2), ["itemwire", "serve"], {})

    assert "\n" not in str(refused.value)
    audit_settings(
        settings_of(engine_url="itemwire+unix:///run/engine.sock", workers=2),
        ["itemwire", "serve"],
        {},
    )
    audit_settings(settings, ["uvicorn", "--workers", "1"], {})


@pytest.mark.parametrize(
    ("command", "url", "refused"),
    [
        ("gunicorn -w 4 app", "redis://localhost", True),
        ("/venv/bin/uvicorn x:y --workers 4", "redis://localhost", True),
        ("itemwire serve --app x:y", "redis://localhost", True),  # its code names the engine
        ("itemwire serve", "itemwire+unix:///run/engine.sock", False),
        ("itemwire doctor", "redis://localhost", False),
        ("itemwire export", "redis://localhost", False),
        ("my_server.py", "redis://localhost", False),
        ("", "redis://localhost", False),
    ],
)
def test_refuses_workers_for_which_no_process_has_the_engine(
    command: str, url: str, *, refused: bool
) -> None:
    """Only `itemwire serve` runs one; what runs no server is let alone."""
    settings = settings_of(engine_url=url, share_engine=True, workers=4)
    refusal = (
        pytest.raises(ValueError, match=r"ITEMWIRE_SHARE_ENGINE.*itemwire serve --workers")
        if refused
        else contextlib.nullcontext()
    )
    with refusal:
        audit_settings(settings, command.split(), {})
    audit_settings(settings_of(engine_url=url, workers=4), command.split(), {})


@pytest.mark.server
def test_serve_says_in_one_line_why_it_does_not_start() -> None:
    """On a platform this is all that its user sees."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ITEMWIRE_")}
    environment |= {"ITEMWIRE_SECRET": new_secret(), "ITEMWIRE_ALLOWED_ORIGINS": "*"}

    done = subprocess.run(
        [ITEMWIRE, "serve", "--port", "0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1
    assert "ITEMWIRE_ALLOWED_ORIGINS" in done.stderr


def test_refuses_the_cookies_of_every_page() -> None:
    """`*` would be cross-site WebSocket hijacking by configuration (CWE-1385)."""
    with pytest.raises(ValueError, match=r"allowed origin '\*'.*CWE-1385.*app\.example\.com"):
        create_app(settings_of(allowed_origins=("*",)))

    create_app(settings_of(allowed_origins=("https://*.example.com",)))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        pytest.param("null_origin", {"allowed_origins": ("null",)}, id="null"),
        pytest.param(
            "policy_in_the_clear",
            {"policy_url": "http://app.internal/", "policy_allow_http": True},
            id="policy",
        ),
        pytest.param("keys_in_the_clear", {"jwks_allow_http": True}, id="keys"),
        pytest.param("any_proxy", {"trusted_proxies": ("*",)}, id="proxies"),
        pytest.param("strangers", {"stop_after_refusals": 0}, id="throttle"),
    ],
)
def test_warns_of_what_may_be_meant(
    name: str, given: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the setting's name and what to do."""
    audit_settings(settings_of(**given), [], {})

    (line,) = caplog.messages
    assert f"check={name}" in line
    assert CHECKS[name].remedy in line


def test_warns_of_a_clock_that_is_wrong_for_sure(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says why the server is not ready."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    audit_settings(settings_of(), [], {})

    assert "check=clock" in caplog.messages[0]


def test_says_nothing_of_settings_that_are_safe(caplog: pytest.LogCaptureFixture) -> None:
    """A warning that always comes is never read."""
    audit_settings(settings_of(policy_url="https://app.example.com/rights"), [], {})

    assert caplog.messages == []


def test_our_own_routes_ask_who_is_calling() -> None:
    """Those that are written by hand into the application's routes, too."""
    assert list(open_routes(create_app(settings_of()))) == []


async def socket(websocket: WebSocket) -> None:
    """Take every client."""


async def asking(websocket: WebSocket, principal: CurrentPrincipal) -> None:
    """Take who is known."""


async def permitting(websocket: WebSocket, grant: Annotated[Grant, Depends(permitted)]) -> None:
    """Take who may."""


async def unasked() -> None:
    """Decide nothing."""


def _included(app: FastAPI) -> None:
    router = APIRouter(prefix="/more")
    router.add_api_websocket_route("/open", socket)
    router.add_api_websocket_route("/asking", asking)
    app.include_router(router)


def _included_behind_a_door(app: FastAPI) -> None:
    router = APIRouter()
    router.add_api_websocket_route("/inner", socket, dependencies=[Depends(open_to_strangers)])
    app.include_router(router)


def _mounted(app: FastAPI) -> None:
    below = FastAPI()
    below.add_api_websocket_route("/open", socket)
    app.mount("/below", below)


def _mounted_of_starlette(app: FastAPI) -> None:
    app.mount("/below", Starlette(routes=[WebSocketRoute("/plain", socket)]))


def _overridden(app: FastAPI) -> None:
    async def take(websocket: WebSocket, grant: Annotated[Grant, Depends(authorize_item)]) -> None:
        """Ask the application's own rule only."""

    app.add_api_websocket_route("/own", take)
    app.dependency_overrides[authorize_item] = unasked


@pytest.mark.parametrize(
    ("add", "found"),
    [
        pytest.param(lambda app: app.add_api_websocket_route("/w", socket), ["/w"], id="socket"),
        pytest.param(lambda app: app.add_api_websocket_route("/w", asking), [], id="asking"),
        pytest.param(
            lambda app: app.add_api_websocket_route("/{item_id}", permitting), [], id="permitting"
        ),
        pytest.param(
            lambda app: app.add_api_websocket_route(
                "/w", socket, dependencies=[Depends(open_to_strangers)]
            ),
            [],
            id="said-to-be-open",
        ),
        *(
            pytest.param(
                lambda app, door=door: app.add_api_route(
                    "/items/{item_id}", unasked, methods=["POST"], dependencies=[Depends(door)]
                ),
                [],
                id=door.__name__,
            )
            for door in (administrator, sent_bearer)
        ),
        pytest.param(
            lambda app: app.router.routes.append(WebSocketRoute("/plain", socket)),
            ["/plain"],
            id="of-starlette",
        ),
        pytest.param(
            lambda app: app.add_api_route("/items/{item_id}/send", unasked, methods=["POST"]),
            ["/items/{item_id}/send"],
            id="publish",
        ),
        pytest.param(
            lambda app: app.add_api_route("/items/{item_id}", unasked, methods=["GET"]),
            [],
            id="read",
        ),
        pytest.param(
            lambda app: app.add_api_route("/login", unasked, methods=["POST"]), [], id="login"
        ),
        pytest.param(_included, ["/more/open"], id="included"),
        pytest.param(_included_behind_a_door, [], id="included-behind-a-door"),
        pytest.param(_mounted, ["/below/open"], id="mounted"),
        pytest.param(_mounted_of_starlette, ["/below/plain"], id="mounted-of-starlette"),
        pytest.param(_overridden, ["/own"], id="overridden-by-what-asks-nobody"),
    ],
)
def test_finds_routes_that_ask_nobody(add: Callable[[FastAPI], None], found: list[str]) -> None:
    """A socket, or a way to change an item, in whatever way it came into the application."""
    app = create_app(settings_of())
    add(app)

    assert list(open_routes(app)) == found


def test_warns_of_an_open_route_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    """Not earlier: an application adds its routes after `create_app`."""
    app = create_app(settings_of())
    app.add_api_websocket_route("/mine", socket)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pass

    with caplog.at_level(logging.WARNING, "itemwire.startup"):
        asyncio.run(start())

    (line,) = caplog.messages
    assert "'/mine'" in line
    assert "itemwire_auth.permitted" in line


def starts_of(app: FastAPI, times: int) -> list[list[str]]:
    """Start an application so many times, each time with one handshake; list its open routes."""
    found: list[list[str]] = []
    scope: Scope = {
        "type": "websocket",
        "path": "/items/42/ws",
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
    }
    gone: Message = {"type": "websocket.disconnect", "code": 1001}

    async def start() -> None:
        incoming = iter([{"type": "websocket.connect"}, gone])
        sent: list[Message] = []

        async def receive() -> Message:
            return next(incoming)

        async def send(message: Message) -> None:
            sent.append(message)

        async with app.router.lifespan_context(app):
            found.append(list(open_routes(app)))
            await app(dict(scope), receive, send)
        assert [message.get("reason") for message in sent[:1]] == [None]  # it was let in

    for _ in range(times):
        asyncio.run(start())
    return found


async def anybody() -> Principal:
    """Let everybody in."""
    return principal("anybody")


async def own_rule(item_id: str) -> Grant:
    """Ask nobody: the application knows whom it serves."""
    return Grant(principal("anybody"), item_id, frozenset(Action))


def test_a_second_start_finds_the_doors_of_the_first() -> None:
    """A handshake puts the overrides into a socket's dependencies, where they hide its doors."""
    app = create_app(settings_of())
    app.dependency_overrides |= {current_principal: anybody, authorize_item: own_rule}

    assert starts_of(app, 2) == [[], []]


def test_a_door_that_an_override_takes_away_is_missed_at_every_start() -> None:
    """The refused twin: the first start looks behind the shortcut that the route would take."""

    async def no_door() -> Grant:
        return await own_rule("42")

    app = create_app(settings_of())
    app.dependency_overrides[permitted] = no_door
    first, second = starts_of(app, 2)

    assert "/items/{item_id:any_text}/ws" in first
    assert first == second
