"""Kernels on the sphere with derivatives; see :mod:`theory.equivalents.sphere`."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import perm

from theory.activations.normal import Array
from theory.derivatives.dual import Dual, Space, Vector
from theory.derivatives.equivalents import ModalEquivalent, Table
from theory.equivalents.kernels import Exponential, Kernel, Laplace, Polynomial, Rbf
from theory.equivalents.sphere import cosine_rule, harmonics
from theory.modes import Modes


def _rbf(kernel: Rbf, order: int, cosine: Array) -> Array:
    """d/d length_scale of the kernel's derivatives by the cosine."""
    values = kernel.derivative_on_sphere(order, cosine)
    assert values is not None
    scale = kernel.length_scale
    slope: Array = values * (2.0 * (1.0 - cosine) / scale**2 - 2.0 * order) / scale
    return slope


def _exponential(kernel: Exponential, order: int, cosine: Array) -> Array:
    """d/d rate."""
    values = kernel.derivative_on_sphere(order, cosine)
    assert values is not None
    slope: Array = values * (order / kernel.rate + cosine)
    return slope


def _polynomial(kernel: Polynomial, order: int, cosine: Array) -> Array:
    """d/d offset."""
    power = kernel.degree - order
    if power < 1:
        return np.zeros_like(cosine)
    slope: Array = float(perm(kernel.degree, order)) * power * (kernel.offset + cosine) ** (power - 1)
    return slope


def _laplace(kernel: Laplace, order: int, cosine: Array) -> Array:  # noqa: ARG001 - one signature; only 0 is asked for
    """d/d length_scale."""
    slope: Array = kernel.on_sphere(cosine) * np.sqrt(2.0 * (1.0 - cosine)) / kernel.length_scale**2
    return slope


RATES: dict[type[Any], Callable[[Any, int, Array], Array]] = {
    Rbf: _rbf,
    Exponential: _exponential,
    Polynomial: _polynomial,
    Laplace: _laplace,
}
"""Derivatives of a kernel, and of its derivatives by the cosine, by its one parameter."""


@lru_cache(maxsize=256)
def _by_parameter(kernel: Kernel, dimension: int, n_degrees: int) -> tuple[Array, float]:
    """Differentiate the eigenvalues of the degrees from 0 on, and the diagonal."""
    rate = RATES[type(kernel)]
    diagonal = float(rate(kernel, 0, np.ones(1))[0])
    found = np.empty(n_degrees)
    if isinstance(kernel, Laplace):
        nodes, weights = cosine_rule(dimension)
        values = rate(kernel, 0, nodes)
        before, polynomial = np.zeros_like(nodes), np.ones_like(nodes)
        for degree in range(n_degrees):
            found[degree] = weights @ (values * polynomial)
            following = (2 * degree + dimension - 2) * nodes * polynomial - degree * before
            before, polynomial = polynomial, following / (degree + dimension - 2)
        return found, diagonal
    scale = 1.0
    for degree in range(n_degrees):
        nodes, weights = cosine_rule(dimension + 2 * degree)
        found[degree] = scale * float(weights @ rate(kernel, degree, nodes))
        scale /= dimension + 2.0 * degree
    return found, diagonal


def sphere(
    space: Space,
    plain: Modes,
    energies: Vector,
    *,
    kernel: Kernel,
    parameter: Dual,
    dimension: int,
    noise_variance: Any,
) -> ModalEquivalent:
    """Return the equivalent of a kernel on the sphere.

    Args:
        space: the directions.
        plain: its mode table, without derivatives.
        energies: of the target on degree 0, 1, 2, ...
        kernel: rbf, exponential, polynomial or laplace.
        parameter: its one parameter.
        dimension: d.
        noise_variance: of the labels.
    """
    start = plain.n_unpenalised
    n_degrees = plain.eigenvalues.size
    rates, diagonal = _by_parameter(kernel, dimension, n_degrees + start)  # type: ignore[arg-type] # kernels are frozen
    # A mode table leaves out degrees of eigenvalue 0, which may be about to appear.
    absent = plain.multiplicities == 0.0
    multiplicities = np.array([harmonics(dimension, start + degree) for degree in range(n_degrees)])
    left = rates[start:]
    eigenvalues = Vector(np.where(absent, 0.0, plain.eigenvalues), left[None, :], parameter.tangent[None, :])
    size = energies.value.size
    listed = np.zeros((n_degrees, size))
    for degree in range(start, min(size, n_degrees + start)):
        listed[degree - start, degree] = 1.0
    beyond = np.zeros(size)
    beyond[n_degrees + start :] = 1.0
    tail: Any = 0.0
    if plain.tail_trace > 0.0:
        counted = float(multiplicities @ left) + (float(rates[0]) if start else 0.0)
        tail = Dual(float(plain.tail_trace), (diagonal - counted) * parameter.tangent)
    table = Table(
        space=space,
        eigenvalues=eigenvalues,
        multiplicities=space.constants(multiplicities),
        energies=Vector(listed @ energies.value, energies.left @ listed.T, energies.right),
        tail_trace=tail,
        unlearnable_variance=Dual(float(beyond @ energies.value), energies.weighted(beyond)),
        noise_variance=noise_variance,
        n_unpenalised=start,
    )
    return ModalEquivalent(table=table)
