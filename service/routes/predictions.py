"""``POST /v1/predictions``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.job import Job
from api_schemas.prediction import Prediction
from service.computations import PREDICTIONS
from service.replying import (
    ANSWER_HEADERS,
    IDEMPOTENCY_KEY_OF_LATER_ANSWERS,
    IF_NONE_MATCH,
    JOB_HEADERS,
    request_body,
    respond,
)
from service.responses import problem_responses

router = APIRouter(tags=["predictions"])


@router.post(
    PREDICTIONS.path,
    name="createPrediction",
    summary="Predict how well a model will do in a regime, without training it",
    response_model=Prediction,
    responses={
        200: {"headers": ANSWER_HEADERS},
        202: {
            "model": Job,
            "description": "Queued, because it takes long or because of Prefer: respond-async; a worker will answer.",
            "headers": JOB_HEADERS,
        },
        304: {"description": "The answer has the key given in If-None-Match."},
        **problem_responses(400, 401, 408, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={
        "requestBody": request_body(PREDICTIONS),
        "parameters": [
            IF_NONE_MATCH,
            IDEMPOTENCY_KEY_OF_LATER_ANSWERS,
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": "respond-async queues the request and answers 202 with a job; wait=N waits so long for it.",
                "schema": {"type": "string"},
            },
        ],
    },
)
async def create_prediction(request: Request) -> Any:
    """Answer from cache or by solving the model's fixed point; the same request always has the same key."""
    return await respond(request, PREDICTIONS)
