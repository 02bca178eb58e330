"""Serves the metrics that Prometheus reads, to callers with the metrics token."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer
from prometheus_client.exposition import choose_encoder

from itemwire.dependencies import assembly_of
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
    """Return the metrics of all workers, as text or OpenMetrics by the Accept header."""
    registry = await assembly_of(request).scrape.gather()
    try:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
    except (ValueError, TypeError):  # the header names a version that cannot be parsed
        encode, content_type = choose_encoder("")
    return Response(encode(registry), headers={"content-type": content_type})
