"""The hinge loss, and what it becomes on separable classes without a penalty: closed forms without cancellation."""

import numpy as np
from scipy.special import ndtr

from theory.classification.half_lines import density, half_line
from theory.classification.loss import Array, Averages, Jump, Pointwise
from theory.classification.nodes import Focus

NARROW = 1.0
"""Below this ratio of V to the deviation the closed forms would cancel, and Gauss-Legendre is exact."""

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_SHARES, _SHARE_WEIGHTS = 0.5 * (1.0 + _POINTS), 0.5 * _WEIGHTS


class Hinge:
    """``max(0, 1 - u)``."""

    anchor = 1.0
    slope_at_zero = 1.0

    def value(self, margin: Array) -> Array:
        """The loss."""
        return np.maximum(1.0 - margin, 0.0)

    def target(self, proximal: float) -> float:  # noqa: ARG002 - of the protocol
        """The margin that is asked for."""
        return 1.0

    def pointwise(self, margin: Array, proximal: float) -> Pointwise:
        """Piecewise: below ``1 - V`` the dual variable is 1, above 1 it is 0."""
        dual = np.clip((1.0 - margin) / proximal, 0.0, 1.0)
        inside = (dual > 0.0) & (dual < 1.0)
        curvature = np.where(inside, 1.0 / proximal, 0.0)
        # p is exactly 1 inside, whatever the rounding of u + V gamma.
        prox = np.where(inside, 1.0, np.maximum(margin, margin + proximal * dual))
        return Pointwise(prox, dual, curvature, np.zeros_like(dual), -curvature / proximal)

    def kinks(self, proximal: float) -> tuple[float, ...]:
        """Both ends of the middle piece."""
        return (1.0 - proximal, 1.0)

    def jumps(self, proximal: float) -> tuple[Jump, ...]:
        """Up to 1 / V and down again."""
        return (Jump(1.0 - proximal, 1.0 / proximal, -1.0), Jump(1.0, -1.0 / proximal, 0.0))

    def foci(self, proximal: float) -> tuple[Focus, ...]:  # noqa: ARG002 - of the protocol
        """None: every piece is affine."""
        return ()

    def averages(self, offset: float, deviation: float, proximal: float, *, refinement: int = 1) -> Averages:  # noqa: ARG002
        """Closed forms in ``B = offset / s`` and ``w = V / s``.

        The dual variable exceeds g with probability N(B - g w), so that
        ``E gamma = int_0^1 N(B - g w) dg``, ``E gamma^2 = int_0^1 2 g N(B - g w) dg`` and
        ``E h = int_0^1 f(B - g w) dg / s``: positive integrands, whose antiderivatives are differenced only where the
        difference keeps its digits.
        """
        upper, width = offset / deviation, proximal / deviation
        dual, squared, flat, first, second, by_upper, by_width = clipped(upper, width)
        return Averages(
            dual,
            squared,
            flat / deviation,
            (flat / deviation, width * first - upper * flat, -width * first),
            (2.0 * first / deviation, 2.0 * (width * second - upper * first), -2.0 * width * second),
            (
                by_upper / deviation**2,
                -(upper * by_upper + width * by_width + flat) / deviation,
                width * by_width / deviation,
            ),
        )

    def prox_error(self, reach: float, proximal: float) -> float:  # noqa: ARG002 - of the protocol
        """0: in closed form."""
        return 0.0

    def energy(self, offset: float, deviation: float, proximal: float) -> float:
        """``E gamma - E max(0, 1 - p)``: where p is below 1, gamma is 1, and where it is above, 0."""
        return self.averages(offset, deviation, proximal).dual - self.train_loss(offset, deviation, proximal)

    def train_loss(self, offset: float, deviation: float, proximal: float) -> float:
        """``E max(0, 1 - V - u)``."""
        return deviation * half_line((offset - proximal) / deviation).first

    def test_loss(self, offset: float, deviation: float) -> float:
        """``E max(0, 1 - u)``."""
        return deviation * half_line(offset / deviation).first


class HardMargin:
    """0 from a margin of 1 on and infinite below: the hinge with a vanishing penalty on separable classes.

    The solution does not depend on the penalty. The dual variable is ``(1 - u) / V`` below 1 and has no upper bound.
    """

    anchor = 1.0
    slope_at_zero = np.inf

    def value(self, margin: Array) -> Array:
        """The loss."""
        return np.where(margin >= 1.0, 0.0, np.inf)

    def target(self, proximal: float) -> float:  # noqa: ARG002 - of the protocol
        """The margin that is asked for."""
        return 1.0

    def pointwise(self, margin: Array, proximal: float) -> Pointwise:
        """Piecewise: the margins below 1 move to 1."""
        dual = np.maximum(1.0 - margin, 0.0) / proximal
        curvature = np.where(margin < 1.0, 1.0 / proximal, 0.0)
        return Pointwise(np.maximum(margin, 1.0), dual, curvature, np.zeros_like(dual), -curvature / proximal)

    def kinks(self, proximal: float) -> tuple[float, ...]:  # noqa: ARG002 - of the protocol
        """The margin itself."""
        return (1.0,)

    def jumps(self, proximal: float) -> tuple[Jump, ...]:
        """Down from 1 / V."""
        return (Jump(1.0, -1.0 / proximal, 0.0),)

    def foci(self, proximal: float) -> tuple[Focus, ...]:  # noqa: ARG002 - of the protocol
        """None."""
        return ()

    def averages(self, offset: float, deviation: float, proximal: float, *, refinement: int = 1) -> Averages:  # noqa: ARG002
        """Closed forms: those of :class:`Hinge` without the upper bound."""
        upper, over = offset / deviation, deviation / proximal
        below = half_line(upper)
        dual, squared = below.first * over, below.second * over * over
        twice, flat = 2.0 * below.first * over * over, below.zeroth / proximal
        steep = density(upper) / proximal
        return Averages(
            dual,
            squared,
            flat,
            (flat, dual - upper * below.zeroth * over, -dual),
            (twice / deviation, 2.0 * squared - upper * twice, -2.0 * squared),
            (steep / deviation, -upper * steep, -flat),
        )

    def prox_error(self, reach: float, proximal: float) -> float:  # noqa: ARG002 - of the protocol
        """0: in closed form."""
        return 0.0

    def energy(self, offset: float, deviation: float, proximal: float) -> float:
        """``E gamma``: p is 1 wherever gamma is not 0."""
        return self.averages(offset, deviation, proximal).dual

    def train_loss(self, offset: float, deviation: float, proximal: float) -> float:  # noqa: ARG002 - of the protocol
        """0: every margin is at least 1."""
        return 0.0

    def test_loss(self, offset: float, deviation: float) -> float:
        """Of the hinge, whose limit this is."""
        return deviation * half_line(offset / deviation).first


def _clipped_narrow(upper: float, width: float) -> tuple[float, ...]:
    """What :func:`clipped` returns, by Gauss-Legendre over the level g of the dual variable."""
    x = upper - width * _SHARES
    above = _SHARE_WEIGHTS * ndtr(x)
    at = _SHARE_WEIGHTS * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    first, sloped = at * _SHARES, at * x
    return (
        float(np.sum(above)),
        2.0 * float(above @ _SHARES),
        float(np.sum(at)),
        float(np.sum(first)),
        float(first @ _SHARES),
        -float(np.sum(sloped)),
        float(sloped @ _SHARES),
    )


def clipped(upper: float, width: float) -> tuple[float, ...]:
    """Integrals over the level g in (0, 1), with N and f at x = B - g w.

    Returns:
        ``int N``, ``int 2 g N``, ``int f``, ``int g f``, ``int g^2 f``, and the derivatives of the third by B and by w.
    """
    if width < NARROW:
        return _clipped_narrow(upper, width)
    lower = upper - width
    if lower > 0.0:
        # Nearly all duals are 1; what is missing is the same integral over the other tail.
        low, high = half_line(-lower), half_line(-upper)
        dual = 1.0 - (low.first - high.first) / width
        squared = 1.0 - (2.0 * width * low.first - low.second + high.second) / width**2
        within = low.zeroth - high.zeroth
    else:
        low, high = half_line(lower), half_line(upper)
        dual = (high.first - low.first) / width
        squared = (high.second - low.second - 2.0 * width * low.first) / width**2
        within = high.zeroth - low.zeroth
    at_low, at_high = density(lower), density(upper)
    flat = within / width
    first = (upper * within - (at_low - at_high)) / width**2
    second = (
        upper * upper * within - 2.0 * upper * (at_low - at_high) + within + lower * at_low - upper * at_high
    ) / width**3
    return dual, squared, flat, first, second, (at_high - at_low) / width, (at_low - flat) / width
