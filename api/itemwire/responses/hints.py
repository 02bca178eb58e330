"""Whether a client asked for hints, by the query of its handshake."""

from starlette.datastructures import QueryParams
from starlette.types import Scope


def asks_for_hints(scope: Scope) -> bool:
    """Return whether a handshake has `hints=1` in its query."""
    query: bytes = scope.get("query_string", b"")
    # Most have not, and to parse a query takes as long as a good part of a handshake.
    return b"hints=1" in query and QueryParams(query).get("hints") == "1"
