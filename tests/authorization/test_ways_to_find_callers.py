"""Every way in which a host may find its callers, attacked as a stranger would: a table.

Each attack has a twin beside it that is let in.
"""

import base64
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

import httpx
import pytest

from itemwire.testing import ChannelClient, Clock, LiveServer, Refusal
from itemwire.testing.servers import live_application
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.fakes.host_ways import LIFE, MOUNTS, WAYS, Host, host_with_ways

pytestmark = pytest.mark.server

EVIL = {"origin": "https://evil.example"}
ITEM = "/items/order:7/ws"

ALL = pytest.mark.parametrize("way", list(WAYS))
HOSTS = pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("jwt")])
AMBIENT = pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.is_ambient])


class Stranger:
    """A client of the running host, which presents a user's secret in one of the ways."""

    def __init__(self, host: Host, server: LiveServer, tokens: TokenFactory) -> None:
        self.host = host
        self.server = server
        self._tokens = tokens

    def secret(self, way: str, user: str = "7") -> str:
        """Return a secret with which a user is logged in."""
        if way.startswith("jwt"):
            return self._tokens.good(sub=user, scope="items:*:subscribe items:*:history")
        secret = f"secret-{way.replace('_', '-')}-{user}"
        self.host.logins.begin(secret, user)
        return secret

    def presented(self, way: str, secret: str) -> tuple[str, dict[str, str]]:
        """Return the query and the headers that present a secret."""
        if way == "basic":
            secret = base64.b64encode(f"{secret}:x".encode()).decode()
        return WAYS[way].present(secret)

    def url(self, way: str, path: str, query: str = "") -> str:
        """Return a path of the channels that find callers in this way."""
        return f"/{MOUNTS[way]}{path}?{query}"

    @contextmanager
    def socket(
        self, way: str, path: str = ITEM, *, more: dict[str, str] | None = None, user: str = "7"
    ) -> Iterator[ChannelClient]:
        """Open a socket of a user."""
        query, headers = self.presented(way, self.secret(way, user))
        url = self.url(way, path, query)
        with self.server.client(url, headers=headers | (more or {})) as client:
            yield client

    def refused(
        self, way: str, secret: str | None, *, query: str = "", more: dict[str, str] | None = None
    ) -> str:
        """Return the reason for which a socket with this secret, or none, is refused."""
        its_query, headers = self.presented(way, secret) if secret is not None else ("", {})
        url = self.url(way, ITEM, "&".join(filter(None, [its_query, query])))
        return _told(self.server.refusal(url, headers=headers | (more or {})))


def _told(refusal: Refusal) -> str:
    assert refusal.code == 1008, refusal
    return refusal.reason


@pytest.fixture(scope="module")
def stranger(clock: Clock, tokens: TokenFactory) -> Iterator[Stranger]:
    """Give a running host."""
    host = host_with_ways(tokens, clock)
    with live_application(host.app) as server:
        yield Stranger(host, server, tokens)


@pytest.fixture(scope="module")
def clock() -> Clock:
    """Give the time, which the tests move."""
    return Clock()


@pytest.fixture(scope="module")
def tokens(clock: Clock) -> TokenFactory:
    """Give what makes tokens that the JWT way accepts."""
    return TokenFactory(signing_key_from_secret(new_secret()), clock=clock)


@ALL
def test_lets_its_users_in(stranger: Stranger, way: str) -> None:
    """On one item and on many; the other attacks are known to fail for another reason."""
    with stranger.socket(way) as client:
        assert client.welcome()["subject"] == "7"
    with stranger.socket(way, "/ws") as client:
        assert client.ask("join", item="order:7")["type"] == "welcome"


@ALL
def test_refuses_strangers(stranger: Stranger, way: str) -> None:
    """One without a credential and one with a wrong one are told different things."""
    assert stranger.refused(way, None) == "credentials_missing"
    assert stranger.refused(way, "wrong") == "credentials_invalid"


@ALL
def test_believes_a_foreign_page_only_what_it_must_know(stranger: Stranger, way: str) -> None:
    """What a browser, or a proxy, adds by itself is not enough there (CWE-1385)."""
    if WAYS[way].foreign_pages_may:
        with stranger.socket(way, more=EVIL) as client:
            assert client.welcome()["subject"] == "7"
    else:
        assert stranger.refused(way, stranger.secret(way), more=EVIL) == "origin_denied"
    with stranger.socket(way, more={"origin": stranger.server.url}) as client:
        assert client.welcome()["subject"] == "7"


@AMBIENT
@pytest.mark.parametrize("junk", ["token=junk", "token=", "ticket=" + "x" * 43])
def test_junk_of_a_foreign_page_does_not_unlock_what_its_browser_adds(
    stranger: Stranger, way: str, junk: str
) -> None:
    """The victim's cookie is hidden where the page's own token is shown."""
    reason = stranger.refused(way, stranger.secret(way), query=junk, more=EVIL)

    refusals = {"credentials_missing", "credentials_invalid", "origin_denied", "ticket_invalid"}
    assert reason in refusals


def test_what_was_hidden_stays_hidden_on_the_open_socket(stranger: Stranger) -> None:
    """A page with a token of its own and a victim's cookie stays who the token says."""
    victim = f"sid={stranger.secret('cookie', '8')}"
    mine = stranger.secret("optional_bearer", "7")
    url = stranger.url("optional_bearer", "/ws", f"token={mine}")

    with stranger.server.client(url, headers=EVIL | {"cookie": victim}) as client:
        joined = client.ask("join", item="order:8")
        client.ask("refresh", token=mine)
        again = client.ask("join", item="order:7")

    assert (joined["subject"], joined["can"]) == ("7", ["subscribe", "history"])
    assert again["can"] == ["subscribe", "publish", "history"]


@pytest.mark.parametrize("way", ["jwt_query", "bearer_query", "optional_bearer"])
def test_refuses_tokens_that_contradict_each_other(stranger: Stranger, way: str) -> None:
    """Two readers of such a request might pick different ones."""
    good = stranger.secret(way)
    other = {"authorization": f"Bearer {stranger.secret(way, '8')}"}

    assert stranger.refused(way, good, query=f"token={good}") == "credentials_invalid"
    assert stranger.refused(way, good, query="token=junk") == "credentials_invalid"
    assert stranger.refused(way, good, more=other) == "credentials_invalid"
    with stranger.socket(way, more={"authorization": f"Bearer {good}"}) as client:
        client.welcome()


def test_refuses_an_api_key_twice(stranger: Stranger) -> None:
    """Starlette would take the last one, a proxy perhaps the first."""
    good = stranger.secret("key_query")

    assert stranger.refused("key_query", good, query="api_key=x") == "credentials_invalid"


@pytest.mark.parametrize("junk", ["a\r\nx-user: 8", "ü", "\0"])
def test_shows_no_token_that_is_no_header(stranger: Stranger, junk: str) -> None:
    """A host may pass the header on."""
    query = f"token={quote(junk)}"

    assert stranger.refused("bearer", None, query=query) == "credentials_invalid"


@HOSTS
def test_a_form_of_a_foreign_page_changes_nothing(stranger: Stranger, way: str) -> None:
    """With or without an Origin; a program that sends neither is no browser."""
    query, headers = stranger.presented(way, stranger.secret(way))
    url = stranger.server.url + stranger.url(way, "/items/order:7/messages", query)
    cross = {"sec-fetch-site": "cross-site"}
    answers = [
        httpx.post(url, json={"data": 1}, headers=headers | more).status_code
        for more in (EVIL | cross, cross, {"origin": stranger.server.url}, {})
    ]

    foreign = 201 if WAYS[way].foreign_pages_may else 403
    own = 403 if "cookie" in headers else 201  # a cookie needs an Origin to change something
    assert answers == [foreign, foreign, 201, own]


def test_ends_when_the_login_does(stranger: Stranger, clock: Clock) -> None:
    """The host's `expires_at`, or the token's own: in each of the ways."""
    with ExitStack() as sockets:
        clients = [sockets.enter_context(stranger.socket(way, user="70")) for way in WAYS]
        for client in clients:
            client.welcome()
        clock.advance(LIFE + 60)
        told = {way: _told(one.ending()) for way, one in zip(WAYS, clients, strict=True)}

    assert told == dict.fromkeys(WAYS, "token_expired")


@ALL
def test_ends_when_the_caller_is_revoked(stranger: Stranger, way: str) -> None:
    """And comes back only when the revocation is over."""
    user = str(100 + list(WAYS).index(way))
    with stranger.socket(way, user=user) as client:
        client.welcome()
        httpx.post(f"{stranger.server.url}/revoke/{MOUNTS[way]}/{user}")
        assert _told(client.ending()) == "token_revoked"

    assert stranger.refused(way, stranger.secret(way, user)) == "token_revoked"
    with stranger.socket(way) as client:
        client.welcome()


def ticket_of(stranger: Stranger, way: str, secret: str, **wanted: str) -> str:
    """Ask for a ticket with a secret, as a page of the application does."""
    query, headers = stranger.presented(way, secret)
    own = {"origin": stranger.server.url}
    url = stranger.server.url + stranger.url(way, "/auth/tickets", query)
    answer = httpx.post(url, json=wanted, headers=headers | own)
    assert answer.status_code == 200, answer.text
    ticket: str = answer.json()["ticket"]
    return ticket


@ALL
def test_a_ticket_opens_a_socket_as_its_owner(stranger: Stranger, way: str) -> None:
    """Once, on a foreign page too, beside whatever the browser there adds of another user."""
    victim = {"cookie": f"sid={stranger.secret('cookie', '8')}"}
    secret = stranger.secret(way)
    ticket = f"ticket={ticket_of(stranger, way, secret)}"
    many = f"ticket={ticket_of(stranger, way, secret)}"

    with stranger.server.client(stranger.url(way, ITEM, ticket), headers=EVIL | victim) as client:
        assert client.welcome()["subject"] == "7"
    with stranger.server.client(stranger.url(way, "/ws", many), headers=EVIL | victim) as client:
        assert client.ask("join", item="order:7")["subject"] == "7"
        assert client.ask("join", item="order:8").get("can") == ["subscribe", "history"]
    assert stranger.refused(way, None, query=ticket) == "ticket_invalid"


@HOSTS
def test_a_ticket_is_worth_what_its_owner_is(stranger: Stranger, way: str) -> None:
    """The host is asked again: whoever was logged out meanwhile, or is somebody else, is out."""
    logins, secret = stranger.host.logins, stranger.secret(way)
    gone, changed, bound, beside = (
        f"ticket={ticket_of(stranger, way, secret, item=item)}"
        for item in ("order:7", "order:7", "order:8", "order:7")
    )
    logins.end(secret)
    assert stranger.refused(way, None, query=gone) == "credentials_invalid"
    logins.begin(secret, "8")
    assert stranger.refused(way, None, query=changed) == "ticket_invalid"
    logins.begin(secret, "7")
    assert stranger.refused(way, None, query=bound) == "ticket_invalid"
    assert stranger.refused(way, None, query=f"{beside}&token=x") == "credentials_invalid"
    with stranger.server.client(stranger.url(way, ITEM, beside)) as client:
        assert client.welcome()["subject"] == "7"


@HOSTS
def test_a_host_has_sessions_of_its_own(stranger: Stranger, way: str) -> None:
    """A token in the cookie of ours would name nobody there."""
    url = stranger.server.url + stranger.url(way, "/auth/session")
    headers = {"authorization": f"Bearer {stranger.secret(way)}"}

    assert httpx.post(url, headers=headers).status_code == 404
    assert httpx.delete(url).status_code == 404


@HOSTS
def test_lacks_a_right_by_the_rule_and_not_by_a_token(stranger: Stranger, way: str) -> None:
    """No other token would help: `forbidden`, never `scope_missing`."""
    query, headers = stranger.presented(way, stranger.secret(way))
    url = stranger.server.url + stranger.url(way, "/items/order:8/messages", query)
    own = {"origin": stranger.server.url}

    assert httpx.post(url, json={"data": 1}, headers=headers | own).json()["code"] == "forbidden"


@pytest.fixture(scope="module")
def watched(clock: Clock, tokens: TokenFactory) -> Iterator[Stranger]:
    """Give another host, which stops whoever is refused three times a minute."""
    host = host_with_ways(tokens, clock, slow_after_refusals=0, stop_after_refusals=3)
    with live_application(host.app) as server:
        yield Stranger(host, server, tokens)


@pytest.mark.parametrize("way", {MOUNTS[way]: way for way in WAYS}.values())
def test_stops_guessing_before_the_host_is_asked(watched: Stranger, way: str) -> None:
    """Then even the right secret is not looked at; and a drained node lets nobody in."""
    with watched.socket(way) as client:
        client.welcome()
        told = [watched.refused(way, f"guess-{n}") for n in range(3)]
        assert watched.refused(way, watched.secret(way)) == "rate_limited"
        httpx.post(f"{watched.server.url}/drain/{MOUNTS[way]}")
        drained = client.ending()

    assert told == ["credentials_invalid"] * 3
    assert (drained.code, drained.reason) == (1012, "draining")
    query, headers = watched.presented(way, watched.secret(way))
    assert watched.server.refusal(watched.url(way, ITEM, query), headers=headers).code == 1012
