"""``POST /v1/scaling-laws``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.scaling import ScalingLaws
from service.computations import SCALING_LAWS
from service.declarations import declared
from service.replying import respond

router = APIRouter(tags=["scaling laws"])


@router.post(
    SCALING_LAWS.path,
    name="createScalingLaws",
    summary="Say how the error falls with samples, width, time and compute, and how to spend a budget",
    response_model=ScalingLaws,
    **declared(SCALING_LAWS),
)
async def create_scaling_laws(request: Request) -> Any:
    """Answer from cache or by working it out; exponents, amplitudes, crossovers and the best split of each budget."""
    return await respond(request, SCALING_LAWS)
