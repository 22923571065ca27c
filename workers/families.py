"""Many requests in one go: those that differ in numbers which nothing is built of share what was built, and one solve.

A family is a request and numbers that vary within it. Which may vary is up to its kind:

=====================  ==================================================================
learner                solved together
=====================  ==================================================================
ridge on a mode table  n_samples, penalty, noise_variance, width; families with tables of the same length too
ridge on stored rows   n_samples, penalty, width
gradient_flow          time
gradient_descent       steps
sgd                    n_samples, step_size
=====================  ==================================================================

where labels are numbers. Everything else is solved one by one, and still shares what was built while n_samples and the
learner's numbers alone vary. Answers are those of single predictions to the rounding of a few elementary functions, of
which NumPy and Python's math take different last bits; where a check fails the request is answered by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

import theory
from api_schemas.prediction import PredictionRequest
from theory import InadmissibleProblem, ModalEquivalent
from theory.covariance import Vector
from theory.learners.sgd import predict_sgd
from theory.modes import stacked
from workers.answers import Answer, Built
from workers.building import build
from workers.deadlines import check_time
from workers.pools import PoolSource, predict
from workers.predictions import answer_of
from workers.refusals import Refused
from workers.registry import NUMBERS

N_SAMPLES, PENALTY, NOISE = "regime.n_samples", "model.learner.penalty", "regime.noise_variance"
WIDTHS = {"random_projection": "model.features.width", "random_features": "model.features.layers.0.width"}
ALONG = {
    "gradient_flow": frozenset({"model.learner.time"}),
    "gradient_descent": frozenset({"model.learner.steps"}),
    "sgd": frozenset({N_SAMPLES, "model.learner.step_size"}),
}
"""Paths along which gradient methods on labels that are numbers are followed."""
ENTRIES = 400_000
"""A vectorised solve is worked off in pieces of so many problems times modes, which stay in a processor's cache."""
MOST_TOGETHER = 20_000
"""Problems in a piece."""
MOST_PENDING = 1_000_000
"""Entries of tables that wait to be solved with others."""
AT_A_TIME = 64
"""Times of a gradient method that are followed together; what is not vectorised is handed over after so many."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Requests on one equivalent.

    Attributes:
        request: one of them, for what does not vary.
        built: of it.
        size: how many there are.
        numbers: what varies, by path; each of shape ``(size,)``.
        request_at: returns a member, by its position.
        label: whatever the caller knows the family by.
    """

    request: PredictionRequest
    built: Built
    size: int
    numbers: Mapping[str, Vector]
    request_at: Callable[[int], PredictionRequest]
    label: Any = None


@dataclass(frozen=True, kw_only=True)
class Solved:
    """Answers to some members of a family.

    Attributes:
        family: see there.
        start: position of the first.
        size: how many they are.
        columns: fields of :class:`workers.answers.Answer` by name, each of shape ``(size,)``; others are None.
        refused: by position within these, why there is no answer.
    """

    family: Family
    start: int
    size: int
    columns: Mapping[str, npt.NDArray[Any]]
    refused: Mapping[int, Refused]

    def answers(self) -> Iterator[Answer | Refused]:
        """Return them one by one."""
        names = list(self.columns)
        rows = zip(*(self.columns[name].tolist() for name in names), strict=True)
        for position, row in enumerate(rows):
            yield self.refused.get(position) or Answer(**dict(zip(names, row, strict=True)))


def not_built(request: PredictionRequest) -> frozenset[str]:
    """Return the paths of numbers that nothing is built of."""
    learner = {f"model.learner.{name}" for name in type(request.model.learner).model_fields if name != "kind"}
    # How many degrees of a kernel on the sphere are told apart depends on the samples.
    return frozenset(learner if request.regime.kind == "sphere" else learner | {N_SAMPLES})


def solved_together(request: PredictionRequest, *, varied: Iterable[str] = ()) -> frozenset[str]:
    """Return the paths of numbers that may vary within a family.

    Args:
        request: one of its members.
        varied: paths that vary between families, as those of a grid.
    """
    if request.regime.kind == "dataset" and request.model.learner.kind == "ridge":
        return frozenset(
            {N_SAMPLES, PENALTY, *(path for kind, path in WIDTHS.items() if kind == request.model.features.kind)}
        )
    if request.regime.kind not in NUMBERS:
        return frozenset()
    if request.model.learner.kind != "ridge":
        return ALONG.get(request.model.learner.kind, frozenset())
    features: Any = request.model.features
    table = features.kind != "random_fourier"
    if features.kind == "random_features":
        # Neurons that differ by their biases, and deep layers, are no mode table.
        biased = features.layers[0].bias_variance > 0.0 or any(path.endswith(".bias_variance") for path in varied)
        table = len(features.layers) == 1 and not biased
    found = {PENALTY, NOISE} | (set() if request.regime.kind == "sphere" else {N_SAMPLES})
    if features.kind in WIDTHS:
        found.add(WIDTHS[features.kind])
    return frozenset(found if table else ())


def solve(families: Iterable[Family]) -> Iterator[Solved]:
    """Answer all members, in pieces, not in the order of the families.

    Args:
        families: those that can be solved with others are held back until there are enough of them.
    """
    waiting: dict[tuple[int, int], list[tuple[Family, int, int]]] = {}
    entries: dict[tuple[int, int], int] = {}
    for family in families:
        if family.built.pool is not None and family.request.model.learner.kind == "ridge":
            yield from _of_rows(family, family.built.pool)
            continue
        if not _is_table(family):
            yield from _by_itself(family)
            continue
        modes = family.built.equivalent.modes  # type: ignore[union-attr]
        key = (modes.eigenvalues.size, modes.n_unpenalised)
        most = max(1, min(MOST_TOGETHER, ENTRIES // key[0]))
        start = 0
        while start < family.size:
            room = max(1, most - entries.get(key, 0) // key[0])
            stop = min(family.size, start + room)
            waiting.setdefault(key, []).append((family, start, stop))
            entries[key] = entries.get(key, 0) + (stop - start) * key[0]
            start = stop
            if entries[key] >= most * key[0]:
                yield from _tables(waiting.pop(key))
                del entries[key]
        if sum(entries.values()) > MOST_PENDING:
            for key in list(waiting):
                yield from _tables(waiting.pop(key))
            entries.clear()
    for pieces in waiting.values():
        yield from _tables(pieces)


def _is_table(family: Family) -> bool:
    """Whether square loss with a penalty on a mode table is all there is to solve."""
    request = family.request
    square = request.model.learner.kind == "ridge" and request.regime.kind in NUMBERS
    return square and isinstance(family.built.equivalent, ModalEquivalent)


def _tables(pieces: list[tuple[Family, int, int]]) -> Iterator[Solved]:
    """Solve ridge regression on tables of the same length."""
    check_time()
    equivalents: list[Any] = [family.built.equivalent for family, _, _ in pieces]
    sizes = [stop - start for _, start, stop in pieces]

    def numbers(path: str, own: Callable[[Family], float]) -> Vector:
        parts = [
            family.numbers[path][start:stop] if path in family.numbers else np.full(stop - start, own(family))
            for family, start, stop in pieces
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    n_samples = numbers(N_SAMPLES, lambda family: family.request.regime.n_samples)
    penalty = numbers(PENALTY, lambda family: family.request.model.learner.penalty)  # type: ignore[union-attr]
    noise = numbers(NOISE, lambda family: float(family.built.equivalent.modes.noise_variance))  # type: ignore[union-attr]
    widths = [
        family.numbers[path][start:stop]
        if (path := WIDTHS.get(family.request.model.features.kind, "")) in family.numbers
        else np.full(stop - start, float(equivalent.width))
        for (family, start, stop), equivalent in zip(pieces, equivalents, strict=True)
    ]
    modes = stacked([equivalent.modes for equivalent in equivalents], sizes, noise_variance=noise)
    with np.errstate(all="ignore"):
        equivalent = ModalEquivalent(modes=modes, width=np.concatenate(widths))
        found = theory.predict_ridge(equivalent, n_samples, penalty)
    whole = _columns(found, len(n_samples), ridge=found.outer_ridge, target_ridge=found.effective_ridge)
    start = 0
    for (family, first, stop), size in zip(pieces, sizes, strict=True):
        columns = {name: values[start : start + size] for name, values in whole.items()}
        yield _checked(family, first, stop - first, columns)
        start += size


def _of_rows(family: Family, source: PoolSource) -> Iterator[Solved]:
    """Solve ridge regression on stored rows, all members in one go."""
    learner: Any = family.request.model.learner
    width = WIDTHS.get(family.request.model.features.kind, "")
    for start in range(0, family.size, MOST_TOGETHER):
        check_time()
        piece = slice(start, min(start + MOST_TOGETHER, family.size))
        size = piece.stop - start
        n_samples, penalty, widths = (
            family.numbers[path][piece] if path in family.numbers else np.full(size, own)
            for path, own in (
                (N_SAMPLES, family.request.regime.n_samples),
                (PENALTY, learner.penalty),
                (width, source.width),
            )
        )
        try:
            with np.errstate(all="ignore"):
                found = predict(source, n_samples, penalty, widths)
        except Refused as refusal:
            nothing = _of_answers([None] * size)
            refused = dict.fromkeys(range(size), refusal)
            yield Solved(family=family, start=start, size=size, columns=nothing, refused=refused)
            continue
        yield _checked(family, start, size, _columns(None, size, **found))


def _by_itself(family: Family) -> Iterator[Solved]:
    """Solve what is no mode table: along the times of a gradient method, or one by one."""
    request, together = family.request, solved_together(family.request)
    vectorised = bool(together) and family.numbers.keys() <= together and family.built.equivalent is not None
    for start in range(0, family.size, AT_A_TIME):
        check_time()
        size = min(AT_A_TIME, family.size - start)
        numbers = {path: values[start : start + size] for path, values in family.numbers.items()}
        if vectorised and size > 1 and request.model.learner.kind != "ridge":
            columns = _along(request, family.built.equivalent, numbers, size)
            if columns is not None:
                yield _checked(family, start, size, columns)
                continue
        yield _one_by_one(family, start, size)


def _along(
    request: PredictionRequest, equivalent: Any, numbers: Mapping[str, Vector], size: int
) -> dict[str, npt.NDArray[Any]] | None:
    """Follow a gradient method along what varies; None where it is refused, to be told for each member by itself."""
    learner: Any = request.model.learner
    n_samples = request.regime.n_samples
    try:
        with np.errstate(all="ignore"):
            found: Any
            if learner.kind == "gradient_flow":
                found = theory.predict_gradient_flow(
                    equivalent, n_samples, numbers["model.learner.time"], penalty=learner.penalty
                )
            elif learner.kind == "gradient_descent":
                found = theory.predict_gradient_descent(
                    equivalent,
                    n_samples,
                    numbers["model.learner.steps"],
                    step_size=learner.step_size,
                    penalty=learner.penalty,
                )
            else:
                step_size = numbers.get("model.learner.step_size", np.full(size, learner.step_size))
                found = predict_sgd(equivalent, numbers.get(N_SAMPLES, np.full(size, n_samples)), step_size)
    except (InadmissibleProblem, ArithmeticError):
        return None
    return _columns(found, size)


def _one_by_one(family: Family, start: int, size: int) -> Solved:
    shared = family.numbers.keys() <= not_built(family.request)
    refused: dict[int, Refused] = {}
    answers: list[Answer | None] = []
    for position in range(size):
        try:
            request = family.request_at(start + position)
            answers.append(answer_of(request, family.built if shared else build(request)))
        except Refused as refusal:
            refused[position] = refusal
            answers.append(None)
    return Solved(family=family, start=start, size=size, columns=_of_answers(answers), refused=refused)


def _checked(family: Family, start: int, size: int, columns: dict[str, npt.NDArray[Any]]) -> Solved:
    """Answer by themselves those that did not converge or left double precision; they may need to be refused."""
    finite = np.isfinite(columns["residual"].astype(float))
    for name in ("df1", "df2"):
        if columns[name].dtype != object:
            finite &= np.isfinite(columns[name])
    doubtful = np.flatnonzero(~finite | (columns["status"] == "not_converged"))
    if not doubtful.size:
        return Solved(family=family, start=start, size=size, columns=columns, refused={})
    columns = {name: values.astype(object) for name, values in columns.items()}
    refused: dict[int, Refused] = {}
    for position in doubtful.tolist():
        request = family.request_at(start + position)
        try:
            answer = answer_of(request, build(request))
        except Refused as refusal:
            refused[position] = refusal
            continue
        for name, values in columns.items():
            values[position] = getattr(answer, name)
    return Solved(family=family, start=start, size=size, columns=columns, refused=refused)


_FIELDS = tuple(field.name for field in fields(Answer))
_SCALAR = {field.name: field.default for field in fields(Answer)}


def _columns(found: Any, size: int, **more: Any) -> dict[str, npt.NDArray[Any]]:
    """Take what a prediction of :mod:`theory` has under the names of an answer's fields, each of shape ``(size,)``."""
    columns = {}
    for name in _FIELDS:
        value = more.get(name, getattr(found, name, _SCALAR[name]))
        columns[name] = np.broadcast_to(np.asarray(value, None if value is not None else object), (size,))
    return columns


def _of_answers(answers: list[Answer | None]) -> dict[str, npt.NDArray[Any]]:
    columns = {}
    for name in _FIELDS:
        values = np.empty(len(answers), object)
        for position, answer in enumerate(answers):
            values[position] = None if answer is None else getattr(answer, name)
        columns[name] = values
    return columns
