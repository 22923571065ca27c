"""What a regime is at finite size: something that draws inputs and the target's values on them."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Target(Protocol):
    """The noiseless target of one replicate.

    Attributes:
        weights: of its linear part on the inputs, shape ``(d,)``; None where the inputs have no covariance of their own.
        constant: its mean.
        orthogonal_variance: energy of what is neither constant nor linear.
    """

    weights: Array | None
    constant: float
    orthogonal_variance: float

    def draw(self, generator: np.random.Generator, count: int) -> tuple[Array, Array]:
        """Draw inputs, shape ``(count, d)``, and the target's values on them, shape ``(count,)``."""


class Regime(Protocol):
    """What :mod:`simulation.ridge` asks of a regime."""

    noise_variance: float
    tail_trace: float

    @property
    def n_features(self) -> int:
        """Number d of inputs."""

    def target(self, generator: np.random.Generator) -> Target:
        """Draw what one replicate keeps for training and test."""
