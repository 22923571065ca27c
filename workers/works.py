"""What can be worked out from a request, by the service at once or by a worker later: one row a kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api_schemas.base import Schema
from api_schemas.dataset import Dataset, DatasetReading
from api_schemas.optima import Optima, OptimumRequest
from api_schemas.prediction import Prediction, PredictionRequest
from api_schemas.requirement import Requirement, RequirementRequest
from api_schemas.scaling import ScalingLaws, ScalingLawsRequest
from api_schemas.spectra import Spectrum, SpectrumRequest
from api_schemas.sweep import Sweep, SweepRequest
from workers import building, dataset_jobs, optima, predictions, requirements, scaling, spectra, sweeps
from workers.addresses import dataset_of
from workers.queue import RESULT_TTL_SECONDS, TIME_LIMIT_SECONDS
from workers.refusals import TooLarge

APART_TTL_SECONDS = 3600
"""A sweep of a million points has some 50 MB of JSON, less when compressed."""


def written(answer: Any) -> bytes:
    """Write an answer that is a wire model."""
    body: bytes = answer.__pydantic_serializer__.to_json(answer)
    return body


@dataclass(frozen=True, kw_only=True)
class Work:
    """A kind of work, whose answer follows from the request alone.

    Attributes:
        kind: as jobs name it; their ids begin with it.
        schema: of the request.
        result: of the answer.
        key_of: the content address of a request's answer.
        work_out: from a request and its key to the answer.
        make_sure: whether a request can be answered, short of answering it.
        way_out: how to ask for less.
        write: from an answer to JSON.
        apart: whether results may be large. They then lie beside the job, for an hour, so that following or listing jobs does
            not move them; others are part of the job, for a day.
        reports: whether ``work_out`` takes ``progress``, to be called with the share that is done.
        seconds_of: an estimate of the time it takes on one core; None where nothing is known before.
        pointer: to the part of a request that makes it long.
        cacheable: whether the answer to a request may be kept and found again.
    """

    kind: str
    schema: type[Schema]
    result: type[Schema]
    key_of: Callable[[Any], str]
    work_out: Callable[..., Any]
    make_sure: Callable[[Any], object]
    way_out: str
    write: Callable[[Any], bytes] = written
    apart: bool = False
    reports: bool = False
    seconds_of: Callable[[Any], float] | None = None
    pointer: str = ""
    cacheable: Callable[[Any], bool] = lambda _: True

    @property
    def ttl_seconds(self) -> int:
        """How long a job and its result are kept."""
        return APART_TTL_SECONDS if self.apart else RESULT_TTL_SECONDS

    def job_id(self, key: str) -> str:
        """Return the id of the job that answers the request of this key."""
        return f"{self.kind}-{key}"

    def key_of_job(self, job_id: str) -> str:
        """Return the key of the request that a job answers."""
        return job_id.removeprefix(f"{self.kind}-")

    def expected_seconds(self, request: Any) -> float:
        """Estimate how long a request takes on one core; 0 where nothing is known before.

        Raises:
            Refused: it has no theory, or would take longer than a job may.
        """
        expected = 0.0 if self.seconds_of is None else self.seconds_of(request)
        if expected > TIME_LIMIT_SECONDS:
            raise TooLarge(
                self.pointer,
                f"this is expected to take {expected / 60.0:.0f} minutes, and a job may take"
                f" {TIME_LIMIT_SECONDS // 60}; {self.way_out}",
            )
        return expected

    def check(self, request: Any) -> None:
        """Make sure that a request can be answered in the time that a job has, short of answering it.

        Raises:
            Refused: it cannot.
        """
        self.make_sure(request)
        self.expected_seconds(request)


def may_be_kept(request: Any) -> bool:
    """Whether an answer may be kept and found again: not where it is about a data set, which leaves nothing when deleted."""
    return dataset_of(request) is None


PREDICTION = Work(
    kind="prediction",
    cacheable=may_be_kept,
    schema=PredictionRequest,
    result=Prediction,
    key_of=predictions.key_of,
    work_out=predictions.predict,
    make_sure=building.build,
    way_out="use fewer modes",
)
SPECTRUM = Work(
    kind="spectrum",
    schema=SpectrumRequest,
    result=Spectrum,
    key_of=spectra.key_of,
    work_out=spectra.spectrum,
    reports=True,
    make_sure=spectra.check,
    way_out="use fewer distinct eigenvalues, points or statistics",
    apart=True,
)
SCALING_LAWS = Work(
    kind="scaling_laws",
    schema=ScalingLawsRequest,
    result=ScalingLaws,
    key_of=scaling.key_of,
    work_out=scaling.scaling_laws_of,
    reports=True,
    make_sure=scaling.check,
    way_out="use fewer modes or budgets",
)
OPTIMUM = Work(
    kind="optimum",
    cacheable=may_be_kept,
    schema=OptimumRequest,
    result=Optima,
    key_of=optima.key_of,
    work_out=optima.optima,
    reports=True,
    make_sure=optima.check,
    way_out="search fewer paths, or use fewer modes",
)
SWEEP = Work(
    kind="sweep",
    cacheable=may_be_kept,
    schema=SweepRequest,
    result=Sweep,
    key_of=sweeps.key_of,
    work_out=sweeps.sweep,
    make_sure=sweeps.check,
    way_out="take fewer values, or several sweeps",
    write=lambda answer: answer.to_json(),
    apart=True,
    reports=True,
    seconds_of=sweeps.seconds_of,
    pointer="/axes",
)
REQUIREMENT = Work(
    kind="requirement",
    cacheable=may_be_kept,
    schema=RequirementRequest,
    result=Requirement,
    key_of=requirements.key_of,
    work_out=requirements.requirement,
    reports=True,
    make_sure=requirements.check,
    way_out="search a narrower range, or use fewer modes",
)
DATASET = Work(
    kind="dataset",
    schema=DatasetReading,
    result=Dataset,
    key_of=lambda reading: reading.dataset_id,
    work_out=dataset_jobs.read_in,
    make_sure=lambda _: None,  # what is wrong with a file shows when it is read
    way_out="send fewer rows or columns",
    reports=True,
)
WORKS = {work.kind: work for work in (PREDICTION, SPECTRUM, SWEEP, REQUIREMENT, SCALING_LAWS, OPTIMUM, DATASET)}
"""Every work by its kind."""


def work_of_job(job_id: str) -> Work | None:
    """Return what a job works out, None where its id is that of no such job."""
    return WORKS.get(job_id.rpartition("-")[0])
