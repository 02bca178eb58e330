"""Tests of tokens/parsed_token.py: what rules may be, and what is never shown."""

from __future__ import annotations

import dataclasses

import pytest

from itemwire_auth.keys.static import StaticKeys
from itemwire_auth.settings import AuthSettings
from itemwire_auth.tokens.parsed_token import (
    ParsedToken,
    TokenRules,
    decode,
    media_type,
    text_or_none,
)


def test_does_not_show_the_token() -> None:
    """It ends up in a traceback if a check fails in an unforeseen way (requirement 20)."""
    hidden = {one.name for one in dataclasses.fields(ParsedToken) if not one.repr}

    assert {"text", "parts"} <= hidden
    assert ParsedToken("a.b.c", 0, TokenRules(), StaticKeys([])).kid is None


@pytest.mark.parametrize("leeway", [-1, 61])
def test_a_leeway_is_at_most_a_minute(leeway: int) -> None:
    """For more, the clocks are to be set right; both ends of the range are allowed."""
    with pytest.raises(ValueError, match="leeway must be 0 to 60 s"):
        TokenRules(leeway=leeway)
    assert [TokenRules(leeway=good).leeway for good in (0, 60)] == [0, 60]


def test_a_token_is_at_most_as_long_as_a_head_allows() -> None:
    """8 KiB, as `ITEMWIRE_MAX_TOKEN_LENGTH` has it where nothing else is set."""
    assert TokenRules().max_length == AuthSettings.model_fields["max_token_length"].default == 8192


@pytest.mark.parametrize(
    ("typ", "normal"),
    [("JWT", "jwt"), ("application/at+jwt", "at+jwt"), ("Application/JWT", "jwt"), (None, None)],
)
def test_a_media_type_has_no_case_and_may_be_short(typ: str | None, normal: str | None) -> None:
    """RFC 7515 section 4.1.9."""
    assert media_type(typ) == normal


def test_reads_what_a_part_is_made_of() -> None:
    """Base64url without padding, and texts that are texts."""
    assert [decode(part) for part in ("", "YQ", "YWI", "YWJj")] == [b"", b"a", b"ab", b"abc"]
    assert (text_or_none("a"), text_or_none(7), text_or_none(None)) == ("a", None, None)


def test_a_token_lives_thirty_days_at_most_where_nothing_is_said() -> None:
    """Longer ones would outlive what is remembered of revocations."""
    assert TokenRules().max_lifetime == 30 * 86_400
