"""What the errors of a Redis or Valkey server mean."""

from __future__ import annotations

import re
from typing import Final

from itemwire.engines.base import EngineError
from itemwire.engines.faults import AWAY, FAILING, FORBIDDEN, FULL, READ_ONLY, UNKNOWN, EngineFault
from itemwire.engines.redis.client import ResponseError, code_of

FAULTS: Final[dict[str, EngineFault]] = {
    "OOM": FULL,  # `maxmemory` is reached, and nothing may be evicted
    "MISCONF": FAILING,  # it cannot write its snapshot or its log
    "NOREPLICAS": READ_ONLY,  # fewer replicas than `min-replicas-to-write`
    "NOPERM": FORBIDDEN,
    "ACL failure": FORBIDDEN,  # the same within a script, by Valkey and Redis 7
    "user executing the script can't": FORBIDDEN,  # by Redis 6.2
    "READONLY": AWAY,  # a replica by now: another server has taken over, or will
    "MASTERDOWN": AWAY,
    "CLUSTERDOWN": AWAY,
    "STALELIFE": AWAY,  # by our scripts: this node has yet to learn of a life that others know
    "LOADING": AWAY,  # it has started, and reads what it kept
}
"""By the code that an error begins with, or words in it; an error within a script quotes it."""

CODE: Final = re.compile(rf"\b({'|'.join(FAULTS)})\b")


LACKING: Final = "the server, or a proxy before it, lacks what Itemwire needs: "


def lacks_command(error: BaseException) -> bool:
    """Return whether a command is not there: not in a proxy, or renamed by an operator."""
    return isinstance(error, ResponseError) and "unknown command" in str(error).lower()


def refusal_of(error: ResponseError) -> EngineError:
    """Return what an error of the server means; a command that is not there is not allowed."""
    if lacks_command(error):
        return EngineError(f"{LACKING}{error}", FORBIDDEN)
    found = CODE.search(f"{code_of(error)} {error}")
    return EngineError(str(error), FAULTS[found[0]] if found else UNKNOWN)


WRONG_URL: Final = ("db index is out of range", "client names cannot contain")
"""How the server refuses a database that it does not have, and a name that it does not take."""


def is_wrong_url(error: BaseException) -> bool:
    """Return whether a new connection failed by what the URL says, and would do so for ever."""
    return isinstance(error, ResponseError) and str(error).lower().startswith(WRONG_URL)
