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
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Vector
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Complex, Continued, Equivalent
from theory.equivalents.population import ABUNDANT, trace_of
from theory.functionals.largest_eigenvalue import largest_eigenvalue
from theory.learners.contours import Contour, descent_contour, flow_contour
from theory.modes import Modes

ENTRIES = 2_000_000
"""Nodes times modes of the times that are worked off together."""
SETTLED = 80.0
"""With a penalty nothing moves beyond this many times ``1 / penalty``: exp(-80) is rounding."""
CANCELLATION = 100.0 * float(np.finfo(float).eps)
"""Rounding of the risks that two predictors share, relative to kappa over the penalty."""
ACCURACY = 1e-8
SCORES = (
    "score_mean",
    "score_square",
    "train_score_mean",
    "train_score_square",
    "train_label_weight",
    "score_level",
    "train_score_level",
)


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


@dataclass(frozen=True, kw_only=True)
class _Contours:
    """Of one time: two opinions on phi, and one on its square."""

    first: Contour
    second: Contour
    doubled: Contour

    @property
    def size(self) -> int:
        """Number of nodes."""
        return sum(contour.points.size for contour in (self.first, self.second, self.doubled))


class _Moments(NamedTuple):
    """What is read at a time, in units of the samples that a constant leaves; ``nodes`` were solved for."""

    test_error: float
    train_error: float
    bias: float
    estimator_norm_squared: float
    df1: float
    score_mean: float
    score_square: float
    train_score_mean: float
    train_score_square: float
    train_label_weight: float
    score_level: float
    train_score_level: float
    error: float
    nodes: float


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
    equivalent, available = _prepared(features, n_samples)
    share = available / n_samples
    moved = _last_time(equivalent, n_samples, penalty)

    def contours(value: float) -> _Contours | None:
        # In units of the available samples: their second moments are those of all samples over the share.
        scaled = min(float(value) * share, moved)
        if scaled == 0.0:
            return None
        return _Contours(
            first=flow_contour(scaled),
            second=flow_contour(scaled, between=False),
            doubled=flow_contour(2.0 * scaled),
        )

    return _predict(equivalent, n_samples, available, penalty, time, contours)


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
    equivalent, available = _prepared(features, n_samples)
    bound = largest_step_size(equivalent, n_samples, penalty=penalty)
    if not step_size < bound:
        raise InadmissibleProblem(
            f"step_size must be below {bound:.6g} = 2 / (the largest eigenvalue of the second moments plus the penalty) for"
            f" gradient descent to converge, got {step_size:g}",
            argument="step_size",
        )
    share = available / n_samples

    def contours(value: float) -> _Contours | None:
        count, scaled = int(value), step_size * share
        if count == 0:
            return None
        return _Contours(
            first=descent_contour(scaled, count),
            second=descent_contour(scaled, count, between=False),
            doubled=descent_contour(scaled, 2 * count),
        )

    found = _predict(equivalent, n_samples, available, penalty, steps, contours)
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
    available = float(n_samples) - _n_unpenalised(equivalent)
    if available <= 0.0:
        raise InadmissibleProblem(
            f"n_samples must exceed 1 where an intercept is fitted, got {n_samples:g}", argument="n_samples"
        )
    return equivalent, available


def _n_unpenalised(equivalent: Equivalent) -> int:
    return int(
        getattr(equivalent, "n_unpenalised", 0) or getattr(getattr(equivalent, "modes", None), "n_unpenalised", 0)
    )


def _last_time(equivalent: Equivalent, n_samples: float, penalty: float) -> float:
    """Return a time after which nothing that double precision shows moves."""
    if penalty > 0.0:
        return SETTLED / penalty
    point = equivalent.solve(n_samples, 0.0)
    if point.sample_margin > 0.0:
        # No eigenvalue is far below kappa / sum of all kappa / s, with kappa = penalty n / (n - df).
        return SETTLED * float(point.spread_per_ridge * n_samples / point.sample_margin)
    # Near the threshold the smallest eigenvalue of the Gram matrix is kappa^2 / (4 scale); elsewhere it is larger.
    ridge = float(point.outer_ridge)
    scale = trace_of(equivalent) / min(n_samples, equivalent.rank)
    return 4.0 * SETTLED * max(scale, ridge) / ridge**2 if ridge > 0.0 else np.inf


def _predict(
    equivalent: Equivalent,
    n_samples: float,
    available: float,
    penalty: float,
    times: npt.ArrayLike,
    contours: Callable[[float], _Contours | None],
) -> GradientPrediction:
    values = np.atleast_1d(np.asarray(times, float))
    found = np.empty((values.size, len(_Moments._fields)))
    level = penalty * n_samples / available
    waiting: list[tuple[int, _Contours]] = []
    entries = 0
    for position, value in enumerate(values.tolist()):
        plan = contours(value)
        if plan is None:
            found[position] = _at_rest(equivalent)
            continue
        waiting.append((position, plan))
        entries += plan.size * _n_modes(equivalent)
        if entries > ENTRIES:
            found[[index for index, _ in waiting]] = _along(equivalent, available, level, [plan for _, plan in waiting])
            waiting, entries = [], 0
    if waiting:
        found[[index for index, _ in waiting]] = _along(equivalent, available, level, [plan for _, plan in waiting])
    return _answer(equivalent, n_samples, available, found, scalar=np.ndim(times) == 0)


def _n_modes(equivalent: Equivalent) -> int:
    tables = getattr(equivalent, "families", None) or (equivalent.modes,)  # type: ignore[attr-defined]
    return max(int(modes.eigenvalues.size) for modes in tables)


def _at_rest(equivalent: Equivalent) -> _Moments:
    """Before the first step the predictor is 0, or the mean of the labels."""
    point = equivalent.solve(ABUNDANT, 1.0)
    labels = float(point.total + point.learned)
    return _Moments(labels, labels, labels - float(point.noise_variance), *(0.0,) * 11)


def _along(equivalent: Equivalent, available: float, penalty: float, plans: list[_Contours]) -> Vector:
    """Return the moments at each time, one row each."""
    pieces = [contour.points for plan in plans for contour in (plan.first, plan.second, plan.doubled)]
    solved = equivalent.continued(available, penalty + np.concatenate(pieces))
    rows, start = [], 0
    for plan in plans:
        cuts = []
        for contour in (plan.first, plan.second, plan.doubled):
            cuts.append(slice(start, start + contour.points.size))
            start += contour.points.size
        rows.append(_moments(plan, cuts, solved, available, penalty))
    return np.array(rows)


def _moments(plan: _Contours, cuts: list[slice], solved: Continued, available: float, penalty: float) -> _Moments:
    kappa, df1, total, learned = solved.ridge, solved.df1, solved.total, solved.learned
    converged = all(bool(np.all(solved.converged[cut])) for cut in cuts)
    first, second, doubled = plan.first, plan.second, plan.doubled
    one, two, twice = cuts
    v, w = first.weights / first.points, second.weights / second.points
    ridges = penalty + first.points
    # What predictors of the two contours share; each contour's lower half is the conjugate of its upper.
    labels = float((total[one] + learned[one]).real[0])
    at_a = (ridges[:, None], kappa[one][:, None], df1[one][:, None], total[one][:, None], learned[one][:, None])
    at_b = (_mirrored(penalty + second.points), *(_mirrored(values[two]) for values in (kappa, df1, total, learned)))
    risk, product = _shared(at_a, at_b, available, labels)
    weights = _mirrored(w)
    test = float(2.0 * np.sum(v * (risk @ weights)).real)
    score_square = float(2.0 * np.sum(v * (product @ weights)).real)
    score_mean = float(2.0 * np.sum((v * learned[one]).real))
    second_opinion = float(2.0 * np.sum((w * learned[two]).real))

    bias = solved.unlearnable_variance
    for share in solved.shares:
        # The predictor averaged over data, mode by mode.
        ridge = share.ridge[one]
        left = 2.0 * np.sum((v[:, None] * (ridge[:, None] / (share.eigenvalues + ridge[:, None]))).real, axis=0)
        bias += float(share.energies @ (left * left))

    # With U = T / kappa: e of phi, g of (1 - phi) / A, of both phi and its square.
    u, u_twice = total[one] / kappa[one], total[twice] / kappa[twice]
    e_twice = doubled.integral(u_twice)
    g, g_twice = first.integral(u / first.points), doubled.integral(u_twice / doubled.points)
    h, h_twice = first.integral(u / first.points**2), doubled.integral(u_twice / doubled.points**2)
    flat = h_twice - 2.0 * h  # of (1 - phi)^2 / A^2
    train = e_twice + 2.0 * penalty * (g_twice - g) + penalty**2 * flat
    norm = 2.0 * g - g_twice - penalty * flat

    # With y' K (A + p)^-1 y / n in place of U: what training predicts of the training labels.
    fitted = [
        labels * df1[cut] / available + level / kappa[cut] * learned[cut]
        for cut, level in ((one, ridges), (twice, penalty + doubled.points))
    ]
    gf, gf_twice = first.integral(fitted[0] / first.points), doubled.integral(fitted[1] / doubled.points)
    hf, hf_twice = first.integral(fitted[0] / first.points**2), doubled.integral(fitted[1] / doubled.points**2)
    train_score_square = 2.0 * gf - gf_twice - penalty * (hf_twice - 2.0 * hf)
    label_weight = float(2.0 * np.sum((v * df1[one]).real)) / available
    score_level = train_score_level = 0.0
    if (level := getattr(solved, "level", 0.0)) != 0.0:
        learned_level = solved.learned_level[one]  # type: ignore[attr-defined]
        score_level = float(2.0 * np.sum((v * learned_level).real))
        train_score_level = first.integral(
            (level * df1[one] / available + ridges / kappa[one] * learned_level) / first.points
        )
    scale = max(abs(score_mean), abs(test), np.finfo(float).tiny)
    lost = CANCELLATION * float(np.max(np.abs(kappa[one] / first.points)))
    error = max(abs(score_mean - second_opinion) / scale, lost) if converged else 1.0
    return _Moments(
        test_error=test,
        train_error=max(train, 0.0),
        bias=bias,
        estimator_norm_squared=max(norm, 0.0),
        df1=available * label_weight,
        score_mean=score_mean,
        score_square=max(score_square, 0.0),
        train_score_mean=gf,
        train_score_square=max(train_score_square, 0.0),
        train_label_weight=label_weight,
        score_level=score_level,
        train_score_level=train_score_level,
        error=error,
        nodes=plan.size,
    )


def _mirrored(values: Complex) -> Complex:
    """Add the lower half plane's values to those of the upper."""
    return np.concatenate([values, np.conj(values)])


def _shared(at_a: Any, at_b: Any, n_samples: float, labels: float) -> tuple[Complex, Complex]:
    """Return ``E (y - f_a) (y - f_b)`` and ``E f_a f_b`` of ridge predictors fitted to the same data.

    With ``g = kappa df / n = kappa - penalty`` the second is the first less what it shares with the labels, written so that it
    keeps its digits where the predictors vanish.
    """
    penalty_a, kappa_a, df_a, total_a, learned_a = at_a
    penalty_b, kappa_b, df_b, total_b, learned_b = at_b
    between = penalty_b - penalty_a
    risk = (kappa_b * total_a - kappa_a * total_b) / between
    g_a, g_b = kappa_a * df_a / n_samples, kappa_b * df_b / n_samples
    product = labels * (g_b - g_a) + penalty_b * learned_b - penalty_a * learned_a + g_a * learned_b - g_b * learned_a
    return risk, product / between


def _answer(
    equivalent: Equivalent, n_samples: float, available: float, found: Vector, *, scalar: bool
) -> GradientPrediction:
    share = available / n_samples
    point = equivalent.solve(n_samples, 0.0)
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
        "variance": excess - bias,
        "estimator_norm_squared": norm,
        "df1": df1 + _n_unpenalised(equivalent),
        **dict(zip(SCORES, scores, strict=True)),
        "phase": np.full(test.shape, str(point.phase)),
        "status": np.where(settled, "converged", "not_converged"),
        "residual": error,
        "iterations": nodes.astype(int),
    }
    if scalar:
        columns = {name: values[0].item() for name, values in columns.items()}
    return GradientPrediction(critical_step_size=None, **columns)
