"""Gradient flow and gradient descent of square loss on any features, with or without a penalty, at any time.

Both leave ``phi(A)`` of the labels, A the Hessian; a contour writes that as ridge regression at complex penalties
``penalty + p``, so that the two scalar functions kappa and T of the features are all that is read. With
``v_j = w_j / p_j`` the residual of the predictor is ``sum_j v_j (y - f_j)``, f_j the ridge predictor at p_j, and

    test error  = sum_jk v_j v_k R_jk,    R_jk = (kappa_k T_j - kappa_j T_k) / (penalty_k - penalty_j),

the risk that two ridge predictors share on the same data. What is quadratic in the labels alone takes one sum: the
training error and the norm, by ``(1/n) y' (Phi Phi'/n + penalty)^-1 y = T / kappa``.

Sources: Ali, Kolter, Tibshirani, arXiv:1810.10082, for flow as a filter of the spectrum; Liao and Couillet,
arXiv:1805.11917, for its high-dimensional limit by contour integrals; two-point equivalents: Bach, arXiv:2303.01372,
and Patil, LeJeune, arXiv:2310.04357.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Vector
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent, Point
from theory.equivalents.population import trace_of
from theory.functionals.largest_eigenvalue import largest_eigenvalue
from theory.learners.contours import descent_contour
from theory.learners.filtered import FIRST_SCORE, POWERS, SCORES, Contours, Moments, along, at_rest, of_flow
from theory.modes import Modes

ENTRIES = 2_000_000
"""Nodes times modes of the times that are worked off together."""
SETTLED = 80.0
"""With a penalty nothing moves beyond this many times ``1 / penalty``: exp(-80) is rounding."""
SQUARE = 1e30
"""Times the inverse mean eigenvalue: where eigenvalues reach down to 0, what still moves falls like its root, to rounding."""
EARLY = 1e-7
"""Times the mean eigenvalue: until then scores grow in proportion to time, and their contours would lose digits."""
ACCURACY = 1e-8


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientPrediction:
    """What a gradient method attains from theta = 0; floats for one time, arrays of shape ``(times,)`` for a trajectory.

    Attributes:
        test_error: mean squared error against a fresh noisy label.
        excess_risk: ``test_error - noise_variance``, equal to ``bias + variance``.
        train_error: mean squared error on the training set, without the penalty.
        bias: squared bias of the predictor averaged over data and features, with what the features cannot express.
        variance: what the randomness of data, noise and features adds.
        estimator_norm_squared: ``||theta||^2``.
        df1: trace of the hat matrix, an unpenalised constant included.
        score_mean, score_square: E[y f] and E[f^2] on a fresh sample, y and f centred where a constant is fitted.
        train_score_mean, train_score_square: what they are on a training sample.
        score_level, train_score_level: E[f], where features with a mean are to express a mean of the labels; 0 elsewhere.
        train_label_weight: by how much a training sample's own label counts in its f.
        critical_step_size: from which descent diverges; None of a flow.
        phase: "underparameterized", "threshold" or "overparameterized".
        status: "converged" or "not_converged".
        residual: relative difference of two contours, or what rounding leaves of the test error if that is more.
        iterations: complex penalties solved for, for each time.
    """

    test_error: Any
    excess_risk: Any
    train_error: Any
    bias: Any
    variance: Any
    estimator_norm_squared: Any
    df1: Any
    score_mean: Any
    score_square: Any
    train_score_mean: Any
    train_score_square: Any
    train_label_weight: Any
    score_level: Any
    train_score_level: Any
    critical_step_size: float | None
    phase: Any
    status: Any
    residual: Any
    iterations: Any


def predict_gradient_flow(
    features: Equivalent | Modes, n_samples: float, time: npt.ArrayLike, *, penalty: float = 0.0
) -> GradientPrediction:
    """Predict the errors along ``d theta / dt = -grad((1/2n) ||y - Phi theta||^2 + (penalty/2) ||theta||^2)`` from 0.

    An unpenalised constant, where there is one, is at its best at every time: the flow of centred data.

    Args:
        features: an equivalent of :mod:`theory.equivalents`, or a mode table.
        n_samples: n > 0.
        time: nonnegative, scalar or ``(times,)``; each costs one contour.
        penalty: nonnegative.

    Returns:
        Errors and their decomposition at each time.

    Raises:
        ValueError: ``n_samples`` is not positive, or a time or the penalty is negative.
        InadmissibleProblem: a constant is fitted to no more samples than one.

    Source: see :mod:`theory.learners.gradient_methods`.
    """
    _check(n_samples > 0.0 and penalty >= 0.0 and bool(np.all(np.asarray(time) >= 0.0)))
    problem = Problem.of(features, n_samples, penalty)
    return _predict(problem, time, partial(flow_contours, problem))


def predict_gradient_descent(
    features: Equivalent | Modes, n_samples: float, steps: npt.ArrayLike, *, step_size: float, penalty: float = 0.0
) -> GradientPrediction:
    """Predict the errors after steps ``theta <- theta - step_size grad`` of the objective of :func:`predict_gradient_flow`.

    Args:
        features: an equivalent of :mod:`theory.equivalents`, or a mode table.
        n_samples: n > 0.
        steps: whole numbers from 0, scalar or ``(times,)``.
        step_size: positive and stable, see :func:`largest_step_size`.
        penalty: nonnegative.

    Raises:
        ValueError: a size is not positive, or steps or penalty are negative.
        InadmissibleProblem: the step size is not stable; the argument is ``step_size``. Or a constant is fitted to no more
            samples than one.

    Source: see :mod:`theory.learners.gradient_methods`.
    """
    _check(n_samples > 0.0 and penalty >= 0.0 and step_size > 0.0 and bool(np.all(np.asarray(steps) >= 0)))
    problem = Problem.of(features, n_samples, penalty)
    bound = largest_step_size(features, n_samples, penalty=penalty)
    if not step_size < bound:
        raise InadmissibleProblem(
            f"step_size must be below {bound:.6g} = 2 / (the largest eigenvalue of the second moments plus the penalty) for"
            f" gradient descent to converge, got {step_size:g}",
            argument="step_size",
        )
    found = _predict(problem, steps, partial(descent_contours, problem, step_size=step_size, bound=bound))
    return replace(found, critical_step_size=bound)


def largest_step_size(features: Equivalent | Modes, n_samples: float, *, penalty: float = 0.0) -> float:
    """Return the step size from which gradient descent diverges: 2 over the largest eigenvalue of the Hessian.

    That is the upper edge of the spectrum of ``Phi' Phi / n``, or the outlier that features of nonzero mean have, plus the
    penalty.

    Args:
        features: an equivalent, or a mode table.
        n_samples: n > 0.
        penalty: nonnegative.
    """
    equivalent, available = _prepared(features, n_samples)
    return 2.0 / (largest_eigenvalue(equivalent, available) * available / n_samples + penalty)


def _check(admissible: bool) -> None:
    if not admissible:
        raise ValueError("n_samples and step_size must exceed 0; times, steps and penalty must not be negative")


def _prepared(features: Equivalent | Modes, n_samples: float) -> tuple[Equivalent, float]:
    """Return the equivalent, and the samples that a constant leaves."""
    equivalent = ModalEquivalent(modes=features) if isinstance(features, Modes) else features
    available = float(n_samples) - equivalent.n_unpenalised
    if available <= 0.0:
        raise InadmissibleProblem(
            f"n_samples must exceed 1 where an intercept is fitted, got {n_samples:g}", argument="n_samples"
        )
    return equivalent, available


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What does not depend on the time.

    Attributes:
        equivalent: of the features.
        available: samples that a constant leaves, ``share`` of all.
        share: see ``available``.
        penalty: of the available samples.
        ridgeless: the point that a flow without a penalty ends at.
        mean_eigenvalue: of the Gram matrix, its zeros left out.
        last_time: after which nothing that double precision shows moves.
    """

    equivalent: Equivalent
    available: float
    share: float
    penalty: float
    ridgeless: Point
    mean_eigenvalue: float
    last_time: float

    @classmethod
    def of(cls, features: Equivalent | Modes, n_samples: float, penalty: float) -> "Problem":
        """Work it out."""
        equivalent, available = _prepared(features, n_samples)
        ridgeless = equivalent.solve(n_samples, 0.0)
        mean_eigenvalue = trace_of(equivalent) / min(available, equivalent.rank)
        return cls(
            equivalent=equivalent,
            available=available,
            share=available / n_samples,
            penalty=penalty * n_samples / available,
            ridgeless=ridgeless,
            mean_eigenvalue=mean_eigenvalue,
            last_time=SETTLED / penalty if penalty > 0.0 else _last_time(ridgeless, n_samples, mean_eigenvalue),
        )


def flow_contours(problem: Problem, time: float) -> Contours | None:
    """Return the contours of gradient flow at a time, None before it begins."""
    # In units of the available samples: their second moments are those of all samples over the share.
    scaled = min(float(time) * problem.share, problem.last_time)
    return of_flow(scaled) if scaled > 0.0 else None


def descent_contours(problem: Problem, steps: float, *, step_size: float, bound: float) -> Contours | None:
    """Return the contours of gradient descent after some steps, None before the first; ``bound`` is the largest step size."""
    # The largest eigenvalue shrinks by this factor a step, to alternating signs.
    slowest = max(2.0 * step_size / bound - 1.0, 0.0)
    count, scaled = int(steps), step_size * problem.share
    if count == 0:
        return None
    if count * scaled >= problem.last_time and (slowest == 0.0 or count * np.log(slowest) < -SETTLED):
        return of_flow(problem.last_time)
    return Contours(
        first=descent_contour(scaled, count),
        second=descent_contour(scaled, count, between=False),
        doubled=descent_contour(scaled, 2 * count),
        time=scaled * count,
    )


def _last_time(ridgeless: Point, n_samples: float, mean_eigenvalue: float) -> float:
    """Return a time after which nothing moves without a penalty; infinity where none is known."""
    if not ridgeless.converged or np.isinf(ridgeless.mixed_per_ridge):
        # A square matrix of features, whose smallest eigenvalues have no bound: rounding is all that a ridge of 0 shows of it.
        return np.inf
    if ridgeless.sample_margin > 0.0:
        # No eigenvalue is far below kappa / sum of all kappa / s, with kappa = penalty n / (n - df).
        last = SETTLED * float(ridgeless.spread_per_ridge * n_samples / ridgeless.sample_margin)
        return last if last > 0.0 else np.inf
    # Near the threshold the smallest eigenvalue of the Gram matrix is kappa^2 / (4 mean); elsewhere it is larger.
    ridge = float(ridgeless.outer_ridge)
    return 4.0 * SETTLED * max(mean_eigenvalue, ridge) / ridge**2 if ridge > 0.0 else np.inf


def _predict(
    problem: Problem, times: npt.ArrayLike, contours: Callable[[float], Contours | None]
) -> GradientPrediction:
    values = np.atleast_1d(np.asarray(times, float))
    found = np.empty((values.size, len(Moments._fields)))
    start = EARLY / problem.mean_eigenvalue
    n_modes = max(int(modes.eigenvalues.size) for modes in problem.equivalent.tables)
    waiting_scores: dict[int, Vector] = {}
    waiting: list[tuple[int, Contours]] = []
    entries = 0
    for position, value in enumerate(values.tolist()):
        plan = contours(value)
        if plan is None:
            found[position] = at_rest(problem.equivalent)
            continue
        waiting.append((position, plan))
        entries += plan.size * n_modes
        if entries > ENTRIES:
            _solve(found, waiting, problem)
            waiting, entries = [], 0
        if plan.time < start:
            [early] = along(problem.equivalent, problem.available, problem.penalty, [of_flow(start)])
            waiting_scores[position] = early[FIRST_SCORE : FIRST_SCORE + len(SCORES)] * (plan.time / start) ** POWERS
    if waiting:
        _solve(found, waiting, problem)
    for position, scores in waiting_scores.items():
        found[position, FIRST_SCORE : FIRST_SCORE + len(SCORES)] = scores
    return _answer(problem, found, scalar=np.ndim(times) == 0)


def _solve(found: Vector, waiting: list[tuple[int, Contours]], problem: Problem) -> None:
    """Fill in the rows of the times that wait."""
    plans = [plan for _, plan in waiting]
    rows = along(problem.equivalent, problem.available, problem.penalty, plans)
    found[[position for position, _ in waiting]] = rows


def _answer(problem: Problem, found: Vector, *, scalar: bool) -> GradientPrediction:
    share, point = problem.share, problem.ridgeless
    noise = float(point.noise_variance)
    test, train, bias, norm, df1, *scores, error, nodes = found.T
    # A fitted constant errs too, by 1 / n of the errors it was averaged from.
    test, train = test / share, train * share
    excess = test - noise
    settled = (error <= ACCURACY) & np.all(np.isfinite(found), axis=1)
    columns: dict[str, Any] = {
        "test_error": test,
        "excess_risk": excess,
        "train_error": train,
        "bias": bias,
        "variance": np.maximum(excess - bias, 0.0),
        "estimator_norm_squared": norm,
        "df1": df1 + problem.equivalent.n_unpenalised,
        **dict(zip(SCORES, scores, strict=True)),
        "phase": np.full(test.shape, str(point.phase)),
        "status": np.where(settled, "converged", "not_converged"),
        "residual": error,
        "iterations": nodes.astype(int),
    }
    if scalar:
        columns = {name: values[0].item() for name, values in columns.items()}
    return GradientPrediction(critical_step_size=None, **columns)
