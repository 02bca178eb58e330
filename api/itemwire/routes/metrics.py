"""What Prometheus reads: numbers about this server, for who has the token for it."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from itemwire.observability.worker_metrics import WorkerMetrics
from itemwire_auth.dependencies import scraper

router = APIRouter(
    tags=["metrics"],
    dependencies=[
        Depends(HTTPBearer(auto_error=False, description="`ITEMWIRE_METRICS_TOKEN`.")),
        Depends(scraper),
    ],
)


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Tell all metrics, of every worker, as text or as OpenMetrics, whichever is asked for."""
    workers: WorkerMetrics | None = request.app.state.worker_metrics
    registry: CollectorRegistry = request.app.state.metrics
    if workers is not None:
        registry = await workers.gather()
    try:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
    except (ValueError, TypeError):  # of a version that is none
        encode, content_type = choose_encoder("")
    return Response(encode(registry), headers={"content-type": content_type})
