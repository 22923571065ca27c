"""The fixed point of convex losses: three unknowns, whatever the features, labels and loss.

The unknowns are the conjugates mh, qh and Vh. At the ridge ``kappa = penalty / Vh`` the traces of the features give the
scores,

    V = df1 / (n Vh),   m = (mh / Vh) coupling,   q = (mh / Vh)^2 coupling_variance + qh df2 / (n Vh^2),

and the labels and the loss turn these into conjugates again. Newton's method is applied between logarithms, where both
small and large penalties are of order one.

Sources: Mignacco et al., arXiv:2002.11544; Loureiro et al., arXiv:2102.08127.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import exp, inf, log, nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from theory.classification.hinge import HardMargin, Hinge
from theory.classification.labels import Labels, Scores
from theory.classification.loss import Loss
from theory.classification.search import DONE, MAX_NEWTON_STEPS, Evaluation, Search
from theory.equivalents.population import Population, Traces

Array = npt.NDArray[np.float64]

FURTHEST_RIDGE = 1e17
"""Ridges in units of the trace: beyond this one all traces are the same powers of the ridge, to rounding."""
SMALLEST = 1e-300
ROUNDING = 4e-16
MAX_DECADES = 30


class Solution(NamedTuple):
    """Where the search ended.

    Attributes:
        unknowns: logarithms of mh, qh and ``Vh + penalty / trace``.
        scores, ridge, traces: there.
        conjugates: mh, qh and Vh as the unknowns have them.
        residual: largest relative change that one more round makes.
        iterations: evaluations of the labels' averages.
    """

    unknowns: Array
    scores: Scores
    ridge: float
    traces: Traces
    conjugates: tuple[float, float, float]
    residual: float
    iterations: int

    @property
    def offset(self) -> float:
        """Of the scores."""
        return self.scores.offset


@dataclass
class _TraceSlopes:
    """Of coupling_variance and df2: 1 and half of their logarithmic slope by the ridge, which the traces do not include.

    For one distinct eigenvalue they are ``coupling_variance / coupling`` and ``df2 / df1``; by which factors other spectra
    differ is learned from pairs of ridges on the way.
    """

    last: tuple[float, Array, Array] | None = None
    factors: Array = field(default_factory=lambda: np.ones(2))

    def at(self, ridge: float, traces: Traces) -> Array:
        """Return both."""
        coupled = traces.coupling_variance > 0.0
        guess = np.array([traces.coupling_variance / traces.coupling if coupled else 1.0, traces.df2 / traces.df1])
        if ridge > 0.0:
            here = log(ridge), guess, np.array([log(traces.coupling_variance) if coupled else 0.0, log(traces.df2)])
            if self.last is not None and here[0] != self.last[0]:
                stride = here[0] - self.last[0]
                found, expected = 1.0 + 0.5 * (here[2] - self.last[2]) / stride, 0.5 * (guess + self.last[1])
                known = ROUNDING * (1.0 + np.abs(here[2])) < 0.05 * abs(stride) * expected
                self.factors = np.where(known, np.maximum(found, 0.0) / expected, self.factors)
            self.last = here
        return np.minimum(guess * self.factors, 1.0)


@dataclass(frozen=True, kw_only=True)
class FixedPoint(Search[Solution]):
    """The equations of one problem.

    Attributes:
        population: of the features.
        labels, loss: what is learned, and how.
        n_samples: n > 0.
        penalty: nonnegative; 0 means that the ridge is 0.
        effort: see :class:`theory.classification.search.Search`.
    """

    population: Population
    labels: Labels
    loss: Loss
    n_samples: float

    @property
    def softening(self) -> float:
        """The curvature at which the ridge equals the trace: below it the curvature hardly matters."""
        return self.penalty / self.population.trace

    def solve(self) -> Solution:
        """Solve from a rough guess; failing that, approach from penalties where this succeeds."""
        found = self._newton(None, None, MAX_NEWTON_STEPS)
        if found.residual <= DONE:
            return found
        if isinstance(self.loss, HardMargin):
            return self._as_limit(found)
        if self.penalty == 0.0:
            return self._vanishing(found)
        approached = self.anchored()
        return found if approached is None else approached._replace(iterations=self.effort.spent)

    def evaluator(self) -> Callable[[Array, float | None], Evaluation[Solution]]:
        """Return :meth:`evaluate`, which learns how the traces fall."""
        return partial(self.evaluate, slopes=_TraceSlopes())

    def evaluate(
        self, unknowns: Array, offset: float | None, *, slopes: _TraceSlopes, refinement: int = 1
    ) -> Evaluation[Solution]:
        """Go round once."""
        mean, variance, softened = (exp(value) for value in unknowns)
        least = max(self.softening / FURTHEST_RIDGE, SMALLEST)
        curvature = max(softened - self.softening, least)
        # d log Vh by the third unknown.
        gain = softened / curvature if curvature > least else 0.0
        ridge = self.penalty / curvature
        traces = self.population.traces(ridge)
        pull = mean / curvature
        learned, noise = pull * pull * traces.coupling_variance, variance * traces.df2 / (self.n_samples * curvature**2)
        deviation = sqrt(learned + noise)
        scores = Scores(pull * traces.coupling, deviation, traces.df1 / (self.n_samples * curvature), 0.0)
        conjugates = self.labels.conjugates(self.loss, *scores[:3], offset=offset, refinement=refinement)

        if min(conjugates.mean, conjugates.variance) <= SMALLEST:
            raise ArithmeticError("every margin is beyond where the loss acts")

        by_ridge = slopes.at(ridge, traces)
        share = learned / (learned + noise)
        falling = share * by_ridge[0] + (1.0 - share) * by_ridge[1]
        coupled = traces.coupling_variance if traces.coupling > 0.0 else 0.0
        # Of m, log sqrt(q) and log V; -1 - d log / d log ridge is minus the ratio of a trace and its square.
        forward = np.array(
            [
                [scores.mean_margin, 0.0, -pull * coupled * gain],
                [share, 0.5 * (1.0 - share), -falling * gain],
                [0.0, 0.0, -traces.df2 / traces.df1 * gain],
            ]
        )
        sides = np.maximum([conjugates.mean, conjugates.variance, conjugates.curvature + self.softening], SMALLEST)
        change = np.log(sides) - unknowns
        jacobian = conjugates.slopes / sides[:, None] @ forward - np.eye(3)
        residual = float(np.max(np.abs(change))) if conjugates.balanced else inf
        scores = scores._replace(offset=conjugates.offset)
        return Evaluation(
            change, jacobian, Solution(unknowns, scores, ridge, traces, (mean, variance, curvature), residual, 1)
        )

    def guess(self) -> Array:
        """Return the conjugates of least squares towards the loss's target, with a curvature of 1/4."""
        if self.penalty > 0.0:
            curvature = self.penalty / (4.0 * self.penalty + self.population.trace / self.n_samples)
        else:
            curvature = 0.25 * max(1.0 - self.population.rank / self.n_samples, 0.01)
        traces = self.population.traces(self.penalty / curvature)
        target = self.loss.target(traces.df1 / (self.n_samples * curvature))
        pull = target / (1.0 + traces.coupling)
        squared = (pull**2 * (1.0 + traces.coupling_variance)) / max(1.0 - traces.df2 / self.n_samples, 0.1)
        return np.log([pull * curvature, squared * curvature**2, curvature + self.softening])

    def _newton(self, unknowns: Array | None, offset: float | None, max_steps: int) -> Solution:
        """Newton's method, whose solution says what all of the search has taken so far."""
        found = self.newton(unknowns, offset, max_steps)
        return _failed(self.effort.spent) if found is None else found._replace(iterations=self.effort.spent)

    def _as_limit(self, failed: Solution) -> Solution:
        """Solve for the largest margin from hinge losses of small penalties, which are it once no dual is at its bound."""
        penalty = self.population.trace / self.n_samples
        hinge = replace(self, loss=Hinge(), penalty=penalty)
        found = hinge.solve()
        for _ in range(MAX_DECADES):
            if found.residual > DONE:
                return failed
            # The same pulls at the same ridge, with this penalty.
            unit = self.penalty / found.ridge / found.conjugates[2]
            mean, variance, curvature = found.conjugates
            start = np.log([mean * unit, variance * unit**2, curvature * unit + self.softening])
            final = self._newton(start, found.scores.offset, MAX_NEWTON_STEPS)
            if final.residual <= DONE:
                return final
            penalty *= 0.1
            smaller = replace(hinge, penalty=penalty).approach(found, 10.0 * penalty)
            if smaller is None:
                break
            found = smaller
        return failed

    def _vanishing(self, failed: Solution) -> Solution:
        """Solve without a penalty from the solutions at small ones."""
        penalty = self.population.trace / self.n_samples
        small = replace(self, penalty=penalty)
        found = small.solve()
        for _ in range(MAX_DECADES):
            start = found.unknowns.copy()
            start[2] = log(found.conjugates[2])
            final = self._newton(start, found.scores.offset, MAX_NEWTON_STEPS)
            if final.residual <= DONE:
                return final
            penalty *= 0.1
            smaller = replace(self, penalty=penalty).approach(found, 10.0 * penalty)
            if smaller is None:
                break
            found = smaller
        return failed


def _failed(iterations: int) -> Solution:
    nothing = Traces(*([nan] * 6))
    return Solution(np.full(3, nan), Scores(nan, nan, nan, nan), nan, nothing, (nan, nan, nan), inf, iterations)
