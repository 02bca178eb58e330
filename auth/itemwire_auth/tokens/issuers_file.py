"""Reads the file that lists several issuers, and where the keys of each come from."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from itemwire_auth.errors import KeyProblem
from itemwire_auth.keys.algorithms import ALGORITHMS, PUBLIC_ALGORITHMS
from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.fetching import Fetching
from itemwire_auth.keys.files import FileKeys
from itemwire_auth.keys.jwks import JWKSKeys
from itemwire_auth.keys.static import keys_from_secret
from itemwire_auth.plain_text import decode_text, mended_secret, read_text_file
from itemwire_auth.tokens.issuers import Issuer

HMAC: Final = "HS256"

_log: Final = logging.getLogger("itemwire.auth")


def _known(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise ValueError(f"not one of {', '.join(ALGORITHMS)}")
    return algorithm


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


AlgorithmName = Annotated[str, AfterValidator(_known)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]


class IssuerEntry(BaseModel):
    """One issuer of the file; its keys come from exactly one of three places."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: Text
    audience: Texts | None = None
    client_id: Texts | None = None
    keys_file: Text | None = None
    jwks_url: Text | None = None
    secret_env: Text | None = None
    algorithms: tuple[AlgorithmName, ...] = ()

    @model_validator(mode="after")
    def _has_one_source_of_keys(self) -> Self:
        """Refuse an issuer without keys, and one with two sources of them."""
        if sum(map(bool, (self.keys_file, self.jwks_url, self.secret_env))) != 1:
            raise ValueError("give exactly one of keys_file, jwks_url and secret_env")
        return self

    def keys(self, folder: Path, fetching: Fetching) -> KeySource:
        """Return the keys, or raise KeyProblem; `keys_file` is relative to the folder."""
        algorithms = self.algorithms or tuple(ALGORITHMS)
        if self.jwks_url is not None:
            return JWKSKeys(self.jwks_url, fetching, self.algorithms or PUBLIC_ALGORITHMS)
        if self.keys_file is not None:
            return FileKeys(folder / self.keys_file, algorithms)
        if HMAC not in algorithms:
            raise KeyProblem(f"secret_env makes an {HMAC} key; use keys_file for the others")
        variable = self.secret_env or ""
        secret, note = mended_secret(variable, os.environ.get(variable, ""))
        if not secret.strip():
            raise KeyProblem(f"the environment has no variable {variable}, or it is empty")
        if note is not None:
            _log.warning("variable_changed detail=%r", note)
        return keys_from_secret(secret)


_ENTRIES: Final = TypeAdapter(list[IssuerEntry])


def issuers_from_file(
    path: Path, fetching: Fetching, audience: tuple[str, ...], client_ids: tuple[str, ...] = ()
) -> dict[str, Issuer]:
    """Return every issuer by its `iss`, or raise KeyProblem.

    `audience` and `client_ids` are for the issuers that the file gives none.
    """
    issuers: dict[str, Issuer] = {}
    for number, entry in enumerate(_read(path), 1):
        label = f"issuer {number} of {path}"
        if entry.issuer in issuers:
            raise KeyProblem(f"{label} is there twice: {entry.issuer!r}")
        try:
            keys = entry.keys(path.parent, fetching)
        except KeyProblem as problem:
            raise KeyProblem(f"{label}: {problem}") from problem
        issuers[entry.issuer] = Issuer(
            keys,
            audience if entry.audience is None else entry.audience,
            client_ids if entry.client_id is None else entry.client_id,
        )
    return issuers


def _read(path: Path) -> list[IssuerEntry]:
    """Return the entries of the file, or raise KeyProblem naming each one that is refused."""
    try:
        text = decode_text(read_text_file(path), f"the issuers file {path}")
        entries = _ENTRIES.validate_json(text)
    except OSError as error:
        raise KeyProblem(f"cannot read the issuers file {path}: {error.strerror}") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        listed = "; ".join(f"{_place(fault['loc'])}{fault['msg']}" for fault in faults)
        raise KeyProblem(f"the issuers file {path} is refused: {listed}") from None
    except ValueError as error:
        raise KeyProblem(str(error)) from None
    if not entries:
        raise KeyProblem(f"the issuers file {path} names no issuer")
    return entries


def _place(location: tuple[int | str, ...]) -> str:
    """Return where in the file a fault is, counting from 1."""
    number, *names = location or (None,)
    if not isinstance(number, int):
        return ""
    return ": ".join([f"issuer {number + 1}", *map(str, names), ""])
