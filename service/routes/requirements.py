"""``POST /v1/requirements``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.requirement import Requirement
from service.computations import REQUIREMENTS
from service.declarations import declared
from service.replying import respond

router = APIRouter(tags=["requirements"])


@router.post(
    REQUIREMENTS.path,
    name="createRequirement",
    summary="Find the least samples, width, time or penalty at which a target is met",
    response_model=Requirement,
    **declared(REQUIREMENTS),
)
async def create_requirement(request: Request) -> Any:
    """Search the range for every interval in which the target is met; a target out of reach is an answer too."""
    return await respond(request, REQUIREMENTS)
