"""``POST /v1/spectra``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.spectra import Spectrum
from service.computations import SPECTRA
from service.replying import ANSWER_HEADERS, IF_NONE_MATCH, request_body, respond
from service.responses import problem_responses

router = APIRouter(tags=["spectra"])


@router.post(
    SPECTRA.path,
    name="createSpectrum",
    summary="Work out the limiting spectrum of a random matrix: density, edges, outliers, statistics",
    response_model=Spectrum,
    responses={
        200: {
            "headers": ANSWER_HEADERS,
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "x,density\r\n0.5794736878541809,0.0\r\n0.5794828,0.0123\r\n",
                }
            },
        },
        304: {"description": "The answer has the key given in If-None-Match."},
        **problem_responses(400, 401, 408, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={
        "requestBody": request_body(SPECTRA),
        "parameters": [IF_NONE_MATCH],
    },
)
async def create_spectrum(request: Request) -> Any:
    """Answer from cache or by working it out; with `Accept: text/csv` the density alone, one row a point."""
    return await respond(request, SPECTRA)
