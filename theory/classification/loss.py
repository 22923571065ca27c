"""What a convex loss of the margin must tell the scalar channel: proximal operator, dual variable, curvature, averages.

At a proximal parameter V a margin u moves to ``p = argmin l(p) + (p - u)^2 / (2 V)``. Its dual variable is
``gamma = -l'(p) = (p - u) / V >= 0`` and its curvature ``h = -d gamma / du = l''(p) / (1 + V l''(p))``.

Sources: Mai, Liao, Couillet, *A large scale analysis of logistic regression* (ICASSP 2019); Loureiro et al.,
arXiv:2102.08127 and arXiv:2106.03791.
"""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from theory.classification.nodes import Focus

Array = npt.NDArray[np.float64]


class Pointwise(NamedTuple):
    """At margins u, each of their shape.

    Attributes:
        prox: p.
        dual: gamma.
        curvature: h.
        curvature_by_u: dh / du.
        curvature_by_proximal: dh / dV at fixed u.
    """

    prox: Array
    dual: Array
    curvature: Array
    curvature_by_u: Array
    curvature_by_proximal: Array


class Jump(NamedTuple):
    """Where the curvature of a piecewise affine dual variable jumps: the margin, by how much, and d margin / dV."""

    at: float
    height: float
    rate: float


class Averages(NamedTuple):
    """Of margins u ~ N(anchor - offset, deviation^2); slopes are by (offset, log deviation, log V).

    Attributes:
        dual: E gamma.
        dual_squared: E gamma^2.
        curvature: E h.
        dual_slopes, dual_squared_slopes, curvature_slopes: their derivatives.
    """

    dual: float
    dual_squared: float
    curvature: float
    dual_slopes: tuple[float, float, float]
    dual_squared_slopes: tuple[float, float, float]
    curvature_slopes: tuple[float, float, float]


class Loss(Protocol):
    """A convex loss of the margin.

    Attributes:
        anchor: the margin from which offsets are counted, so that they keep their digits beside a kink.
        slope_at_zero: ``-l'(0)``.
    """

    anchor: float
    slope_at_zero: float

    def value(self, margin: Array) -> Array:
        """The loss."""
        ...

    def target(self, proximal: float) -> float:
        """A margin to start the search from, towards which least squares would fit."""
        ...

    def pointwise(self, margin: Array, proximal: float) -> Pointwise:
        """What the channel integrates."""
        ...

    def kinks(self, proximal: float) -> tuple[float, ...]:
        """Margins at which the prox, or at 0 the loss itself, has a kink."""
        ...

    def jumps(self, proximal: float) -> tuple[Jump, ...]:
        """How the curvature jumps at the kinks."""
        ...

    def foci(self, proximal: float) -> tuple[Focus, ...]:
        """Margins near which the dual variable has a complex singularity, and how far off it is."""
        ...

    def averages(self, offset: float, deviation: float, proximal: float, *, refinement: int = 1) -> Averages:
        """Gaussian averages; ``refinement`` 2 takes twice the nodes where there are any."""
        ...

    def prox_error(self, reach: float, proximal: float) -> float:
        """Largest ``|p - u + V l'(p)| / V`` at margins up to ``reach`` from 0, what rounding of u makes of it taken off."""
        ...

    def energy(self, offset: float, deviation: float, proximal: float) -> float:
        """``E gamma p``, which an optimum equates with ``penalty |w|^2``."""
        ...

    def train_loss(self, offset: float, deviation: float, proximal: float) -> float:
        """``E l(p)``."""
        ...

    def test_loss(self, offset: float, deviation: float) -> float:
        """``E l(u)``."""
        ...
