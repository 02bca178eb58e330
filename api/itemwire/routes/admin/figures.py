"""Shows what all nodes do: each of them, and their figures of this second."""

from typing import Any, Final

from fastapi import APIRouter, Request

from itemwire.dependencies import assembly_of
from itemwire.ops.feed import Stats
from itemwire.ops.node_list import NodeFactsPage
from itemwire.routes.admin.asking import AskingAdministrator
from itemwire.routes.admin.examples import example_of

NODES: Final = {
    "nodes": [
        {
            "node": "QxgFRk2VsNCV",
            "host": "node-1",
            "version": "0.1.0",
            "started_at": 1795391058,
            "connections": 1200,
            "channels": 310,
            "status": "degraded",
            "reason": "issuer_away",
            "engine": "redis",
            "workers": 1,
            "pid": 4711,
            "lag_ms": 0.4,
        }
    ],
    "missing": [],
}

FIGURES: Final[dict[str, Any]] = {
    "at": 1795391358.925,
    "connections": 1200,
    "handshakes_per_second": 3.0,
    "deliveries_per_second": 5400.0,
    "publishes_per_second": 18.0,
    "refusals_per_second": {"token_expired": 1.0},
    "closes_per_second": {"gone": 2.0},
    "engine_latency_ms": {"p50": 0.4, "p99": 2.1},
    "loop_lag_ms": 0.4,
    "memory_bytes": 98_566_144,
    "cpu_percent": 7.5,
    "outbox_bytes": 0,
}

STATS: Final = {
    "at": FIGURES["at"],
    "nodes": [{"node": "QxgFRk2VsNCV", **FIGURES}],
    "sum": FIGURES,
    "missing": [],
}

router = APIRouter()


@router.get("/nodes", responses=example_of(NODES))
async def list_nodes(request: Request, _admin: AskingAdministrator) -> NodeFactsPage:
    """List all nodes; one that does not answer within a second is `missing`."""
    return await assembly_of(request).operations.nodes.all()


@router.get("/stats", responses=example_of(STATS))
async def read_stats(request: Request, _admin: AskingAdministrator) -> Stats:
    """Return the figures of the last second, of each node and added up."""
    return await assembly_of(request).operations.feed.stats()
