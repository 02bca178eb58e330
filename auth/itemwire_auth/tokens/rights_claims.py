"""Reads the rights of a token from the claims in which its issuer writes them.

Rights add up, and a claim that is not what it might be grants nothing. So nothing here refuses a
token: whose application has a claim `items` of its own must not be locked out by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeGuard, cast

from itemwire_auth.rights import ScopeSet
from itemwire_auth.scopes import ADMIN, ANY, PREFIX, is_item_id, parse_scope

SCOPE: Final = "scope"

# RFC 6749; Entra ID and Okta; Auth0 and Clerk; Keycloak.
RIGHTS_CLAIMS: Final = (SCOPE, "scp", "permissions", "realm_access.roles")


@dataclass(frozen=True, slots=True)
class RightsRules:
    """Which claims grant rights, and what the roles in them stand for.

    `roles` maps a role to words of a scope, and `defaults` are words or actions that every valid
    token grants. A word that grants nothing raises ValueError: it is a slip of the pen.
    """

    claims: tuple[str, ...] = RIGHTS_CLAIMS
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    defaults: tuple[str, ...] = ()
    _words: Mapping[str, tuple[str, ...]] = field(init=False, repr=False)
    _default_words: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        words = {role: tuple(text.split()) for role, text in self.roles.items()}
        defaults = tuple(
            word if word.startswith(PREFIX) else f"{PREFIX}{word}" for word in self.defaults
        )
        for word in (*defaults, *(word for granted in words.values() for word in granted)):
            if word != ADMIN and not _grants(word):
                raise ValueError(f"{word!r} is no right; docs/credentials.md lists them")
        object.__setattr__(self, "_words", words)
        object.__setattr__(self, "_default_words", defaults)

    def rights_of(self, claims: Mapping[str, object]) -> ScopeSet:
        """Return everything that these claims grant."""
        granted = (word for path in self.claims for word in self._granted(path, claims))
        items = claims.get("items")
        return ScopeSet.of_words(
            (*granted, *self._default_words), items if _are_lists_of_strings(items) else {}
        )

    def explain(self, claims: Mapping[str, object]) -> str:
        """Return what each claim grants and why, for an operator's eyes only."""
        told = [f"{path} {self._explained(path, claims)}" for path in self.claims]
        if "items" in claims:
            is_ours = _are_lists_of_strings(claims["items"])
            told.append(f"items {'is read' if is_ours else 'is no map of lists: grants nothing'}")
        if self.defaults:
            told.append(f"every token grants {' '.join(self._default_words)}")
        return "; ".join(told)

    def _granted(self, path: str, claims: Mapping[str, object]) -> Iterator[str]:
        """Yield the words that one claim grants; a role stands for its own words alone."""
        for word in words_of(find_claim(claims, path)) or ():
            if word in self._words:
                yield from self._words[word]
            # Many applications call a role `admin`, and none of them means the admin API by it.
            elif parse_scope(word) or (word == ADMIN and path == SCOPE):
                yield word

    def _explained(self, path: str, claims: Mapping[str, object]) -> str:
        value = find_claim(claims, path)
        if value is None:
            return "is absent"
        if words_of(value) is None:
            return "is neither a string nor a list of strings: grants nothing"
        granted = " ".join(self._granted(path, claims))
        return f"grants {granted}" if granted else f"holds no right: {value!r}"


def _grants(word: str) -> bool:
    """Return whether a word grants a right on an item that can be."""
    scopes = parse_scope(word)
    return bool(scopes) and is_item_id(scopes[0].pattern.replace(ANY, "_"))


def find_claim(claims: Mapping[str, object], path: str) -> object:
    """Return the claim of this name, or at this path through objects; None if there is none.

    A name may itself have dots, as in `https://example.com/roles`.
    """
    if path in claims:
        return claims[path]
    for dot in (place for place, character in enumerate(path) if character == "."):
        member = claims.get(path[:dot])
        if isinstance(member, dict | MappingProxyType):  # as parsed, or as a principal keeps it
            found = find_claim(cast("Mapping[str, object]", member), path[dot + 1 :])
            if found is not None:
                return found
    return None


def words_of(value: object) -> tuple[str, ...] | None:
    """Return the words of a string or the members of a list of strings, or else None."""
    if isinstance(value, str):
        return tuple(value.split(" "))  # RFC 6749 section 3.3: only the space separates words
    return tuple(value) if are_strings(value) else None


def are_strings(value: object) -> TypeGuard[list[str]]:
    """Return whether a value is a list of strings."""
    return isinstance(value, list) and all(
        isinstance(member, str) for member in cast("list[object]", value)
    )


def _are_lists_of_strings(value: object) -> TypeGuard[dict[str, list[str]]]:
    """Return whether a value is an object whose members are lists of strings."""
    return isinstance(value, dict) and all(
        map(are_strings, cast("dict[str, object]", value).values())
    )
