"""How often a Gaussian score has the wrong sign, whatever learner it came from.

Given the class of a mixture a score is normal; in a teacher's regime it is jointly normal with the latent that labels.
Square loss, gradient flow or any convex loss, on any features whose scores are Gaussian, end in these functions.
"""

from functools import lru_cache
from math import atan2, copysign, inf, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import owens_t

from theory.classification.half_lines import mass

Array = npt.NDArray[np.float64]

LOGARITHMIC_SPACING = 0.12
"""Of the deviations that make up a logistic variable: its distribution function is then good to 3e-16."""


class NormalMixture(NamedTuple):
    """A scale mixture of centred normals: variances and their shares, shape ``(m,)`` both."""

    variances: Array
    shares: Array


@lru_cache(maxsize=1)
def logistic_noise() -> NormalMixture:
    """Return the standard logistic variable as a mixture of normals.

    Twice a Kolmogorov variable K is the deviation of a logistic one, so that ``sigmoid(x) = E Phi(x / (2 K))`` exactly;
    log K has a density that is analytic and falls doubly exponentially, for which the trapezoidal rule is exact to
    rounding with few nodes.

    Source: Andrews and Mallows, *Scale mixtures of normal distributions* (1974), section 3.
    """
    k = np.exp(LOGARITHMIC_SPACING * np.arange(-14.0, 13.0))
    order = np.arange(1.0, 40.0)[:, None]
    odd = (2.0 * order - 1.0) ** 2
    # The two forms of the theta function, each where it converges fast.
    large = 8.0 * k * np.sum((-1.0) ** (order + 1.0) * order**2 * np.exp(-2.0 * (order * k) ** 2), axis=0)
    falling = np.exp(-odd * np.pi**2 / (8.0 * k * k))
    small = np.sqrt(2.0 * np.pi) * np.sum(falling * (odd * np.pi**2 / (4.0 * k**4) - 1.0 / k**2), axis=0)
    return NormalMixture(4.0 * k * k, LOGARITHMIC_SPACING * k * np.where(k < 0.9, small, large))


def two_class_misclassification(
    *, positive_margin: float, negative_margin: float, score_variance: float, positive_fraction: float
) -> float:
    """Return how often the score of a fresh sample of a mixture has the wrong sign.

    Args:
        positive_margin: mean score on the positive class, intercept included.
        negative_margin: minus the mean score on the negative class.
        score_variance: of the score within a class, the same for both; 0 is a constant score.
        positive_fraction: share of the positive class.
    """
    deviation = sqrt(score_variance)
    return positive_fraction * _below_zero(positive_margin, deviation) + (1.0 - positive_fraction) * _below_zero(
        negative_margin, deviation
    )


def latent_misclassification(*, covariance: float, score_variance: float, latent_variance: float) -> float:
    """Return how often a fresh score and the latent have different signs: their angle over pi.

    Args:
        covariance: of score and latent, m.
        score_variance: q; 0 is no score, which is wrong half of the time.
        latent_variance: of what the label is the sign of, noise included: rho + noise_variance.
    """
    return shifted_latent_misclassification(
        shift=0.0, covariance=covariance, score_variance=score_variance, latent_variance=latent_variance
    )


def shifted_latent_misclassification(
    *, shift: float, covariance: float, score_variance: float, latent_variance: float
) -> float:
    """Return ``P(shift + y F < 0)``, where y is the sign of a latent that is jointly normal with F.

    On its own training set a learner has the margin ``shift + y F``: fitting a sample moves its margin by a constant.

    Args:
        shift: any sign.
        covariance: of F and the latent.
        score_variance: of F; 0 leaves the shift, of which 0 counts as half.
        latent_variance: of what the label is the sign of, noise included.

    Source: y F is skew normal; Azzalini, *A class of distributions which includes the normal ones* (1985). Its
        distribution function is that of Owen, *Tables for computing bivariate normal probabilities* (1956).
    """
    if score_variance == 0.0:
        return _below_zero(shift, 0.0)
    largest = sqrt(score_variance) * sqrt(latent_variance)
    slack = max((largest - covariance) * (largest + covariance), 0.0)
    if shift == 0.0:
        return atan2(sqrt(slack), covariance) / np.pi
    reach = shift / sqrt(score_variance)
    skew = covariance / sqrt(slack) if slack > 0.0 else copysign(inf, covariance)
    return max(mass(-reach) - 2.0 * float(owens_t(reach, skew)), 0.0)


def _below_zero(mean: float, deviation: float) -> float:
    if deviation == 0.0:
        return 0.5 if mean == 0.0 else float(mean < 0.0)
    return mass(-mean / deviation)
