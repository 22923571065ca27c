"""A validation: the replicates of a problem in chunks, any worker's, and what they say together beside the theory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any, Literal, NamedTuple

from scipy.special import ndtr, stdtrit

import theory
from api_schemas.prediction import Prediction, PredictionRequest
from api_schemas.regime import DatasetRegime, MixtureRegime
from api_schemas.validation import Comparison, Validation, ValidationRequest
from simulation.devices import HOST, Device
from simulation.statistics import Moments
from workers.addresses import address_of
from workers.finite import QUANTITIES, cost, finite_problem
from workers.predictions import predict
from workers.refusals import Refused
from workers.stored_rows import rows_of

KEY_PREFIX = f"foretell/validations/{theory.SOLVER_VERSION}"

STANDARD_ERRORS = 3.0
ROUNDING = 1e-9
"""What double precision leaves of a quantity, relative to the scale of errors: residuals of interpolators are no more."""
Backend = Literal["numpy", "cupy"]
CHUNK_OPERATIONS: dict[Backend, float] = {"numpy": 4e10, "cupy": 4e12}
"""Of a chunk: a second or two on one core, or on a GPU with what it loses between small matrices."""
MOST_IN_CHUNK: dict[Backend, int] = {"numpy": 1000, "cupy": 20_000}
FEWER_SAMPLES = 2.0
DOUBLE_PRECISION_ONLY = ("hinge",)
SINGLE_SCALES = (1e-15, 1e15)
FEWEST_OF_A_CLASS = 10.0
"""Drawn empty once in exp(10) replicates."""

CHANGE = ":rounding"
"""After a quantity's name: by how much single precision changes it in the first replicate of a chunk."""

Values = Mapping[str, Sequence[float | None]]
"""What a chunk measured: each quantity of its replicates in their order, null where training has no finite answer."""


class Chunk(NamedTuple):
    """Replicates ``first`` to ``first + size - 1``."""

    first: int
    size: int


def key_of(request: ValidationRequest) -> str:
    """Return the content address of a validation."""
    return address_of(request, solver=KEY_PREFIX)


def check(request: ValidationRequest) -> None:
    """Make sure that a validation can be run, short of running it.

    Raises:
        Refused: the theory's assumptions do not hold, or the problem has no finite form; pointers are within ``request``.
    """
    regime = request.request.regime
    if request.request.include:
        raise Refused("/request/include", "must be empty: a validation compares what can be drawn; leave it out")
    if isinstance(regime, MixtureRegime):
        fewest = regime.n_samples * min(regime.positive_fraction, 1.0 - regime.positive_fraction)
        if fewest < FEWEST_OF_A_CLASS:
            raise Refused(
                "/request/regime/positive_fraction",
                f"leaves {fewest:.3g} samples of a class, and {FEWEST_OF_A_CLASS:g} are needed so that none is drawn empty",
            )
    if request.dtype == "float32" and request.request.model.learner.kind in DOUBLE_PRECISION_ONLY:
        raise Refused(
            "/dtype",
            f"must be float64 for {request.request.model.learner.kind}: its interior-point method does not converge in float32",
        )
    if request.dtype == "float32":
        _check_scales(regime)
    try:
        # What has no theory has no simulation either.
        answer = predict(request.request)
        finite_problem(request.request)
    except Refused as refusal:
        raise type(refusal)(f"/request{refusal.pointer}", refusal.detail) from None
    if answer.status != "converged":
        raise Refused(
            "/request",
            f"the prediction is {answer.status}: there is no finite number to compare a simulation with",
        )


def _check_scales(regime: Any) -> None:
    """Refuse numbers whose squares leave the range of single precision."""
    if isinstance(regime, DatasetRegime):
        _check_rows(regime)
        return
    numbers = [("", regime.model_dump())]
    while numbers:
        place, value = numbers.pop()
        if isinstance(value, dict):
            numbers += [(f"{place}/{name}", part) for name, part in value.items()]
        elif isinstance(value, list):
            numbers += [(f"{place}/{index}", part) for index, part in enumerate(value)]
        elif isinstance(value, int | float) and value != 0.0 and not SINGLE_SCALES[0] <= abs(value) <= SINGLE_SCALES[1]:
            raise Refused(
                "/dtype",
                f"must be float64: /request/regime{place} is {value:g}, and float32 holds squares of numbers from"
                f" {SINGLE_SCALES[0]:g} to {SINGLE_SCALES[1]:g} only",
            )


def _check_rows(regime: DatasetRegime) -> None:
    """Refuse rows and targets whose squares leave the range of single precision."""
    try:
        stored = rows_of(regime.dataset_id)
    except Refused as refusal:
        raise type(refusal)(f"/request{refusal.pointer}", refusal.detail) from None
    for name, values in (("row", stored.rows), ("target", stored.targets)):
        largest = max(float(values.max()), -float(values.min()))
        if largest > SINGLE_SCALES[1]:
            raise Refused(
                "/dtype",
                f"must be float64: the largest number of a {name} is {largest:g}, and float32 holds squares of numbers up to"
                f" {SINGLE_SCALES[1]:g} only",
            )


def chunks_of(request: ValidationRequest, backend: Backend = "numpy") -> list[Chunk]:
    """Cut the replicates into chunks of some seconds each; a function of the request and the backend alone."""
    _, operations = cost(request.request)
    size = int(min(max(CHUNK_OPERATIONS[backend] / operations, 1.0), MOST_IN_CHUNK[backend], request.replicates))
    return [Chunk(first, min(size, request.replicates - first)) for first in range(0, request.replicates, size)]


def run_chunk(request: ValidationRequest, chunk: Chunk, *, device: Device = HOST) -> dict[str, list[float | None]]:
    """Draw and train the replicates of a chunk; the same numbers wherever, and whatever else runs."""
    problem = finite_problem(request.request)
    found = problem.measured(
        first=chunk.first, count=chunk.size, seed=request.seed, device=device.in_precision(request.dtype)
    )
    if request.dtype == "float64":
        return found
    double = device.in_precision("float64", drawn="float32")
    exact = problem.measured(first=chunk.first, count=1, seed=request.seed, device=double)
    changes = {name: _change(values[0], exact[name][0]) for name, values in found.items()}
    return found | {name + CHANGE: [change] for name, change in changes.items() if change is not None}


def _change(single: float | None, double: float | None) -> float | None:
    return None if single is None or double is None else abs(single - double)


def enough(request: ValidationRequest, chunks: Sequence[Values]) -> int | None:
    """Return how many of the first chunks reach the precision that is asked for, None if they do not yet.

    Args:
        request: with or without a precision.
        chunks: results of the chunks from the first on, without a gap.
    """
    if request.precision is None:
        return None
    moments = Moments()
    for position, chunk in enumerate(chunks):
        moments = moments.merge(Moments.of(number for number in chunk["test_error"] if number is not None))
        if moments.count > 1 and moments.standard_error <= request.precision * abs(moments.mean):
            return position + 1
    return None


def conclude(request: ValidationRequest, chunks: Sequence[Values], *, backend: Backend, device: str) -> Validation:
    """Compare all replicates with the theory; sums are exact, so that the order of chunks and workers leaves no trace.

    Args:
        request: that was run.
        chunks: results in the order of the replicates.
        backend: "numpy" or "cupy".
        device: where it ran.
    """
    answer, fewer = predict(request.request), _with_fewer_samples(request.request)
    compared = dict(_compared(answer, fewer, chunks, float(request.request.regime.n_samples)))
    return Validation(
        quantities=compared,
        replicates=sum(len(chunk["test_error"]) for chunk in chunks),
        backend=backend,
        device=device,
        agrees=all(comparison.agrees for comparison in compared.values()),
        warnings=[warning.code for warning in answer.warnings],
    )


def _with_fewer_samples(request: PredictionRequest) -> Prediction | None:
    """Predict at two samples less, whose distance is what the limit neglects; None where there is no such number."""
    left = request.regime.n_samples - FEWER_SAMPLES
    if left < 1.0:
        return None
    regime = request.regime.model_copy(update={"n_samples": left})
    try:
        found = predict(request.model_copy(update={"regime": regime}))
    except Refused:
        return None
    return found if found.status == "converged" else None


def _compared(
    answer: Prediction, fewer: Prediction | None, chunks: Sequence[Values], n_samples: float
) -> Iterator[tuple[str, Comparison]]:
    # Labels that are classes have the scale 1, however rare mistakes are; what is left of losses are squares of rounding.
    scale = abs(answer.test_error or 0.0) if answer.metric == "squared_error" else ROUNDING
    for name in QUANTITIES:
        value = getattr(answer, name)
        if value is None or not all(name in chunk for chunk in chunks):
            continue
        numbers = [number for chunk in chunks for number in chunk[name]]
        finite = [number for number in numbers if number is not None]
        moments = Moments.of(finite)
        moved = None if fewer is None else getattr(fewer, name)
        if answer.interval is None:
            allowance = abs(value) / n_samples + (abs(value - moved) if moved is not None else abs(value))
        else:
            below = moments.count > 0 and moments.mean < value
            allowance = abs(value) * _uncertainty(answer, below=below)
        rounding = max((change or 0.0 for chunk in chunks for change in chunk.get(name + CHANGE, ())), default=0.0)
        allowance += rounding + (ROUNDING * scale if name != "estimator_norm_squared" else 0.0)
        gap, error = moments.mean - value, moments.standard_error
        if name == "train_error" and answer.metric == "misclassification":
            # Mistakes are counted: rare ones may not occur in any replicate, which says little against a small rate.
            error = max(error, (value / (n_samples * max(moments.count, 1))) ** 0.5)
        yield (
            name,
            Comparison(
                theory=value,
                mean=moments.mean if moments.count else None,
                standard_error=error if moments.count > 1 else None,
                z=gap / error if 0.0 < error < inf else None,
                allowance=allowance,
                rounding=rounding,
                missing=len(numbers) - len(finite),
                agrees=len(finite) > 1 and abs(gap) <= allowance + spread(moments.count) * error,
            ),
        )


def _uncertainty(answer: Prediction, *, below: bool) -> float:
    """Return how far the interval about an error that is estimated reaches to one side, relative to the error.

    Against splits of the rows that an estimate was made from, it is the estimate that is uncertain; what the limit of large
    sizes neglects is little beside that.
    """
    assert answer.interval is not None
    low, high = answer.interval
    if not answer.test_error:
        return 1.0
    return (answer.test_error - low if below else high - answer.test_error) / answer.test_error


def spread(count: int) -> float:
    """Return how many standard errors, estimated from so many replicates, are as rare as three that are known: Student's t."""
    return float(stdtrit(count - 1, ndtr(STANDARD_ERRORS))) if count > 1 else inf


def dumped(values: Values) -> str:
    """Write a chunk's result so that every digit comes back."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def loaded(text: bytes | str) -> dict[str, list[float | None]]:
    """Read a chunk's result back, to the last digit."""
    values: dict[str, list[float | None]] = json.loads(text)
    return values
