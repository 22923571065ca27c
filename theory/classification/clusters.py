"""Classifiers with convex losses on clusters of Gaussian inputs, each with a covariance of its own: what they attain.

Real classes are not one cloud each; :mod:`theory.pools.clusters` estimates clusters from rows.
"""

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal

import numpy as np
import numpy.typing as npt

from theory.classification.cluster_fixed_point import NEGLIGIBLE, SMALLEST, ClusterFixedPoint, ClusterSolution
from theory.classification.gaussian_clusters import Clusters
from theory.classification.half_lines import mass
from theory.classification.hinge import Hinge
from theory.classification.logistic import Logistic
from theory.classification.losses import Square
from theory.classification.search import Effort
from theory.covariance import InadmissibleProblem

__all__ = ["ClusterPrediction", "Clusters", "predict_clusters"]

Array = npt.NDArray[np.float64]

RESIDUAL_TOLERANCE = 1e-6
QUADRATURE_TOLERANCE = 1e-9
ENERGY_TOLERANCE = 1e-8
PROX_TOLERANCE = 1e-10
REACH = 10.0
"""Standard deviations over which the proximal operator is checked."""
ROUNDING = 4e-16
FEWEST_EVALUATIONS, MOST_EVALUATIONS = 150, 1000
"""After which a search is given up; nearly all take fewer than 20."""
EFFORT = 3e10
"""What they may cost together, an evaluation taking ``K d^3``: some seconds."""
TOO_LITTLE, TOO_MUCH = 1e-10, 1e10
"""Of the penalty in units of the trace: the sum of covariances may be singular, and then its inverse keeps no digits."""


@dataclass(frozen=True, kw_only=True)
class ClusterPrediction:
    """What a classifier attains on clusters.

    Attributes:
        test_error: misclassification of fresh samples.
        train_error: misclassification of the training set.
        test_loss, train_loss: the mean loss on either, without the penalty.
        estimator_norm_squared: ``|w|^2``, the intercept left out.
        intercept: b.
        mean_scores: m_k, shape ``(K,)``, of fresh samples without the intercept.
        score_variances: q_k, shape ``(K,)``.
        proximals: V_k, shape ``(K,)``, by which fitting a sample of the cluster moves its margin.
        status: "converged", or "not_converged": the best iterate, or NaN where there is none. So it is where no weights at all
            are best, as for the hinge with an intercept, one class much larger and nearly nothing to learn.
        residual: largest relative change that another round of the fixed point makes.
        quadrature_error: by how much twice the nodes change the averages, relatively.
        energy_error: mismatch of ``E gamma p`` and ``penalty |w|^2``, relative to their parts.
        iterations: evaluations of the averages.
        unknowns: logarithms of the 3 K averages, from where a prediction at a size or penalty nearby may start.
    """

    test_error: float
    train_error: float
    test_loss: float
    train_loss: float
    estimator_norm_squared: float
    intercept: float
    mean_scores: Array
    score_variances: Array
    proximals: Array
    status: Literal["converged", "not_converged"]
    residual: float
    quadrature_error: float
    energy_error: float
    iterations: int
    unknowns: Array = field(repr=False)


def predict_clusters(
    clusters: Clusters,
    loss: Square | Logistic | Hinge,
    *,
    n_samples: float,
    penalty: float,
    fit_intercept: bool,
    near: ClusterPrediction | None = None,
) -> ClusterPrediction:
    """Predict ``argmin (1/n) sum_i l(y_i (x_i . w + b)) + (penalty / 2) |w|^2`` on samples of the clusters.

    Args:
        clusters: where inputs come from.
        loss: square, logistic or hinge.
        n_samples: n > 0.
        penalty: between 1e-10 and 1e10 times the trace of the covariance within a cluster.
        fit_intercept: whether b is fitted; otherwise it is 0.
        near: the prediction of the same clusters and loss at a size or penalty nearby, from where the search starts.

    Returns:
        The limit of large sizes at these sizes, and a status. As for one common covariance a small residual is not enough:
        doubled nodes, the equation of the proximal operator and ``E gamma p = penalty |w|^2`` are checked too.

    Raises:
        InadmissibleProblem: a size or penalty is out of its range.

    Source: see the module's docstring.
    """
    if not (n_samples > 0.0 and isfinite(n_samples)):
        raise InadmissibleProblem(f"n_samples must exceed 0 and be finite, got {n_samples:g}", argument="n_samples")
    lowest, highest = TOO_LITTLE * clusters.trace, TOO_MUCH * clusters.trace
    if not lowest <= penalty <= highest:
        raise InadmissibleProblem(
            f"penalty must lie between {lowest:.3g} and {highest:.3g} on these clusters, {TOO_LITTLE:g} and {TOO_MUCH:g} times"
            f" the trace of their covariance, got {penalty:g}",
            argument="penalty",
        )
    cost = float(clusters.weights.size) * clusters.means.shape[1] ** 3
    problem = ClusterFixedPoint(
        clusters=clusters,
        loss=loss,
        n_samples=n_samples,
        penalty=penalty,
        fit_intercept=fit_intercept,
        effort=Effort(limit=int(min(max(EFFORT / cost, FEWEST_EVALUATIONS), MOST_EVALUATIONS))),
    )
    with np.errstate(all="ignore"):
        found = problem.solve() if near is None else problem.solve(near.unknowns, near.intercept)
        return _unanswered(problem) if found is None else _read(problem, found)


def _read(problem: ClusterFixedPoint, found: ClusterSolution) -> ClusterPrediction:
    """Read everything off a solution, and check it."""
    clusters, loss, at, intercept = problem.clusters, problem.loss, found.resolved, found.offset
    deviations = np.sqrt(at.variances)
    margins = clusters.labels * (at.means + intercept)
    states = list(zip(margins.tolist(), deviations.tolist(), at.proximals.tolist(), strict=True))

    def average(values: list[float]) -> float:
        return float(clusters.weights @ values)

    again = problem.averages(at, intercept, refinement=2)[0]
    averages = np.array([each[:3] for each in found.averages])
    least = np.maximum(NEGLIGIBLE * np.max(averages, axis=0), SMALLEST)
    twice = np.maximum([each[:3] for each in again], least)
    quadrature_error = float(np.max(np.abs(twice / np.maximum(averages, least) - 1.0)))
    energy = average([loss.energy(loss.anchor - margin, s, v) for margin, s, v in states])
    parts = average(
        (np.abs(at.means) * averages[:, 0] + at.variances * averages[:, 2] + at.proximals * averages[:, 1]).tolist()
    )
    rounding = ROUNDING * average(averages[:, 0].tolist()) * (1.0 + abs(intercept))
    energy_error = max(abs(energy - problem.penalty * at.norm) - rounding, 0.0) / parts
    prox_error = max(loss.prox_error(REACH * s + abs(margin), v) for margin, s, v in states)
    converged = (
        found.residual <= RESIDUAL_TOLERANCE
        and quadrature_error <= QUADRATURE_TOLERANCE
        and energy_error <= ENERGY_TOLERANCE
        and prox_error <= PROX_TOLERANCE
    )
    return ClusterPrediction(
        test_error=average([mass(-margin / s) for margin, s, _ in states]),
        # Margins p < 0 are those with u < V l'(0).
        train_error=average([mass(-(margin + v * loss.slope_at_zero) / s) for margin, s, v in states]),
        test_loss=average([loss.test_loss(loss.anchor - margin, s) for margin, s, _ in states]),
        train_loss=average([loss.train_loss(loss.anchor - margin, s, v) for margin, s, v in states]),
        estimator_norm_squared=at.norm,
        intercept=intercept,
        mean_scores=at.means,
        score_variances=at.variances,
        proximals=at.proximals,
        status="converged" if converged else "not_converged",
        residual=found.residual,
        quadrature_error=quadrature_error,
        energy_error=energy_error,
        iterations=problem.effort.spent,
        unknowns=found.unknowns,
    )


def _unanswered(problem: ClusterFixedPoint) -> ClusterPrediction:
    nothing, count = float("nan"), problem.clusters.weights.size
    each = np.full(count, nothing)
    return ClusterPrediction(
        test_error=nothing,
        train_error=nothing,
        test_loss=nothing,
        train_loss=nothing,
        estimator_norm_squared=nothing,
        intercept=nothing,
        mean_scores=each,
        score_variances=each,
        proximals=each,
        status="not_converged",
        residual=inf,
        quadrature_error=inf,
        energy_error=inf,
        iterations=problem.effort.spent,
        unknowns=np.full(3 * count, nothing),
    )
