"""What :mod:`theory.learners.committee_averages` returns, with derivatives pulled back from it to covariances and signs.

The reverse of evaluation: from weights of the averages to the derivatives of their weighted sum by every covariance and sign,
at about the price of the averages themselves, however many these are.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from theory.learners.committee_averages import Gradients

Vector = npt.NDArray[np.float64]
Pull = Callable[[Gradients], tuple[Vector, Vector]]
"""From weights of averages, as an object of their shapes, to derivatives: shapes ``(n, n)`` and ``(n,)``.

Entries of the covariance count as independent of each other: a symmetric change meets both of them.
"""


def half_square_pulled(covariance: Vector, signs: Vector) -> tuple[Vector, Vector]:
    """Return the derivatives of ``E Delta^2 / 2`` by the covariance, shape ``(n, n)``, and the signs, shape ``(n,)``."""
    products, by_entry, by_variance = _products(covariance)
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
    count, diagonal = n_students, np.diagonal(covariance)
    widened, students, place = 1.0 + diagonal, covariance[:n_students], np.arange(n_students)
    everywhere = np.arange(signs.size)
    tilt = 1.0 + diagonal[:count, None] + diagonal + (diagonal[:count, None] * diagonal - students * students)
    pair = (2.0 / np.pi) / np.sqrt(tilt)
    own = -(pair * students) @ signs / widened[:count]
    drift = pair * signs
    drift[place, place] += own

    one, other, of_one, of_other, twice = _pairs(count)
    a, b, shared, det = widened[one], widened[other], covariance[one, other], tilt[one, other]
    x, y = students[one], students[other]
    cross = x[:, :, None] * y[:, None, :]
    tilted = det[:, None, None] * covariance + shared[:, None, None] * (cross + np.swapaxes(cross, 1, 2))
    tilted -= a[:, None, None] * (y[:, :, None] * y[:, None, :]) + b[:, None, None] * (x[:, :, None] * x[:, None, :])
    width = det[:, None] + np.diagonal(tilted, axis1=1, axis2=2)
    squares = width[:, :, None] * width[:, None, :]
    angles = np.arcsin(np.clip(tilted / np.sqrt(squares), -1.0, 1.0)) @ signs
    scale = (4.0 / np.pi**2) / np.sqrt(det)
    values = scale * (angles @ signs)
    kicks = np.empty((count, count))
    kicks[one, other] = kicks[other, one] = values
    products, by_entry, by_variance = _products(covariance)
    found = Gradients(drift=drift, kicks=kicks, slopes=pair[:, :count], residuals=products[:count] @ signs)

    def pull(weights: Gradients) -> tuple[Vector, Vector]:
        on_own = weights.drift[place, place] / widened[:count]
        on_signed = weights.drift - on_own[:, None] * students
        on_pair = signs * on_signed
        on_signs = (pair * on_signed).sum(axis=0)
        on_pair[:, :count] += weights.slopes
        on_students = -on_own[:, None] * pair * signs
        on_tilt = -0.5 * pair / tilt * on_pair
        on_students -= 2.0 * students * on_tilt
        on_diagonal = on_tilt.T @ widened[:count]
        on_diagonal[:count] += on_tilt @ widened - own * on_own

        of_pair = 0.5 * twice * (weights.kicks[one, other] + weights.kicks[other, one])
        on_angle = (of_pair * scale)[:, None, None] * np.outer(signs, signs) / np.sqrt(squares - tilted * tilted)
        on_width = -(on_angle * tilted).sum(axis=2) / width
        on_tilted = on_angle
        on_tilted[:, everywhere, everywhere] += on_width
        flat = on_tilted.reshape(det.size, -1)
        on_det = on_width.sum(axis=1) + flat @ covariance.ravel() - 0.5 * of_pair * values / det
        with_x, with_y = (on_tilted @ x[:, :, None])[:, :, 0], (on_tilted @ y[:, :, None])[:, :, 0]
        on_x = 2.0 * (shared[:, None] * with_y - b[:, None] * with_x)
        on_y = 2.0 * (shared[:, None] * with_x - a[:, None] * with_y)
        on_students += of_one @ on_x + of_other @ on_y
        on_students[one, other] += 2.0 * ((x * with_y).sum(axis=1) - shared * on_det)
        on_diagonal[:count] += of_one @ (on_det * b - (y * with_y).sum(axis=1))
        on_diagonal[:count] += of_other @ (on_det * a - (x * with_x).sum(axis=1))
        on_signs += 2.0 * ((of_pair * scale) @ angles)
        on_covariance = (det @ flat).reshape(covariance.shape)

        if np.any(weights.residuals):
            on_products = weights.residuals[:, None] * signs
            on_students += on_products * by_entry[:count]
            both = on_products * by_variance[:count]
            on_diagonal += np.sum(on_products * by_variance[:, :count].T, axis=0)
            on_diagonal[:count] += np.sum(both, axis=1)
            on_signs += weights.residuals @ products[:count]
        on_covariance[:count] += on_students
        on_covariance[everywhere, everywhere] += on_diagonal
        return on_covariance, on_signs

    return found, pull


def _products(covariance: Vector) -> tuple[Vector, Vector, Vector]:
    """Return ``E g(u) g(u')``, and its derivatives by the covariance of u and u', and by the variance of u."""
    widened = 1.0 + np.diagonal(covariance)
    squares = np.outer(widened, widened)
    products = (2.0 / np.pi) * np.arcsin(np.clip(covariance / np.sqrt(squares), -1.0, 1.0))
    by_entry = (2.0 / np.pi) / np.sqrt(squares - covariance * covariance)
    return products, by_entry, -0.5 * covariance * by_entry / widened[:, None]


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[Vector, ...]:
    """Return the indices of all pairs, tables that sum over the pairs of each first and second, and how often pairs count."""
    one, other = np.triu_indices(count)
    units = np.eye(count)
    return one, other, units[:, one], units[:, other], np.where(one == other, 1.0, 2.0)
