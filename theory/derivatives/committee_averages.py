"""What :mod:`theory.learners.committee_averages` returns, with derivatives pulled back from it to covariances and signs.

The reverse of evaluation: from weights of the averages to the derivatives of their weighted sum by every covariance and sign,
at about the price of the averages themselves, however many these are.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from theory.learners.committee_averages import Gradients, products_of

Vector = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Pull = Callable[[Gradients], tuple[Vector, Vector]]
"""From weights of averages, as an object of their shapes, to derivatives: shapes ``(n, n)`` and ``(n,)``.

Entries of the covariance count as independent of each other: a symmetric change meets both of them.
"""


def half_square_pulled(covariance: Vector, signs: Vector) -> tuple[Vector, Vector]:
    """Return the derivatives of ``E Delta^2 / 2`` by the covariance, shape ``(n, n)``, and the signs, shape ``(n,)``."""
    products, (by_entry, by_variance) = products_of(covariance), _product_rates(covariance)
    weights = 0.5 * np.outer(signs, signs)
    found = weights * by_entry
    found[np.diag_indices_from(found)] += 2.0 * np.sum(weights * by_variance, axis=1)
    return found, products @ signs


def gradients_pulled(covariance: Vector, signs: Vector, n_students: int) -> tuple[Gradients, Pull]:
    """Return the averages of :func:`theory.learners.committee_averages.gradients`, and what pulls weights of them back.

    Args:
        covariance: C, shape ``(n, n)``.
        signs: sigma, shape ``(n,)``.
        n_students: K, the number of units that learn.
    """
    fields = _Fields.of(covariance, signs, n_students)
    drift, pull_drift = _drift(fields)
    kicks, pull_kicks = _kicks(fields)
    products = products_of(covariance)
    found = Gradients(
        drift=drift, kicks=kicks, slopes=fields.pair[:, :n_students], residuals=products[:n_students] @ signs
    )

    def pull(weights: Gradients) -> tuple[Vector, Vector]:
        sums = _Sums(
            np.empty_like(covariance), np.zeros_like(fields.students), np.zeros_like(signs), np.zeros_like(signs)
        )
        pull_kicks(weights.kicks, sums)
        pull_drift(weights.drift, weights.slopes, sums)
        if weights.residuals.any():
            by_entry, by_variance = _product_rates(covariance)
            on_products = weights.residuals[:, None] * signs
            sums.students[:] += on_products * by_entry[:n_students]
            sums.diagonal[:] += (on_products * by_variance[:, :n_students].T).sum(axis=0)
            sums.diagonal[:n_students] += (on_products * by_variance[:n_students]).sum(axis=1)
            sums.signs[:] += weights.residuals @ products[:n_students]
        sums.covariance[:n_students] += sums.students
        sums.covariance.flat[:: signs.size + 1] += sums.diagonal
        return sums.covariance, sums.signs

    return found, pull


class _Fields(NamedTuple):
    """What the averages are made of: C, its rows of students, ``1 + C_kk``, the tilted determinants and J2."""

    covariance: Vector
    signs: Vector
    students: Vector
    widened: Vector
    tilt: Vector
    pair: Vector

    @classmethod
    def of(cls, covariance: Vector, signs: Vector, count: int) -> "_Fields":
        diagonal, students = np.diagonal(covariance), covariance[:count]
        tilt = 1.0 + diagonal[:count, None] + diagonal + (diagonal[:count, None] * diagonal - students * students)
        return cls(covariance, signs, students, 1.0 + diagonal, tilt, (2.0 / np.pi) / np.sqrt(tilt))


class _Sums(NamedTuple):
    """Derivatives by all of the covariance, by the rows of students, by the diagonal, and by the signs, to be added up."""

    covariance: Vector
    students: Vector
    diagonal: Vector
    signs: Vector


def _drift(fields: _Fields) -> tuple[Vector, Callable[[Vector, Vector, _Sums], None]]:
    """Return H, and what pulls weights of H and J2 back."""
    _, signs, students, widened, tilt, pair = fields
    count = students.shape[0]
    place = np.arange(count)
    own = -(pair * students) @ signs / widened[:count]
    drift = pair * signs
    drift[place, place] += own

    def pull(on_drift: Vector, on_slopes: Vector, sums: _Sums) -> None:
        on_own = on_drift[place, place] / widened[:count]
        on_signed = on_drift - on_own[:, None] * students
        on_pair = signs * on_signed
        on_pair[:, :count] += on_slopes
        on_tilt = -0.5 * pair / tilt * on_pair
        sums.signs[:] += (pair * on_signed).sum(axis=0)
        sums.students[:] -= on_own[:, None] * pair * signs + 2.0 * students * on_tilt
        sums.diagonal[:] += on_tilt.T @ widened[:count]
        sums.diagonal[:count] += on_tilt @ widened - own * on_own

    return drift, pull


def _kicks(fields: _Fields) -> tuple[Vector, Callable[[Vector, _Sums], None]]:
    """Return I4, and what pulls weights of it back; that sets the sum over all of the covariance."""
    covariance, signs, students, widened, tilt, _ = fields
    count = students.shape[0]
    (one, other), (of_one, of_other), often = _pairs(count)
    a, b, shared, det = widened[one], widened[other], covariance[one, other], tilt[one, other]
    x, y = students[one], students[other]
    cross = x[:, :, None] * y[:, None, :]
    tilted = det[:, None, None] * covariance + shared[:, None, None] * (cross + cross.swapaxes(1, 2))
    tilted -= a[:, None, None] * (y[:, :, None] * y[:, None, :]) + b[:, None, None] * (x[:, :, None] * x[:, None, :])
    width = det[:, None] + np.diagonal(tilted, axis1=1, axis2=2)
    squares = width[:, :, None] * width[:, None, :]
    angles = np.arcsin(np.clip(tilted / np.sqrt(squares), -1.0, 1.0)) @ signs
    scale = (4.0 / np.pi**2) / np.sqrt(det)
    values = scale * (angles @ signs)
    kicks = np.empty((count, count))
    kicks[one, other] = kicks[other, one] = values

    def pull(on_kicks: Vector, sums: _Sums) -> None:
        of_pair = often * (on_kicks[one, other] + on_kicks[other, one])
        on_tilted = (of_pair * scale)[:, None, None] * (signs[:, None] * signs) / np.sqrt(squares - tilted * tilted)
        on_width = -(on_tilted * tilted).sum(axis=2) / width
        flat = on_tilted.reshape(det.size, -1)
        flat[:, :: signs.size + 1] += on_width
        on_det = on_width.sum(axis=1) + flat @ covariance.ravel() - 0.5 * of_pair * values / det
        with_x, with_y = (on_tilted @ x[:, :, None])[:, :, 0], (on_tilted @ y[:, :, None])[:, :, 0]
        on_x = 2.0 * (shared[:, None] * with_y - b[:, None] * with_x)
        on_y = 2.0 * (shared[:, None] * with_x - a[:, None] * with_y)
        sums.covariance[:] = (det @ flat).reshape(covariance.shape)
        sums.students[:] += of_one @ on_x + of_other @ on_y
        sums.students[one, other] += 2.0 * ((x * with_y).sum(axis=1) - shared * on_det)
        sums.diagonal[:count] += of_one @ (on_det * b - (y * with_y).sum(axis=1))
        sums.diagonal[:count] += of_other @ (on_det * a - (x * with_x).sum(axis=1))
        sums.signs[:] += 2.0 * ((of_pair * scale) @ angles)

    return kicks, pull


def _product_rates(covariance: Vector) -> tuple[Vector, Vector]:
    """Return the derivatives of ``E g(u) g(u')`` by the covariance of u and u', and by the variance of u."""
    widened = 1.0 + np.diagonal(covariance)
    by_entry = (2.0 / np.pi) / np.sqrt(widened[:, None] * widened - covariance * covariance)
    return by_entry, -0.5 * covariance * by_entry / widened[:, None]


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[tuple[Places, Places], tuple[Vector, Vector], Vector]:
    """Return the indices of all pairs, tables that sum over pairs by their first and second, and weights of both orders."""
    one, other = np.triu_indices(count)
    units = np.eye(count)
    return (one, other), (units[:, one], units[:, other]), np.where(one == other, 0.5, 1.0)
