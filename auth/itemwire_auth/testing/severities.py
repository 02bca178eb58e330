"""How bad it is to let each attack in: a hole, a weakness, or against our rules only."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from itemwire_auth.testing.attacks import CLAIM_FAULTS, FORM_FAULTS, HEADER_FAULTS, JSON_FAULTS


class Severity(StrEnum):
    """How bad it is that a server lets an attack in; the worst first."""

    HOLE = "hole"  # somebody gets in who must not
    WEAKNESS = "weakness"  # a standard forbids it; alone it lets nobody in
    RULE = "rule"  # no standard forbids it, but Itemwire refuses it

    def includes(self, other: Severity) -> bool:
        """Return whether a search as far as this one finds the other, which is as bad or worse."""
        return _ORDER.index(other) <= _ORDER.index(self)

    def at_most(self, other: Severity) -> Severity:
        """Return the less severe of the two."""
        return self if self.includes(other) else other


_ORDER: Final = tuple(Severity)

# A token of the application's own issuer, with the right signature, that standards forbid to take.
WEAKNESSES: Final = frozenset(
    """
    no_exp exp_true exp_null exp_list nbf_float_ahead no_sub sub_null bound_to_sender
    wrong_type type_dpop alg_null alg_list alg_unknown no_alg alg_empty
    crit crit_empty crit_text crit_null b64_false b64_without_crit
    signature_longer trailing_bits
    """.split()  # noqa: SIM905 - a table, not a column
)

HOLES: Final = frozenset(
    """
    expired expires_now exp_float_past exp_negative not_yet_valid
    wrong_issuer issuer_prefix no_issuer
    wrong_audience audience_in_other_case audience_joined_by_comma audience_longer no_audience
    alg_none alg_none_capital alg_none_upper alg_none_mixed
    empty garbage garbage_in_three_parts only_dots two_parts no_signature no_payload
    unsigned unsigned_with_signature wrong_signature signature_of_zeros changed_payload
    signature_shorter own_key_in_header own_key_url_in_header own_certificate_in_header
    hs256_with_rsa_public_key hs256_with_empty_secret
    """.split()  # noqa: SIM905 - a table, not a column
)


def severity_of(name: str) -> Severity:
    """Return how bad it is to take a row of BAD_TOKENS; KeyError for no such row."""
    if name in WEAKNESSES:
        return Severity.WEAKNESS
    if name in HOLES or (name.startswith("kid_") and name not in HEADER_FAULTS):
        return Severity.HOLE
    if name in _OURS or name.startswith(("header_", "payload_")):
        return Severity.RULE
    raise KeyError(name)


_OURS: Final = CLAIM_FAULTS.keys() | HEADER_FAULTS.keys() | FORM_FAULTS.keys() | JSON_FAULTS.keys()
