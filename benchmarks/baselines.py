"""What the service is measured against: the same server with next to nothing behind it."""

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api_schemas.prediction import EXAMPLE_REQUEST, PredictionRequest
from workers.predictions import predict

READY = predict(PredictionRequest.model_validate(EXAMPLE_REQUEST)).model_dump_json().encode()
"""The bytes that the service answers to the example."""


async def _ready(_: Request) -> Response:
    return Response(READY, media_type="application/json")


starlette = Starlette(routes=[Route("/v1/predictions", _ready, methods=["POST"])])
"""A bare route that returns ready bytes and does not read the body."""

fastapi = FastAPI()


@fastapi.post("/v1/predictions")
async def validate(request: PredictionRequest) -> Response:
    """Validate the body and return ready bytes."""
    assert request
    return Response(READY, media_type="application/json")
