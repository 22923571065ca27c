"""Where labels come from, as a loss sees it; and two classes, each a normal cloud about its mean.

The state of the scores is the mean margin m, the score variance q and the proximal parameter V. Their conjugates are what
the loss exerts on them: for two classes ``mh = E gamma``, ``qh = E gamma^2`` and ``Vh = E h``, over the margins.

Sources: Mignacco et al., arXiv:2002.11544, Theorem 1, and Loureiro et al., arXiv:2106.03791, for mixtures; Loureiro et al.,
arXiv:2102.08127, for a latent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, log
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from theory.classification.loss import Averages, Loss
from theory.classification.rates import two_class_misclassification
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

BALANCED = 1e-8
"""Of the offset, in units of what it varies by: a first-order correction leaves its square."""
MAX_BALANCING = 100
ROUNDING = 4e-16


class Scores(NamedTuple):
    """The state of the scores: m, sqrt(q), V, and the offset of the larger class or the latent's 0."""

    mean_margin: float
    deviation: float
    proximal: float
    offset: float

    @property
    def variance(self) -> float:
        """Q."""
        return self.deviation * self.deviation


class Conjugates(NamedTuple):
    """What a loss exerts on a state.

    Attributes:
        mean, variance, curvature: mh, qh and Vh.
        slopes: shape ``(3, 3)``: of mh, qh and Vh by m, log sqrt(q) and log V.
        offset: that was solved for, where an intercept is fitted.
        balanced: whether that solve closed in on its root.
    """

    mean: float
    variance: float
    curvature: float
    slopes: Array
    offset: float
    balanced: bool = True


class SquareMoments(NamedTuple):
    """Of least squares on the labels: ``mh / Vh``; ``qh / Vh^2 - q``; and the offset, see :class:`Scores`."""

    pull: float
    squared: float
    offset: float


class Labels(Protocol):
    """A source of labels."""

    def conjugates(
        self,
        loss: Loss,
        mean_margin: float,
        deviation: float,
        proximal: float,
        *,
        offset: float | None = None,
        refinement: int = 1,
    ) -> Conjugates:
        """Average over the margins; ``offset`` is where to look for the intercept first."""
        ...

    def intercept(self, loss: Loss, scores: Scores) -> float:
        """The fitted constant."""
        ...

    def square_moments(self, coupling: float) -> SquareMoments:
        """What least squares sees of the labels, m being the pull times the coupling."""
        ...

    def energy(self, loss: Loss, scores: Scores) -> float:
        """``E gamma p``."""
        ...

    def test_error(self, loss: Loss, scores: Scores) -> float:
        """Misclassification of fresh samples."""
        ...

    def train_error(self, loss: Loss, scores: Scores) -> float:
        """Misclassification of the training set."""
        ...

    def test_loss(self, loss: Loss, scores: Scores) -> float:
        """Loss on fresh samples."""
        ...

    def train_loss(self, loss: Loss, scores: Scores) -> float:
        """Loss on the training set."""
        ...


@dataclass(frozen=True, kw_only=True)
class MixtureLabels:
    """Two classes of inputs ``x = y mu + Sigma^(1/2) z``, y = +-1.

    Attributes:
        positive_fraction: share of the positive class, in (0, 1).
        fit_intercept: whether an unpenalised constant is fitted; if not the fractions do not matter.
    """

    positive_fraction: float
    fit_intercept: bool

    def __post_init__(self) -> None:
        """Refuse a share that leaves a class empty."""
        if not 0.0 < self.positive_fraction < 1.0:
            raise InadmissibleProblem(
                f"positive_fraction must lie between 0 and 1, got {self.positive_fraction:g}: with one class there is"
                " nothing to tell apart",
                argument="positive_fraction",
            )

    @cached_property
    def shares(self) -> Array:
        """Of the larger and of the smaller class, as the fit sees them; one class where both are alike to it."""
        if not self.fit_intercept or self.positive_fraction == 0.5:
            return np.ones(1)
        return np.array(
            [
                max(self.positive_fraction, 1.0 - self.positive_fraction),
                min(self.positive_fraction, 1.0 - self.positive_fraction),
            ]
        )

    def conjugates(
        self,
        loss: Loss,
        mean_margin: float,
        deviation: float,
        proximal: float,
        *,
        offset: float | None = None,
        refinement: int = 1,
    ) -> Conjugates:
        """Average over the margins, the intercept solved for; see :class:`Labels`."""

        def averages(at: float) -> Averages:
            return loss.averages(at, deviation, proximal, refinement=refinement)

        def sides(at: float) -> Sides:
            larger, smaller = averages(at), averages(2.0 * both - at)
            # The larger class and the smaller one: p E gamma(x) = p' E gamma(2 (anchor - m) - x).
            pulls = float(shares[0] * larger.dual), float(shares[1] * smaller.dual)
            slope = larger.curvature / larger.dual + smaller.curvature / smaller.dual if min(pulls) > 0.0 else 0.0
            return Sides([larger, smaller], pulls, slope)

        both, shares = loss.anchor - mean_margin, self.shares
        if shares.size == 1:
            of_classes, by_offsets, at, balanced = [averages(both)], np.array([[-1.0, 0.0, 0.0]]), both, True
        else:
            start = both if offset is None else offset
            of_classes, at, step, balanced = balance(sides, start=start, unit=min(1.0, deviation))
            of_classes = [shifted(of_classes[0], step), shifted(of_classes[1], -step)]
            by_offsets = _balanced_slopes(of_classes, shares)
        slopes = np.zeros((3, 3))
        for share, of_class, by_offset in zip(shares, of_classes, by_offsets, strict=True):
            each = np.array([of_class.dual_slopes, of_class.dual_squared_slopes, of_class.curvature_slopes])
            slopes += share * (each[:, :1] * by_offset)
            slopes[:, 1:] += share * each[:, 1:]
        mean, variance, curvature = shares @ np.array([of_class[:3] for of_class in of_classes])
        return Conjugates(float(mean), float(variance), float(curvature), slopes, at, balanced)

    def intercept(self, loss: Loss, scores: Scores) -> float:
        """The fitted constant."""
        towards_larger = 0.0 if self.shares.size == 1 else loss.anchor - scores.mean_margin - scores.offset
        return towards_larger if self.positive_fraction >= 0.5 else -towards_larger

    def square_moments(self, coupling: float) -> SquareMoments:
        """See :class:`Labels`; an intercept takes the mean off the labels, which leaves the variance v of them."""
        variance = 4.0 * self.positive_fraction * (1.0 - self.positive_fraction) if self.fit_intercept else 1.0
        missing = 1.0 / (1.0 + variance * coupling)
        # The offset of the larger class is (1 - m) times 1 less the mean of the labels.
        offset = missing if self.shares.size == 1 else 2.0 * self.shares[1] * missing
        return SquareMoments(variance * missing, variance * missing * missing, float(offset))

    def energy(self, loss: Loss, scores: Scores) -> float:
        """``E gamma p``, the intercept included, which sees none of it."""
        return self._average(loss, scores, lambda at: loss.energy(at, scores.deviation, scores.proximal))

    def test_error(self, loss: Loss, scores: Scores) -> float:
        """Misclassification of fresh samples."""
        intercept = self.intercept(loss, scores)
        return two_class_misclassification(
            positive_margin=scores.mean_margin + intercept,
            negative_margin=scores.mean_margin - intercept,
            score_variance=scores.variance,
            positive_fraction=self.positive_fraction,
        )

    def train_error(self, loss: Loss, scores: Scores) -> float:
        """Misclassification of the training set, whose margins ``p < 0`` are those with ``u < V l'(0)``."""
        intercept, fitted = self.intercept(loss, scores), scores.proximal * loss.slope_at_zero
        return two_class_misclassification(
            positive_margin=scores.mean_margin + intercept + fitted,
            negative_margin=scores.mean_margin - intercept + fitted,
            score_variance=scores.variance,
            positive_fraction=self.positive_fraction,
        )

    def test_loss(self, loss: Loss, scores: Scores) -> float:
        """Loss on fresh samples."""
        return self._average(loss, scores, lambda at: loss.test_loss(at, scores.deviation))

    def train_loss(self, loss: Loss, scores: Scores) -> float:
        """Loss on the training set."""
        return self._average(loss, scores, lambda at: loss.train_loss(at, scores.deviation, scores.proximal))

    def _average(self, loss: Loss, scores: Scores, of_offset: Callable[[float], float]) -> float:
        offsets = (scores.offset, 2.0 * (loss.anchor - scores.mean_margin) - scores.offset)
        return float(sum(share * of_offset(at) for share, at in zip(self.shares, offsets, strict=False)))


def _balanced_slopes(of_classes: list[Averages], shares: Array) -> Array:
    """Return the slopes of both offsets: ``E[y gamma]`` stays 0, and they add up to 2 (anchor - m)."""
    larger, smaller = of_classes
    pulls = shares * (larger.curvature, smaller.curvature)
    of_larger = np.zeros(3)
    if pulls[0] + pulls[1] > 0.0:
        of_larger = shares[1] * np.array(smaller.dual_slopes) - shares[0] * np.array(larger.dual_slopes)
        of_larger[0] = -2.0 * pulls[1]
        of_larger /= pulls[0] + pulls[1]
    of_smaller = -of_larger
    of_smaller[0] -= 2.0
    return np.array([of_larger, of_smaller])


class Sides(NamedTuple):
    """Two sides that an intercept moves against each other.

    Attributes:
        averages: of what either consists of.
        pulls: of the first and second: sums of ``share * E gamma``.
        slope: by how much the logarithm of their ratio grows; 0 where a pull is.
    """

    averages: list[Averages]
    pulls: tuple[float, float]
    slope: float


def balance(sides: Callable[[float], Sides], *, start: float, unit: float) -> tuple[list[Averages], float, float, bool]:
    """Find where both sides pull alike.

    Between logarithms Newton's method is quick, but where all duals are at their bound neither side moves: then and
    outside of the bracket it is halved.

    Args:
        sides: at a coordinate along which the first side's pull rises and the second's falls.
        start: where to look first.
        unit: of the coordinate.

    Returns:
        The averages last taken, the coordinate, by how much it lies beyond where they were taken, and whether the search
        closed in.
    """
    low, high, at, reach = -inf, inf, start, unit
    for _ in range(MAX_BALANCING):
        averages, pulls, slope = sides(at)
        excess = log(pulls[0] / pulls[1]) if min(pulls) > 0.0 else (inf if pulls[0] > pulls[1] else -inf)
        step = -excess / slope if slope > 0.0 else -inf * np.sign(excess)
        closed = isfinite(low) and isfinite(high) and high - low <= ROUNDING * max(abs(low), abs(high))
        if abs(step) <= BALANCED * unit + ROUNDING * abs(at) or closed:
            step = step if isfinite(step) else 0.0
            return averages, at + step, step, True
        low, high = (at, high) if excess < 0.0 else (low, at)
        if isfinite(low) and isfinite(high):
            at = at + step if low < at + step < high else 0.5 * (low + high)
        else:
            # A nearly flat side says nothing of how far away the root is.
            at += float(np.clip(step, -reach, reach))
            reach *= 4.0
    return averages, at, 0.0, False


def shifted(averages: Averages, step: float) -> Averages:
    """Return averages at an offset larger by a small step, to first order."""
    moved = averages[0:3] + step * np.array(
        [averages.dual_slopes[0], averages.dual_squared_slopes[0], averages.curvature_slopes[0]]
    )
    return averages._replace(dual=float(moved[0]), dual_squared=float(moved[1]), curvature=float(moved[2]))
