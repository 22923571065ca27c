"""``POST /v1/scaling-laws``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.scaling import ScalingLaws
from service.computations import SCALING_LAWS
from service.replying import ANSWER_HEADERS, IF_NONE_MATCH, request_body, respond
from service.responses import problem_responses

router = APIRouter(tags=["scaling laws"])


@router.post(
    SCALING_LAWS.path,
    name="createScalingLaws",
    summary="Say how the error falls with samples, width, time and compute, and how to spend a budget",
    response_model=ScalingLaws,
    responses={
        200: {"headers": ANSWER_HEADERS},
        304: {"description": "The answer has the key given in If-None-Match."},
        **problem_responses(400, 401, 408, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": request_body(SCALING_LAWS), "parameters": [IF_NONE_MATCH]},
)
async def create_scaling_laws(request: Request) -> Any:
    """Answer from cache or by working it out; exponents, amplitudes, crossovers and the best split of each budget."""
    return await respond(request, SCALING_LAWS)
