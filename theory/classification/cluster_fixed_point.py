"""The fixed point of convex losses on clusters of Gaussian inputs: three averages of each cluster.

Inputs of cluster k, of weight ``pi_k`` and label ``y_k``, are ``N(mu_k, C_k)``. With ``gamma`` and ``h`` the dual variable and
the curvature of the loss at margins ``N(y_k (m_k + b), q_k)`` and the proximal parameter ``V_k``,

    R = (penalty + sum_k pi_k E h_k C_k)^-1,   wbar = R sum_k pi_k y_k E gamma_k mu_k,   m_k = mu_k . wbar,
    V_k = tr(C_k R) / n,   q_k = wbar' C_k wbar + sum_j pi_j E gamma_j^2 tr(C_k R C_j R) / n,   sum_k pi_k y_k E gamma_k = 0,

the last where an intercept b is fitted. The unknowns are the 3 K averages, and Newton's method is applied between their
logarithms, with the exact Jacobian: with ``R = L' L`` and ``B_k = L C_k L'`` it takes products of the B_k alone. The dual
variables of the square loss may be negative, but there ``E h_k = 1 / (1 + V_k)`` leaves the V_k as the only unknowns.

Sources: Mai, Liao, Couillet, *A large scale analysis of logistic regression* (ICASSP 2019), Theorem 1; Loureiro et al.,
arXiv:2106.03791, Theorem 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from theory.classification.gaussian_clusters import Clusters
from theory.classification.hinge import Hinge
from theory.classification.labels import Sides, balance, shifted
from theory.classification.logistic import Logistic
from theory.classification.loss import Averages
from theory.classification.losses import Square
from theory.classification.search import DONE, MAX_NEWTON_STEPS, TOLERANCE, Evaluation, Search

Array = npt.NDArray[np.float64]

MAX_DESCENT_STEPS = 200
SMALLEST = 1e-300
NEGLIGIBLE = 1e-20
"""Of a cluster's averages, in units of the largest: a cluster so far on its side that it does not matter by how much."""
FURTHEST_RIDGE = 1e17
"""Ridges in units of the trace beyond which inputs hardly matter, to rounding."""


class Resolved(NamedTuple):
    """At some averages: scores, their slopes by (mh, qh, Vh) of each cluster, shape ``(K, 3, K)`` for m, q and V, and norms."""

    means: Array
    variances: Array
    proximals: Array
    slopes: Array
    norm: float


class ClusterSolution(NamedTuple):
    """Where a search ended: see :class:`theory.classification.search.Candidate`, with the scores and averages there."""

    unknowns: Array
    offset: float
    residual: float
    resolved: Resolved
    averages: list[Averages]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterFixedPoint(Search[ClusterSolution]):
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

    def solve(self, near: Array | None = None, offset: float | None = None) -> ClusterSolution | None:
        """Solve from a solution nearby (its unknowns and intercept), a rough guess, or solutions at other penalties."""
        if isinstance(self.loss, Square):
            return self._least_squares()
        best = None
        starts: list[tuple[Array | None, float | None]] = [(None, None)]
        if near is not None and np.all(np.isfinite(near)):
            starts.insert(0, (near, offset))
        for unknowns, intercept in starts:
            found = self.newton(unknowns, intercept, MAX_NEWTON_STEPS)
            if found is not None and found.residual <= DONE:
                return found
            best = best if found is None else found
        approached = self.anchored()
        return best if approached is None else approached

    def _least_squares(self) -> ClusterSolution | None:
        """Solve for the V_k by Newton's method from above; all else is linear.

        Each V_k is a concave function of all of them, positive at 0, so that from above the iterates fall to the root.
        """
        clusters, n, count = self.clusters, self.n_samples, self.clusters.weights.size
        nothing = np.zeros(count)
        proximals = np.trace(clusters.covariances, axis1=1, axis2=2) / (n * self.penalty)
        for _ in range(MAX_DESCENT_STEPS):
            self.effort.spent += 1
            curvature = 1.0 / (1.0 + proximals)
            there = self._resolve(nothing, nothing, curvature)
            jacobian = np.eye(count) + there.slopes[:, 2, 2] * curvature**2
            step = np.linalg.solve(jacobian, proximals - there.proximals)
            proximals = np.maximum(proximals - step, SMALLEST)
            if not np.max(np.abs(step) / proximals) > TOLERANCE:
                break
        curvature = 1.0 / (1.0 + proximals)
        there = self._resolve(nothing, nothing, curvature)
        weights, labels = clusters.weights * curvature, clusters.labels
        # By E gamma_j y_j weights_j: m = slopes / weights; the residuals y - m - b, weighted, solve a linear system.
        overlap = there.slopes[:, 0, 0] / (clusters.weights * labels)
        system = np.zeros((count + 1, count + 1))
        system[:count, :count] = np.eye(count) + overlap * weights
        system[:count, count] = 1.0 if self.fit_intercept else 0.0
        system[count, :count] = weights if self.fit_intercept else 0.0
        system[count, count] = 0.0 if self.fit_intercept else 1.0
        solved = np.linalg.solve(system, np.append(labels, 0.0))
        missing, intercept = solved[:count], float(solved[count])
        mean = labels * missing * curvature
        learned = self._resolve(mean, nothing, curvature).variances
        # The noise that fitting passes on includes what the variance itself makes of it.
        noise = there.slopes[:, 1, 1] * curvature**2
        variances = np.linalg.solve(np.eye(count) - noise, learned + noise @ missing**2)
        found = self._resolve(mean, (missing**2 + variances) * curvature**2, curvature)
        averages, _, _ = replace(self, fit_intercept=False).averages(found, intercept)
        sides = np.array([each[:3] for each in averages]).T
        residual = float(np.max(np.abs(sides - [mean, (missing**2 + variances) * curvature**2, curvature])))
        return ClusterSolution(np.full(3 * count, nan), intercept, residual, found, averages)

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

    def evaluator(self) -> Callable[[Array, float | None], Evaluation[ClusterSolution]]:
        """Return :meth:`evaluate`."""
        return self.evaluate

    def evaluate(self, unknowns: Array, offset: float | None) -> Evaluation[ClusterSolution]:
        """Go round once."""
        clusters, count = self.clusters, self.clusters.weights.size
        mean, squared, softened = np.exp(unknowns).reshape(3, count)
        least = max(self.softening / FURTHEST_RIDGE, SMALLEST)
        curvature = np.maximum(softened - self.softening, least)
        # d log E h by the third unknown, times E h.
        gain = np.where(curvature > least, softened, 0.0)
        there = self._resolve(mean, squared, curvature)
        averages, intercept, balanced = self.averages(there, offset)
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
        candidate = ClusterSolution(unknowns, intercept, residual, there, averages)
        return Evaluation(change, jacobian.reshape(size, size) - np.eye(size), candidate)

    def _resolve(self, mean: Array, squared: Array, curvature: Array) -> Resolved:
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
        return Resolved(
            means=centres @ weights,
            variances=turned @ weights + overlaps @ noises,
            proximals=np.trace(scaled, axis1=1, axis2=2) / n,
            slopes=slopes,
            norm=float(original @ original) + float(np.sum((noise @ inverse) * inverse)),
        )

    def averages(
        self, at: Resolved, offset: float | None, *, refinement: int = 1
    ) -> tuple[list[Averages], float, bool]:
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
            return clusters(offset or 0.0), offset or 0.0, True

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
