"""Gaussian inputs, and classes that a linear function of them decides."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.activations import sigmoid
from simulation.devices import Streams
from simulation.error_function import normal_distribution
from simulation.gaussian import GaussianRegime, GaussianTarget
from simulation.scores import ScoreLaw, gaussian_nodes
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]
Link = Literal["sign", "logistic"]

TURN = 6.0
"""Standard deviations within which a normal chance goes from 0 to 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherRegime:
    """Inputs as in :class:`simulation.gaussian.GaussianRegime`, and labels +-1 from their latent ``nu = w . x``.

    Attributes:
        eigenvalues: shape ``(d,)``, nonnegative: variance of each direction.
        energies: shape ``(d,)``, nonnegative: E[(w_i x_i)^2].
        link: ``sign``: y = sign(nu + noise); ``logistic``: y = 1 with chance 1 / (1 + exp(-nu)).
        noise_variance: of the noise under the sign; 0 for the logistic link.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    eigenvalues: npt.ArrayLike
    energies: npt.ArrayLike
    link: Link
    noise_variance: float = 0.0
    metric: ClassVar[Literal["misclassification"]] = "misclassification"
    tail_trace: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if self.link not in ("sign", "logistic"):
            raise InadmissibleProblem(f"link must be 'sign' or 'logistic', got {self.link!r}", argument="link")
        if self.link == "logistic" and self.noise_variance != 0.0:
            raise InadmissibleProblem(
                f"noise_variance is that under the sign, and must be 0 for the logistic link, got {self.noise_variance!r}",
                argument="noise_variance",
            )
        _ = self._latent

    @property
    def n_features(self) -> int:
        """Number d of inputs."""
        return self._latent.n_features

    @property
    def _latent(self) -> GaussianRegime:
        return GaussianRegime(eigenvalues=self.eigenvalues, energies=self.energies, noise_variance=self.noise_variance)

    def target(self, streams: Streams) -> "TeacherTarget":
        """Return the teacher; by the symmetry of z nothing about it needs to be random."""
        return TeacherTarget(latent=self._latent.target(streams), link=self.link, noise_variance=self.noise_variance)


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherTarget:
    """The teacher of a :class:`TeacherRegime`."""

    latent: GaussianTarget
    link: Link
    noise_variance: float

    def draw(self, streams: Streams, count: int) -> tuple[Any, Any]:
        """Draw inputs, and the chance of y = +1 at each."""
        inputs, latents = self.latent.draw(streams, count)
        return inputs, self._chance(latents, 0.0)

    def score_laws(self, weights: Array, replicate: tuple[int, ...] = ()) -> list[ScoreLaw]:  # noqa: ARG002  all have one
        """Return the law of ``weights . x``: given the score the latent is normal."""
        variances, teacher = self.latent.deviations**2, self.latent.weights
        deviation = float((weights * weights) @ variances) ** 0.5
        slope = float((weights * teacher) @ variances) / deviation if deviation > 0.0 else 0.0
        spread = max(float((teacher * teacher) @ variances) - slope**2, 0.0)
        # Where the score says nearly all, the chance goes from 0 to 1 within this many deviations of the score.
        turn = TURN * (spread + self.noise_variance) ** 0.5 / abs(slope) if slope else 0.0
        return [ScoreLaw(1.0, 0.0, deviation, lambda t: self._chance(slope * t, spread), (-turn, turn))]

    def _chance(self, latents: Any, spread: float) -> Any:
        """Chance of y = +1 where the latent is normal with these means and variance ``spread``."""
        if self.link == "sign":
            deviation = (spread + self.noise_variance) ** 0.5
            if deviation:
                return normal_distribution(latents / deviation)
            return 0.5 + 0.5 * array_api_compat.array_namespace(latents).sign(latents)
        if spread == 0.0:
            return sigmoid(latents)
        t, weights = gaussian_nodes(())
        return sigmoid(latents[:, None] + spread**0.5 * t) @ weights
