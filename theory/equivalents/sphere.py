"""Kernels on the sphere, degree by degree: the multiple-descent staircase of polynomial sample sizes."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Vector, whole
from theory.equivalents.kernels import Kernel
from theory.modes import Modes

ROUNDING = 1e-14
MAX_DEGREE = 200
BULK_WIDTH = 12.0
BULK_PANELS = 16
EDGE_PANELS = 26
POINTS, POINT_WEIGHTS = np.polynomial.legendre.leggauss(16)
NEGLIGIBLE = 1e-3
"""Degrees are listed until the next ones' eigenvalues are this small beside the ridge that all beyond would make."""
QUADRATURE_FLOOR = 1e-11
"""Eigenvalues found by quadrature are kept down to this share of the kernel's diagonal, where they have five digits."""


def sphere_modes(
    n_features: float,
    *,
    kernel: Kernel,
    degree_energies: npt.ArrayLike,
    n_samples: float,
    noise_variance: float = 0.0,
    fit_intercept: bool = False,
) -> Modes:
    """Build the mode table of a kernel of inputs uniform on the sphere of radius sqrt(d).

    The eigenvalue of degree l is ``xi_l = E[h(t) P_l(t)]``, t the cosine to a fixed direction and P_l the Gegenbauer
    polynomial with P_l(1) = 1; its multiplicity the dimension of the spherical harmonics. What the listed degrees leave of
    the diagonal h(1) is the tail.

    Args:
        n_features: d, a whole number from 3.
        kernel: see :class:`theory.equivalents.kernels.Kernel`.
        degree_energies: of the target, on degree 0, 1, 2, ...
        n_samples: n, which decides how many degrees are told apart.
        noise_variance: of the labels.
        fit_intercept: whether an unpenalised constant is fitted, instead of degree 0.

    Raises:
        InadmissibleProblem: ``n_features`` is no whole number from 3, or the kernel is not positive on the sphere.

    Sources: Ghorbani, Mei, Misiakiewicz, Montanari, arXiv:1904.12191; Xiao, Hu, Misiakiewicz, Lu, Pennington,
        arXiv:2205.14846; Misiakiewicz, arXiv:2204.10425.
    """
    dimension = whole(n_features, "sphere")
    if dimension < 3:
        raise InadmissibleProblem(
            f"n_features must be at least 3 on the sphere, got {dimension}", argument="n_features"
        )
    energies = np.asarray(degree_energies, float)
    eigenvalues, multiplicities, diagonal = _spectrum(kernel, dimension, max(n_samples, 1.0), energies.size)  # type: ignore[arg-type] # kernels are frozen
    listed = np.zeros(eigenvalues.size)
    listed[: min(energies.size, eigenvalues.size)] = energies[: eigenvalues.size]
    beyond = float(np.sum(energies[eigenvalues.size :]))
    tail = max(diagonal - float(multiplicities @ eigenvalues), 0.0)
    if tail < 1e-14 * diagonal:  # rounding of a kernel of finitely many degrees
        tail = 0.0
    start = 1 if fit_intercept else 0
    return Modes(
        eigenvalues=eigenvalues[start:],
        multiplicities=multiplicities[start:],
        energies=listed[start:],
        tail_trace=tail,
        unlearnable_variance=beyond,
        noise_variance=noise_variance,
        n_unpenalised=start,
    )


@lru_cache(maxsize=64)
def _spectrum(kernel: Kernel, dimension: int, n_samples: float, n_degrees: int) -> tuple[Vector, Vector, float]:
    """Return eigenvalues and multiplicities of the degrees that are told apart, and h(1)."""
    diagonal = float(kernel.on_sphere(np.ones(1))[0])
    closed = kernel.derivative_on_sphere(1, np.zeros(1)) is not None
    nodes, weights = cosine_rule(dimension)
    values = np.zeros(0) if closed else kernel.on_sphere(nodes)
    eigenvalues: list[float] = []
    multiplicities: list[float] = []
    before, polynomial = np.zeros_like(nodes), np.ones_like(nodes)
    left = diagonal
    for degree in range(MAX_DEGREE):
        count = harmonics(dimension, degree)
        if closed:
            eigenvalue = _by_derivative(kernel, dimension, degree)
        else:
            eigenvalue = float(weights @ (values * polynomial))
            floor = QUADRATURE_FLOOR * diagonal
            if eigenvalue < -floor:
                raise InadmissibleProblem(
                    f"the kernel is not positive on the sphere: degree {degree} has eigenvalue {eigenvalue:.3g}",
                    argument="kernel",
                )
            if abs(eigenvalue) <= floor and degree >= 1 and count > n_samples:
                break
            eigenvalue = eigenvalue if eigenvalue > floor else 0.0
            before, polynomial = (
                polynomial,
                ((2 * degree + dimension - 2) * nodes * polynomial - degree * before) / (degree + dimension - 2),
            )
        eigenvalues.append(eigenvalue)
        multiplicities.append(count)
        left -= count * eigenvalue
        # All that is beyond acts as a ridge of at least its trace over n; modes far below that are infinitesimal.
        infinitesimal = count > n_samples and count * NEGLIGIBLE > n_samples
        if degree + 1 >= n_degrees and (infinitesimal or left <= ROUNDING * diagonal):
            break
    return np.array(eigenvalues), np.array(multiplicities), diagonal


def harmonics(dimension: int, degree: int) -> float:
    """Dimension of the spherical harmonics of a degree."""
    if degree == 0:
        return 1.0
    # (2l + d - 2) / l * binomial(l + d - 3, l - 1), the binomial as a running product.
    product = 1.0
    for step in range(1, degree):
        product *= (dimension - 2.0 + step) / step
    return product * (2.0 * degree + dimension - 2.0) / degree


def _by_derivative(kernel: Kernel, dimension: int, degree: int) -> float:
    """Rodrigues' formula: ``E[h^(l)(t)] / (2^l (d/2)_l)`` with t the cosine in d + 2l dimensions; no cancellation."""
    nodes, weights = cosine_rule(dimension + 2 * degree)
    values = kernel.derivative_on_sphere(degree, nodes)
    assert values is not None
    scale = 1.0
    for step in range(degree):
        scale /= dimension + 2.0 * step
    eigenvalue = float(weights @ values)
    return scale * eigenvalue if eigenvalue > ROUNDING * float(weights @ np.abs(values)) else 0.0


@lru_cache(maxsize=512)
def cosine_rule(dimension: int) -> tuple[Vector, Vector]:
    """Rule for averages over the cosine t to a fixed direction on the sphere, of functions that are smooth in the angle.

    The angle's density is proportional to ``sin^(d-2)``: panels resolve its bulk about the right angle and shrink
    geometrically towards 0 and pi, where a narrow kernel has its weight.
    """
    bulk = min(BULK_WIDTH / np.sqrt(dimension), np.pi / 2.0)
    inner = np.linspace(0.0, bulk, BULK_PANELS + 1)
    outer = np.pi / 2.0 - (np.pi / 2.0 - bulk) * 0.5 ** np.arange(1.0, EDGE_PANELS + 1.0) if bulk < 1.5 else np.zeros(0)
    shrinking = np.pi / 2.0 * (1.0 - 0.5 ** np.arange(1.0, EDGE_PANELS + 1.0))
    edges = np.unique(np.concatenate([inner, outer, shrinking, [np.pi / 2.0]]))
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    off = (middle + half * POINTS).ravel()  # angle beyond the right one; the rule is symmetric
    with np.errstate(under="ignore"):
        weights = (half * POINT_WEIGHTS).ravel() * np.exp((dimension - 2.0) * np.log(np.cos(off)))
    sines = np.sin(off)
    nodes, weights = np.concatenate([-sines[::-1], sines]), np.concatenate([weights[::-1], weights])
    return nodes, weights / np.sum(weights)
