"""``POST /v1/sweeps``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.job import Job
from api_schemas.sweep import Sweep
from service.arrow_form import ARROW
from service.computations import SWEEPS
from service.replying import (
    ANSWER_HEADERS,
    IDEMPOTENCY_KEY_OF_LATER_ANSWERS,
    IF_NONE_MATCH,
    JOB_HEADERS,
    request_body,
    respond,
)
from service.responses import problem_responses

router = APIRouter(tags=["sweeps"])


@router.post(
    SWEEPS.path,
    name="createSweep",
    summary="Answer a prediction request over a grid of its numbers, as a double-descent curve in one call",
    response_model=Sweep,
    responses={
        200: {
            "headers": ANSWER_HEADERS,
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "regime.n_samples,test_error,status\r\n200.0,0.875,converged\r\n400.0,,divergent\r\n",
                },
                ARROW: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        202: {
            "model": Job,
            "description": "Queued, because there is much to work out or because of Prefer: respond-async.",
            "headers": JOB_HEADERS,
        },
        304: {"description": "The answer has the key given in If-None-Match."},
        **problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={
        "requestBody": request_body(SWEEPS),
        "parameters": [
            IF_NONE_MATCH,
            IDEMPOTENCY_KEY_OF_LATER_ANSWERS,
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": "respond-async queues the sweep and answers 202 with a job; wait=N waits up to N seconds for a"
                " sweep that is queued because it is large.",
                "schema": {"type": "string"},
            },
        ],
    },
)
async def create_sweep(request: Request) -> Any:
    """Answer from cache or by working it out; null where the theory diverges, and where that is even between points."""
    return await respond(request, SWEEPS)
