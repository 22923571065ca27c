"""The losses: square, hinge with its limit for separable classes, and logistic."""

import numpy as np

from theory.classification.hinge import HardMargin, Hinge
from theory.classification.logistic import Logistic
from theory.classification.loss import Array, Averages, Jump, Loss, Pointwise
from theory.classification.nodes import Focus

__all__ = ["HardMargin", "Hinge", "Logistic", "Loss", "Square"]


class Square:
    """``(1 - u)^2 / 2``."""

    anchor = 1.0
    slope_at_zero = 1.0

    def value(self, margin: Array) -> Array:
        """The loss."""
        loss: Array = 0.5 * (1.0 - margin) ** 2
        return loss

    def target(self, proximal: float) -> float:  # noqa: ARG002 - of the protocol
        """The margin that is asked for."""
        return 1.0

    def pointwise(self, margin: Array, proximal: float) -> Pointwise:
        """All affine."""
        shrunk = 1.0 / (1.0 + proximal)
        dual = (1.0 - margin) * shrunk
        flat = np.full_like(dual, shrunk)
        return Pointwise(margin + proximal * dual, dual, flat, np.zeros_like(dual), -flat * shrunk)

    def kinks(self, proximal: float) -> tuple[float, ...]:  # noqa: ARG002 - of the protocol
        """None."""
        return ()

    def jumps(self, proximal: float) -> tuple[Jump, ...]:  # noqa: ARG002 - of the protocol
        """None."""
        return ()

    def foci(self, proximal: float) -> tuple[Focus, ...]:  # noqa: ARG002 - of the protocol
        """None."""
        return ()

    def averages(self, offset: float, deviation: float, proximal: float, *, refinement: int = 1) -> Averages:  # noqa: ARG002
        """Closed form."""
        shrunk = 1.0 / (1.0 + proximal)
        variance = deviation * deviation
        dual, squared = offset * shrunk, (offset * offset + variance) * shrunk * shrunk
        falling = -proximal * shrunk
        return Averages(
            dual,
            squared,
            shrunk,
            (shrunk, 0.0, dual * falling),
            (2.0 * offset * shrunk * shrunk, 2.0 * variance * shrunk * shrunk, 2.0 * squared * falling),
            (0.0, 0.0, shrunk * falling),
        )

    def prox_error(self, reach: float, proximal: float) -> float:  # noqa: ARG002 - of the protocol
        """0: in closed form."""
        return 0.0

    def energy(self, offset: float, deviation: float, proximal: float) -> float:
        """``E gamma (1 - gamma)``."""
        found = self.averages(offset, deviation, proximal)
        return found.dual - found.dual_squared

    def train_loss(self, offset: float, deviation: float, proximal: float) -> float:
        """``E (1 - p)^2 / 2``, with 1 - p = (1 - u) / (1 + V)."""
        return 0.5 * ((offset / (1.0 + proximal)) ** 2 + (deviation / (1.0 + proximal)) ** 2)

    def test_loss(self, offset: float, deviation: float) -> float:
        """``E (1 - u)^2 / 2``."""
        return 0.5 * (offset * offset + deviation * deviation)
