"""``GET /v1/catalogue``."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api_schemas.catalogue import Catalogue
from service.responses import problem_responses

router = APIRouter(tags=["catalogue"])


@router.get(
    "/v1/catalogue",
    name="readCatalogue",
    summary="List every kind, its parameters, what goes together, and its sources",
    response_model=Catalogue,
    responses=problem_responses(400, 401, 429, 500),
)
async def read_catalogue(request: Request) -> Any:
    """Describe everything that can be asked."""
    return Response(request.app.state.catalogue, media_type="application/json")
