"""Tests of explaining.py: how a decision on a token, an item and an action is explained."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from typing_extensions import override

from itemwire_auth.errors import PolicyUnavailable, Unavailable
from itemwire_auth.explaining import Decision, explain
from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.policies import Policy, TokenRights
from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocation, Revocations
from itemwire_auth.scopes import Action
from itemwire_auth.testing import BAD_TOKENS, TokenFactory
from itemwire_auth.tokens.checks import CHECKS
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.conftest import verifier_of


class Raising(Policy):
    """A policy that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @override
    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        raise self.error


def decide(
    verifier: TokenVerifier,
    token: str,
    item_id: str | None = None,
    action: Action | None = None,
    policy: Policy | None = None,
) -> Decision:
    """Explain one decision."""
    return asyncio.run(explain(verifier, policy or TokenRights(), token, item_id, action))


def beyond_the_token(decision: Decision) -> list[tuple[str, bool | None, str]]:
    """Return the rows that follow the token's checks."""
    return [(row.name, row.passed, row.detail) for row in decision.checks[len(CHECKS) :]]


def test_says_all_checks_in_their_order(verifier: TokenVerifier, factory: TokenFactory) -> None:
    """The token's own first, then the item, the policy, the action."""
    decision = decide(verifier, factory.good(scope="items:publish"), "42", Action.PUBLISH)

    assert decision.accepted
    assert [row.name for row in decision.checks] == [*CHECKS, "item", "policy", "action"]
    assert beyond_the_token(decision)[1:] == [
        ("policy", True, "TokenRights: publish"),
        ("action", True, ""),
    ]


def test_a_bad_token_is_asked_nothing_more(verifier: TokenVerifier, factory: TokenFactory) -> None:
    """And its reason is the one word that a stranger is told."""
    decision = decide(verifier, BAD_TOKENS["expired"](factory), "42", Action.PUBLISH)

    assert decision.reason == "credentials_invalid"
    assert [row.name for row in decision.checks if row.passed is False] == ["expiry"]
    assert {passed for _, passed, _ in beyond_the_token(decision)} == {None}


@pytest.mark.parametrize(
    ("scope", "asked", "reason", "failed"),
    [
        pytest.param(
            "items:7:publish", ("42", Action.PUBLISH), "forbidden", "action", id="elsewhere"
        ),
        pytest.param(
            "items:subscribe", ("42", Action.PUBLISH), "scope_missing", "action", id="nowhere"
        ),
        pytest.param("admin", ("42",), "scope_missing", "policy", id="nothing"),
        pytest.param(
            "items:publish", ("a/b", Action.PUBLISH), "item_invalid", "item", id="no-item"
        ),
        pytest.param("items:publish", ("42", Action.PUBLISH), None, None, id="granted"),
        pytest.param("items:publish", ("42",), None, None, id="any-action"),
        pytest.param("", (), None, None, id="token-only"),
    ],
)
def test_says_what_the_rights_decide(
    factory: TokenFactory,
    scope: str,
    asked: tuple[Any, ...],
    reason: str | None,
    failed: str | None,
) -> None:
    """The reason is the client's, the row the operator's."""
    decision = decide(verifier_of(factory), factory.good(scope=scope), *asked)

    assert decision.reason == reason
    assert [row.name for row in decision.checks if row.passed is False] == [failed] * bool(failed)
    assert all(row.detail for row in decision.checks if row.passed is False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(PolicyUnavailable("no answer in 2 s"), "overloaded", id="unavailable"),
        pytest.param(ZeroDivisionError("of theirs"), "internal", id="failed"),
    ],
)
def test_says_why_a_policy_gave_no_answer(
    verifier: TokenVerifier, factory: TokenFactory, error: Exception, reason: str
) -> None:
    """It denies, and its action is not reached."""
    decision = decide(verifier, factory.good(), "42", Action.PUBLISH, Raising(error))

    (item, policy, action) = beyond_the_token(decision)
    assert decision.reason == reason
    assert (item[1], policy[1], action[1]) == (True, False, None)
    assert str(error) in policy[2]


def test_a_token_that_ends_while_it_is_explained_is_explained_as_such(
    factory: TokenFactory,
) -> None:
    """It was the administrator who was told `credentials_invalid` then."""
    end = factory.now + 300
    times = iter([end - 1, end, end])
    keys = StaticKeys([factory.key.verification_key()])
    verifier = TokenVerifier(keys, factory.rules, clock=lambda: next(times))

    decision = decide(verifier, factory.good(exp=end), "42")

    assert decision.reason == "credentials_invalid"
    assert [row.name for row in decision.checks if row.passed is False] == ["expiry"]


def test_says_that_a_key_cannot_be_had_yet(factory: TokenFactory) -> None:
    """It is no fault of the token, and its bearer is told to come back (requirement 134)."""

    class Away(StaticKeys):
        @override
        async def refresh_for(self, _kid: str | None, /) -> bool:
            raise Unavailable("the issuer is away")

    verifier = TokenVerifier(Away([]), factory.rules, factory.clock)

    decision = decide(verifier, factory.good(), "42")

    assert decision.reason == "overloaded"
    assert [(row.name, row.detail) for row in decision.checks if row.passed is False] == [
        ("key", "it names none of several keys: the issuer is away")
    ]
    assert decide(verifier, BAD_TOKENS["crit"](factory)).reason == "credentials_invalid"


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        pytest.param((), ["revoked"], id="token-only"),
        pytest.param(("42",), ["revoked", "item", "policy"], id="item"),
        pytest.param(("42", Action.PUBLISH), ["revoked", "item", "policy", "action"], id="action"),
    ],
)
def test_says_that_a_token_was_revoked(
    factory: TokenFactory, asked: tuple[Any, ...], rows: list[str]
) -> None:
    """Before all that it may do, which is not looked at then; another token is not revoked."""
    revocations = Revocations(clock=factory.clock)
    revocations.add(Revocation(factory.now + 60, token_id="t1"))
    verifier = verifier_of(factory)

    def decided(token: str) -> tuple[str | None, list[tuple[str, bool | None]]]:
        steps = explain(verifier, TokenRights(), token, *asked, revocations=revocations)
        decision = asyncio.run(steps)
        return decision.reason, [row[:2] for row in beyond_the_token(decision)]

    assert decided(factory.good(jti="t1")) == (
        "token_revoked",
        [("revoked", False), *((name, None) for name in rows[1:])],
    )
    assert decided(factory.good(jti="t2")) == (None, [(name, True) for name in rows])
    bad = BAD_TOKENS["expired"](factory)
    assert decided(bad) == ("credentials_invalid", [(name, None) for name in rows])


def test_reports_a_decision_as_json(verifier: TokenVerifier, factory: TokenFactory) -> None:
    """What `POST /admin/explain` answers: every check by its name, and how it ended."""
    decision = asyncio.run(explain(verifier, TokenRights(), factory.good(), "42", Action.PUBLISH))
    report = decision.report()

    assert (report["accepted"], report["reason"]) == (True, None)
    assert [tuple(row) for row in report["checks"]] == [("check", "passed", "detail")] * len(
        decision.checks
    )
    assert report["checks"][-2]["check"] == "policy"
    assert report["checks"][-2]["passed"] is True
    assert report["checks"][-2]["detail"].startswith("TokenRights: history")
