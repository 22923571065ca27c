"""Averages over a Gaussian score, which linear features have on every class: to rounding, in place of a test sample."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

REACH = 9.0
"""Standard deviations beyond which nothing is left."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)
"""Of each interval between kinks; they are densest at its ends, where a loss may turn quickly."""


class ScoreLaw(NamedTuple):
    """A normal score, and the chance of the label +1 given the score.

    Attributes:
        share: of the samples.
        mean: of the score.
        deviation: its standard deviation.
        chance: of (score - mean) / deviation, elementwise, from 0 to 1; smooth but for 0.
        turns: between which it may turn quickly.
    """

    share: float
    mean: float
    deviation: float
    chance: Callable[[Array], Any]
    turns: tuple[float, ...] = ()


def average(law: ScoreLaw, shift: float, loss: Callable[[Array], Any]) -> float:
    """Return the average of a loss of the margin, for scores shifted by an intercept.

    Args:
        law: of the scores and labels.
        shift: added to every score.
        loss: of margins, elementwise; smooth but for -1, 0 and 1.
    """
    centre = law.mean + shift
    kinks = [(kink - centre) / law.deviation for kink in (-1.0, 0.0, 1.0) if law.deviation > 0.0]
    t, weights = gaussian_nodes((*kinks, *law.turns))
    scores, chance = centre + law.deviation * t, law.chance(t)
    return float(weights @ (chance * loss(scores) + (1.0 - chance) * loss(-scores)))


def gaussian_nodes(kinks: tuple[float, ...]) -> tuple[Array, Array]:
    """Return nodes and weights of averages over a standard normal variable, of functions smooth but for 0 and ``kinks``."""
    inner = [kink for kink in (*kinks, 0.0) if -REACH < kink < REACH]
    ends = np.unique([-REACH, *inner, REACH])
    middle, half = 0.5 * (ends[1:] + ends[:-1])[:, None], 0.5 * np.diff(ends)[:, None]
    t = (middle + half * NODES).ravel()
    return t, np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi) * (half * WEIGHTS).ravel()
