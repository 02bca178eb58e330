"""The reasons for refusing a caller, each with a stable public code.

AuthError                        the class, and the status and code that the client is told
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
└── NotNow                       503: no verdict on the caller, who may try again
    ├── RateLimited              429 rate_limited
    ├── TooManyConnections       429 connection_limit
    ├── PolicyUnavailable            overloaded
    ├── GoingAway                    draining
    └── Unavailable                  overloaded

KeyProblem (a ValueError)        raised at start-up: the server must not run on this key
ChannelException                 what an application refuses for a reason of its own

Every fault of a credential has the same public code, so that a stranger learns nothing from trying.
So has every fault of a ticket: whatever it is, the client must fetch a new one. A revoked token has
a code of its own: it passed every check, so its bearer is no stranger.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final, Literal

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class AuthError(Exception):
    """A refusal; `code` is public, the message is for operators and holds no credential."""

    code: ClassVar[str] = "forbidden"
    status: ClassVar[int] = 403
    close_code: ClassVar[int] = 1008  # of a WebSocket: policy violation (RFC 6455 section 7.4.1)


class Unauthenticated(AuthError):
    """The caller cannot be identified."""

    code = "credentials_invalid"
    status = 401


class MissingCredential(Unauthenticated):
    """No source held a credential."""

    code = "credentials_missing"


class RevokedToken(Unauthenticated):
    """The token holds, but was revoked."""

    code = "token_revoked"

    def __init__(self, message: str, source: str) -> None:
        super().__init__(message)
        self.source = source


class InvalidCredential(Unauthenticated):
    """A credential was presented and does not hold."""

    source: str | None = None


class DuplicateCredential(InvalidCredential):
    """One source held two credentials: which of them was meant would be a guess."""

    def __init__(self, source: str) -> None:
        super().__init__(f"the source {source} holds more than one credential")
        self.source = source


class DisagreeingCredentials(InvalidCredential):
    """Two sources name two different callers."""


class InvalidToken(InvalidCredential):
    """A token failed a check, which `check` names."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


class InvalidTicket(InvalidCredential):
    """A ticket is unknown, used, expired, or made for another item or origin."""

    code = "ticket_invalid"
    source = "ticket"


class UnknownKey(InvalidToken):
    """The key that a token names by `kid` is not here; it may be published by now."""

    def __init__(self, check: str, message: str, kid: str | None) -> None:
        super().__init__(check, message)
        self.kid = kid


class NotAllowed(AuthError):
    """The caller is identified, or a browser, and may not do this."""


class OriginDenied(NotAllowed):
    """A page of a foreign origin made the browser send a cookie."""

    code = "origin_denied"


class ItemInvalid(NotAllowed):
    """The text in place of an item's id cannot be one."""

    code = "item_invalid"


class ScopeMissing(NotAllowed):
    """The caller may do this on no item: a token with more rights would help."""

    code = "scope_missing"


class Forbidden(NotAllowed):
    """The caller may not do this with this item."""

    code = "forbidden"


class NotNow(AuthError):
    """A refusal for now, for a reason that may pass by itself."""

    code = "overloaded"
    status = 503
    close_code = 1013


class Unavailable(NotNow):
    """A service that must be asked cannot be reached: no caller is accepted without it."""


class RateLimited(NotNow):
    """The caller has been refused too often."""

    code = "rate_limited"
    status = 429
    close_code = 1008


class TooManyConnections(NotNow):
    """The caller has as many connections as it is allowed."""

    code = "connection_limit"
    status = 429
    close_code = 1008


class PolicyUnavailable(NotNow):
    """The policy that decides rights could not be asked."""


class GoingAway(NotNow):
    """The server that was asked is about to stop; another may be there."""

    code = "draining"
    close_code = 1012


class KeyProblem(ValueError):
    """The server must not start with this key; the message says what is wrong and what to do."""


class ChannelException(Exception):
    """A refusal for a reason of the application's own, which its client is told.

        raise ChannelException("profanity", retry="never", detail="Mind your language.")

    `code` is for programs: a lower-case word of at most 64 letters, digits and underscores. `retry`
    says what the client should do: `never` ask so again, ask again `later` or `now`, or first fetch
    a new `token`. Raises ValueError for another `code`.
    """

    def __init__(
        self,
        code: str,
        *,
        retry: Literal["never", "token", "later", "now"] = "never",
        detail: str = "The application refused this.",
    ) -> None:
        if _CODE.fullmatch(code) is None:
            raise ValueError(f"{code!r} is no code: it is a word such as `out_of_stock`")
        super().__init__(code)
        self.code = code
        self.retry = retry
        self.detail = detail
