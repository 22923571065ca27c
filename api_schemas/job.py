"""Work that is answered later: ``202``, ``GET /v1/jobs`` and ``GET /v1/jobs/{id}``."""

from typing import Literal

from pydantic import Field

from api_schemas.base import Schema, described
from api_schemas.dataset import Dataset
from api_schemas.optima import Optima
from api_schemas.prediction import Prediction
from api_schemas.problem import Problem
from api_schemas.requirement import Requirement
from api_schemas.scaling import ScalingLaws
from api_schemas.spectra import Spectrum
from api_schemas.sweep import Sweep
from api_schemas.validation import Validation


class Job(Schema):
    """A piece of work in the queue. Exactly one of result and problem is there once it has ended."""

    id: str = described("The job's id; the same work has the same id.", unit="1", example="prediction-9f2c...")
    kind: Literal[
        "prediction", "validation", "sweep", "requirement", "optimum", "spectrum", "scaling_laws", "dataset"
    ] = described("What is being worked out.", unit="1", example="prediction")
    dataset_id: str | None = described(
        "The data set that it is about, and is deleted with; of a job that reads one in, what it will be called.",
        unit="1",
        example=None,
        default=None,
    )
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"] = described(
        "Where the job stands.", unit="1", example="queued"
    )
    progress: float = described("Share of the work that is done.", unit="1", example=0.0, ge=0, le=1)
    result: Prediction | Validation | Sweep | Requirement | Optima | Spectrum | ScalingLaws | Dataset | None = Field(
        default=None,
        description="The answer, once succeeded; that of a sweep or a spectrum is left out where jobs are listed or followed.",
        examples=[None],
    )
    problem: Problem | None = Field(default=None, description="What went wrong, once failed.", examples=[None])


class JobList(Schema):
    """Jobs, the newest first."""

    jobs: list[Job] = Field(
        description="As they stand now; those that nobody keeps any more are left out.", examples=[[]]
    )
    next_cursor: str | None = described(
        "For the parameter cursor, to go on from here; null at the end.", unit="1", example=None
    )
