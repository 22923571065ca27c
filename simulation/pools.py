"""Learning on stored rows: each replicate trains on some of them, drawn at random, and is tested on others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.arrays import dot, epsilon, is_all, like, on_host, times, transposed
from simulation.batches import in_batches
from simulation.designs import Design, KernelMatrix, ListedFeatures
from simulation.devices import HOST, Device, Streams
from simulation.domains import whole
from simulation.features import Features
from simulation.kernels import Kernel
from simulation.learners import Learner, Ridge, beside_raw_features
from simulation.linear_algebra import solve_positive
from simulation.losses import mistake
from simulation.replicates import Samples
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

MOST_TESTED = 2000
"""Rows that a replicate is tested on, of those that it was not trained on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolProblem:
    """Rows to train on and to test on, and how to train.

    Attributes:
        rows: shape ``(N, d)``.
        targets: shape ``(N, C)``: numbers, or where they are classes +-1 in one column for two, one-hot in C for more.
        classes: whether they are.
        features: of :mod:`simulation.features`, or a kernel.
        learner: of :mod:`simulation.learners`, trained on each column by itself.
        n_samples: rows that are trained on, whole, from 1 to N - 1.
        fit_intercept: fit an unpenalised constant.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    rows: Array
    targets: Array
    classes: bool
    features: Features | Kernel
    learner: Learner
    n_samples: int
    fit_intercept: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_samples", whole("n_samples", self.n_samples))
        if self.n_samples >= self.rows.shape[0]:
            raise InadmissibleProblem(
                f"n_samples must leave rows to test on, {self.rows.shape[0]} rows do not after {self.n_samples}",
                argument="n_samples",
            )
        if self.learner.needs_classes and not (self.classes and self.targets.shape[1] == 1):
            raise InadmissibleProblem(
                f"{type(self.learner).__name__} needs two classes, coded in one column; take a learner of square loss",
                argument="learner",
            )


def simulate_pool(
    problem: PoolProblem, *, replicates: int, seed: int, first_replicate: int = 0, device: Device = HOST
) -> Samples:
    """Train and test on ``replicates`` random splits of the rows; random features are drawn anew for each.

    Replicate r has its own random stream, keyed by ``(seed, r)``, as in :func:`simulation.replicates.simulate`. It is tested
    on all rows that it was not trained on, up to ``MOST_TESTED``. Splits share rows: their mean tends to what is expected of
    training sets from these rows, not of others from the population.

    Args:
        problem: the rows, and how to train.
        replicates: how many.
        seed: nonnegative.
        first_replicate: number of the first one, to carry on where an earlier call stopped.
        device: that does the work.

    Returns:
        Errors summed over the columns of the targets; of classes rates of misclassification, by the sign or the largest
        column, and in ``test_loss`` and ``train_loss`` half the squared error of the codes.
    """

    def run(numbers: Sequence[int]) -> dict[str, Array]:
        found = _split(problem, device.streams(seed, numbers))
        return {name: on_host(values) for name, values in found.items()}

    nothing = dict.fromkeys(("test_error", "train_error", "estimator_norm_squared"), np.empty(0))
    return Samples(**(in_batches(run, first=first_replicate, count=replicates, device=device) or nothing))


class _Fits(NamedTuple):
    """Read-outs of all columns, shapes ``(p, C)``, ``(C,)``, ``(n, C)`` and ``()``; see :class:`simulation.designs.Fit`."""

    readouts: Any
    intercepts: Any
    scores: Any
    norm_squared: Any


def _split(problem: PoolProblem, streams: Streams) -> dict[str, Any]:
    draws = streams.random((problem.rows.shape[0],))
    xp = array_api_compat.array_namespace(draws)
    order, n_samples = xp.argsort(draws, axis=-1, stable=True), problem.n_samples
    end = min(n_samples + MOST_TESTED, int(order.shape[-1]))
    trained, tested = order[..., :n_samples], order[..., n_samples:end]
    rows, targets = like(draws, problem.rows), like(draws, problem.targets)
    inputs, others = _taken(rows, trained), _taken(rows, tested)
    features: Any = problem.features
    design: Design
    if isinstance(features, Kernel):
        design = KernelMatrix.of(features.matrix(inputs), fit_intercept=problem.fit_intercept)
        mapped = features.matrix(others, inputs)
    else:
        weights = features.draw(streams, int(rows.shape[-1]))
        design = ListedFeatures.of(features.apply(weights, inputs), fit_intercept=problem.fit_intercept)
        mapped = features.apply(weights, others)
    fits = _fitted(problem.learner, design, _taken(targets, trained))
    at_test = mapped @ fits.readouts + fits.intercepts[..., None, :]
    own, fresh = _taken(targets, trained), _taken(targets, tested)
    measured = {"estimator_norm_squared": fits.norm_squared}
    if not problem.classes:
        return measured | {"test_error": _squares(fresh - at_test), "train_error": _squares(own - fits.scores)}
    return measured | {
        "test_error": _mistakes(fresh, at_test),
        "train_error": _mistakes(own, fits.scores),
        "test_loss": _loss(problem.learner, fresh, at_test),
        "train_loss": _loss(problem.learner, own, fits.scores),
    }


def _fitted(learner: Learner, design: Any, targets: Any) -> _Fits:
    """Train on each column, with one factorisation for all of them where the penalty keeps it well conditioned."""
    xp, count = array_api_compat.array_namespace(targets), int(targets.shape[-1])
    together = count > 1 and isinstance(learner, Ridge) and _together(learner, design, targets)
    if together:
        return together
    fits = [learner.fit(design, targets[..., column]) for column in range(count)]
    return _Fits(
        xp.stack([fit.readout for fit in fits], axis=-1),
        xp.stack([beside_raw_features(fit, design) for fit in fits], axis=-1),
        xp.stack([fit.scores for fit in fits], axis=-1),
        sum(fit.norm_squared for fit in fits),
    )


def _together(learner: Ridge, design: Any, targets: Any) -> _Fits | None:
    """Solve for all columns at once; None where rounding would blur the smallest eigenvalues."""
    xp, matrix, n_samples = array_api_compat.array_namespace(targets), design.matrix, int(targets.shape[-2])
    level = xp.mean(targets, axis=-2) if design.centre is not None else xp.zeros_like(targets[..., 0, :])
    centred = targets - level[..., None, :]
    shift, listed = n_samples * learner.penalty, isinstance(design, ListedFeatures)
    wide = matrix.shape[-1] > n_samples
    gram = matrix if not listed else matrix @ transposed(matrix) if wide else transposed(matrix) @ matrix
    if not is_all(shift > epsilon(gram) ** 0.5 * xp.linalg.trace(gram)):
        return None
    shifted = gram + shift * xp.eye(int(gram.shape[-1]), dtype=gram.dtype)
    primal = listed and not wide
    found = solve_positive(shifted, transposed(matrix) @ centred if primal else centred)
    readouts = transposed(matrix) @ found if listed and wide else found
    scores = matrix @ readouts
    norms = readouts * readouts if listed else readouts * scores
    intercepts = level
    if design.centre is not None:
        intercepts = level - times(transposed(readouts), design.centre)
    return _Fits(readouts, intercepts, scores + level[..., None, :], xp.sum(norms, axis=(-2, -1)))


def _taken(rows: Any, places: Any) -> Any:
    """Return rows by their places, shape ``(..., m)``, as ``(..., m, columns)``."""
    xp = array_api_compat.array_namespace(rows)
    return xp.reshape(xp.take(rows, xp.reshape(places, (-1,)), axis=0), (*places.shape, int(rows.shape[-1])))


def _squares(residuals: Any) -> Any:
    """Return the mean over rows of squares, summed over columns."""
    xp = array_api_compat.array_namespace(residuals)
    return xp.sum(dot(transposed(residuals), transposed(residuals)), axis=-1) / int(residuals.shape[-2])


def _loss(learner: Learner, codes: Any, scores: Any) -> Any:
    """Return the mean loss: of the margin of two classes, half the squared error of the codes of more."""
    if int(codes.shape[-1]) > 1 or learner.loss is None:
        return 0.5 * _squares(codes - scores)
    xp = array_api_compat.array_namespace(scores)
    return xp.mean(learner.loss(codes[..., 0] * scores[..., 0]), axis=-1)


def _mistakes(codes: Any, scores: Any) -> Any:
    """Return the share of rows whose class is another than the scores say."""
    xp = array_api_compat.array_namespace(scores)
    if int(codes.shape[-1]) == 1:
        return xp.mean(mistake(codes[..., 0] * scores[..., 0]), axis=-1)
    wrong = xp.argmax(codes, axis=-1) != xp.argmax(scores, axis=-1)
    return xp.mean(xp.astype(wrong, scores.dtype), axis=-1)
