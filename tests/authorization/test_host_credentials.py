"""What names a caller to a host: told alike for security schemes and for plain parameters."""

from collections.abc import Iterator
from typing import Any, Final, cast

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from websockets import Headers

from itemwire import Itemwire, Rights
from itemwire.authorization.host_credentials import presents_only_its_own
from itemwire.serving.server import FASTPATH
from itemwire.testing import Ended, LiveServer
from itemwire.testing.servers import STOCK, live_application
from itemwire_auth import CurrentPrincipal, Principal
from tests.fakes.plain_credentials import KINDS, SECRET, Kind, Pairs
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

EVIL: Final = ("Origin", "https://evil.example")
CLASSES: Final = {"fastpath": FASTPATH, "stock": STOCK}
OVER_HTTP: Final = {name: kind for name, kind in KINDS.items() if not name.startswith("tutorial")}
ALL: Final = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

PRESENTED: Final = {
    "right": (SECRET,),
    "wrong": ("the-wrong-secret",),
    "short": ("x",),
    "missing": (),
    "twice": (SECRET, SECRET),
    "right_and_wrong": (SECRET, "the-wrong-secret"),
    "wrong_and_right": ("the-wrong-secret", SECRET),
}


def host_of(asked: list[Principal], **settings: Any) -> FastAPI:  # noqa: ANN401 - any setting
    """Make a host with channels for each kind, some of them public."""
    app = FastAPI()
    configured = settings_of(secret=None, throttle_exempt=(), **settings)
    for find in dict.fromkeys(kind.user for kind in KINDS.values()):
        live = Itemwire(user=find, settings=configured)
        app.include_router(live.router, prefix=f"/{find.__name__}")
        for name in ("news", "order"):

            @live.channel(name, anonymous=name == "news")
            async def rule(principal: CurrentPrincipal) -> Rights:
                asked.append(principal)
                return Rights("subscribe", "publish")

    return app


class Stranger:
    """A client of the host."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server

    def told(self, kind: Kind, item: str, secrets: tuple[str, ...], *more: tuple[str, str]) -> str:
        """Open a socket; return who the caller is then, or why it is refused."""
        query, headers = kind.present(*secrets)
        path = f"/{kind.user.__name__}/items/{item}/ws?{query}&also=1&also=2"
        return self._told(path, [*headers, *more])

    def _told(self, path: str, headers: Pairs) -> str:
        sent = cast("dict[str, str]", Headers(headers))  # which may repeat a name
        try:
            with self.server.client(path, headers=sent) as client:
                return f"as {client.welcome()['subject'] or 'nobody'}"
        except Ended as ended:
            return ended.refusal.reason if ended.refusal.code == 1008 else str(ended)

    def told_by_ticket(self, kind: Kind, query: str) -> str:
        """Open a socket as `told` does, by a query alone."""
        return self._told(f"/{kind.user.__name__}/items/order/ws?{query}", [])

    def told_on_many(
        self, kind: Kind, secrets: tuple[str, ...], *more: tuple[str, str]
    ) -> list[str]:
        """Join a public item and another one; return who the caller is there, or the code."""
        query, headers = kind.present(*secrets)
        sent = cast("dict[str, str]", Headers([*headers, *more]))
        with self.server.client(f"/{kind.user.__name__}/ws?{query}", headers=sent) as client:
            joined = [client.ask("join", item=item) for item in ("news", "order")]
        return [one["subject"] if one["type"] == "welcome" else one["code"] for one in joined]

    def ticket(self, kind: Kind, query: str, headers: Pairs) -> str:
        """Get a ticket, as a page of the host's own does."""
        url = f"{self.server.url}/{kind.user.__name__}/auth/tickets?{query}"
        answer = httpx.post(url, headers=headers, json={}, timeout=30)
        assert answer.status_code == 200, answer.text
        ticket: str = answer.json()["ticket"]
        return ticket


@pytest.fixture(scope="module")
def asked() -> list[Principal]:
    """Give those about whom the rules of the host were asked."""
    return []


@pytest.fixture(scope="module", params=list(CLASSES))
def stranger(asked: list[Principal], request: pytest.FixtureRequest) -> Iterator[Stranger]:
    """Give a running host that slows nobody down."""
    app = host_of(asked, slow_after_refusals=0, stop_after_refusals=0)
    with live_application(app, protocols=CLASSES[request.param]) as server:
        yield Stranger(server)


@ALL
@pytest.mark.parametrize("item", ["order", "news"])
def test_tells_alike_what_is_wrong(stranger: Stranger, kind: Kind, item: str) -> None:
    """Right, wrong, missing, and twice; on a public item who shows nothing comes in as nobody."""
    told = {name: stranger.told(kind, item, secrets) for name, secrets in PRESENTED.items()}

    expected = dict.fromkeys(PRESENTED, "credentials_invalid") | {
        "right": "as ann",
        "missing": "as nobody" if item == "news" else "credentials_missing",
    }
    assert told == expected


@ALL
def test_what_names_nobody_is_no_credential(stranger: Stranger, kind: Kind) -> None:
    """A cookie of the site's statistics, a language: who has only these has shown nothing."""
    beside = ("Cookie", "_ga=1"), ("Accept-Language", "de"), ("X-Other", "1")

    assert stranger.told(kind, "news", (), *beside) == "as nobody"
    assert stranger.told(kind, "order", (), *beside) == "credentials_missing"


@ALL
def test_a_foreign_page_never_acts_by_what_its_browser_adds(
    stranger: Stranger, asked: list[Principal], kind: Kind
) -> None:
    """On a public item it is nobody, and elsewhere refused; a key in the query it has to know."""
    asked.clear()
    may = kind.is_told_to_pages or kind.header == ("Authorization", "Bearer {}")
    told = [stranger.told(kind, item, (SECRET,), EVIL) for item in ("news", "order")]
    many = stranger.told_on_many(kind, (SECRET,), EVIL)
    own = ("Origin", stranger.server.url)
    from_own = [stranger.told(kind, item, (SECRET,), own) for item in ("news", "order")]

    assert told == (["as ann", "as ann"] if may else ["as nobody", "origin_denied"])
    assert many == (["ann", "ann"] if may else ["", "credentials_missing"])
    assert from_own == ["as ann", "as ann"]
    assert {one.subject for one in asked} == {"ann"}


@pytest.mark.parametrize("kind", OVER_HTTP.values(), ids=OVER_HTTP)
def test_a_ticket_stands_for_what_was_presented(stranger: Stranger, kind: Kind) -> None:
    """And for nothing that comes beside it."""
    query, headers = kind.present(SECRET)
    own = ("Origin", stranger.server.url)
    made = [stranger.ticket(kind, query, [*headers, own]) for _ in range(3)]
    other, _ = kind.present("the-wrong-secret")
    opened = [
        stranger.told_by_ticket(kind, f"ticket={made[0]}"),
        stranger.told_by_ticket(kind, f"ticket={made[0]}"),
        stranger.told_by_ticket(kind, f"ticket={made[1]}&{other}"),
        stranger.told_by_ticket(kind, f"ticket={made[2]}&lang=de"),
    ]

    beside = "credentials_invalid" if other else "as ann"
    assert opened == ["as ann", "ticket_invalid", beside, "as ann"]


@pytest.fixture(scope="module")
def watched() -> Iterator[Stranger]:
    """Give a host that stops whoever is refused three times."""
    with live_application(host_of([], slow_after_refusals=0, stop_after_refusals=3)) as server:
        yield Stranger(server)


@ALL
@pytest.mark.parametrize("item", ["order", "news"])
def test_stops_guessing(watched: Stranger, kind: Kind, item: str) -> None:
    """On public items, too: no guess is taken for showing nothing."""
    at = 10 * list(KINDS.values()).index(kind) + (item == "news")
    here = ("X-Forwarded-For", f"198.51.100.{at}")
    guesses = [watched.told(kind, item, (f"wrong-secret-{n}",), here) for n in range(3)]

    assert guesses == ["credentials_invalid"] * 3
    assert watched.told(kind, item, (SECRET,), here) == "rate_limited"
    assert watched.told(kind, item, (SECRET,), ("X-Forwarded-For", "192.0.2.7")) == "as ann"


@pytest.mark.parametrize(
    ("headers", "is_its_own"),
    [
        ([], True),
        ([("authorization", "Bearer x")], True),
        ([("sec-websocket-protocol", "bearer, x")], True),
        ([("cookie", "session=x")], False),
        ([("authorization", "Bearer x"), ("cookie", "session=x")], False),
        ([("authorization", "Basic x")], False),
        ([("x-user", "ann")], False),
    ],
)
def test_knows_what_no_browser_or_proxy_adds(headers: Pairs, is_its_own: bool) -> None:
    """A foreign page cannot send such a request in its user's name."""
    sent = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "websocket", "query_string": b"", "headers": [(b"host", b"x"), *sent]}

    assert presents_only_its_own(HTTPConnection(scope)) is is_its_own
