"""``POST /v1/predictions``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.prediction import Prediction
from service.computations import PREDICTIONS
from service.declarations import declared
from service.replying import respond

router = APIRouter(tags=["predictions"])


@router.post(
    PREDICTIONS.path,
    name="createPrediction",
    summary="Predict how well a model will do in a regime, without training it",
    response_model=Prediction,
    **declared(PREDICTIONS),
)
async def create_prediction(request: Request) -> Any:
    """Answer from cache or by solving the model's fixed point; the same request always has the same key."""
    return await respond(request, PREDICTIONS)
