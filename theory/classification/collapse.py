"""Where the hinge loss with an intercept learns nothing but the larger class.

With unequal classes and no weights, all margins of the larger class sit on the hinge's kink, at an intercept of +-1. Moving
off costs the larger class what it gains the smaller one, so that weak signals and many samples leave the weights at
exactly 0, whatever the penalty.
"""

from scipy.optimize import brentq
from scipy.special import ndtri

from theory.classification.half_lines import half_line
from theory.classification.hinge import clipped
from theory.classification.labels import MixtureLabels
from theory.equivalents.population import Population

SMALLEST_TAIL = 1e-14


def collapses(population: Population, labels: MixtureLabels, n_samples: float) -> bool:
    """Whether the hinge's weights are 0.

    As the weights vanish, so do the deviation s and V, in proportion: the equations then read ``offset = B s`` for the
    larger class and ``V = w s``, all duals of the smaller class being 1. What is left of them determines B and w at any
    ridge, and that the scores have the variance s^2 determines the ridge. The weights are 0 if even a ridge of 0 leaves
    the scores less than that.
    """
    if labels.shares.size == 1:
        return False
    larger, smaller = labels.shares.tolist()
    # V Vh = rank / n, from the larger class alone.
    on_kink = population.rank / (n_samples * larger)
    if on_kink >= 1.0 - 2.0 * SMALLEST_TAIL:
        return False

    def width(below: float) -> float:
        return float(ndtri(below) - ndtri(below - on_kink))

    def excess(below: float) -> float:
        # Both classes pull alike: E gamma over the larger one is the ratio of the shares.
        high = float(ndtri(below))
        low = high - width(below)
        return float((half_line(high).first - half_line(low).first) / (high - low) - smaller / larger)

    ends = on_kink + SMALLEST_TAIL, 1.0 - SMALLEST_TAIL
    if excess(ends[0]) >= 0.0 or excess(ends[1]) <= 0.0:
        return False
    below = float(brentq(excess, *ends, xtol=1e-15))
    spread = width(below)
    squared = larger * clipped(float(ndtri(below)), spread)[1] + smaller
    learned = (2.0 * smaller) ** 2 * population.traces(0.0).coupling
    per_deviation = spread * n_samples / population.rank
    return bool(per_deviation**2 * (learned + squared * population.rank / n_samples) <= 1.0)
