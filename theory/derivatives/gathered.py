"""Gauss rules that stand for many eigenvalues, with derivatives; see :func:`theory.learners.trajectories.gathered`.

A rule of 8 nodes has the first 16 moments of what it stands for. Its nodes and masses move so that it keeps them: a Hermite
interpolation problem in every panel.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from theory.derivatives.dual import Space, Vector
from theory.learners.trajectories import FEW, NODES_PER_PANEL, gauss, panels_of

Array = npt.NDArray[np.float64]


def gathered(space: Space, eigenvalues: Vector, weights: Vector) -> tuple[Vector, Vector]:
    """Replace many eigenvalues by fewer with the same low moments.

    Args:
        space: the directions.
        eigenvalues: nonnegative; those that are 0 are left out.
        weights: nonnegative; those that are 0 do not count.
    """
    seen = (weights.value > 0.0) & (eigenvalues.value > 0.0)
    places, where = np.unique(eigenvalues.value[seen], return_inverse=True)
    together = (where == np.arange(places.size)[:, None]).astype(float)
    mass, turned = weights.value[seen], (eigenvalues.left.T @ eigenvalues.right)[seen]
    masses, by_mass = together @ mass, together @ (weights.left.T @ weights.right)[seen]
    moved = together @ (mass[:, None] * turned) / masses[:, None]
    if places.size <= FEW:
        return _vector(space, places, moved), _vector(space, masses, by_mass)
    panel = panels_of(places)
    pieces: list[Any] = []
    for number in np.unique(panel):
        inside = panel == number
        pieces.append(_panel(places[inside], masses[inside], moved[inside], by_mass[inside]))
    nodes, loads, nodes_moved, loads_moved = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return _vector(space, nodes, nodes_moved), _vector(space, loads, loads_moved)


def still(eigenvalues: Vector, weights: Vector) -> Vector | None:
    """Return the eigenvalue 0, as the mean of all that are 0 by their weights; None if there is none."""
    places = np.flatnonzero(eigenvalues.value == 0.0)
    if not places.size:
        return None
    mass = weights.value[places]
    left = eigenvalues.left[:, places] @ mass / np.sum(mass)
    return Vector(np.zeros(1), left[:, None], eigenvalues.right)


def total_of_still(eigenvalues: Vector, weights: Vector) -> Vector:
    """Return the sum of the weights of all eigenvalues that are 0."""
    places = np.flatnonzero(eigenvalues.value == 0.0)
    return Vector(
        np.sum(weights.value[places], keepdims=True), np.sum(weights.left[:, places], axis=1)[:, None], weights.right
    )


def _vector(space: Space, values: Array, tangent: Array) -> Vector:
    return Vector(values, np.eye(values.size), tangent.reshape(-1, space.size))


def _panel(places: Array, masses: Array, moved: Array, by_mass: Array) -> tuple[Array, Array, Array, Array]:
    """Return nodes and masses of a panel's rule, and how they move."""
    if places.size <= NODES_PER_PANEL:
        return places, masses, moved, by_mass
    nodes, loads = gauss(places, masses)
    centre, half = 0.5 * (places[0] + places[-1]), 0.5 * (places[-1] - places[0])
    (of_places, slopes), (of_nodes, node_slopes) = (_basis((x - centre) / half) for x in (places, nodes))
    change = of_places @ by_mass + slopes @ (masses[:, None] * moved) / half
    found = np.linalg.solve(np.concatenate([of_nodes, node_slopes / half], axis=1), change)
    return nodes, loads, found[NODES_PER_PANEL:] / loads[:, None], found[:NODES_PER_PANEL]


def _basis(x: Array) -> tuple[Array, Array]:
    """Return the Chebyshev polynomials whose means a rule keeps, and their slopes: one row a degree."""
    units = np.eye(2 * NODES_PER_PANEL)
    values, slopes = chebyshev.chebvander(x, 2 * NODES_PER_PANEL - 1).T, chebyshev.chebval(x, chebyshev.chebder(units))
    return np.asarray(values, float), np.asarray(slopes, float)
