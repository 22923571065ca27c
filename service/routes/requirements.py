"""``POST /v1/requirements``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.requirement import Requirement
from service.computations import REQUIREMENTS
from service.replying import ANSWER_HEADERS, IF_NONE_MATCH, request_body, respond
from service.responses import problem_responses

router = APIRouter(tags=["requirements"])


@router.post(
    REQUIREMENTS.path,
    name="createRequirement",
    summary="Find the least samples, width, time or penalty at which a target is met",
    response_model=Requirement,
    responses={
        200: {"headers": ANSWER_HEADERS},
        304: {"description": "The answer has the key given in If-None-Match."},
        **problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": request_body(REQUIREMENTS), "parameters": [IF_NONE_MATCH]},
)
async def create_requirement(request: Request) -> Any:
    """Search the range for every interval in which the target is met; a target out of reach is an answer too."""
    return await respond(request, REQUIREMENTS)
