"""How bad it is to take each bad token, and what a token must have for that to be a fault."""

import pytest

from itemwire_auth.testing import BAD_TOKENS, Severity, TokenFactory, needs_of, severity_of
from itemwire_auth.testing import severities as table


def test_the_worst_comes_first() -> None:
    """A search as far as weaknesses finds the holes, too."""
    assert [severity.value for severity in Severity] == ["hole", "weakness", "rule"]
    assert Severity.WEAKNESS.includes(Severity.HOLE)
    assert Severity.WEAKNESS.includes(Severity.WEAKNESS)
    assert not Severity.WEAKNESS.includes(Severity.RULE)
    assert Severity.HOLE.at_most(Severity.WEAKNESS) is Severity.WEAKNESS
    assert Severity.RULE.at_most(Severity.WEAKNESS) is Severity.RULE


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("alg_none", Severity.HOLE),
        ("expired", Severity.HOLE),
        ("kid_sql", Severity.HOLE),
        ("no_exp", Severity.WEAKNESS),
        ("kid_number", Severity.RULE),
        ("payload_nan", Severity.RULE),
    ],
)
def test_each_row_has_one(name: str, severity: Severity) -> None:
    """A forgery is worse than a spelling."""
    assert severity_of(name) is severity


def test_every_row_has_one_and_nothing_else() -> None:
    """A row that is renamed must not become harmless by it."""
    assert {severity_of(name) for name in BAD_TOKENS} == set(Severity)
    assert BAD_TOKENS.keys() >= table.WEAKNESSES | table.HOLES
    assert not table.WEAKNESSES & table.HOLES
    with pytest.raises(KeyError):
        severity_of("no_such_row")


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("garbage", set[str]()),
        ("alg_none_upper", set[str]()),
        ("kid_path", set[str]()),
        ("expired", {"signing"}),
        ("oversized", {"signing"}),
        ("payload_nan", {"signing"}),
        ("no_issuer", {"signing", "issuer"}),
        ("wrong_audience", {"signing", "audience"}),
        ("no_type", {"signing", "type"}),
    ],
)
def test_a_row_is_a_fault_only_of_what_a_token_has(name: str, needs: set[str]) -> None:
    """A forgery needs no key; another audience is a fault where there is one."""
    assert needs_of(name) == needs


def test_a_factory_without_a_claim_leaves_it_out(factory: TokenFactory) -> None:
    """A plain application knows no issuer, audience or type, and may refuse those of others."""
    plain = TokenFactory(factory.key, issuer=None, audience=None, token_type=None)

    assert not {"iss", "aud"} & plain.claims().keys()
    assert "typ" not in plain.header()
    assert {"iss", "aud"} <= factory.claims().keys()
    assert (plain.rules.issuer, plain.rules.audience, plain.rules.types) == (None, (), ())
