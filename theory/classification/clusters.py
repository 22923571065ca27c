"""Classifiers with convex losses on clusters of Gaussian inputs, each with a mean, a covariance and a label of its own.

Inputs of cluster k, of weight ``pi_k`` and label ``y_k``, are ``N(mu_k, C_k)``. With ``gamma`` and ``h`` the dual variable and
the curvature of the loss at margins ``N(y_k (m_k + b), q_k)`` and the proximal parameter ``V_k``,

    R = (penalty + sum_k pi_k E h_k C_k)^-1,   wbar = R sum_k pi_k y_k E gamma_k mu_k,   m_k = mu_k . wbar,
    V_k = tr(C_k R) / n,   q_k = wbar' C_k wbar + sum_j pi_j E gamma_j^2 tr(C_k R C_j R) / n,   sum_k pi_k y_k E gamma_k = 0,

the last where an intercept b is fitted. The unknowns are the 3 K averages, and Newton's method is applied between their
logarithms, with the exact Jacobian: with ``R = L' L`` and ``B_k = L C_k L'`` it takes products of the B_k alone.

Sources: Mai, Liao, Couillet, *A large scale analysis of logistic regression* (ICASSP 2019), Theorem 1; Loureiro et al.,
arXiv:2106.03791, Theorem 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import exp, inf, isfinite, log, sqrt
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from theory.classification.half_lines import mass
from theory.classification.hinge import Hinge
from theory.classification.labels import Sides, balance, shifted
from theory.classification.logistic import Logistic
from theory.classification.loss import Averages
from theory.classification.losses import Square
from theory.classification.search import DONE, MAX_NEWTON_STEPS, Evaluation, Search
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

RESIDUAL_TOLERANCE = 1e-6
QUADRATURE_TOLERANCE = 1e-9
ENERGY_TOLERANCE = 1e-8
PROX_TOLERANCE = 1e-10
REACH = 10.0
"""Standard deviations over which the proximal operator is checked."""
ROUNDING = 4e-16
SMALLEST = 1e-300
NEGLIGIBLE = 1e-20
"""Of a cluster's averages, in units of the largest: a cluster so far on its side that it does not matter by how much."""
FURTHEST_RIDGE = 1e17
"""Ridges in units of the trace beyond which inputs hardly matter, to rounding."""
MAX_FEATURES = 500
"""Above, a prediction takes minutes, and estimated covariances say little."""
TOO_LITTLE = 1e-10
"""Of the penalty in units of the trace: the sum of covariances may be singular, and then its inverse keeps no digits."""
TOO_MUCH = 1e10


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """Gaussian clusters of inputs with labels.

    Attributes:
        means: shape ``(K, d)``.
        covariances: shape ``(K, d, d)``, symmetric and positive semidefinite.
        weights: shape ``(K,)``, positive; share of each cluster, scaled to add up to 1.
        labels: shape ``(K,)``, +-1, both present.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    means: Array
    covariances: Array
    weights: Array
    labels: Array

    def __post_init__(self) -> None:
        means, covariances, weights, labels = (
            np.asarray(getattr(self, name), float) for name in ("means", "covariances", "weights", "labels")
        )
        if means.ndim != 2 or min(means.shape) == 0:
            raise InadmissibleProblem(f"means needs the shape (K, d), got {means.shape}", argument="means")
        count, d = means.shape
        if d > MAX_FEATURES:
            raise InadmissibleProblem(
                f"at most {MAX_FEATURES} features fit the equations of clusters, got {d}: project the inputs first",
                argument="means",
            )
        for name, value, shape in (
            ("covariances", covariances, (count, d, d)),
            ("weights", weights, (count,)),
            ("labels", labels, (count,)),
        ):
            if value.shape != shape:
                raise InadmissibleProblem(
                    f"{name} needs the shape {shape} beside means of the shape {means.shape}, got {value.shape}",
                    argument=name,
                )
        for name, value in (("means", means), ("covariances", covariances), ("weights", weights)):
            if not np.all(np.isfinite(value)):
                raise InadmissibleProblem(f"{name} must be finite; replace NaN and infinity", argument=name)
        if not np.all(weights > 0.0):
            raise InadmissibleProblem(
                f"weights must exceed 0, got {weights.min():g}: leave empty clusters out", argument="weights"
            )
        if not np.array_equal(np.unique(labels), [-1.0, 1.0]):
            raise InadmissibleProblem(
                f"labels must be -1 and 1, both present, got {np.unique(labels).tolist()}: with one class there is nothing to"
                " tell apart",
                argument="labels",
            )
        scale = np.max(np.abs(covariances))
        if not np.all(np.abs(covariances - np.swapaxes(covariances, 1, 2)) <= 1e-12 * scale):
            raise InadmissibleProblem("covariances must be symmetric: average each with its transpose", argument="covariances")
        lowest = float(np.min(np.linalg.eigvalsh(covariances)))
        if lowest < -1e-10 * scale:
            raise InadmissibleProblem(
                f"covariances must be positive semidefinite, got an eigenvalue of {lowest:g}", argument="covariances"
            )
        if not scale > 0.0:
            raise InadmissibleProblem("the features have no variance within any cluster", argument="covariances")
        for name, value in (
            ("means", means),
            ("covariances", covariances),
            ("weights", weights / np.sum(weights)),
            ("labels", labels),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def trace(self) -> float:
        """Of the covariance within a cluster, averaged over them."""
        return float(self.weights @ np.trace(self.covariances, axis1=1, axis2=2))

    @cached_property
    def half_difference(self) -> Array:
        """Half the difference of the means of both classes, shape ``(d,)``."""
        sides = [self.weights * (self.labels == sign) for sign in (1.0, -1.0)]
        above, below = (side @ self.means / np.sum(side) for side in sides)
        half: Array = 0.5 * (above - below)
        return half

    def arrays(self) -> dict[str, Array]:
        """Return what :meth:`of_arrays` reads."""
        return {name: getattr(self, name) for name in ("means", "covariances", "weights", "labels")}

    @classmethod
    def of_arrays(cls, arrays: dict[str, Array]) -> "Clusters":
        """Return the clusters whose :meth:`arrays` these are."""
        return cls(**{name: arrays[name] for name in ("means", "covariances", "weights", "labels")})


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


class _Resolved(NamedTuple):
    """At some averages: scores, their slopes by (mh, qh, Vh) of each cluster, shape ``(K, 3, K)`` for m, q and V, and norms."""

    means: Array
    variances: Array
    proximals: Array
    slopes: Array
    norm: float


class _Candidate(NamedTuple):
    unknowns: Array
    offset: float
    residual: float
    resolved: _Resolved
    averages: list[Averages]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterFixedPoint(Search[_Candidate]):
    """The equations of one problem, penalty > 0; the unknowns are logarithms of E gamma, E gamma^2 and E h + penalty / trace.

    Attributes:
        clusters: of the inputs.
        loss: square, logistic or hinge.
        n_samples: n > 0.
        fit_intercept: whether b is fitted.
    """

    clusters: Clusters
    loss: Square | Logistic | Hinge
    n_samples: float
    fit_intercept: bool

    @property
    def softening(self) -> float:
        """The curvature at which the ridge equals the trace: below it the curvature hardly matters."""
        return self.penalty / self.clusters.trace

    def solve(self, near: ClusterPrediction | None) -> _Candidate | None:
        """Solve from a solution nearby, else from a rough guess; failing that, approach from other penalties."""
        best = None
        starts = [(None, None)] if near is None else [(near.unknowns, near.intercept), (None, None)]
        for unknowns, offset in starts:
            found = self.newton(unknowns, offset, MAX_NEWTON_STEPS)
            if found is not None and found.residual <= DONE:
                return found
            best = best if found is None else found
        approached = self.anchored()
        return best if approached is None else approached

    def guess(self) -> Array:
        """Return the averages of least squares towards the loss's target, as if all clusters had one covariance."""
        clusters, n_samples = self.clusters, self.n_samples
        curvature = self.penalty / (4.0 * self.penalty + clusters.trace / n_samples)
        count = clusters.weights.size
        there = self._resolve(np.zeros(count), np.zeros(count), np.full(count, curvature))
        proximal = float(clusters.weights @ there.proximals)
        target = self.loss.target(proximal)
        mean = np.einsum("k,kij->ij", clusters.weights, clusters.covariances)
        half = clusters.half_difference
        solved = np.linalg.solve(mean + self.penalty / curvature * np.eye(half.size), half)
        coupling, coupled = float(half @ solved), float(solved @ mean @ solved)
        pull = target / (1.0 + coupling)
        # df2 is at most df1 = n Vh V.
        squared = pull**2 * (1.0 + coupled) / max(1.0 - proximal * curvature, 0.1)
        return np.repeat(np.log([pull * curvature, squared * curvature**2, curvature + self.softening]), count)

    def evaluator(self) -> Callable[[Array, float | None], Evaluation[_Candidate]]:
        """Return :meth:`evaluate`."""
        return self.evaluate

    def evaluate(self, unknowns: Array, offset: float | None) -> Evaluation[_Candidate]:
        """Go round once."""
        clusters, count = self.clusters, self.clusters.weights.size
        mean, squared, softened = np.exp(unknowns).reshape(3, count)
        least = max(self.softening / FURTHEST_RIDGE, SMALLEST)
        curvature = np.maximum(softened - self.softening, least)
        # d log E h by the third unknown, times E h.
        gain = np.where(curvature > least, softened, 0.0)
        there = self._resolve(mean, squared, curvature)
        averages, intercept, balanced = self._averages(there, offset)
        sides = np.array([each[:3] for each in averages]).T
        sides[2] += self.softening
        sides = np.maximum(sides, np.maximum(NEGLIGIBLE * np.max(sides, axis=1, keepdims=True), SMALLEST))
        change = np.log(sides).ravel() - unknowns
        # By (m, log sqrt(q), log V), of one cluster each, and through the intercept of all.
        own = np.array([[each.dual_slopes, each.dual_squared_slopes, each.curvature_slopes] for each in averages])
        by_offset, labels = own[:, :, 0], clusters.labels
        by_score = np.einsum("kas,kl->aksl", own, np.eye(count))
        by_score[:, :, 0, :] *= -labels
        if self.fit_intercept:
            pulls = clusters.weights * own[:, 0, 0]
            if np.sum(pulls) > 0.0:
                moved = (clusters.weights * labels)[:, None] * own[:, 0, :]
                moved[:, 0] = -pulls
                by_score += np.einsum("ka,k,ls->aksl", by_offset, -labels, moved / np.sum(pulls))
        scale = np.stack([np.ones(count), 0.5 / there.variances, 1.0 / there.proximals], axis=1)
        forward = there.slopes * scale[:, :, None, None]
        forward = forward * np.stack([mean, squared, gain])[None, None]
        jacobian = np.einsum("aksl,lstj->aktj", by_score, forward) / sides[:, :, None, None]
        size = 3 * count
        residual = float(np.max(np.abs(change))) if balanced else inf
        candidate = _Candidate(unknowns, intercept, residual, there, averages)
        return Evaluation(change, jacobian.reshape(size, size) - np.eye(size), candidate)

    def _resolve(self, mean: Array, squared: Array, curvature: Array) -> _Resolved:
        """Return the scores at averages of the loss, and their slopes."""
        clusters, n = self.clusters, self.n_samples
        pulls, noises = clusters.weights * clusters.labels * mean, clusters.weights * squared / n
        covariance = np.tensordot(clusters.weights * curvature, clusters.covariances, axes=1)
        covariance.flat[:: covariance.shape[0] + 1] += self.penalty
        root = np.linalg.cholesky(covariance)
        inverse = solve_triangular(root, np.eye(root.shape[0]), lower=True)
        scaled = inverse @ clusters.covariances @ inverse.T
        centres = clusters.means @ inverse.T
        weights = pulls @ centres
        count, flat = clusters.weights.size, scaled.reshape(clusters.weights.size, -1)
        overlaps = flat @ flat.T
        noise = np.tensordot(noises, scaled, axes=1)
        turned = scaled @ weights
        at_centres = centres @ turned.T
        slopes = np.empty((count, 3, 3, count))
        # Of m, q and V, each by E gamma, E gamma^2 and E h of every cluster.
        slopes[:, 0, 0] = (centres @ centres.T) * (clusters.weights * clusters.labels)
        slopes[:, 0, 1] = 0.0
        slopes[:, 0, 2] = -at_centres * clusters.weights
        slopes[:, 1, 0] = 2.0 * at_centres.T * (clusters.weights * clusters.labels)
        slopes[:, 1, 1] = overlaps * clusters.weights / n
        thrice = flat @ (scaled @ noise).reshape(count, -1).T
        slopes[:, 1, 2] = -2.0 * (turned @ turned.T + thrice) * clusters.weights
        slopes[:, 2, :2] = 0.0
        slopes[:, 2, 2] = -overlaps * clusters.weights / n
        original = weights @ inverse
        return _Resolved(
            means=centres @ weights,
            variances=turned @ weights + overlaps @ noises,
            proximals=np.trace(scaled, axis1=1, axis2=2) / n,
            slopes=slopes,
            norm=float(original @ original) + float(np.sum((noise @ inverse) * inverse)),
        )

    def _averages(self, at: _Resolved, offset: float | None, *, refinement: int = 1) -> tuple[list[Averages], float, bool]:
        """Average over the margins of every cluster, the intercept solved for; see ``theory.classification.labels``."""
        weights, labels, anchor = self.clusters.weights, self.clusters.labels, self.loss.anchor
        deviations = np.sqrt(at.variances)

        def clusters(intercept: float) -> list[Averages]:
            return [
                self.loss.averages(anchor - y * (m + intercept), s, v, refinement=refinement)
                for y, m, s, v in zip(
                    labels.tolist(), at.means.tolist(), deviations.tolist(), at.proximals.tolist(), strict=True
                )
            ]

        if not self.fit_intercept:
            return clusters(0.0), 0.0, True

        def sides(intercept: float) -> Sides:
            found = clusters(intercept)
            pulls, curvatures = (weights * [each[i] for each in found] for i in (0, 2))
            # A larger intercept serves the positive clusters, and the negative ones pull harder.
            below, above = (float(pulls @ (labels == sign)) for sign in (-1.0, 1.0))
            slope = 0.0
            if min(below, above) > 0.0:
                slope = float(curvatures @ (labels < 0.0)) / below + float(curvatures @ (labels > 0.0)) / above
            return Sides(found, (below, above), slope)

        # Where the means of both classes are told apart as well as each other.
        middle = -float(np.mean([np.average(at.means, weights=weights * (labels == sign)) for sign in (-1.0, 1.0)]))
        averages, found, step, balanced = balance(
            sides, start=middle if offset is None else offset, unit=min(1.0, float(np.min(deviations)))
        )
        return [shifted(each, -y * step) for each, y in zip(averages, labels.tolist(), strict=True)], found, balanced

    def read(self, found: _Candidate) -> ClusterPrediction:
        """Read everything off a solution, and check it."""
        clusters, loss, at, intercept = self.clusters, self.loss, found.resolved, found.offset
        deviations = np.sqrt(at.variances)
        margins = clusters.labels * (at.means + intercept)
        states = list(zip(margins.tolist(), deviations.tolist(), at.proximals.tolist(), strict=True))

        def average(values: list[float]) -> float:
            return float(clusters.weights @ values)

        again = self._averages(at, intercept, refinement=2)[0]
        averages = np.array([each[:3] for each in found.averages])
        least = np.maximum(NEGLIGIBLE * np.max(averages, axis=0), SMALLEST)
        twice = np.maximum([each[:3] for each in again], least)
        quadrature_error = float(np.max(np.abs(twice / np.maximum(averages, least) - 1.0)))
        energy = average([loss.energy(loss.anchor - margin, s, v) for margin, s, v in states])
        parts = average(
            (np.abs(at.means) * averages[:, 0] + at.variances * averages[:, 2] + at.proximals * averages[:, 1]).tolist()
        )
        rounding = ROUNDING * average(averages[:, 0].tolist()) * (1.0 + abs(intercept))
        energy_error = max(abs(energy - self.penalty * at.norm) - rounding, 0.0) / parts
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
            iterations=self.effort.spent,
            unknowns=found.unknowns,
        )


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
            f"penalty must lie between {lowest:.3g} and {highest:.3g} on these clusters, {TOO_LITTLE:g} and {TOO_MUCH:g} times the"
            f" trace of their covariance, got {penalty:g}",
            argument="penalty",
        )
    problem = ClusterFixedPoint(
        clusters=clusters, loss=loss, n_samples=n_samples, penalty=penalty, fit_intercept=fit_intercept
    )
    with np.errstate(all="ignore"):
        found = problem.solve(near)
        return _unanswered(problem) if found is None else problem.read(found)


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
