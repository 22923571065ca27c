"""What a regime is at finite size: something that draws inputs, and what decides the labels on them."""

from typing import Any, Literal, Protocol

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.devices import Streams
from simulation.scores import ScoreLaw

Array = npt.NDArray[np.float64]


class Target(Protocol):
    """What one replicate is to learn."""

    def draw(self, streams: Streams, count: int) -> tuple[Any, Any]:
        """Draw inputs, shape ``(count, d)``, and on each the label without noise, or the chance that a class is +1."""


class NumberTarget(Target, Protocol):
    """A function with values that are numbers.

    Attributes:
        weights: of its linear part on the inputs, shape ``(d,)``; None where the inputs have no covariance of their own.
        constant: its mean.
        orthogonal_variance: energy of what is neither constant nor linear.
    """

    weights: Array | None
    constant: float
    orthogonal_variance: float


class ClassTarget(Target, Protocol):
    """Two classes."""

    def score_laws(self, weights: Array, replicate: tuple[int, ...] = ()) -> list[ScoreLaw]:
        """Return the law of ``weights . x`` in a replicate, one or more parts whose shares add up to 1; on the host."""


class Regime(Protocol):
    """What :mod:`simulation.problem` asks of a regime.

    Attributes:
        metric: how the test error is measured, and so whether labels are numbers or classes, +-1.
        noise_variance: of the labels, where they are numbers.
        tail_trace: trace of infinitely many further directions of vanishing variance.
    """

    @property
    def metric(self) -> Literal["squared_error", "misclassification"]:
        """Measure of the test error."""

    @property
    def noise_variance(self) -> float:
        """Variance of the noise."""

    @property
    def tail_trace(self) -> float:
        """Trace of the tail."""

    @property
    def n_features(self) -> int:
        """Number d of inputs."""

    def target(self, streams: Streams) -> Any:
        """Draw what one replicate keeps for training and test: a number or a class target."""


def observed(regime: Regime, streams: Streams, values: Any) -> Any:
    """Draw the labels: numbers with noise, or classes by their chances."""
    count = (int(values.shape[-1]),)
    if regime.metric == "squared_error":
        return values + regime.noise_variance**0.5 * streams.standard_normal(count)
    xp, one = array_api_compat.array_namespace(values), 1.0 + 0.0 * values
    return xp.where(streams.random(count) < values, one, -one)
