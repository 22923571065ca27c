"""Inputs uniform on a sphere, with a target of given energy on each degree of polynomials."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import array_api_compat
import numpy as np
import numpy.typing as npt

from simulation.arrays import dot, times, transposed
from simulation.devices import Streams
from simulation.domains import nonnegative, whole
from theory.covariance import InadmissibleProblem

N_DIRECTIONS = 64
"""Directions whose polynomials add up to the part of each degree of the target."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SphereRegime:
    """Inputs uniform on the sphere of radius sqrt(d), and a target known by its energy on each degree.

    The part of degree l is a sum of Gegenbauer polynomials ``P_l(u_j . x / sqrt(d))`` with random weights and directions
    u_j, scaled so that its energy is exact, since ``E P_l(u . x) P_l(v . x) = P_l(u . v) / m_l`` with m_l the number of
    harmonics of degree l.

    Attributes:
        n_features: d, whole, at least 3.
        degree_energies: shape ``(L + 1,)``, nonnegative: energy on degrees 0, 1, ..., L, in squared units of the label.
        noise_variance: of the labels, in training and at test.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    n_features: int
    degree_energies: npt.ArrayLike
    noise_variance: float = 0.0
    tail_trace: ClassVar[float] = 0.0
    metric: ClassVar[Literal["squared_error"]] = "squared_error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_features", whole("n_features", self.n_features, least=3))
        energies = np.asarray(self.degree_energies, float)
        if energies.ndim != 1 or energies.size == 0:
            raise InadmissibleProblem(
                f"degree_energies needs one entry a degree, from 0 up, got shape {energies.shape}",
                argument="degree_energies",
            )
        nonnegative("degree_energies", energies)
        nonnegative("noise_variance", self.noise_variance)
        object.__setattr__(self, "degree_energies", energies)

    def target(self, streams: Streams) -> "SphereTarget":
        """Draw the directions and weights of every degree."""
        energies = np.asarray(self.degree_energies)
        directions = _on_sphere(streams, N_DIRECTIONS, self.n_features)
        weights = streams.standard_normal((energies.size, N_DIRECTIONS))
        overlaps = gegenbauer(directions @ transposed(directions), energies.size - 1, self.n_features)
        scaled = []
        for degree, (energy, overlap) in enumerate(zip(energies.tolist(), overlaps, strict=True)):
            own = weights[..., degree, :]
            # E f_l^2 for the weights as drawn; the constant's directions all give the same function.
            drawn = dot(own, times(overlap, own)) / n_harmonics(degree, self.n_features)
            scaled.append(own * (energy / drawn)[..., None] ** 0.5)
        return SphereTarget(directions=directions, degree_weights=scaled)


@dataclass(frozen=True, kw_only=True, eq=False)
class SphereTarget:
    """The target of one replicate of a :class:`SphereRegime`.

    Attributes:
        directions: unit vectors u_j, shape ``(J, d)``.
        degree_weights: for each degree, shape ``(J,)``.
    """

    directions: Any
    degree_weights: list[Any]
    weights: ClassVar[None] = None
    constant: ClassVar[float] = 0.0
    orthogonal_variance: ClassVar[float] = 0.0

    def draw(self, streams: Streams, count: int) -> tuple[Any, Any]:
        """Draw inputs and the target's values on them."""
        n_features = int(self.directions.shape[-1])
        units = _on_sphere(streams, count, n_features)
        polynomials = gegenbauer(units @ transposed(self.directions), len(self.degree_weights) - 1, n_features)
        parts = (times(one, own) for one, own in zip(polynomials, self.degree_weights, strict=True))
        values = next(parts)
        for part in parts:
            values = values + part
        return n_features**0.5 * units, values


def gegenbauer(cosines: Any, highest: int, n_features: int) -> list[Any]:
    """Return P_0, ..., P_highest, normalised to P_l(1) = 1, orthogonal for the sphere in ``n_features`` dimensions.

    Args:
        cosines: of angles, any shape and namespace.
        highest: degree of the last one.
        n_features: d, at least 3.
    """
    polynomials = [array_api_compat.array_namespace(cosines).ones_like(cosines), cosines]
    for degree in range(1, highest):
        following = (2 * degree + n_features - 2) * cosines * polynomials[-1] - degree * polynomials[-2]
        polynomials.append(following / (degree + n_features - 2))
    return polynomials[: highest + 1]


def n_harmonics(degree: int, n_features: int) -> float:
    """Return the number of linearly independent harmonics of a degree on the sphere in ``n_features`` dimensions."""
    count = 1.0
    for step in range(1, degree):
        count *= (n_features - 2 + step) / step
    return 1.0 if degree == 0 else count * (2 * degree + n_features - 2) / degree


def _on_sphere(streams: Streams, count: int, n_features: int) -> Any:
    """Draw unit vectors."""
    normal = streams.standard_normal((count, n_features))
    return normal / dot(normal, normal)[..., None] ** 0.5
