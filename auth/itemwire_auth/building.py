"""Builds the parts of authentication that the settings describe."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from itemwire_auth.addresses import parse_networks
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.cookies import SessionCookie
from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.files import FileKeys
from itemwire_auth.keys.jwks import JWKSKeys
from itemwire_auth.keys.static import keys_from_secret
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.policies import Policy, TokenRights
from itemwire_auth.policy_url import PolicyRules, PolicyURL
from itemwire_auth.revocation import Revocations
from itemwire_auth.settings import KEY_SETTINGS, AuthSettings, list_variables
from itemwire_auth.throttle import Throttle, ThrottleRules
from itemwire_auth.ticket_limits import TicketAllowances, TicketLimits
from itemwire_auth.tickets import Tickets, TicketStore
from itemwire_auth.tokens.claims import CLOCK_DIFFERENCE
from itemwire_auth.tokens.issuers import Issuer, IssuersVerifier
from itemwire_auth.tokens.issuers_file import issuers_from_file
from itemwire_auth.tokens.parsed_token import TokenRules
from itemwire_auth.tokens.verifier import NoIssuer, TokenVerifier, Verifier


def build_authenticator(
    settings: AuthSettings,
    ticket_store: TicketStore | None = None,
    *,
    clock: Callable[[], float] = time.time,
    needs_keys: bool = True,
) -> Authenticator:
    """Return the configured authenticator, or raise KeyProblem or ValueError at start-up.

    A key that is weak raises KeyProblem, an origin that is malformed ValueError. So does a missing
    key, unless the application finds its callers itself and `needs_keys` is False: then no token
    is accepted.
    Without a ticket store the authenticator issues and accepts no tickets.
    """
    has_keys = needs_keys or names_keys(settings)
    verifier, key_sources = _build_verifier(settings, clock) if has_keys else (NoIssuer(), [])
    return Authenticator(
        verifier=verifier,
        origins=OriginPolicy(settings.allowed_origins, settings.allowed_hosts),
        cookie_name=settings.cookie_name,
        revocations=_build_revocations(settings, clock),
        tickets=_build_tickets(settings, ticket_store, clock),
        query_tokens=settings.query_tokens,
        fetched_keys=tuple(source for source in key_sources if isinstance(source, JWKSKeys)),
        throttle=build_throttle(settings),
        leeway=settings.leeway,
    )


def build_throttle(settings: AuthSettings) -> Throttle:
    """Return the configured throttle."""
    return Throttle(
        ThrottleRules(
            slow_after=settings.slow_after_refusals,
            stop_after=settings.stop_after_refusals,
            exempt=parse_networks(settings.throttle_exempt),
        )
    )


def build_policy(settings: AuthSettings) -> Policy:
    """Return the configured policy; a PolicyURL must be entered (`async with`) before use."""
    if settings.policy_url is None:
        return TokenRights()
    token = settings.policy_token
    rules = PolicyRules(
        timeout=settings.policy_timeout,
        cache_seconds=settings.policy_cache_seconds,
        token=token.get_secret_value() if token else None,
        allow_http=settings.policy_allow_http,
    )
    return PolicyURL(settings.policy_url, rules)


def session_cookie(
    settings: AuthSettings, *, clock: Callable[[], float] = time.time
) -> SessionCookie:
    """Return the configured form of the session cookie."""
    return SessionCookie(settings.cookie_name, is_secure=settings.cookie_secure, clock=clock)


def names_keys(settings: AuthSettings) -> bool:
    """Return whether the settings name a key, or issuers with keys of their own."""
    return has_key(settings) or settings.issuers_file is not None


def has_key(settings: AuthSettings) -> bool:
    """Return whether the settings name a key to verify tokens with."""
    return any(one is not None for one in (settings.secret, settings.keys_file, settings.jwks_url))


def verification_keys(settings: AuthSettings) -> KeySource:
    """Return the configured keys, or raise KeyProblem saying how to get one."""
    if settings.secret is not None:
        return keys_from_secret(settings.secret.get_secret_value())
    if settings.keys_file is not None:
        return FileKeys(settings.keys_file)
    if settings.jwks_url is not None:
        return JWKSKeys(settings.jwks_url, settings.fetching)
    raise KeyProblem(
        "no key to verify tokens with: set ITEMWIRE_SECRET (make one with "
        "`python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`), "
        f"{list_variables(KEY_SETTINGS[1:], 'or')}, "
        "or try things out with `itemwire dev`, which makes a secret of its own"
    )


def key_sources(settings: AuthSettings) -> dict[str, KeySource]:
    """Return each source of keys by its name; KeyProblem or ValueError as at a start."""
    if settings.issuers_file is None:
        return {_name_of_keys(settings): verification_keys(settings)}
    issuers = _issuers(settings, settings.issuers_file)
    return {f"the issuer {name}": issuer.keys for name, issuer in issuers.items()}


def _name_of_keys(settings: AuthSettings) -> str:
    if settings.secret is not None:
        return "ITEMWIRE_SECRET"
    return "ITEMWIRE_JWKS_URL" if settings.keys_file is None else "ITEMWIRE_KEYS_FILE"


def _build_verifier(
    settings: AuthSettings, clock: Callable[[], float]
) -> tuple[Verifier, list[KeySource]]:
    """Return the verifier of one issuer or of several, and every source of its keys."""
    rules = _token_rules(settings)
    if settings.issuers_file is None:
        keys = verification_keys(settings)
        return TokenVerifier(keys, rules, clock), [keys]
    issuers = _issuers(settings, settings.issuers_file)
    return IssuersVerifier(issuers, rules, clock), [issuer.keys for issuer in issuers.values()]


def _issuers(settings: AuthSettings, path: Path) -> dict[str, Issuer]:
    return issuers_from_file(path, settings.fetching, settings.audience, settings.client_id)


def _token_rules(settings: AuthSettings) -> TokenRules:
    return TokenRules(
        issuer=settings.issuer,
        audience=settings.audience,
        client_ids=settings.client_id,
        subject_claim=settings.subject_claim,
        rights=settings.rights_rules(),
        types=settings.token_types,
        leeway=settings.leeway,
        max_lifetime=settings.max_token_lifetime,
        max_length=settings.max_token_length,
    )


def _build_revocations(settings: AuthSettings, clock: Callable[[], float]) -> Revocations:
    # The issuer's clock may be off when it dates a token, and this server's when it expires.
    apart = max(settings.leeway, CLOCK_DIFFERENCE) + settings.leeway
    longest_life = settings.max_token_lifetime + apart
    return Revocations(longest_life=longest_life, clock=clock)


def _build_tickets(
    settings: AuthSettings, store: TicketStore | None, clock: Callable[[], float]
) -> Tickets | None:
    if store is None:
        return None
    return Tickets(
        store,
        seconds=settings.ticket_seconds,
        leeway=settings.leeway,
        clock=clock,
        allowances=TicketAllowances(TicketLimits(settings.ticket_rate, settings.max_tickets)),
    )
