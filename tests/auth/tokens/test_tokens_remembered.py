"""Tests of tokens/verifier.py: a remembered token is judged as if it came for the first time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from itemwire_auth.errors import InvalidToken
from itemwire_auth.keys.algorithms import VerificationKey
from itemwire_auth.keys.base import KeySource
from itemwire_auth.principal import Principal
from itemwire_auth.testing import BAD_TOKENS, TokenFactory, signing_key
from itemwire_auth.tokens.parsed_token import TokenRules
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import NOW

Keys = dict[str | None, VerificationKey]

FACTORY = TokenFactory(signing_key("HS256"), clock=lambda: NOW)
KEY = replace(FACTORY.key.verification_key(), kid="a")
ONLY_KEY: Keys = {None: KEY, "a": KEY}  # as of a set of one, which tokens need not name


@dataclass
class Server(KeySource):
    """A verifier whose clock and keys change under it."""

    keys: Keys
    rules: TokenRules
    now: float = NOW
    max_remembered: int = 100_000

    def __post_init__(self) -> None:
        self.verifier = TokenVerifier(self, self.rules, lambda: self.now, self.max_remembered)

    @override
    def find(self, kid: str | None, _algorithm: str | None = None, /) -> VerificationKey | None:
        """Return a key by the exact text of its name."""
        return self.keys.get(kid)

    def outcome(self, token: str) -> Principal | str:
        """Return the principal that the token names, or the check that it failed."""
        try:
            return self.verifier.verify(token)
        except InvalidToken as error:
            return error.check


@pytest.fixture
def server() -> Server:
    """Return a server that accepts the good tokens of the factory."""
    return Server(ONLY_KEY, FACTORY.rules)


offsets = st.integers(-120, 120)
dates = st.fixed_dictionaries({"exp": offsets}, optional={"nbf": offsets, "iat": offsets})
clocks = st.lists(offsets | st.floats(-120, 120), min_size=2, max_size=6)


@given(dates=dates, clocks=clocks, leeway=st.sampled_from([0, 0.5, 30]))
def test_a_known_token_is_judged_as_an_unknown_one(
    dates: dict[str, int], clocks: list[float], leeway: float
) -> None:
    """At any time, with a clock that may be set back: the same principal, or the same refusal."""
    rules = replace(FACTORY.rules, leeway=leeway, max_lifetime=150)
    token = FACTORY.good(**{"iat": NOW, **{name: NOW + date for name, date in dates.items()}})
    remembering = Server(ONLY_KEY, rules)

    for clock in clocks:
        remembering.now = NOW + clock
        forgetful = replace(remembering)

        assert remembering.outcome(token) == forgetful.outcome(token)


def test_all_who_present_one_token_share_what_it_says(server: Server) -> None:
    """Ten thousand idle sockets of one token hold one principal, not one each."""
    token = FACTORY.good()

    assert server.outcome(token) is server.outcome(token)
    assert server.outcome(token) is not server.outcome(FACTORY.good(jti="another"))


def test_what_is_shared_cannot_be_changed(server: Server) -> None:
    """One connection's dependency must not write into what the next one reads."""
    rights = {"items": {"a": ["publish"]}, "roles": [{"name": "x"}]}

    claims = server.verifier.verify(FACTORY.good(**rights)).claims

    assert claims["roles"] == ({"name": "x"},)
    with pytest.raises(TypeError):
        claims["items"]["a"] = ("subscribe",)  # type: ignore[index] # the point of the test


def test_a_known_token_expires(server: Server) -> None:
    """The same refusal, with the same words, as if it had never been seen."""
    token = FACTORY.good()
    server.outcome(token)

    server.now = NOW + 300

    with pytest.raises(InvalidToken, match="it expired 0 s ago") as refused:
        server.verifier.verify(token)
    assert refused.value.check == "expiry"
    assert [result.name for result in server.verifier.explain(token) if result.passed is False] == [
        "expiry"
    ]


@pytest.mark.parametrize(
    ("keys", "check"),
    [
        pytest.param({}, "key", id="removed"),
        pytest.param({None: signing_key("HS512").verification_key()}, "algorithm", id="other"),
        pytest.param({None: replace(KEY, key=b"x" * 32)}, "signature", id="new"),
        pytest.param({"a": KEY, "b": KEY}, "key", id="one-of-two"),
    ],
)
def test_a_known_token_falls_with_its_key(keys: Keys, check: str, server: Server) -> None:
    """A key is rotated out because it leaked: what it signed ends at that moment."""
    token = FACTORY.good()
    known = server.outcome(token)
    before = server.keys

    server.keys = keys
    assert server.outcome(token) == check

    server.keys = before
    assert server.outcome(token) == known


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_refusal_is_not_remembered(name: str, server: Server) -> None:
    """Refused at first, refused again, and a good token is none the worse for it."""
    good, bad = FACTORY.good(), BAD_TOKENS[name](FACTORY)
    known = server.outcome(good)

    first, second = server.outcome(bad), server.outcome(bad)

    assert isinstance(first, str)
    assert first == second
    assert server.outcome(good) is known


def test_a_token_that_differs_in_one_place_is_another(server: Server) -> None:
    """Being near to a known token is worth nothing."""
    token = FACTORY.good()
    server.outcome(token)

    for place in range(len(token)):
        other = "A" if token[place] != "A" else "B"
        assert isinstance(server.outcome(token[:place] + other + token[place + 1 :]), str)


@pytest.mark.parametrize("token", ["\ud800", "é.é.é", "", "a" * 9000], ids=ascii)
def test_any_text_can_be_looked_up(token: str, server: Server) -> None:
    """A stranger's text is looked up before it is checked."""
    assert server.outcome(token) in ("form", "size")


def test_strangers_push_nothing_out(server: Server) -> None:
    """Refused tokens cost a flood its own time, and nobody else's."""
    server = replace(server, max_remembered=5_000)
    good = FACTORY.good()
    known = server.outcome(good)

    for number in range(200):
        server.outcome(f"{FACTORY.good(jti=str(number))[:-4]}AAAA")

    assert server.outcome(good) is known


def test_a_flood_of_good_tokens_is_forgotten_and_those_in_use_are_not(server: Server) -> None:
    """Memory is bounded whatever an issuer signs; a token that comes again and again stays."""
    server = replace(server, max_remembered=10_000)
    once, often = FACTORY.good(jti="once"), FACTORY.good(jti="often")
    first, known = server.outcome(once), server.outcome(often)

    for number in range(200):
        server.outcome(FACTORY.good(jti=str(number)))
        assert server.outcome(often) is known

    kept = [it for it in reachable_from(server.verifier) if isinstance(it, Principal)]
    assert len(kept) * len(once) <= 10_000
    assert server.outcome(once) == first
    assert server.outcome(once) is not first


def test_memory_holds_no_credential(server: Server) -> None:
    """What a crash dumps or a debugger shows of it lets nobody in."""
    token = FACTORY.good()
    server.outcome(token)

    texts = [it for it in reachable_from(server.verifier) if isinstance(it, str | bytes)]

    signature = token.rpartition(".")[2]
    assert not [text for text in texts if signature in str(text)]


def reachable_from(verifier: TokenVerifier) -> Iterator[object]:
    """Yield whatever a verifier remembers of tokens, in any depth."""
    seen: set[int] = set()
    ahead: list[object] = [verifier._verified]
    while ahead:
        it = ahead.pop()
        if id(it) not in seen and not isinstance(it, type):
            seen.add(id(it))
            yield it
            ahead += it if isinstance(it, dict) else ()
            ahead += gc.get_referents(it)


def test_the_longest_token_is_remembered_too() -> None:
    """One more character is too many for any check."""
    token = FACTORY.good()
    longest = Server(ONLY_KEY, replace(FACTORY.rules, max_length=len(token)))
    shorter = Server(ONLY_KEY, replace(FACTORY.rules, max_length=len(token) - 1))

    assert longest.outcome(token) is longest.outcome(token)
    assert isinstance(shorter.outcome(token), str)
