"""``POST /v1/spectra``."""

from typing import Any

from fastapi import APIRouter, Request

from api_schemas.spectra import Spectrum
from service.computations import SPECTRA
from service.declarations import declared
from service.replying import respond

router = APIRouter(tags=["spectra"])


@router.post(
    SPECTRA.path,
    name="createSpectrum",
    summary="Work out the limiting spectrum of a random matrix: density, edges, outliers, statistics",
    response_model=Spectrum,
    **declared(
        SPECTRA,
        tables={
            "text/csv": {
                "schema": {"type": "string"},
                "example": "x,density\r\n0.5794736878541809,0.0\r\n0.5794828,0.0123\r\n",
            }
        },
    ),
)
async def create_spectrum(request: Request) -> Any:
    """Answer from cache or by working it out; with `Accept: text/csv` the density alone, one row a point."""
    return await respond(request, SPECTRA)
