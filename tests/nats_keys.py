"""Keys and JWTs as `nk` and `nsc` make them, and what a NATS server is told of them."""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Final

import nkeys

SIZES: Final = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
NO_STORE: Final = dict.fromkeys(SIZES, -1)
STORE: Final = dict.fromkeys(["mem_storage", "disk_storage", "streams", "consumer"], -1)
UNLIMITED: Final = {**NO_STORE, **STORE}
PART: Final = 8  # letters of a secret that no text may have


@dataclass(frozen=True)
class Key:
    """A key of a user, an account or an operator."""

    seed: str
    public: str

    @classmethod
    def new(cls, kind: int = nkeys.PREFIX_BYTE_USER) -> Key:
        """Make one that nobody else has."""
        seed: bytes = nkeys.encode_seed(os.urandom(32), kind)
        return cls(seed.decode(), nkeys.from_seed(seed).public_key.decode())

    def jwt(self, of: Key, claims: dict[str, Any], expires: int = 0) -> str:
        """Sign what is said of a key."""
        until = {"exp": expires} if expires else {}
        said = {"jti": of.public, "iat": int(time.time()), "iss": self.public, "sub": of.public}
        head = _part({"typ": "JWT", "alg": "ed25519-nkey"})
        body = _part(said | until | {"name": "test", "nats": {"version": 2, **claims}})
        signature = nkeys.from_seed(self.seed.encode()).sign(f"{head}.{body}".encode())
        return f"{head}.{body}.{_base64(signature)}"


@dataclass(frozen=True)
class Realm:
    """An operator with one account, whose users a server knows by their JWTs alone."""

    operator: Key = field(default_factory=lambda: Key.new(nkeys.PREFIX_BYTE_OPERATOR))
    account: Key = field(default_factory=lambda: Key.new(nkeys.PREFIX_BYTE_ACCOUNT))

    @property
    def config(self) -> str:
        """What the server is configured with; JetStream needs an account of the system's own."""
        system = Key.new(nkeys.PREFIX_BYTE_ACCOUNT)
        operator = self.operator.jwt(self.operator, {"type": "operator"})
        known = f"{self._known(self.account, UNLIMITED)}, {self._known(system, NO_STORE)}"
        return (
            f"operator: {operator}\nsystem_account: {system.public}\n"
            f"resolver: MEMORY\nresolver_preload: {{ {known} }}"
        )

    def _known(self, account: Key, limits: dict[str, int]) -> str:
        claims = {
            "type": "account",
            "limits": {**limits, "wildcards": True},
            "default_permissions": {},
        }
        return f"{account.public}: {self.operator.jwt(account, claims)}"

    def credentials(self, user: Key, expires: int = 0) -> str:
        """Give the file of a user."""
        claims = {"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.account.jwt(user, claims, expires)}\n"
            "------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            "NKEY Seed printed below can be used to sign and prove identity.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )


def allowing(*users: Key) -> str:
    """Give the configuration of a server that knows users by their keys."""
    return (
        f"authorization: {{ users: [{', '.join(f'{{ nkey: {one.public} }}' for one in users)}] }}"
    )


def shows(text: str, secret: str) -> bool:
    """Tell whether a text has a part of a secret, beyond how all of its kind begin."""
    return any(secret[at : at + PART] in text for at in range(3, len(secret) - PART + 1))


def _part(said: dict[str, Any]) -> str:
    return _base64(json.dumps(said).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
