"""Gaussian inputs with a linear target, and a nonlinear part that stays out of reach."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from simulation.arrays import dot, like, times
from simulation.devices import Streams
from simulation.domains import nonnegative
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianRegime:
    """Gaussian inputs in the eigenbasis of their covariance, or features known by their population eigenvalues.

    Labels are ``y = mean + w . x + g(x) + noise`` with ``x_i = sqrt(eigenvalue_i) z_i``, z standard normal, and
    ``w_i = sqrt(energy_i / eigenvalue_i)``. The nonlinear part g is cubic, ``sqrt(nonlinear_variance / T)`` times the sum
    of ``z_i z_j z_k`` over T = floor(d / 3) triples without common members: orthogonal to every polynomial of degree 2,
    and out of reach of fewer than some d^3 samples or features, as the theory assumes of it.

    Attributes:
        eigenvalues: shape ``(d,)``, nonnegative: variance of each direction.
        energies: shape ``(d,)``, nonnegative: E[(w_i x_i)^2], in squared units of the label; 0 where the variance is.
        noise_variance: of the labels, in training and at test.
        nonlinear_variance: E[g^2]; a positive one needs three directions.
        mean: E[y].
        tail_trace: trace of infinitely many further directions of vanishing variance, none with any of the target.
            Between different inputs they have no inner product; only linear features and projections see them.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    eigenvalues: npt.ArrayLike
    energies: npt.ArrayLike
    noise_variance: float = 0.0
    nonlinear_variance: float = 0.0
    mean: float = 0.0
    tail_trace: float = 0.0
    metric: ClassVar[Literal["squared_error"]] = "squared_error"

    def __post_init__(self) -> None:
        eigenvalues, energies = np.asarray(self.eigenvalues, float), np.asarray(self.energies, float)
        if eigenvalues.ndim != 1 or eigenvalues.size == 0 or eigenvalues.shape != energies.shape:
            raise InadmissibleProblem(
                f"eigenvalues and energies need one shape (d,), got {eigenvalues.shape} and {energies.shape}"
            )
        scalars = {name: getattr(self, name) for name in ("noise_variance", "nonlinear_variance", "tail_trace")}
        for name, value in {"eigenvalues": eigenvalues, "energies": energies, **scalars}.items():
            nonnegative(name, value)
        if not np.isfinite(self.mean):
            raise InadmissibleProblem(f"mean must be finite, got {self.mean!r}", argument="mean")
        if np.any(energies[eigenvalues == 0.0] > 0.0):
            raise InadmissibleProblem("a linear target has no energy where the inputs have no variance")
        if self.nonlinear_variance > 0.0 and eigenvalues.size < 3:
            raise InadmissibleProblem(
                f"a nonlinear part needs at least 3 directions, got {eigenvalues.size}", argument="nonlinear_variance"
            )
        object.__setattr__(self, "eigenvalues", eigenvalues)
        object.__setattr__(self, "energies", energies)

    @property
    def n_features(self) -> int:
        """Number d of inputs."""
        return int(np.asarray(self.eigenvalues).size)

    def target(self, streams: Streams) -> "GaussianTarget":  # noqa: ARG002  the same in every replicate
        """Return the target; by the symmetry of z nothing about it needs to be random."""
        eigenvalues, energies = np.asarray(self.eigenvalues), np.asarray(self.energies)
        return GaussianTarget(
            deviations=np.sqrt(eigenvalues),
            weights=np.sqrt(energies / np.where(eigenvalues > 0.0, eigenvalues, 1.0)),
            constant=self.mean,
            orthogonal_variance=self.nonlinear_variance,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianTarget:
    """The target of a :class:`GaussianRegime`, and the standard deviation of each input."""

    deviations: Array
    weights: Array
    constant: float
    orthogonal_variance: float

    def draw(self, streams: Streams, count: int) -> tuple[Any, Any]:
        """Draw inputs and the target's values on them."""
        inputs = streams.standard_normal((count, self.deviations.size))
        nonlinear: Any = 0.0
        if self.orthogonal_variance > 0.0:
            n_triples = self.deviations.size // 3
            first, second, third = (inputs[..., start : 3 * n_triples : 3] for start in range(3))
            nonlinear = (self.orthogonal_variance / n_triples) ** 0.5 * dot(first * second, third)
        if np.any(self.deviations != 1.0):
            inputs *= like(inputs, self.deviations)
        return inputs, self.constant + times(inputs, like(inputs, self.weights)) + nonlinear
