"""Reports: each verdict, shown by an application with that fault."""

import contextlib
from collections.abc import Awaitable, Callable

import pytest
from starlette.applications import Starlette
from starlette.exceptions import WebSocketException
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from itemwire.testing import (
    BEARER,
    QUERY,
    Refreshing,
    Route,
    Source,
    Ticketing,
    Verdict,
    attacks_for,
    live_application,
)
from itemwire.testing.attacks import ATTACKS
from itemwire_auth.testing import TokenFactory

Endpoint = Callable[[WebSocket], Awaitable[None]]


async def lets_all_in(websocket: WebSocket) -> None:
    """Welcome everybody."""
    await websocket.accept()
    await websocket.send_text("welcome")


async def talks_to_all(websocket: WebSocket) -> None:
    """Welcome everybody, and go on talking."""
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text("welcome")
            await websocket.receive_text()


async def refuses_all(websocket: WebSocket) -> None:
    """Refuse everybody, as one should."""
    await websocket.accept()
    await websocket.close(1008, "no")


async def fails(websocket: WebSocket) -> None:
    """Fail before the handshake is answered."""
    raise ValueError


async def blames_itself(websocket: WebSocket) -> None:
    """Say by the close code that the server failed."""
    await websocket.accept()
    await websocket.close(1011, "oops")


async def leaves_politely(websocket: WebSocket) -> None:
    """Close with a code that blames nobody, so the client comes back."""
    await websocket.accept()
    await websocket.close(1000)


async def tells_the_token(websocket: WebSocket) -> None:
    """Refuse, and repeat what was presented."""
    await websocket.accept(headers=[(b"x-you-said", websocket.url.query.encode())])
    await websocket.close(1008, "no")


@pytest.mark.parametrize(
    ("endpoint", "verdict"),
    [
        (lets_all_in, Verdict.LET_IN),
        (refuses_all, Verdict.TWIN_REFUSED),
        (fails, Verdict.CRASHED),
        (blames_itself, Verdict.CRASHED),
        (leaves_politely, Verdict.OTHERWISE),
        (tells_the_token, Verdict.LEAKED),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_kind_of_application_gets_its_verdict(
    tokens: TokenFactory, endpoint: Endpoint, verdict: Verdict
) -> None:
    """A refusal counts only if it is one, in order, and not for everybody."""
    (trial,) = attacks_for(Route("/{item}", tokens), only={"token_expired"})
    with live_application(Starlette(routes=[WebSocketRoute("/{item}", endpoint)])) as server:
        report = trial.against(server)

    assert report.verdict is verdict
    with pytest.raises(AssertionError, match=f"token_expired: {verdict}"):
        report.check()


async def looks_for_a_good_one(websocket: WebSocket) -> None:
    """Tell good from bad by one word, in two steps, and be silent to the good."""
    if "token=" not in websocket.url.query:
        raise WebSocketException(4401, "none")
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        await websocket.receive_text()


def test_a_silent_route_is_told_by_how_long_it_is_silent(tokens: TokenFactory) -> None:
    """Who is in and hears nothing is in after a while; nobody has to guess how long."""
    app = Starlette(routes=[WebSocketRoute("/ws", looks_for_a_good_one)])
    (trial,) = attacks_for(Route("/ws", tokens, quiet=0.2), only={"no_credential"})
    (impatient,) = attacks_for(Route("/ws", tokens, patience=0.2), only={"token_expired"})
    with live_application(app) as server:
        report = trial.against(server)
        with pytest.raises(AssertionError, match="probe"):
            impatient.against(server)

    report.check()
    assert (report.verdict, report.twin and report.twin.is_in) == (Verdict.REFUSED, True)


def test_a_promise_is_held_to_the_letter(tokens: TokenFactory) -> None:
    """Where the route says how it refuses, another way is a fault."""
    app = Starlette(routes=[WebSocketRoute("/ws", looks_for_a_good_one)])
    kept = Route("/ws", tokens, quiet=0.2, refusals={"missing": (403,)})
    broken = Route("/ws", tokens, quiet=0.2, refusals={"missing": ((1008, "none"),)})
    with live_application(app) as server:
        verdicts = [
            attacks_for(route, only={"no_credential"})[0].against(server).verdict
            for route in (kept, broken)
        ]

    assert verdicts == [Verdict.REFUSED, Verdict.OTHERWISE]


def test_a_route_gets_the_attacks_it_has_the_traits_for(tokens: TokenFactory) -> None:
    """An attack on a cookie means nothing where no cookie is looked at."""
    route = Route("/ws", tokens, sources=(BEARER,))
    names = {trial.attack.name for trial in attacks_for(route)}

    assert {"no_credential", "header_twice", "token_expired", "handshake_version_8"} <= names
    assert not {
        name for name in names if name.startswith(("cookie_", "query_", "origin_", "item_"))
    }
    assert len(names) >= 60


def test_a_header_of_ones_own_is_a_place(tokens: TokenFactory) -> None:
    """Not every application says Bearer."""
    route = Route("/ws", tokens, sources=(Source("header", "X-Api-Token"), QUERY))
    names = {trial.attack.name for trial in attacks_for(route)}

    assert "header_expired" in names
    assert "header_basic" not in names


@pytest.mark.parametrize(
    "name",
    ["ticket_used_again", "ticket_raced", "query_revoked", "refresh_of_another"],
)
def test_finds_who_forgets_what_was_used_or_taken_back(tokens: TokenFactory, name: str) -> None:
    """Each is made of a good one first, and the second time it must not be."""
    route = Route(
        "/ws",
        tokens,
        tickets=Ticketing(lambda _url, _token, _wanted: "good"),
        revoke=lambda _url, _token_id: None,
        refreshing=Refreshing(str, lambda _frame: ""),
    )
    (trial,) = attacks_for(route, only={name})
    with live_application(Starlette(routes=[WebSocketRoute("/ws", talks_to_all)])) as server:
        assert trial.against(server).verdict is Verdict.LET_IN


def test_an_attack_that_must_be_let_in_first_says_so_if_it_is_not(tokens: TokenFactory) -> None:
    """A server that refuses good tickets has not withstood one that was used."""
    route = Route("/ws", tokens, tickets=Ticketing(lambda _url, _token, _wanted: "good"))
    (trial,) = attacks_for(route, only={"ticket_used_again"})
    app = Starlette(routes=[WebSocketRoute("/ws", refuses_all)])
    with live_application(app) as server, pytest.raises(AssertionError, match="was not accepted"):
        trial.against(server)


def test_attacks_are_left_out_by_names_that_exist(tokens: TokenFactory) -> None:
    """A name that was misspelt would leave nothing out, and nobody would know."""
    route = Route("/ws", tokens)
    left = attacks_for(route, without={"no_credential"})

    assert len(attacks_for(route)) == len(left) + 1
    with pytest.raises(KeyError):
        attacks_for(route, without={"no_such_attack"})


def test_an_attack_is_named_for_pytest(tokens: TokenFactory) -> None:
    """`-k expired` picks by it."""
    (trial,) = attacks_for(Route("/ws", tokens), only={"token_expired"})

    assert trial.__name__ == "token_expired"
    assert ATTACKS["token_expired"] is trial.attack


def test_a_promise_for_what_is_no_kind_of_fault_is_refused(tokens: TokenFactory) -> None:
    """A typing error in `refusals` would let any refusal pass for the promised one."""
    with pytest.raises(KeyError, match="unknown kinds of fault: credentials"):
        attacks_for(Route("/ws", tokens, refusals={"credentials": (401,)}))

    assert attacks_for(Route("/ws", tokens, refusals={"credential": (401,)}))
