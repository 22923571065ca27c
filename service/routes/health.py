"""``GET /healthz``, ``/readyz`` and ``/metrics``."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api_schemas.health import Health, Readiness
from service.metrics import exposition
from service.responses import problem_responses
from service.shared_cache import SharedCache

router = APIRouter(tags=["operations"])


@router.get(
    "/healthz",
    name="readHealth",
    summary="Say that the process is alive",
    response_model=Health,
    responses=problem_responses(500),
)
async def read_health(request: Request) -> Any:
    """Answer without touching anything."""
    return Health(status="ok", version=request.app.version)


@router.get(
    "/readyz",
    name="readReadiness",
    summary="Say whether requests can be sent here",
    response_model=Readiness,
    responses=problem_responses(500),
)
async def read_readiness(request: Request) -> Any:
    """Answer 200 as soon as predictions are served; they are, with or without Redis."""
    shared: SharedCache = request.app.state.shared_cache
    return Readiness(status="ready" if shared.up else "degraded", redis="up" if shared.up else "down")


@router.get(
    "/metrics",
    name="readMetrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text exposition format."},
        **problem_responses(401, 429, 500),
    },
)
async def read_metrics() -> Response:
    """Expose the metrics of all API processes."""
    content, content_type = exposition()
    return Response(content, headers={"content-type": content_type})
