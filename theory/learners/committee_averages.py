"""Gaussian averages over the hidden units of a student and its teacher that the gradients of committee machines take.

Fields u are Gaussian with covariance C, students first; hidden units are ``g(u) = erf(u / sqrt 2)``, and the error is
``Delta = sum_c sigma_c g(u_c)``, sigma the student's read-outs and minus the teacher's. An average with ``g'(u_k) g'(u_l)`` is
one over a tilted Gaussian, of precision ``C^-1`` plus one at k and at l, and ``E g(u) g(u')`` is an arc sine.

Source: Saad and Solla, doi:10.1103/PhysRevE.52.4225, appendix A.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


class Gradients(NamedTuple):
    """Averages for K students among n units.

    Attributes:
        drift: H of shape ``(K, n)``: ``E g'(u_k) Delta u_b = sum_c H_kc C_cb``.
        kicks: I4 of shape ``(K, K)``: ``E g'(u_k) g'(u_l) Delta^2``.
        slopes: J2 of shape ``(K, K)``: ``E g'(u_k) g'(u_l)``, by which label noise enters.
        residuals: shape ``(K,)``: ``E g(u_k) Delta``.
    """

    drift: Vector
    kicks: Vector
    slopes: Vector
    residuals: Vector


def half_square(covariance: Vector, signs: Vector) -> float:
    """Return ``E Delta^2 / 2``."""
    return 0.5 * float(signs @ products_of(covariance) @ signs)


def gradients(covariance: Vector, signs: Vector, n_students: int) -> Gradients:
    """Return what a step of SGD depends on.

    Args:
        covariance: C, shape ``(n, n)``.
        signs: sigma, shape ``(n,)``.
        n_students: K, the number of units that learn.
    """
    count, diagonal = n_students, np.diagonal(covariance)
    widened = 1.0 + diagonal
    students = covariance[:count]
    # (1 + C_kk)(1 + C_cc) - C_kc^2 as one plus the determinant and the trace.
    tilt = 1.0 + diagonal[:count, None] + diagonal + (diagonal[:count, None] * diagonal - students * students)
    pair = (2.0 / np.pi) / np.sqrt(tilt)
    drift = pair * signs
    own = -np.sum(pair * students * signs, axis=1) / widened[:count]
    drift[np.arange(count), np.arange(count)] += own

    # For every pair of students: the tilted covariance, times the determinant of one plus that of the pair.
    one, other = _pairs(count)
    det, shared = tilt[one, other, None, None], covariance[one, other, None, None]
    first, second = students[one], students[other]
    cross = first[:, :, None] * second[:, None, :]
    tilted = det * covariance + shared * (cross + np.swapaxes(cross, 1, 2))
    tilted -= widened[one, None, None] * (second[:, :, None] * second[:, None, :])
    tilted -= widened[other, None, None] * (first[:, :, None] * first[:, None, :])
    width = np.sqrt(det[:, :, 0] + np.diagonal(tilted, axis1=1, axis2=2))
    angles = np.arcsin(np.clip(tilted / (width[:, :, None] * width[:, None, :]), -1.0, 1.0))
    kicks = np.empty((count, count))
    kicks[one, other] = kicks[other, one] = (4.0 / np.pi**2) / np.sqrt(det[:, 0, 0]) * ((angles @ signs) @ signs)
    residuals = products_of(covariance)[:count] @ signs
    return Gradients(drift=drift, kicks=kicks, slopes=pair[:, :count], residuals=residuals)


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of all pairs, each once."""
    return np.triu_indices(count)


def products_of(covariance: Vector) -> Vector:
    """Return ``E g(u) g(u')``, the arc sine law of Williams (1996), of covariance C, shape ``(n, n)``."""
    root = np.sqrt(1.0 + np.diagonal(covariance))
    products: Vector = (2.0 / np.pi) * np.arcsin(np.clip(covariance / (root[:, None] * root), -1.0, 1.0))
    return products
