"""Kernels on the sphere with derivatives; see :mod:`theory.equivalents.sphere`."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import perm

from theory.activations.normal import Array
from theory.derivatives.dual import Dual, Space, Vector
from theory.derivatives.equivalents import ModalEquivalent, Table
from theory.derivatives.wide_networks import wide_rates
from theory.equivalents.kernels import Exponential, Kernel, Laplace, Polynomial, Rbf
from theory.equivalents.sphere import cosine_rule, harmonics
from theory.equivalents.wide_networks import ConjugateKernel, NeuralTangentKernel
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
"""Derivatives of a kernel, and of its derivatives by the cosine, where it has one parameter."""


@lru_cache(maxsize=256)
def _by_parameters(kernel: Kernel, dimension: int, n_degrees: int) -> tuple[Array, Array]:
    """Differentiate the eigenvalues of the degrees from 0 on, and the diagonal, by each of the kernel's parameters.

    Returns:
        Shapes ``(parameters, n_degrees)`` and ``(parameters,)``.
    """
    if isinstance(kernel, ConjugateKernel | NeuralTangentKernel):
        nodes, weights = cosine_rule(dimension)
        rates, diagonal = wide_rates(kernel, nodes)
        return _projected(rates, nodes, weights, dimension, n_degrees), diagonal
    rate = RATES[type(kernel)]
    diagonal = rate(kernel, 0, np.ones(1))
    if isinstance(kernel, Laplace):
        nodes, weights = cosine_rule(dimension)
        return _projected(rate(kernel, 0, nodes)[None, :], nodes, weights, dimension, n_degrees), diagonal
    found = np.empty((1, n_degrees))
    scale = 1.0
    for degree in range(n_degrees):
        nodes, weights = cosine_rule(dimension + 2 * degree)
        found[0, degree] = scale * float(weights @ rate(kernel, degree, nodes))
        scale /= dimension + 2.0 * degree
    return found, diagonal


def _projected(rates: Array, nodes: Array, weights: Array, dimension: int, n_degrees: int) -> Array:
    """Average functions of the cosine, one a row, with each of the Gegenbauer polynomials."""
    found = np.empty((rates.shape[0], n_degrees))
    before, polynomial = np.zeros_like(nodes), np.ones_like(nodes)
    for degree in range(n_degrees):
        found[:, degree] = rates @ (weights * polynomial)
        following = (2 * degree + dimension - 2) * nodes * polynomial - degree * before
        before, polynomial = polynomial, following / (degree + dimension - 2)
    return found


def sphere(
    space: Space,
    plain: Modes,
    energies: Vector,
    *,
    kernel: Kernel,
    parameters: Sequence[Dual],
    dimension: int,
    noise_variance: Any,
) -> ModalEquivalent:
    """Return the equivalent of a kernel on the sphere.

    Args:
        space: the directions.
        plain: its mode table, without derivatives.
        energies: of the target on degree 0, 1, 2, ...
        kernel: any of :mod:`theory.equivalents.kernels` and :mod:`theory.equivalents.wide_networks`.
        parameters: its own, in the order of its fields; of a network's layers weight_variance, bias_variance and those of
            the activation, layer by layer.
        dimension: d.
        noise_variance: of the labels.
    """
    start = plain.n_unpenalised
    n_degrees = plain.eigenvalues.size
    rates, diagonal = _by_parameters(kernel, dimension, n_degrees + start)  # type: ignore[arg-type] # kernels are frozen
    # A mode table leaves out degrees of eigenvalue 0, which may be about to appear.
    absent = plain.multiplicities == 0.0
    multiplicities = np.array([harmonics(dimension, start + degree) for degree in range(n_degrees)])
    left, right = rates[:, start:], np.array([parameter.tangent for parameter in parameters])
    eigenvalues = Vector(np.where(absent, 0.0, plain.eigenvalues), left, right)
    size = energies.value.size
    listed = np.zeros((n_degrees, size))
    for degree in range(start, min(size, n_degrees + start)):
        listed[degree - start, degree] = 1.0
    beyond = np.zeros(size)
    beyond[n_degrees + start :] = 1.0
    tail: Any = 0.0
    if plain.tail_trace > 0.0:
        counted = left @ multiplicities + (rates[:, 0] if start else 0.0)
        tail = Dual(float(plain.tail_trace), (diagonal - counted) @ right)
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
