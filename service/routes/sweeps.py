"""``POST /v1/sweeps``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.sweep import Sweep
from service.arrow_form import ARROW
from service.computations import SWEEPS
from service.declarations import declared
from service.replying import respond

router = APIRouter(tags=["sweeps"])


@router.post(
    SWEEPS.path,
    name="createSweep",
    summary="Answer a prediction request over a grid of its numbers, as a double-descent curve in one call",
    response_model=Sweep,
    **declared(
        SWEEPS,
        tables={
            "text/csv": {
                "schema": {"type": "string"},
                "example": "regime.n_samples,test_error,status\r\n200.0,0.875,converged\r\n400.0,,divergent\r\n",
            },
            ARROW: {"schema": {"type": "string", "format": "binary"}},
        },
    ),
)
async def create_sweep(request: Request) -> Any:
    """Answer from cache or by working it out; null where the theory diverges, and where that is even between points."""
    return await respond(request, SWEEPS)
