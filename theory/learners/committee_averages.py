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
Places = npt.NDArray[np.intp]


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


class Parts(NamedTuple):
    """What the averages are made of, for derivatives to be made of the same.

    Attributes:
        widened: ``1 + C_cc``, shape ``(n,)``.
        tilt: ``(1 + C_kk)(1 + C_cc) - C_kc^2``, shape ``(K, n)``.
        pair: J2 of students with all, shape ``(K, n)``.
        own: what H has on its diagonal beside J2, shape ``(K,)``.
        adjoint: of the two by two ``1 + C`` of each of P pairs of students, shape ``(P, 2, 2)``.
        rows: of C, those of the pair, shape ``(P, 2, n)``.
        det: the determinant of that ``1 + C``, shape ``(P,)``.
        tilted: the covariance of the Gaussian tilted by the pair, times ``det``, shape ``(P, n, n)``.
        width: ``det`` and the diagonal of ``tilted``, shape ``(P, n)``.
        scales: the products of the roots of ``width``, shape ``(P, n, n)``.
        cosines: ``tilted`` in units of those.
        angles: of the cosines, summed over the second field with its sign, shape ``(P, n)``.
        kicks: I4 of each pair, shape ``(P,)``.
    """

    widened: Vector
    tilt: Vector
    pair: Vector
    own: Vector
    adjoint: Vector
    rows: Vector
    det: Vector
    tilted: Vector
    width: Vector
    scales: Vector
    cosines: Vector
    angles: Vector
    kicks: Vector


def gradients(covariance: Vector, signs: Vector, n_students: int) -> Gradients:
    """Return what a step of SGD depends on.

    Args:
        covariance: C, shape ``(n, n)``.
        signs: sigma, shape ``(n,)``.
        n_students: K, the number of units that learn.
    """
    return in_parts(covariance, signs, n_students)[0]


def in_parts(covariance: Vector, signs: Vector, n_students: int) -> tuple[Gradients, Parts]:
    """Return what :func:`gradients` does, and what it is made of."""
    pairs = pairs_of(n_students, signs.size)
    diagonal, students = covariance.diagonal(), covariance[:n_students]
    widened, near = 1.0 + diagonal, diagonal[:n_students, None]
    # (1 + C_kk)(1 + C_cc) - C_kc^2 as one plus the determinant and the trace.
    tilt = 1.0 + near + diagonal + (near * diagonal - students * students)
    pair = (2.0 / np.pi) / np.sqrt(tilt)
    drift = pair * signs
    own = -(drift * students).sum(axis=1) / widened[:n_students]
    drift.ravel()[:: signs.size + 1] += own

    # For every pair of students: the tilted covariance, times the determinant of one plus that of the pair.
    det, rows = tilt.take(pairs.of_tilt), students.take(pairs.rows, axis=0)
    adjoint = pairs.flip * covariance.take(pairs.crossed) + pairs.eye
    tilted = det[:, None, None] * covariance - rows.swapaxes(1, 2) @ (adjoint @ rows)
    width = det[:, None] + tilted.reshape(det.size, -1)[:, :: signs.size + 1]
    roots = np.sqrt(width)
    scales = roots[:, :, None] * roots[:, None, :]
    cosines = (tilted / scales).clip(-1.0, 1.0)
    angles = np.arcsin(cosines) @ signs
    values = (4.0 / np.pi**2) / np.sqrt(det) * (angles @ signs)
    residuals = products_of(covariance, n_students) @ signs
    return (
        Gradients(drift, values.take(pairs.both), pair[:, :n_students], residuals),
        Parts(widened, tilt, pair, own, adjoint, rows, det, tilted, width, scales, cosines, angles, values),
    )


class Pairs(NamedTuple):
    """Where each of P pairs of students, both of them the same included, finds what it needs.

    Attributes:
        rows: the students, shape ``(P, 2)``.
        of_tilt: the pair in a flat table of shape ``(K, n)``, shape ``(P,)``.
        crossed: the entries of the adjoint of the pair's own covariance in all of it, flat; shape ``(P, 2, 2)``.
        flip: their signs, shape ``(2, 2)``.
        eye: what the adjoint has beside them.
        both: the pair of any two students, shape ``(K, K)``.
        once: the pair in a flat table of shape ``(K, K)``, shape ``(P,)``.
        often: how much of such an entry and its mirror image together is the pair's, shape ``(P,)``.
        at_rows: the pair's rows in flat tables of shape ``(P, n, n)``, shape ``(P, 2, n)``.
        at_adjoint: ``crossed`` in these.
    """

    rows: Places
    of_tilt: Places
    crossed: Places
    flip: Vector
    eye: Vector
    both: Places
    once: Places
    often: Vector
    at_rows: Places
    at_adjoint: Places


@lru_cache(maxsize=64)
def pairs_of(n_students: int, size: int) -> Pairs:
    """Return the pairs of the first ``n_students`` of ``size`` units, each once."""
    one, other = np.triu_indices(n_students)
    both = np.empty((n_students, n_students), dtype=np.intp)
    both[one, other] = both[other, one] = np.arange(one.size)
    rows, crossed = np.stack([one, other], axis=1), np.stack([other, one], axis=1)
    crossed = crossed[:, :, None] * size + crossed[:, None, :]
    table = size * size * np.arange(one.size)[:, None, None]
    return Pairs(
        rows=rows,
        of_tilt=one * size + other,
        crossed=crossed,
        flip=np.array([[1.0, -1.0], [-1.0, 1.0]]),
        eye=np.eye(2),
        both=both,
        once=one * n_students + other,
        often=np.where(one == other, 0.5, 1.0),
        at_rows=table + size * rows[:, :, None] + np.arange(size),
        at_adjoint=table + crossed,
    )


def products_of(covariance: Vector, n_first: int | None = None) -> Vector:
    """Return ``E g(u) g(u')``, the arc sine law of Williams (1996), of covariance C, shape ``(n, n)``; of the first u only."""
    root = np.sqrt(1.0 + covariance.diagonal())
    products: Vector = (2.0 / np.pi) * np.arcsin((covariance[:n_first] / (root[:n_first, None] * root)).clip(-1.0, 1.0))
    return products
