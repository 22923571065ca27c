"""What :mod:`theory.learners.committee_averages` returns, with derivatives pulled back from it to covariances and signs.

The reverse of evaluation: from weights of the averages to the derivatives of their weighted sum by every covariance and sign,
at about the price of the averages themselves, however many these are. What does not depend on the weights is worked out once
for all weights at the same covariance.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from theory.learners.committee_averages import Gradients, Parts, in_parts, pairs_of, products_of

Vector = npt.NDArray[np.float64]
Pull = Callable[[Gradients], tuple[Vector, Vector]]
"""From weights of averages, as an object of their shapes, to derivatives: shapes ``(n, n)`` and ``(n,)``.

Entries of the covariance count as independent of each other: a symmetric change meets both of them.
"""


def half_square_pulled(covariance: Vector, signs: Vector) -> tuple[Vector, Vector]:
    """Return the derivatives of ``E Delta^2 / 2`` by the covariance, shape ``(n, n)``, and the signs, shape ``(n,)``."""
    by_entry, by_first, by_second = _product_rates(covariance, signs.size)
    weights = 0.5 * np.outer(signs, signs)
    found = weights * by_entry
    found[np.diag_indices_from(found)] += (weights * by_first).sum(axis=1) + (weights * by_second).sum(axis=0)
    return found, products_of(covariance) @ signs


def gradients_pulled(covariance: Vector, signs: Vector, n_students: int) -> tuple[Gradients, Pull]:
    """Return the averages of :func:`theory.learners.committee_averages.gradients`, and what pulls weights of them back.

    Args:
        covariance: C, shape ``(n, n)``.
        signs: sigma, shape ``(n,)``.
        n_students: K, the number of units that learn.
    """
    found, parts = in_parts(covariance, signs, n_students)
    pairs, students, stride = pairs_of(n_students, signs.size), covariance[:n_students], signs.size + 1
    near, signed, by_tilt = parts.widened[:n_students], parts.pair * signs, -0.5 * parts.pair / parts.tilt
    kicks_by_covariance, kicks_by_signs = _kick_rates(covariance, signs, parts)

    def pull(weights: Gradients) -> tuple[Vector, Vector]:
        # I4, one number for both orders of a pair.
        on_pairs = pairs.often * (weights.kicks + weights.kicks.T).take(pairs.once)
        on_covariance, on_signs = on_pairs @ kicks_by_covariance, on_pairs @ kicks_by_signs

        # H and J2.
        on_own = weights.drift.ravel()[::stride] / near
        on_signed = weights.drift - on_own[:, None] * students
        on_pair = signs * on_signed
        on_pair[:, :n_students] += weights.slopes
        on_tilt = by_tilt * on_pair
        on_students = -2.0 * students * on_tilt - on_own[:, None] * signed
        on_diagonal = near @ on_tilt
        on_diagonal[:n_students] += on_tilt @ parts.widened - parts.own * on_own
        on_signs += (parts.pair * on_signed).sum(axis=0)

        if weights.residuals.any():
            by_entry, by_first, by_second = _product_rates(covariance, n_students)
            on_products = weights.residuals[:, None] * signs
            on_students += on_products * by_entry
            on_diagonal += (on_products * by_second).sum(axis=0)
            on_diagonal[:n_students] += (on_products * by_first).sum(axis=1)
            on_signs += weights.residuals @ products_of(covariance, n_students)
        on_covariance[: on_students.size] += on_students.ravel()
        on_covariance[::stride] += on_diagonal
        return on_covariance.reshape(covariance.shape), on_signs

    return found, pull


def _kick_rates(covariance: Vector, signs: Vector, parts: Parts) -> tuple[Vector, Vector]:
    """Differentiate I4 of each pair by the flat covariance, shape ``(P, n * n)``, and the signs, shape ``(P, n)``."""
    count, size = parts.angles.shape
    pairs = pairs_of(parts.own.size, size)
    scale = (4.0 / np.pi**2) / np.sqrt(parts.det)
    # By the tilted covariance, where its diagonal is part of the width, too.
    by_tilted = (signs[:, None] * signs) / (parts.scales * np.sqrt(1.0 - parts.cosines * parts.cosines))
    by_tilted *= scale[:, None, None]
    by_width = -(by_tilted * parts.tilted).sum(axis=2) / parts.width
    flat = by_tilted.reshape(count, -1)
    flat[:, :: size + 1] += by_width
    by_det = flat @ covariance.ravel() + by_width.sum(axis=1) - 0.5 * parts.kicks / parts.det
    # By the pair's rows and the adjoint, of which the determinant is that of its own adjoint.
    through = parts.rows @ by_tilted
    by_rows = -2.0 * (parts.adjoint @ through)
    by_adjoint = by_det[:, None, None] * parts.adjoint[:, ::-1, ::-1] - pairs.flip * (
        through @ parts.rows.swapaxes(1, 2)
    )
    flat *= parts.det[:, None]
    np.add.at(flat.ravel(), pairs.at_rows, by_rows)
    np.add.at(flat.ravel(), pairs.at_adjoint, by_adjoint)
    return flat, (2.0 * scale)[:, None] * parts.angles


def _product_rates(covariance: Vector, n_first: int) -> tuple[Vector, Vector, Vector]:
    """Differentiate ``E g(u) g(u')``, of the first u only, by the covariance of u and u' and by the variance of either."""
    widened, shared = 1.0 + covariance.diagonal(), covariance[:n_first]
    near = widened[:n_first, None]
    by_entry = (2.0 / np.pi) / np.sqrt(near * widened - shared * shared)
    by_either = -0.5 * shared * by_entry
    return by_entry, by_either / near, by_either / widened
