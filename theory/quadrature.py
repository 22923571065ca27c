"""Sums over very many smoothly varying modes, at the cost of a few hundred: Gauss rules for the counting measure."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

POINTS_PER_PANEL = 16
"""Nodes a panel; exact for polynomials of degree 31 in the mode's index."""


@lru_cache(maxsize=256)
def _counting_rule(n_integers: int, n_points: int) -> tuple[Vector, Vector]:
    """Gauss rule for the sum over 0, ..., n_integers - 1: the nodes and weights of the discrete Chebyshev polynomials."""
    order = np.arange(1.0, n_points)
    # Recurrence of the discrete Chebyshev (Gram) polynomials; as n_integers grows it becomes Legendre's.
    squared = (float(n_integers) ** 2 - order**2) * (order**2 / (4.0 * (4.0 * order**2 - 1.0)))
    off_diagonal = np.sqrt(squared)
    jacobi = np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)
    centred_nodes, vectors = np.linalg.eigh(jacobi)
    return centred_nodes + (n_integers - 1) / 2.0, n_integers * vectors[0] ** 2


def counting_nodes(n_modes: int, *, roughness: float) -> tuple[Vector, Vector]:
    """Choose real indices and weights that replace the sum over i = 1, ..., n_modes of a smooth function of i.

    The range is cut into panels whose relative width shrinks with ``roughness``; each panel of more than 16 integers
    is replaced by a 16-point Gauss rule for the counting measure, shorter ones are kept whole.

    Args:
        n_modes: number of modes, at least 1.
        roughness: how fast the summand varies with log i. For a summand that is rational in ``i**-a`` times ``i**-b``
            take ``max(a, b)``: its nearest complex singularities lie at the angles ±pi/a.

    Returns:
        ``(indices, weights)``, ascending, the weights positive with sum ``n_modes``. For the sums of this package
        the relative error is at rounding level (tests compare with the plain sum).

    Source: discrete Chebyshev polynomials: Gautschi, *Orthogonal Polynomials: Computation and Approximation* (2004), 1.5.
    """
    relative_half_width = min(1.0 / 3.0, 1.2 / max(roughness, 1.0))
    growth = (1.0 + relative_half_width) / (1.0 - relative_half_width)
    indices: list[Vector] = []
    weights: list[Vector] = []
    first = 1
    while first <= n_modes:
        last = min(n_modes, max(first + POINTS_PER_PANEL - 1, int(first * growth) - 1))
        count = last - first + 1
        if count <= POINTS_PER_PANEL:
            indices.append(np.arange(first, last + 1, dtype=np.float64))
            weights.append(np.ones(count))
        else:
            nodes, node_weights = _counting_rule(count, POINTS_PER_PANEL)
            indices.append(first + nodes)
            weights.append(node_weights)
        first = last + 1
    return np.concatenate(indices), np.concatenate(weights)
