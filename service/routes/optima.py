"""``POST /v1/optima``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.optima import Optima
from service.computations import OPTIMA
from service.declarations import declared
from service.replying import respond

router = APIRouter(tags=["optima"])


@router.post(
    OPTIMA.path,
    name="createOptimum",
    summary="Find the values of least test error, within ranges and a budget",
    response_model=Optima,
    **declared(OPTIMA),
)
async def create_optimum(request: Request) -> Any:
    """Answer from cache or by working it out; the optimum, others beside it, and what knowing it is worth."""
    return await respond(request, OPTIMA)
