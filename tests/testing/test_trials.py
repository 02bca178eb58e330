"""Reports: each verdict, shown by an application with that fault."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.exceptions import WebSocketException
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from itemwire.testing import (
    BEARER,
    QUERY,
    Blocked,
    Refreshing,
    Route,
    Severity,
    Source,
    Ticketing,
    Verdict,
    attacks_for,
    faults,
    live_application,
    run_attacks,
)
from itemwire.testing import Endpoint as Place
from itemwire.testing.attacks import ATTACKS
from itemwire_auth.testing import TokenFactory, signing_key

Endpoint = Callable[[WebSocket], Awaitable[None]]


GOOD = Route("/{item}", good=lambda: "good")


def is_good(websocket: WebSocket) -> bool:
    """Return whether a caller presents the good key."""
    return websocket.query_params.get("token") == "good"


async def welcome(websocket: WebSocket) -> None:
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


async def refuses_as_one_should(websocket: WebSocket) -> None:
    """Tell good from bad."""
    await (welcome if is_good(websocket) else refuses_all)(websocket)


async def fails(websocket: WebSocket) -> None:
    """Fail at a bad caller, before its handshake is answered."""
    if not is_good(websocket):
        raise ValueError
    await welcome(websocket)


async def blames_itself(websocket: WebSocket) -> None:
    """Say by the close code that the server failed."""
    await (welcome if is_good(websocket) else _closes)(websocket)


async def _closes(websocket: WebSocket, code: int = 1011) -> None:
    await websocket.accept()
    await websocket.close(code)


async def leaves_politely(websocket: WebSocket) -> None:
    """Close with a code that blames nobody, so the client comes back."""
    await (welcome(websocket) if is_good(websocket) else _closes(websocket, 1000))


async def tells_the_token(websocket: WebSocket) -> None:
    """Refuse, and repeat what was presented."""
    await websocket.accept(headers=[(b"x-you-said", websocket.url.query.encode())])
    if is_good(websocket):
        await websocket.send_text("welcome")
    await websocket.close(1008, "no")


class AsksOnce:
    """Let the first good caller in, and nobody after it."""

    def __init__(self) -> None:
        self._is_open = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one caller."""
        if scope["type"] == "websocket":
            is_open, self._is_open = self._is_open, False
            await (welcome if is_open else refuses_all)(WebSocket(scope, receive, send))


VERDICTS: dict[Verdict, ASGIApp | Endpoint] = {
    Verdict.REFUSED: refuses_as_one_should,
    Verdict.LET_IN: welcome,
    Verdict.CRASHED: fails,
    Verdict.OTHERWISE: leaves_politely,
    Verdict.LEAKED: tells_the_token,
    Verdict.TWIN_REFUSED: AsksOnce(),
    Verdict.GOOD_REFUSED: refuses_all,
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_each_kind_of_application_gets_its_verdict(verdict: Verdict) -> None:
    """A refusal counts only if it is one, in order, and not for everybody."""
    (trial,) = attacks_for(GOOD, only={"token_alg_none"})
    app = Starlette(routes=[WebSocketRoute("/{item}", VERDICTS[verdict])])
    with live_application(app) as server:
        report = trial.against(server)

    assert report.verdict is verdict
    if verdict is Verdict.REFUSED:
        report.check()
    else:
        with pytest.raises(AssertionError, match=rf"^{report.name}: {verdict}"):
            report.check()


def test_a_close_that_blames_the_server_is_a_crash() -> None:
    """1011 says that something failed which was not the client."""
    (trial,) = attacks_for(GOOD, only={"token_alg_none"})
    with live_application(Starlette(routes=[WebSocketRoute("/{item}", blames_itself)])) as server:
        assert trial.against(server).verdict is Verdict.CRASHED


def test_a_good_client_that_is_refused_fails_alone() -> None:
    """One test says what is wrong; the others would say it again, each in its own words."""
    trials = attacks_for(GOOD)
    with live_application(Starlette(routes=[WebSocketRoute("/{item}", refuses_all)])) as server:
        first, second = trials[0].against(server), trials[1].against(server)
        reports = run_attacks(server, trials)

    assert (first.name, first.verdict) == ("good_client", Verdict.GOOD_REFUSED)
    assert (second.verdict, second.is_fault) == (Verdict.BLOCKED, False)
    with pytest.raises(AssertionError, match="good_client"):
        first.check()
    with pytest.raises(Blocked):
        second.check()
    assert [report.verdict for report in reports] == [Verdict.GOOD_REFUSED]


def test_a_good_client_is_tried_whichever_attacks_are_picked() -> None:
    """A run of one attack must not pass because everybody is refused."""
    trials = attacks_for(GOOD, only={"token_alg_none", "token_garbage"})
    with live_application(Starlette(routes=[WebSocketRoute("/{item}", refuses_all)])) as server:
        verdicts = [trial.against(server).verdict for trial in trials]

    assert verdicts == [Verdict.GOOD_REFUSED, Verdict.BLOCKED]


def test_a_good_client_is_tried_in_every_place() -> None:
    """A place that the description has and the application has not would refuse every twin."""
    route = replace(GOOD, sources=(QUERY, BEARER))
    app = Starlette(routes=[WebSocketRoute("/{item}", refuses_as_one_should)])
    with live_application(app) as server:
        (report,) = run_attacks(server, attacks_for(route))

    assert "in this place (header)" in str(report)


@pytest.mark.parametrize(
    ("route", "note"),
    [
        (Route("/ws"), "give the route `tokens`, or `good`"),
        (Route("/ws", TokenFactory(signing_key("HS256"))), "aud 'itemwire-tests'"),
        (Route("/ws", good=lambda: "x"), "and then closed"),
        (Route("/nowhere", good=lambda: "x"), "is this the path"),
    ],
    ids=["no_credential", "claims", "closed", "path"],
)
def test_a_good_client_that_is_refused_comes_with_advice(route: Route, note: str) -> None:
    """Most often the description of the route is wrong, and not the application."""
    with live_application(Starlette(routes=[WebSocketRoute("/ws", refuses_all)])) as server:
        (report,) = run_attacks(server, attacks_for(route))

    assert note in str(report)


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
    (impatient,) = attacks_for(Route("/ws", tokens, patience=0.2), only={"no_credential"})
    with live_application(app) as server:
        report = trial.against(server)
        silent = impatient.against(server)

    report.check()
    assert (report.verdict, report.twin and report.twin.is_in) == (Verdict.REFUSED, True)
    assert silent.verdict is Verdict.GOOD_REFUSED
    assert "set `probe` or `quiet`" in str(silent)


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


def test_an_attack_that_must_be_let_in_first_says_so_if_it_is_not() -> None:
    """A server that refuses good tickets has not withstood one that was used."""
    route = replace(GOOD, tickets=Ticketing(lambda _url, _token, _wanted: "good"))
    (trial,) = attacks_for(route, only={"ticket_used_again"})
    app = Starlette(routes=[WebSocketRoute("/{item}", refuses_as_one_should)])
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


def test_a_severity_says_how_far_the_search_goes() -> None:
    """A team mends the holes first, and may never care for what is only our own rule."""
    names = {
        severity: {trial.attack.name for trial in attacks_for(GOOD, severity=severity)}
        for severity in Severity
    }

    assert names[Severity.HOLE] < names[Severity.WEAKNESS] < names[Severity.RULE]
    assert {trial.attack.name for trial in attacks_for(GOOD)} == names[Severity.WEAKNESS]
    assert "no_credential" in names[Severity.HOLE]
    assert {trial.attack.name for trial in attacks_for(GOOD, severity="hole")} == names[
        Severity.HOLE
    ]
    assert all("good_client" in found for found in names.values())
    with pytest.raises(ValueError, match="severe"):
        attacks_for(GOOD, severity="severe")


def test_a_wrong_refusal_is_no_hole() -> None:
    """Who fails at an attack has still let nobody in."""
    app = Starlette(routes=[WebSocketRoute("/{item}", fails)])
    with live_application(app) as server:
        holes = run_attacks(server, attacks_for(GOOD, severity="hole"))
        weaknesses = run_attacks(server, attacks_for(GOOD))

    assert faults(holes) == {}
    assert faults(weaknesses)["token_alg_none"] == "crashed"


def test_bad_tokens_are_forged_in_the_likeness_of_the_good_one() -> None:
    """With other claims than the application asks for, they would be refused for these."""
    good = TokenFactory(signing_key("HS384"), issuer=None).good(tenant="acme")
    endpoint = Place("http://127.0.0.1:9", replace(GOOD, good=lambda: good))
    header, claims, _ = good.split(".")

    assert endpoint.bad("no_signature") == f"{header}.{claims}."
    assert endpoint.bad("wrong_signature").rpartition(".")[0] == f"{header}.{claims}"
    assert endpoint.bad("unsigned").split(".")[1] == claims
    assert endpoint.bad("changed_payload").split(".")[0] == header


def test_tokens_without_a_claim_have_no_attacks_on_it() -> None:
    """A plain application knows no audience, so another audience is no fault there."""
    key = signing_key("HS256")
    plain = Route("/ws", TokenFactory(key, issuer=None, audience=None, token_type=None))
    names = {trial.attack.name for trial in attacks_for(plain, severity="rule")}
    whole = {
        trial.attack.name for trial in attacks_for(Route("/ws", TokenFactory(key)), severity="rule")
    }

    assert {"token_expired", "token_no_exp"} <= names
    assert {
        "token_wrong_audience",
        "token_issuer_prefix",
        "token_no_type",
        "query_wrong_issuer",
    } <= whole - names
