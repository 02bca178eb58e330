"""Asks the node to end connections; waits for the engine, logs the caller, counts ends."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import HTTPException, Request
from pydantic import BaseModel

from itemwire.channels.limits.requests import RequestKind
from itemwire.dependencies import spend
from itemwire.engines.base import Answer, EngineError
from itemwire.engines.callbacks import asked
from itemwire.responses.problems import Problem
from itemwire_auth.audit import log_administered
from itemwire_auth.principal import Principal

UNDELIVERED: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": Problem, "description": "Done here; other nodes could not be told: ask again."}
}


class EndedConnections(BaseModel):
    """How many connections ended on the node that answers; other nodes end theirs as well."""

    closed: int


async def end_connections(
    request: Request,
    admin: Principal,
    action: str,
    facts: Mapping[str, object],
    ask: Callable[[Answer[int]], None],
) -> int:
    """Return how many connections of this node were ended.

    Who asked for it is logged, also where the engine could not tell the other nodes: then this is
    refused with 503 `overloaded`, and the connections of this node have ended all the same. An
    administrator past its rate of requests is refused with 429 before anything is done.
    """
    spend(request, admin, RequestKind.OTHER, 0)
    answer = await asked(ask)
    log_administered(request, admin, action, {**facts, "closed": answer})
    if isinstance(answer, EngineError):
        refusal = answer.fault.refusal
        raise HTTPException(refusal.status, refusal.reason)
    return answer
