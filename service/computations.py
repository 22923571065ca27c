"""What the service works out from a posted body: one row a resource, and how each is found, checked and sent."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from api_schemas.base import Schema
from api_schemas.prediction import PredictionRequest
from service import metrics
from service.forms import DENSITY_FORMS, SWEEP_FORMS, Form
from service.problems import refused
from workers import works
from workers.refusals import Refused
from workers.registry import NUMBERS
from workers.works import Work


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A resource whose answer follows from the request alone. Each is answered at once, or as a job where that takes long.

    Attributes:
        path: where it is posted.
        work: that answers it, here or by a worker.
        counter: of answers by status.
        inline_bytes: bodies up to this size are parsed on the event loop; others in a thread.
        quick: whether a parsed request takes about a millisecond and may be answered there too.
        forms: others than JSON, by media type.
        headers: of every answer, beside those that name its content.
    """

    path: str
    work: Work
    counter: Any
    inline_bytes: int = 0
    quick: Callable[[Any], bool] = lambda _: False
    forms: Mapping[str, Form] = field(default_factory=dict)
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def schema(self) -> type[Schema]:
        """Of the request."""
        return self.work.schema

    def key_of(self, request: Any) -> str:
        """Return the content address of a request's answer."""
        return self.work.key_of(request)

    def cacheable(self, request: Any) -> bool:
        """Whether the answer to a request may be kept and found again."""
        return self.work.cacheable(request)

    def digest(self, body: bytes) -> bytes:
        """Return what a repeated body is found by; equal bodies of other resources have others."""
        return hashlib.blake2b(body, digest_size=32, person=self.work.kind.encode()).digest()

    def check(self, request: Any) -> None:
        """Make sure that a request can be answered in the time that a job has, short of answering it.

        Raises:
            ProblemException: it cannot.
        """
        with refusals():
            self.work.check(request)

    def expected_seconds(self, request: Any) -> float:
        """Estimate how long a request takes on one core; 0 where nothing is known before.

        Raises:
            ProblemException: it has no theory, or would take longer than a job may.
        """
        with refusals():
            return self.work.expected_seconds(request)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the refusals of the theory into problems."""
    try:
        yield
    except Refused as refusal:
        raise refused(refusal) from None


def is_quick(request: PredictionRequest) -> bool:
    """Whether one solve of a fixed point for labels that are numbers is all there is to do."""
    return request.model.learner.kind == "ridge" and request.regime.kind in NUMBERS


PREDICTIONS = Computation(
    path="/v1/predictions",
    work=works.PREDICTION,
    counter=metrics.PREDICTIONS,
    # Larger bodies may spell out more than some 10^4 modes.
    inline_bytes=32 * 1024,
    quick=is_quick,
)
SPECTRA = Computation(
    path="/v1/spectra",
    work=works.SPECTRUM,
    counter=metrics.SPECTRA,
    forms=DENSITY_FORMS,
    # The same address answers in JSON and CSV.
    headers=((b"vary", b"Accept"),),
)
SCALING_LAWS = Computation(path="/v1/scaling-laws", work=works.SCALING_LAWS, counter=metrics.SCALING_LAWS)
OPTIMA = Computation(path="/v1/optima", work=works.OPTIMUM, counter=metrics.OPTIMA)
SWEEPS = Computation(
    path="/v1/sweeps",
    work=works.SWEEP,
    counter=metrics.SWEEPS,
    forms=SWEEP_FORMS,
    headers=((b"vary", b"Accept"),),
)
REQUIREMENTS = Computation(path="/v1/requirements", work=works.REQUIREMENT, counter=metrics.REQUIREMENTS)
COMPUTATIONS = {
    computation.path: computation for computation in (PREDICTIONS, SPECTRA, SWEEPS, REQUIREMENTS, SCALING_LAWS, OPTIMA)
}
"""Every computation by its path."""
BY_KIND = {computation.work.kind: computation for computation in COMPUTATIONS.values()}
"""Every computation by the kind of its jobs."""
