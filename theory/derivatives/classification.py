"""Classifiers with derivatives: how often a sign is wrong, after square loss, any convex loss, or discriminant analysis.

A convex loss has four unknowns: the ridge and the three conjugates. At the solution the labels' averages and their slopes
are all that its equations ask for; see :mod:`theory.classification.fixed_point`.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from theory.classification.convex import ClassificationPrediction
from theory.classification.labels import MixtureLabels
from theory.classification.losses import Loss
from theory.classification.teacher import TeacherLabels
from theory.derivatives.dual import Dual, chained, eliminated, eliminated_together, log, sqrt, value_of
from theory.derivatives.equivalents import Equivalent, Reading, Solved
from theory.derivatives.gradient_methods import Moments


class Mixture(NamedTuple):
    """Where labels of two classes come from; see :class:`theory.classification.labels.MixtureLabels`."""

    plain: MixtureLabels
    positive_fraction: Dual


class Teacher(NamedTuple):
    """Labels of a latent; see :class:`theory.classification.teacher.TeacherLabels`.

    Attributes:
        plain: the same without derivatives.
        latent_variance: of the latent and, for the sign, its noise: what moves all of ``plain.latent.variances`` alike.
    """

    plain: TeacherLabels
    latent_variance: Dual

    def pull(self) -> Dual:
        """``E[y nu] / E nu^2``."""
        variances, shares = self.plain.latent
        slope = -0.5 * float(shares @ (np.sqrt(2.0 / (np.pi * variances)) / variances))
        return chained(self.latent_variance, self.plain.pull, slope)

    def misclassification(self, mean_margin: Dual, score_variance: Dual) -> Dual:
        """The angle between score and latent over pi, averaged over the latent's components."""
        variances, shares = self.plain.latent
        m, q = float(mean_margin.value), float(score_variance.value)
        if not q > 0.0:
            raise ArithmeticError("the scores have no digits left")
        cosines = m / np.sqrt(q * variances)
        slopes = -shares / (np.pi * np.sqrt((1.0 - cosines) * (1.0 + cosines)))
        tangent = float(slopes @ (1.0 / np.sqrt(q * variances))) * mean_margin.tangent
        tangent = tangent - 0.5 / q * float(slopes @ cosines) * score_variance.tangent
        tangent = tangent - 0.5 * float(slopes @ (cosines / variances)) * self.latent_variance.tangent
        return Dual(self.plain.misclassification(m, q), tangent)


def two_classes(positive_margin: Dual, negative_margin: Dual, score_variance: Dual, fraction: Dual) -> Dual:
    """See :func:`theory.classification.rates.two_class_misclassification`."""
    deviation = sqrt(score_variance)
    positive, negative = _below_zero(positive_margin / deviation), _below_zero(negative_margin / deviation)
    return fraction * positive + (1.0 - fraction) * negative


def _below_zero(margin: Dual) -> Dual:
    x = float(margin.value)
    return chained(margin, float(ndtr(-x)), -float(np.exp(-0.5 * x * x)) / np.sqrt(2.0 * np.pi))


def rates_of_mixture(moments: Moments, *, positive_fraction: Dual, fit_intercept: bool, has_constant: bool) -> Dual:
    """See :class:`theory.classification.gradient.MixtureRates`."""
    mean, square, level = moments.score_mean, moments.score_square, moments.score_level
    label: Any = 2.0 * positive_fraction - 1.0 if fit_intercept or has_constant else 0.0
    within = (1.0 - label) * (1.0 + label)
    if fit_intercept:
        slope = mean / within
        shift = label * (1.0 - slope)
        explained = mean * slope
    else:
        slope, shift = (mean - label * level) / within, (level - label * mean) / within
        explained = shift * level + slope * mean
    return two_classes(slope + shift, slope - shift, square - explained, positive_fraction)


def least_squares(
    equivalent: Equivalent, solved: Solved, labels: Mixture | Teacher, *, n_samples: Dual, penalty: Dual
) -> Dual:
    """Return the test error of ridge regression on labels; see :func:`theory.classification.convex.predict_classifier`."""
    found = equivalent.read(solved, rates=True)
    free_samples = n_samples - found.df1
    curvature = free_samples / n_samples
    if value_of(solved.outer) > 0.0:
        curvature = curvature.with_value(penalty.value / value_of(solved.outer))
    equation = found.ridge * curvature - penalty
    free = curvature + found.spread / n_samples
    coupling, twice = found.learned, found.learned_twice
    if isinstance(labels, Mixture):
        fraction = labels.positive_fraction
        variance: Any = 4.0 * fraction * (1.0 - fraction) if labels.plain.fit_intercept else 1.0
        missing = 1.0 / (1.0 + variance * coupling)
        pull, squared = variance * missing, variance * missing * missing
    else:
        pull = labels.pull()
        squared = 1.0 - 2.0 * pull * pull * coupling
    mean = pull * coupling
    learned = pull * pull * twice
    score_variance = learned + (squared + learned) / free * (found.df2 / n_samples)
    if isinstance(labels, Teacher):
        error = labels.misclassification(mean, score_variance)
    else:
        intercept: Any = (2.0 * fraction - 1.0) * missing if labels.plain.fit_intercept else 0.0
        error = two_classes(mean + intercept, mean - intercept, score_variance, fraction)
    return eliminated(error, equation, equivalent.space.n_parameters)


def discriminant(
    equivalent: Equivalent, solved: Solved, *, n_samples: Dual, positive_fraction: Dual, penalty: Dual
) -> Dual:
    """See :func:`theory.classification.discriminant.predict_discriminant`."""
    found = equivalent.read(solved, rates=True)
    freedom = n_samples - 2.0
    positives, negatives = n_samples * positive_fraction, n_samples * (1.0 - positive_fraction)
    curvature = (freedom - found.df1) / freedom
    if value_of(solved.outer) > 0.0:
        curvature = curvature.with_value(penalty.value / value_of(solved.outer))
    equation = found.ridge * curvature - penalty
    free = curvature + found.spread / freedom
    interpolates = not curvature.value > 0.0
    # In units of the score, by curvature; where that is 0 the score is infinitely larger than the threshold.
    threshold: Any = 0.0 if interpolates else curvature * log(positives / negatives)
    if interpolates and positive_fraction.value != 0.5:
        # From above a penalty brings the threshold in, in proportion.
        threshold = curvature * log(positives / negatives)
    margin = 2.0 * found.learned
    shift = -0.5 * (1.0 / positives - 1.0 / negatives) * found.df1
    spread = 4.0 * found.learned_twice + (1.0 / positives + 1.0 / negatives) * found.df2
    variance = spread / free
    error = two_classes(margin + shift + threshold, margin - shift - threshold, variance, positive_fraction)
    return eliminated(error, equation, equivalent.space.n_parameters)


def convex(
    equivalent: Equivalent,
    solved: Solved,
    labels: Mixture | Teacher,
    loss: Loss,
    solution: ClassificationPrediction,
    *,
    n_samples: Dual,
    penalty: Dual,
) -> Dual:
    """Return the test error of a minimiser of a loss.

    Args:
        equivalent: of the features.
        solved: ridges at the solution.
        labels: where labels come from.
        loss: of the margin.
        solution: the same without derivatives.
        n_samples: n.
        penalty: of the problem that was solved.
    """
    space, first = equivalent.space, equivalent.space.n_parameters
    deviation = float(np.sqrt(solution.score_variance))
    state = (solution.mean_margin, deviation, solution.proximal)
    at = labels.plain.conjugates(loss, *state)
    curvature = penalty.value / solved.outer if solved.outer > 0.0 else at.curvature
    found = equivalent.read(solved, rates=True)
    mean_h, square_h, curvature_h = (
        space.along(value, first + 1 + place) for place, value in enumerate((at.mean, at.variance, curvature))
    )
    scores = _scores(found, n_samples, mean_h, square_h, curvature_h)
    by_labels = _by_labels(labels, loss, state, at.offset)
    logs = np.array([scores[0].tangent, 0.5 * scores[1].tangent / scores[1].value, scores[2].tangent / scores[2].value])
    sides = [
        Dual(value, at.slopes[place] @ logs + by_labels[place])
        for place, value in enumerate((at.mean, at.variance, curvature))
    ]
    equations = [
        found.ridge * curvature_h - penalty,
        mean_h - sides[0],
        square_h - sides[1],
        curvature_h - sides[2],
    ]
    if isinstance(labels, Teacher):
        error = labels.misclassification(scores[0], scores[1])
    else:
        offset = Dual(at.offset, by_labels[4] @ logs + by_labels[3])
        intercept = (loss.anchor - scores[0] - offset) * (1.0 if labels.positive_fraction.value >= 0.5 else -1.0)
        if labels.plain.shares.size == 1:
            intercept = 0.0 * scores[0]
        error = two_classes(scores[0] + intercept, scores[0] - intercept, scores[1], labels.positive_fraction)
    return eliminated_together(error, equations, range(first, first + 4))


def _scores(found: Reading, n_samples: Dual, mean: Dual, square: Dual, curvature: Dual) -> tuple[Dual, Dual, Dual]:
    """Return m, q and V."""
    pull = mean / curvature
    spent = square * found.df2 / (n_samples * curvature * curvature)
    return pull * found.learned, pull * pull * found.learned_twice + spent, found.df1 / (n_samples * curvature)


def _by_labels(labels: Mixture | Teacher, loss: Loss, state: Any, offset: float) -> tuple[Any, ...]:
    """Derivatives of the conjugates and of the offset by what labels depend on; and of the offset by the state."""
    if isinstance(labels, Teacher):
        rates = labels.plain.rates_by_latent_variance(loss, *state)
        return (*(rate * labels.latent_variance.tangent for rate in rates), 0.0, np.zeros(3))
    shares = labels.plain.shares
    still = np.zeros_like(labels.positive_fraction.tangent)
    if shares.size == 1:
        return still, still, still, still, np.zeros(3)
    # dp of the larger class, -dp of the smaller.
    along = labels.positive_fraction.tangent * (1.0 if labels.positive_fraction.value >= 0.5 else -1.0)
    both = 2.0 * (loss.anchor - state[0])
    larger, smaller = (loss.averages(at, *state[1:]) for at in (offset, both - offset))
    pulls = shares[0] * larger.curvature + shares[1] * smaller.curvature
    moved = -(larger.dual + smaller.dual) / pulls
    changes = []
    for name, slopes in (
        ("dual", "dual_slopes"),
        ("dual_squared", "dual_squared_slopes"),
        ("curvature", "curvature_slopes"),
    ):
        explicit = getattr(larger, name) - getattr(smaller, name)
        carried = moved * (shares[0] * getattr(larger, slopes)[0] - shares[1] * getattr(smaller, slopes)[0])
        changes.append((explicit + carried) * along)
    by_state = shares[1] * np.array(smaller.dual_slopes) - shares[0] * np.array(larger.dual_slopes)
    by_state[0] = -2.0 * shares[1] * smaller.curvature
    return (*changes, moved * along, by_state / pulls)
