"""Says why a caller may not come in, with a stable public code for each reason.

AuthError                        what is raised, what the client learns
├── Unauthenticated              401
│   ├── MissingCredential            credentials_missing
│   ├── RevokedToken                 token_revoked
│   └── InvalidCredential            credentials_invalid
│       ├── DuplicateCredential
│       ├── DisagreeingCredentials
│       ├── InvalidToken             .check names the failed row of tokens.CHECKS
│       │   └── UnknownKey               .kid names a key that is not here (yet)
│       └── InvalidTicket            ticket_invalid
├── NotAllowed                   403
│   ├── OriginDenied                 origin_denied
│   ├── ItemInvalid                  item_invalid
│   ├── ScopeMissing                 scope_missing
│   └── Forbidden                    forbidden
└── NotNow                       503: it says nothing of the caller, who may come again
    ├── RateLimited              429 rate_limited
    ├── TooManyConnections       429 connection_limit
    ├── PolicyUnavailable            overloaded
    └── Unavailable                  overloaded

KeyProblem (a ValueError)        raised at start-up: the server must not run on this key

Every fault of a credential has the one public code, so that a stranger learns nothing from trying;
so has every fault of a ticket, whose holder must fetch another one, whatever it is. A revoked token
has its own: it passed every check, so its bearer is no stranger.
"""

from __future__ import annotations

from typing import ClassVar


class AuthError(Exception):
    """Refuse a caller; `code` is public, the message is for operators and holds no credential."""

    code: ClassVar[str] = "forbidden"
    status: ClassVar[int] = 403
    close_code: ClassVar[int] = 1008  # of a WebSocket: policy violation (RFC 6455 section 7.4.1)


class Unauthenticated(AuthError):
    """Refuse because nobody can say who the caller is."""

    code = "credentials_invalid"
    status = 401


class MissingCredential(Unauthenticated):
    """Refuse because no source held a credential."""

    code = "credentials_missing"


class RevokedToken(Unauthenticated):
    """Refuse because the token, good in itself, was taken back."""

    code = "token_revoked"

    def __init__(self, message: str, source: str) -> None:
        super().__init__(message)
        self.source = source


class InvalidCredential(Unauthenticated):
    """Refuse because a credential was presented and does not hold."""

    source: str | None = None


class DuplicateCredential(InvalidCredential):
    """Refuse because one source held two credentials: which one was meant is a guess."""

    def __init__(self, source: str) -> None:
        super().__init__(f"the source {source} holds more than one credential")
        self.source = source


class DisagreeingCredentials(InvalidCredential):
    """Refuse because two sources name two callers."""


class InvalidToken(InvalidCredential):
    """Refuse a token, naming the check it failed."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


class InvalidTicket(InvalidCredential):
    """Refuse a ticket: unknown, used, expired, or made for another item or origin."""

    code = "ticket_invalid"
    source = "ticket"


class UnknownKey(InvalidToken):
    """Refuse a token whose key is not here; where keys are fetched it may be there."""

    def __init__(self, check: str, message: str, kid: str | None) -> None:
        super().__init__(check, message)
        self.kid = kid


class NotAllowed(AuthError):
    """Refuse a known caller."""


class OriginDenied(NotAllowed):
    """Refuse a cookie that a page of a foreign origin made the browser send."""

    code = "origin_denied"


class ItemInvalid(NotAllowed):
    """Refuse because what stands for an item's id can be none."""

    code = "item_invalid"


class ScopeMissing(NotAllowed):
    """Refuse because the caller may do this nowhere: a token with more rights would help."""

    code = "scope_missing"


class Forbidden(NotAllowed):
    """Refuse because the caller may not do this here."""

    code = "forbidden"


class NotNow(AuthError):
    """Refuse for now, for a reason that may pass by itself."""

    code = "overloaded"
    status = 503
    close_code = 1013


class Unavailable(NotNow):
    """Refuse because what must be asked cannot be reached: nobody is let in unasked."""


class RateLimited(NotNow):
    """Refuse a caller that has been refused too often."""

    code = "rate_limited"
    status = 429
    close_code = 1008


class TooManyConnections(NotNow):
    """Refuse a caller that has as many connections as it may."""

    code = "connection_limit"
    status = 429
    close_code = 1008


class PolicyUnavailable(NotNow):
    """Refuse because whoever decides could not be asked."""


class KeyProblem(ValueError):
    """Refuse to start with a key; the message says what is wrong and what to do."""
