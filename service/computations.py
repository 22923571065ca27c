"""What the service works out from a posted body: one row a resource, and how each is found, checked and solved."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from api_schemas.base import Schema
from api_schemas.optima import OptimumRequest
from api_schemas.prediction import PredictionRequest
from api_schemas.requirement import RequirementRequest
from api_schemas.scaling import ScalingLawsRequest
from api_schemas.spectra import SpectrumRequest
from api_schemas.sweep import SweepRequest
from service import metrics
from service.forms import DENSITY_FORMS, SWEEP_FORMS, Form
from service.problems import refused
from workers import building, optima, predictions, requirements, scaling, spectra, sweep_jobs, sweeps
from workers.pools import is_at_hand
from workers.refusals import Refused
from workers.registry import NUMBERS


def written(answer: Any) -> bytes:
    """Write an answer that is a wire model."""
    body: bytes = answer.__pydantic_serializer__.to_json(answer)
    return body


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A resource whose answer follows from the request alone.

    Attributes:
        path: where it is posted.
        name: of what comes out, in the singular.
        schema: of the request.
        key_of: the content address of a request's answer.
        work_out: from a request and its key to the answer.
        make_sure: whether a request can be answered, short of answering it.
        counter: of answers by status.
        inline_bytes: bodies up to this size are parsed on the event loop; others in a thread.
        quick: whether a parsed request takes about a millisecond and may be answered there too.
        way_out: for those whose answer took too long.
        queued: whether it can be answered later, as a job.
        write: from an answer to JSON.
        forms: others than JSON, by media type.
        headers: of every answer, beside those that name its content.
    """

    path: str
    name: str
    schema: type[Schema]
    key_of: Callable[[Any], str]
    work_out: Callable[..., Any]
    make_sure: Callable[[Any], object]
    counter: Any
    inline_bytes: int
    way_out: str
    quick: Callable[[Any], bool] = lambda _: False
    queued: bool = False
    write: Callable[[Any], bytes] = written
    forms: Mapping[str, Form] = field(default_factory=dict)
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def digest(self, body: bytes) -> bytes:
        """Return what a repeated body is found by; equal bodies of other resources have others."""
        return hashlib.blake2b(body, digest_size=32, person=self.name.encode()).digest()

    def check(self, request: Any) -> None:
        """Make sure that a request can be answered, short of answering it.

        Raises:
            ProblemException: the theory's assumptions do not hold.
        """
        with refusals():
            self.make_sure(request)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the refusals of the theory into problems."""
    try:
        yield
    except Refused as refusal:
        raise refused(refusal) from None


def is_quick(request: PredictionRequest) -> bool:
    """Whether one solve of a fixed point for labels that are numbers, or a look at an estimate, is all there is to do."""
    if request.model.learner.kind != "ridge":
        return False
    return request.regime.kind in NUMBERS or (request.regime.kind == "dataset" and is_at_hand(request))


def dataset_of(request: Any) -> str | None:
    """Return the data set that a request of any kind is about, None where it is about none.

    What is answered about one is kept nowhere but beside it, so that deleting it leaves nothing behind.
    """
    regime = getattr(getattr(request, "request", request), "regime", None)
    return getattr(regime, "dataset_id", None)


PREDICTIONS = Computation(
    path="/v1/predictions",
    name="prediction",
    schema=PredictionRequest,
    key_of=predictions.key_of,
    work_out=predictions.predict,
    make_sure=building.build,
    counter=metrics.PREDICTIONS,
    # Larger bodies may spell out more than some 10^4 modes.
    inline_bytes=32 * 1024,
    quick=is_quick,
    way_out="use fewer modes, or be answered later: Prefer: respond-async",
    queued=True,
)
SPECTRA = Computation(
    path="/v1/spectra",
    name="spectrum",
    schema=SpectrumRequest,
    key_of=spectra.key_of,
    work_out=spectra.spectrum,
    make_sure=spectra.check,
    counter=metrics.SPECTRA,
    inline_bytes=0,
    way_out="use fewer distinct eigenvalues, points or statistics",
    forms=DENSITY_FORMS,
    # The same address answers in JSON and CSV.
    headers=((b"vary", b"Accept"),),
)
SCALING_LAWS = Computation(
    path="/v1/scaling-laws",
    name="scaling-laws",
    schema=ScalingLawsRequest,
    key_of=scaling.key_of,
    work_out=scaling.scaling_laws_of,
    make_sure=scaling.check,
    counter=metrics.SCALING_LAWS,
    inline_bytes=0,
    way_out="use fewer modes or budgets",
)
OPTIMA = Computation(
    path="/v1/optima",
    name="optimum",
    schema=OptimumRequest,
    key_of=optima.key_of,
    work_out=optima.optima,
    make_sure=optima.check,
    counter=metrics.OPTIMA,
    inline_bytes=0,
    way_out="search fewer paths, or use fewer modes",
)
SWEEPS = Computation(
    path="/v1/sweeps",
    name="sweep",
    schema=SweepRequest,
    key_of=sweeps.key_of,
    work_out=sweeps.sweep,
    make_sure=sweep_jobs.check,
    counter=metrics.SWEEPS,
    inline_bytes=0,
    way_out="ask for fewer points, or be answered later: Prefer: respond-async",
    queued=True,
    write=lambda answer: answer.to_json(),
    forms=SWEEP_FORMS,
    headers=((b"vary", b"Accept"),),
)
REQUIREMENTS = Computation(
    path="/v1/requirements",
    name="requirement",
    schema=RequirementRequest,
    key_of=requirements.key_of,
    work_out=requirements.requirement,
    make_sure=requirements.check,
    counter=metrics.REQUIREMENTS,
    inline_bytes=0,
    way_out="search a narrower range, or use fewer modes",
)
COMPUTATIONS = {
    computation.path: computation for computation in (PREDICTIONS, SPECTRA, SWEEPS, REQUIREMENTS, SCALING_LAWS, OPTIMA)
}
"""Every computation by its path."""
