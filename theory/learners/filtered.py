"""What gradient methods leave of the labels, read off contours of ridge predictors: errors, norms, and moments of scores."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from theory.covariance import Vector
from theory.equivalents.point import Complex, Continued, Equivalent
from theory.equivalents.population import ABUNDANT
from theory.learners.contours import Contour, flow_contour

CANCELLATION = 100.0 * float(np.finfo(float).eps)
"""Rounding of the risks that two predictors share, relative to kappa over the penalty."""


@dataclass(frozen=True, kw_only=True)
class Contours:
    """Of one time: two opinions on phi, and one on its square."""

    first: Contour
    second: Contour
    doubled: Contour
    time: float

    @property
    def size(self) -> int:
        """Number of nodes."""
        return sum(contour.points.size for contour in (self.first, self.second, self.doubled))


class Moments(NamedTuple):
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


SCORES = (
    "score_mean",
    "score_square",
    "train_score_mean",
    "train_score_square",
    "train_label_weight",
    "score_level",
    "train_score_level",
)
FIRST_SCORE = Moments._fields.index(SCORES[0])
POWERS = np.array([2.0 if name.endswith("square") else 1.0 for name in SCORES])
"""Of time, by which scores grow at first."""


def of_flow(time: float) -> Contours:
    """Return the contours of gradient flow at a positive time."""
    return Contours(
        first=flow_contour(time),
        second=flow_contour(time, between=False),
        doubled=flow_contour(2.0 * time),
        time=time,
    )


def at_rest(equivalent: Equivalent) -> Moments:
    """Before the first step the predictor is 0, or the mean of the labels."""
    point = equivalent.solve(ABUNDANT, 1.0)
    labels = float(point.total + point.learned)
    return Moments(labels, labels, labels - float(point.noise_variance), *(0.0,) * 11)


def along(equivalent: Equivalent, available: float, penalty: float, plans: list[Contours]) -> Vector:
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


def _moments(plan: Contours, cuts: list[slice], solved: Continued, available: float, penalty: float) -> Moments:
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
    return Moments(
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
