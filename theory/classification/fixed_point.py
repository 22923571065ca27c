"""The fixed point of convex losses: three unknowns, whatever the features, labels and loss.

The unknowns are the conjugates mh, qh and Vh. At the ridge ``kappa = penalty / Vh`` the traces of the features give the
scores,

    V = df1 / (n Vh),   m = (mh / Vh) coupling,   q = (mh / Vh)^2 coupling_variance + qh df2 / (n Vh^2),

and the labels and the loss turn these into conjugates again. Newton's method is applied between logarithms, where both
small and large penalties are of order one.

Sources: Mignacco et al., arXiv:2002.11544; Loureiro et al., arXiv:2102.08127.
"""

from dataclasses import dataclass, field, replace
from math import exp, inf, isfinite, log, nan, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from theory.classification.hinge import HardMargin, Hinge
from theory.classification.labels import Labels, Scores
from theory.classification.loss import Loss
from theory.equivalents.population import Population, Traces

Array = npt.NDArray[np.float64]

TOLERANCE = 1e-12
"""Of the logarithms; Newton's method goes on until it is met or nothing is gained, and DONE is enough."""
DONE = 1e-9
CLOSE = 1e-6
MAX_EVALUATIONS = 2000
"""After so many a problem is given up; nearly all take fewer than 20."""
MAX_NEWTON_STEPS = 40
MAX_CORRECTOR_STEPS = 12
LONGEST_STEP = 3.0
MAX_HALVINGS = 8
FURTHEST_RIDGE = 1e17
"""Ridges in units of the trace: beyond this one all traces are the same powers of the ridge, to rounding."""
SMALLEST = 1e-300
ROUNDING = 4e-16
LONGEST_STRIDE, SHORTEST_STRIDE, MAX_STRIDES = 4.0, 1e-4, 400
MAX_DECADES = 30
ANCHORS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
"""Decades between the penalty sought and one from where it is approached."""


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


@dataclass
class Effort:
    """Evaluations of the labels' averages made so far, and how many there may be."""

    spent: int = 0
    limit: int = MAX_EVALUATIONS

    @property
    def exhausted(self) -> bool:
        """Whether to give up."""
        return self.spent >= self.limit


class _Evaluation(NamedTuple):
    """Of the equations at some unknowns: the difference of the two sides, its Jacobian, and what a :class:`Solution` holds."""

    change: Array
    jacobian: Array
    solution: Solution


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
class FixedPoint:
    """The equations of one problem.

    Attributes:
        population: of the features.
        labels, loss: what is learned, and how.
        n_samples: n > 0.
        penalty: nonnegative; 0 means that the ridge is 0.
        effort: shared with the problems at other penalties that are solved on the way.
    """

    population: Population
    labels: Labels
    loss: Loss
    n_samples: float
    penalty: float
    effort: Effort = field(default_factory=Effort, compare=False)

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
        for decades in ANCHORS:
            for direction in (1.0, -1.0):
                if self.effort.exhausted:
                    return found
                anchor = replace(self, penalty=self.penalty * 10.0 ** (direction * decades))
                start = anchor._newton(None, None, MAX_NEWTON_STEPS)
                if start.residual <= DONE:
                    approached = self._approach(start, anchor.penalty)
                    if approached is not None:
                        return approached
        return found

    def evaluate(
        self, unknowns: Array, offset: float | None, slopes: _TraceSlopes, *, refinement: int = 1
    ) -> _Evaluation:
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
        return _Evaluation(
            change, jacobian, Solution(unknowns, scores, ridge, traces, (mean, variance, curvature), residual, 1)
        )

    def _guess(self) -> Array:
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
        """Newton's method, each step as long as the next correction by the same Jacobian is shorter.

        Source: the natural monotonicity test of Deuflhard, *Newton Methods for Nonlinear Problems* (2004), section 3.3.
        """
        slopes = _TraceSlopes()
        now = self._try(unknowns, offset, slopes)
        if now is None:
            return _failed(self.effort.spent)
        for _ in range(max_steps):
            if now.solution.residual <= TOLERANCE or self.effort.exhausted:
                break
            try:
                step = -np.linalg.solve(now.jacobian, now.change)
            except np.linalg.LinAlgError:
                break
            size = float(np.max(np.abs(step)))
            if not isfinite(size) or size == 0.0:
                break
            reach = min(1.0, LONGEST_STEP / size)
            accepted = None
            for halving in range(MAX_HALVINGS):
                length = reach * 0.5**halving
                following = self._try(now.solution.unknowns + length * step, now.solution.scores.offset, slopes)
                if following is None:
                    continue
                correction = float(np.max(np.abs(np.linalg.solve(now.jacobian, following.change))))
                # Once close, rounding may disturb the test.
                closer = now.solution.residual <= CLOSE and following.solution.residual < now.solution.residual
                if correction <= (1.0 - 0.1 * length) * size or closer:
                    accepted = following
                    break
            if accepted is None:
                if now.solution.residual <= DONE:
                    break
                accepted = self._try(
                    now.solution.unknowns + np.clip(0.5 * now.change, -1.0, 1.0), now.solution.scores.offset, slopes
                )
                if accepted is None:
                    break
            now = accepted
        return now.solution._replace(iterations=self.effort.spent)

    def _try(self, unknowns: Array | None, offset: float | None, slopes: _TraceSlopes) -> _Evaluation | None:
        """Evaluate, at a guess if nowhere else, or return None where something leaves the range of doubles."""
        self.effort.spent += 1
        try:
            found = self.evaluate(self._guess() if unknowns is None else unknowns, offset, slopes)
        except (ArithmeticError, ValueError):
            return None
        finite = np.all(np.isfinite(found.change)) and np.all(np.isfinite(found.jacobian))
        return found if finite else None

    def _approach(self, start: Solution, penalty: float) -> Solution | None:
        """Follow the solution from another penalty to this one, extrapolating from the last two."""
        position, goal = log(penalty), log(self.penalty)
        stride = LONGEST_STRIDE
        here, before = start, None
        for _ in range(MAX_STRIDES):
            if self.effort.exhausted:
                break
            last = abs(goal - position) <= stride
            following = goal if last else position + stride * np.sign(goal - position)
            guess = here.unknowns
            if before is not None:
                guess = guess + (here.unknowns - before[1]) * (following - position) / (position - before[0])
            there = replace(self, penalty=self.penalty if last else exp(following))
            found = there._newton(guess, here.scores.offset, MAX_CORRECTOR_STEPS)
            if found.residual <= DONE:
                if last:
                    return found
                before, here, position = (position, here.unknowns), found, following
                stride = min(1.6 * stride, LONGEST_STRIDE)
            else:
                stride *= 0.4
                if stride < SHORTEST_STRIDE:
                    break
        return None

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
            smaller = replace(hinge, penalty=penalty)._approach(found, 10.0 * penalty)
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
            smaller = replace(self, penalty=penalty)._approach(found, 10.0 * penalty)
            if smaller is None:
                break
            found = smaller
        return failed


def _failed(iterations: int) -> Solution:
    nothing = Traces(*([nan] * 6))
    return Solution(np.full(3, nan), Scores(nan, nan, nan, nan), nan, nothing, (nan, nan, nan), inf, iterations)
