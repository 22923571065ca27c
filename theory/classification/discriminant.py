"""Regularised linear discriminant analysis of two classes, its threshold by the sizes of the classes included.

With S the pooled covariance of the samples about their class means, of N = n - 2 degrees of freedom, the rule is

    (x - (m1 + m0) / 2)' (S + penalty)^-1 (m1 - m0) + log(n1 / n0) > 0.

Its direction is that of ridge regression on labels with an intercept, at the penalty ``penalty (n - 2) / n``; only the
threshold differs.

Sources: Dobriban and Wager, arXiv:1507.03003, Theorem 3.1, for classes of equal size; Zollanvari and Dougherty,
*Generalized consistent error estimator of linear discriminant analysis* (2015), and Elkhalil et al., arXiv:1711.00382, for
unequal ones.
"""

from dataclasses import dataclass
from math import inf, isfinite, log, sqrt
from typing import Literal

import numpy as np

from theory.classification.half_lines import mass
from theory.classification.ridge import ridge_of
from theory.covariance import InadmissibleProblem
from theory.equivalents.population import Population


@dataclass(frozen=True, kw_only=True)
class DiscriminantPrediction:
    """What discriminant analysis attains; infinite errors where ``status`` is "divergent".

    Attributes:
        test_error: misclassification of fresh samples, the classes in their shares.
        positive_error, negative_error: within each class.
        margin: mean score of a class on its side of the middle between the classes.
        shift: by how much unequal sample sizes move both mean scores.
        deviation: of the score within a class.
        threshold: log(n1 / n0), added to the score. Without a penalty and with fewer samples than features the score is
            infinitely larger; margin, shift and deviation are then in units of penalty / kappa, and the threshold is 0.
        outer_ridge: kappa.
        status, residual, iterations: of the ridge's equation.
    """

    test_error: float
    positive_error: float
    negative_error: float
    margin: float
    shift: float
    deviation: float
    threshold: float
    outer_ridge: float
    status: Literal["converged", "divergent", "not_converged"]
    residual: float
    iterations: int


def predict_discriminant(
    population: Population, *, n_samples: float, positive_fraction: float, penalty: float
) -> DiscriminantPrediction:
    """Predict regularised linear discriminant analysis.

    Args:
        population: of the features; its coupling is half the difference of the class means.
        n_samples: n > 2.
        positive_fraction: n1 / n, in (0, 1); also the share of fresh samples.
        penalty: nonnegative, added to the pooled covariance; 0 is the limit of small ones, that of the pseudo-inverse.

    Raises:
        InadmissibleProblem: no degree of freedom is left, a class is empty, or the penalty is negative.

    Source: see the module's docstring. With ``G = (kappa / penalty) (Omega + kappa)^-1`` and D the difference of the means:
        margin = D'GD / 2, shift = -(1 / n1 - 1 / n0) tr(Omega G) / 2 and
        deviation^2 = (D'G Omega G D + (1 / n1 + 1 / n0) tr(Omega G Omega G)) / (1 - df2 / N).
    """
    freedom = n_samples - 2.0
    _check(freedom, positive_fraction, penalty)
    positives, negatives = n_samples * positive_fraction, n_samples * (1.0 - positive_fraction)
    with np.errstate(all="ignore"):
        found = ridge_of(population, freedom, penalty)
    traces = found.traces
    if found.free == 0.0 or not isfinite(traces.coupling):
        return _divergent(found.ridge, found.iterations)
    # kappa / penalty is 1 / (1 - df1 / N); where that is infinite, scores are left in its unit.
    scale = 1.0 / found.curvature if found.curvature > 0.0 else 1.0
    threshold = log(positives / negatives) if found.curvature > 0.0 else 0.0
    margin = 2.0 * scale * traces.coupling
    shift = -0.5 * (1.0 / positives - 1.0 / negatives) * scale * traces.df1
    spread = 4.0 * traces.coupling_variance + (1.0 / positives + 1.0 / negatives) * traces.df2
    deviation = scale * sqrt(spread / found.free)
    positive_error = mass(-(margin + shift + threshold) / deviation)
    negative_error = mass(-(margin - shift - threshold) / deviation)
    return DiscriminantPrediction(
        test_error=positive_fraction * positive_error + (1.0 - positive_fraction) * negative_error,
        positive_error=positive_error,
        negative_error=negative_error,
        margin=margin,
        shift=shift,
        deviation=deviation,
        threshold=threshold,
        outer_ridge=found.ridge,
        status="converged" if found.converged else "not_converged",
        residual=found.residual,
        iterations=found.iterations,
    )


def _check(freedom: float, positive_fraction: float, penalty: float) -> None:
    if not (freedom > 0.0 and isfinite(freedom)):
        raise InadmissibleProblem(
            f"n_samples must exceed 2 and be finite, got {freedom + 2.0:g}: two class means take two degrees of freedom",
            argument="n_samples",
        )
    if not 0.0 < positive_fraction < 1.0:
        raise InadmissibleProblem(
            f"positive_fraction must lie between 0 and 1, got {positive_fraction:g}: with one class there is nothing to tell"
            " apart",
            argument="positive_fraction",
        )
    if not (penalty >= 0.0 and isfinite(penalty)):
        raise InadmissibleProblem(f"penalty must be at least 0 and finite, got {penalty:g}", argument="penalty")


def _divergent(ridge: float, iterations: int) -> DiscriminantPrediction:
    return DiscriminantPrediction(
        test_error=inf,
        positive_error=inf,
        negative_error=inf,
        margin=inf,
        shift=inf,
        deviation=inf,
        threshold=inf,
        outer_ridge=ridge,
        status="divergent",
        residual=0.0,
        iterations=iterations,
    )
