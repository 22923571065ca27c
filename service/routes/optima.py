"""``POST /v1/optima``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.optima import Optima
from service.computations import OPTIMA
from service.replying import ANSWER_HEADERS, IF_NONE_MATCH, request_body, respond
from service.responses import problem_responses

router = APIRouter(tags=["optima"])


@router.post(
    OPTIMA.path,
    name="createOptimum",
    summary="Find the values of least test error, within ranges and a budget",
    response_model=Optima,
    responses={
        200: {"headers": ANSWER_HEADERS},
        304: {"description": "The answer has the key given in If-None-Match."},
        **problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": request_body(OPTIMA), "parameters": [IF_NONE_MATCH]},
)
async def create_optimum(request: Request) -> Any:
    """Answer from cache or by working it out; the optimum, others beside it, and what knowing it is worth."""
    return await respond(request, OPTIMA)
