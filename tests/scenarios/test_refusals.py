"""Bad credentials, in both refusal modes: what a client sees, and that good ones get in."""

import json
from typing import Required, TypedDict

import pytest
from websockets.exceptions import InvalidStatus

from itemwire.testing import Refusal
from itemwire_auth.testing import ABSENT, BAD_TOKENS
from tests.scenarios.clients import JSON, JsonClient, item_path
from tests.scenarios.conftest import Door, fastpath_only

BARE = item_path("42")

# What reaches a server in a header as it was written; the rest would be no HTTP.
HEADER_FAULTS = [
    "expired",
    "garbage",
    "no_exp",
    "not_yet_valid",
    "wrong_signature",
    "unsigned",
    "wrong_issuer",
    "wrong_audience",
    "wrong_type",
    "empty_sub",
    "crit",
    "no_signature",
    "hs256_with_rsa_public_key",
]
# Longer than any request head may be: it ends before the application.
TOO_LONG_FOR_A_HEAD = "oversized_by_far"
# Longer than any line of a head that uvicorn's own classes answer.
TOO_LONG_FOR_STOCK = "oversized"


@pytest.mark.parametrize(
    "fault", sorted(BAD_TOKENS.keys() - {TOO_LONG_FOR_A_HEAD, TOO_LONG_FOR_STOCK})
)
def test_refuses_a_bad_token_in_the_query(door: Door, fault: str) -> None:
    """Every fault looks the same from outside: no oracle for strangers (requirements 27-58)."""
    bad = BAD_TOKENS[fault](door.tokens)

    assert door.refusal(door.path(token=bad)) == door.says("credentials_invalid")


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="plain"),
        pytest.param({"aud": ["another", "itemwire-tests"]}, id="one_audience_of_two"),
        pytest.param({"iat": ABSENT}, id="no_iat"),
        pytest.param({"nbf": 0}, id="valid_for_long"),
        pytest.param({"jti": "a", "x": [{"y": None}], "name": "Ä\U0001f44d"}, id="more_claims"),
        pytest.param({"sub": "a" * 256}, id="longest_subject"),
        pytest.param({"scope": ABSENT, "items": {"42": ["subscribe"]}}, id="items_map"),
        pytest.param({"scope": "openid items:*:subscribe items:42:fly"}, id="foreign_scopes"),
    ],
)
def test_takes_a_good_token_in_the_query(door: Door, claims: dict[str, object]) -> None:
    """The table of refusals proves nothing unless their good twins get in."""
    assert door.welcomes(door.path(token=door.tokens.good(**claims)))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"typ": "application/at+jwt"}, id="full_media_type"),
        pytest.param({"typ": "AT+JWT"}, id="capitals"),
        pytest.param({"jku": "http://127.0.0.1:9/keys", "x5c": ["MIIB"]}, id="keys_unlooked_at"),
    ],
)
def test_takes_a_token_with_a_good_header(door: Door, header: dict[str, object]) -> None:
    """A media type has no case and may be written in full (RFC 7515 section 4.1.9)."""
    token = door.tokens.sign(door.tokens.header(**header), door.tokens.claims())

    assert door.welcomes(door.path(token=token))


def test_refuses_no_credential(door: Door) -> None:
    """A client that forgot its token learns that, and nothing else."""
    assert door.refusal(BARE) == door.says("credentials_missing")
    assert door.refusal("/ws/echo") == door.says("credentials_missing")


def test_refuses_no_credential_to_a_client_without_subprotocol(door: Door) -> None:
    """A tutorial's page sees what a client of envelopes sees."""
    assert door.server.refusal(BARE) == door.says("credentials_missing")


def test_takes_another_scheme_of_authorization_for_none(door: Door) -> None:
    """`Basic` is not ours: a proxy may have put it there."""
    basic = {"Authorization": "Basic YWxpY2U6c2VjcmV0"}

    assert door.refusal(BARE, headers=basic) == door.says("credentials_missing")
    assert door.welcomes(door.path(), headers=basic)


@fastpath_only
@pytest.mark.parametrize("length", [9_000, 20_000, pytest.param(60_000, id="almost_a_whole_head")])
def test_refuses_an_oversized_token_with_a_reason(door: Door, length: int) -> None:
    """Stock uvicorn answers nothing past 8 KiB a line; a client must learn what is wrong."""
    assert door.refusal(door.path(token="a" * length)) == door.says("credentials_invalid")


@fastpath_only
def test_takes_a_token_of_the_longest_length(door: Door) -> None:
    """And refuses a good one past it; stock answers nothing to a line so long, in either case."""
    oversized = BAD_TOKENS[TOO_LONG_FOR_STOCK](door.tokens)
    spare = 8192 - len(door.tokens.good(x=""))
    long = door.tokens.good(x="a" * (spare * 3 // 4 - 2))

    assert 8180 < len(long) <= 8192
    assert door.welcomes(door.path(token=long))
    assert door.refusal(door.path(token=oversized)) == door.says("credentials_invalid")


@fastpath_only
@pytest.mark.parametrize("where", ["query", "authorization"])
def test_answers_a_head_that_is_too_long_by_status(door: Door, where: str) -> None:
    """414 or 431, never silence, which is stock's answer (requirement 3)."""
    endless = BAD_TOKENS[TOO_LONG_FOR_A_HEAD](door.tokens)
    status = {"query": 414, "authorization": 431}[where]
    path = door.path(token=endless) if where == "query" else BARE
    headers = {"Authorization": f"Bearer {endless}"} if where == "authorization" else None

    assert door.refusal(path, headers=headers).status == status


@pytest.mark.parametrize("fault", HEADER_FAULTS)
def test_refuses_a_bad_token_in_the_authorization_header(door: Door, fault: str) -> None:
    """The faults are the token's, wherever it is presented."""
    bearer = {"Authorization": f"Bearer {BAD_TOKENS[fault](door.tokens)}"}

    assert door.refusal(BARE, headers=bearer) == door.says("credentials_invalid")


@pytest.mark.parametrize(
    "scheme",
    [
        pytest.param("Bearer  {}", id="two_spaces"),
        pytest.param("Bearer\t{}", id="tab"),
        pytest.param("Bearer", id="no_token"),
        pytest.param("Bearer Bearer {}", id="scheme_twice"),
        pytest.param("Bearer {}, Bearer {}", id="list"),
        pytest.param('Bearer "{}"', id="quoted"),
    ],
)
def test_repairs_no_authorization_header(door: Door, scheme: str) -> None:
    """What two readers could take for different tokens is refused (requirement 25)."""
    bearer = {"Authorization": scheme.replace("{}", door.tokens.good())}

    assert door.refusal(BARE, headers=bearer) == door.says("credentials_invalid")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_takes_a_token_in_the_authorization_header(door: Door, scheme: str) -> None:
    """A scheme's name has no case (RFC 9110 section 11.1)."""
    assert door.welcomes(BARE, headers={"Authorization": f"{scheme} {door.tokens.good()}"})


@pytest.mark.parametrize("fault", [*HEADER_FAULTS, "only_dots", "four_parts"])
def test_refuses_a_bad_token_among_the_subprotocols(door: Door, fault: str) -> None:
    """The one header a browser lets a page set carries the same tokens."""
    offered = (f"itemwire.token.{BAD_TOKENS[fault](door.tokens)}",)

    assert door.refusal(BARE, subprotocols=offered) == door.says("credentials_invalid")


def test_takes_a_token_among_the_subprotocols(door: Door) -> None:
    """A codec and a token are offered side by side, and the codec is what is answered."""
    offered = (f"itemwire.token.{door.tokens.good()}",)

    assert door.welcomes(BARE, subprotocols=offered)


@pytest.mark.parametrize("fault", [*HEADER_FAULTS, "empty", "padded"])
def test_refuses_a_bad_token_in_the_cookie(door: Door, fault: str) -> None:
    """A session cookie holds a token, and a token is checked."""
    cookie = {"Cookie": f"session={BAD_TOKENS[fault](door.tokens)}", "Origin": door.server.url}

    assert door.refusal(BARE, headers=cookie) == door.says("credentials_invalid")


@pytest.mark.parametrize("pairs", ["session={}", "a=b; session={}; theme=dark", "=x;session={}"])
def test_takes_a_token_in_the_cookie(door: Door, pairs: str) -> None:
    """Other cookies of the site stand beside it."""
    cookie = {"Cookie": pairs.format(door.tokens.good()), "Origin": door.server.url}

    assert door.welcomes(BARE, headers=cookie)


def test_refuses_a_cookie_of_another_name_as_no_credential(door: Door) -> None:
    """Only the configured name counts (requirement 18)."""
    cookie = {"Cookie": f"Session={door.tokens.good()}; xsession={door.tokens.good()}"}

    assert door.refusal(BARE, headers=cookie) == door.says("credentials_missing")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Cookie": "session={0}; session={0}"}, id="cookie_in_one_header"),
        pytest.param({"Cookie": "session={0}", "cookie": "session={0}"}, id="cookie_in_two"),
        pytest.param({"Cookie": "session={0}; session="}, id="cookie_and_empty_one"),
        pytest.param({"Authorization": "Bearer {0}", "authorization": "Bearer {0}"}, id="bearer"),
    ],
)
def test_refuses_a_header_credential_given_twice(door: Door, headers: dict[str, str]) -> None:
    """Which one counts would be a guess, even where both are good (ASVS 15.3.7)."""
    presented = {name: value.format(door.tokens.good()) for name, value in headers.items()}

    assert door.refusal(BARE, headers=presented) == door.says("credentials_invalid")


@pytest.mark.parametrize(
    "query", ["token={0}&token={0}", "token={0}&tok%65n={0}", "token=&token={0}"]
)
def test_refuses_a_query_token_given_twice(door: Door, query: str) -> None:
    """FastAPI takes the last: a proxy that looked at the first was deceived (requirement 21)."""
    path = BARE + query.format(door.tokens.good())

    assert door.refusal(path) == door.says("credentials_invalid")
    assert door.welcomes(BARE + "tok%65n=" + door.tokens.good())


def test_refuses_two_tokens_among_the_subprotocols(door: Door) -> None:
    """The list is one source; it holds one token."""
    offered = (f"itemwire.token.{door.tokens.good()}", f"itemwire.token.{door.tokens.good(x=1)}")

    assert door.refusal(BARE, subprotocols=offered) == door.says("credentials_invalid")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"sub": "mallory"}, id="another_subject"),
        pytest.param({"exp": 1}, id="an_expired_one"),
        pytest.param({"sub": ""}, id="a_bad_one"),
    ],
)
@pytest.mark.parametrize("source", ["authorization", "subprotocol", "cookie"])
def test_refuses_two_sources_that_disagree(
    door: Door, source: str, other: dict[str, object]
) -> None:
    """No silent preference: who is logged must be who is meant (requirements 17, 24)."""
    assert door.refusal(**_beside(door, source, other)) == door.says("credentials_invalid")


@pytest.mark.parametrize("source", ["authorization", "subprotocol", "cookie"])
def test_takes_two_sources_that_agree(door: Door, source: str) -> None:
    """A page may have a cookie and still use its token."""
    assert door.welcomes(**_beside(door, source, {"jti": "another"}))


def test_follows_the_documented_precedence(door: Door) -> None:
    """Of two good tokens of one caller, the header's rights hold, not the query's."""
    bearer = {"Authorization": f"Bearer {door.tokens.good(scope='items:subscribe')}"}
    with door.server.connect(door.path(), headers=bearer, subprotocols=(JSON,)) as connection:
        can = JsonClient(connection).welcome["can"]

    assert can == ["subscribe"]


def test_a_denial_over_http_is_neither_stored_nor_unexplained(door: Door) -> None:
    """RFC 9110 section 15.5.2: a 401 names a scheme; no cache may keep the answer."""
    if door.mode == "close":
        assert door.server.refusal(BARE) == Refusal(101, 1008, "credentials_missing")
        return
    with pytest.raises(InvalidStatus) as denied, door.server.connect(BARE):
        pass
    headers = denied.value.response.headers

    assert headers["WWW-Authenticate"] == "Bearer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(denied.value.response.body or b"")["reason"] == "credentials_missing"


class Presented(TypedDict, total=False):
    """How a client comes."""

    path: Required[str]
    headers: dict[str, str]
    subprotocols: tuple[str, ...]


def _beside(door: Door, source: str, claims: dict[str, object]) -> Presented:
    """Present a good token in the query and another one elsewhere."""
    token = door.tokens.good(**claims)
    if source == "subprotocol":
        return {"path": door.path(), "subprotocols": (f"itemwire.token.{token}",)}
    headers = {
        "authorization": {"Authorization": f"Bearer {token}"},
        "cookie": {"Cookie": f"session={token}", "Origin": door.server.url},
    }
    return {"path": door.path(), "headers": headers[source]}
