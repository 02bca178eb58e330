"""Tests of info_claims.py: what other members may know of a caller by its token."""

import json
from collections.abc import Mapping

import pytest

from itemwire_auth.member_info import INFO_BYTES
from itemwire_auth.principal import frozen
from itemwire_auth.tokens.info_claims import InfoClaims

CLAIMS = {
    "sub": "alice",
    "name": "Alice",
    "roles": ["a", {"b": 1}],
    "user": {"name": "Al", "avatar": {"url": "a.png"}},
    "https://example.com/nick": "al",
    "nothing": None,
}


def told(*paths: str, claims: Mapping[str, object] = CLAIMS) -> object:
    """Return the info that claims give, as a principal keeps them."""
    kept = frozen(dict(claims))
    assert isinstance(kept, Mapping)
    info = InfoClaims(paths).info_of(kept)
    return None if info is None else json.loads(info)


@pytest.mark.parametrize(
    ("paths", "info"),
    [
        ((), None),
        (("name",), {"name": "Alice"}),
        (("absent",), None),
        (("nothing",), None),
        (("name", "absent"), {"name": "Alice"}),
        (("roles",), {"roles": ["a", {"b": 1}]}),
        (("user",), {"name": "Al", "avatar": {"url": "a.png"}}),
        (("user.name",), {"name": "Al"}),
        (("user.avatar",), {"url": "a.png"}),
        (("user", "name"), {"name": "Alice", "avatar": {"url": "a.png"}}),
        (("https://example.com/nick",), {"com/nick": "al"}),
    ],
)
def test_tells_what_the_claims_hold(paths: tuple[str, ...], info: object) -> None:
    """Each claim under its name, an object by its members; the last of one name counts."""
    assert told(*paths) == info


@pytest.mark.parametrize(("size", "is_told"), [(INFO_BYTES - 11, True), (INFO_BYTES - 10, False)])
def test_tells_nothing_of_what_is_too_large(size: int, is_told: bool) -> None:
    """Half a name would be another name."""
    assert (told("name", claims={"name": "a" * size}) is not None) is is_told
