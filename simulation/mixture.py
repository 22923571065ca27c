"""Two classes of Gaussian inputs that differ by their means."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.arrays import like, on_host
from simulation.devices import Streams
from simulation.domains import nonnegative
from simulation.scores import ScoreLaw
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureRegime:
    """Inputs ``x = y mu + Sigma^(1/2) z`` in the eigenbasis of Sigma, z standard normal, y = +-1.

    Each label is drawn independently, so that the number of positive ones is binomial. The mean has a random sign in every
    direction, drawn anew in each replicate.

    Attributes:
        eigenvalues: shape ``(d,)``, nonnegative: variance of each direction within a class.
        mean_shares: shape ``(d,)``, nonnegative: squared mean in each direction.
        positive_fraction: chance of y = +1, in (0, 1).

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    eigenvalues: npt.ArrayLike
    mean_shares: npt.ArrayLike
    positive_fraction: float = 0.5
    metric: ClassVar[Literal["misclassification"]] = "misclassification"
    noise_variance: ClassVar[float] = 0.0
    tail_trace: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        eigenvalues, shares = np.asarray(self.eigenvalues, float), np.asarray(self.mean_shares, float)
        if eigenvalues.ndim != 1 or eigenvalues.size == 0 or eigenvalues.shape != shares.shape:
            raise InadmissibleProblem(
                f"eigenvalues and mean_shares need one shape (d,), got {eigenvalues.shape} and {shares.shape}"
            )
        nonnegative("eigenvalues", eigenvalues)
        nonnegative("mean_shares", shares)
        if not 0.0 < self.positive_fraction < 1.0:
            raise InadmissibleProblem(
                f"positive_fraction must lie between 0 and 1, got {self.positive_fraction!r}",
                argument="positive_fraction",
            )
        object.__setattr__(self, "eigenvalues", eigenvalues)
        object.__setattr__(self, "mean_shares", shares)

    @property
    def n_features(self) -> int:
        """Number d of inputs."""
        return int(np.asarray(self.eigenvalues).size)

    def target(self, streams: Streams) -> "MixtureTarget":
        """Draw the signs of the mean."""
        chances = streams.random((self.n_features,))
        mean = like(chances, np.sqrt(self.mean_shares))
        return MixtureTarget(
            variances=np.asarray(self.eigenvalues),
            mean=array_api_compat.array_namespace(mean).where(chances < 0.5, mean, -mean),
            positive_fraction=self.positive_fraction,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureTarget:
    """The classes of one replicate of a :class:`MixtureRegime`.

    Attributes:
        variances: within a class, shape ``(d,)``.
        mean: of the inputs with y = +1, shape ``(d,)``.
        positive_fraction: chance of y = +1.
    """

    variances: Array
    mean: Any
    positive_fraction: float

    def draw(self, streams: Streams, count: int) -> tuple[Any, Any]:
        """Draw inputs, and whether each belongs to the positive class: 1 or 0."""
        chances = streams.random((count,))
        is_positive = array_api_compat.array_namespace(chances).astype(chances < self.positive_fraction, chances.dtype)
        normal = streams.standard_normal((count, self.variances.size))
        noise = normal * like(normal, np.sqrt(self.variances))
        return (2.0 * is_positive - 1.0)[..., None] * self.mean[..., None, :] + noise, is_positive

    def score_laws(self, weights: Array, replicate: tuple[int, ...] = ()) -> list[ScoreLaw]:
        """Return the law of ``weights . x`` in each class."""
        margin = float(weights @ on_host(self.mean)[replicate])
        deviation = float((weights * weights) @ self.variances) ** 0.5
        return [
            ScoreLaw(self.positive_fraction, margin, deviation, np.ones_like),
            ScoreLaw(1.0 - self.positive_fraction, -margin, deviation, np.zeros_like),
        ]
