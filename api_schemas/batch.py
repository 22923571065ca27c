"""``POST /v1/predictions/batch``: many prediction requests, each of which succeeds or fails by itself."""

from typing import Any

from pydantic import ConfigDict, Field

from api_schemas.base import Schema, described
from api_schemas.prediction import EXAMPLE_REQUEST, Prediction
from api_schemas.problem import Problem

MOST_REQUESTS = 10_000


class BatchRequest(Schema):
    """Prediction requests."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"requests": [EXAMPLE_REQUEST]}]})

    requests: list[Any] = described(
        "Up to 10,000 prediction requests (PredictionRequest); one that is none has a problem in its place.",
        unit="1",
        example=[EXAMPLE_REQUEST],
    )


class BatchResult(Schema):
    """What became of one request: exactly one of the two is there."""

    prediction: Prediction | None = Field(default=None, description="Its answer.")
    problem: Problem | None = Field(
        default=None, description="Why it has none; pointers lead into that request.", examples=[None]
    )


class Batch(Schema):
    """Results in the order of the requests."""

    results: list[BatchResult] = Field(description="One for each request.", examples=[[]])
