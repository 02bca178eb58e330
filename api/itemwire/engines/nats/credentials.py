"""Who a node is to a NATS server that knows its users by keys: files of seeds and JWTs.

A file is read at each connection, so one that was replaced is taken at the next. What is in it is
never a part of an error; neither is its path, in whose place somebody may have put a seed.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# nkeys has no annotations.

from __future__ import annotations

import base64
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import nkeys

MOST_BYTES: Final = 65_536
SEED: Final = re.compile(r"SUA[A-Z2-7]{55}")
SEED_ALONE: Final = re.compile(r"^[ \t]*(SU\S*)[ \t\r]*$", re.MULTILINE)
SEED_IN_CREDENTIALS: Final = re.compile(r"-BEGIN USER NKEY SEED-+\s+([^\s-]\S*)\s")
JWT_IN_CREDENTIALS: Final = re.compile(r"-BEGIN NATS USER JWT-+\s+([\w-]+\.[\w-]+\.[\w-]+)\s")


@dataclass(frozen=True, slots=True)
class NatsKeys:
    """What was in a file: the key of a user, and the JWT that says what it may do, if any."""

    seed: str = field(repr=False)
    jwt: str | None = field(default=None, repr=False)

    @property
    def public_key(self) -> str:
        """Return the public key, by which a server without JWTs knows the user."""
        return bytes(nkeys.from_seed(self.seed.encode()).public_key).decode()

    def sign(self, nonce: str) -> bytes:
        """Return the signature that proves who has the key, as the server expects it."""
        return base64.b64encode(nkeys.from_seed(self.seed.encode()).sign(nonce.encode()))


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file of an option of the URL: `credentials`, with a JWT and a seed, or `nkey`."""

    option: str
    path: str = field(repr=False)

    def read(self) -> NatsKeys:
        """Return what is in the file now; ValueError says what is wrong, without a part of it."""
        text = self._text()
        if self.option == "nkey":
            return NatsKeys(self._seed(SEED_ALONE, text))
        jwt = JWT_IN_CREDENTIALS.search(text)
        if jwt is None:
            raise ValueError("the file of credentials has no part NATS USER JWT with a JWT")
        return NatsKeys(self._seed(SEED_IN_CREDENTIALS, text), jwt[1])

    def _text(self) -> str:
        try:
            _check_is_file(self.path)
            with Path(self.path).open("rb") as file:
                return file.read(MOST_BYTES).decode("utf-8-sig", errors="replace")
        except (OSError, ValueError) as error:  # the latter of a path that none can be
            why = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"{self.option} cannot be read: {why}") from None

    def _seed(self, place: re.Pattern[str], text: str) -> str:
        found = place.search(text)
        if found is None or SEED.fullmatch(found[1]) is None:
            raise ValueError(
                f"the file of {self.option} has no seed of a user: 58 characters from SU on"
            )
        seed = found[1].encode()
        prefix, key = nkeys.decode_seed(seed)
        if nkeys.encode_seed(key, prefix) != seed:
            raise ValueError(f"the seed in the file of {self.option} has a wrong checksum")
        return found[1]


def _check_is_file(path: str) -> None:
    if not stat.S_ISREG(Path(path).stat().st_mode):  # reading a pipe would wait for its writer
        raise OSError(0, "it names no file")
