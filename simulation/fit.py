"""The ridge fit over the array API: penalised, ridgeless, with or without an intercept."""

from typing import Any

import array_api_compat

GRAM_CONDITION = 1e8
"""Up to this condition number the Gram matrix is solved; beyond it the singular values of the features are used."""


def fit_ridge(inputs: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
    """Minimise ``(1/n) ||y - intercept - X theta||^2 + penalty ||theta||^2``; return theta and the intercept.

    The smaller of the primal and the dual system is solved as it is where the penalty keeps it well conditioned, and
    otherwise the filtered singular values of the features; penalty 0 drops those at rounding level and gives the solution
    of least norm. (The standard has a Cholesky factor but no triangular solve, so the system goes to ``solve``.)

    Args:
        inputs: shape ``(n, d)``, of any array API namespace.
        labels: shape ``(n,)``.
        penalty: nonnegative.
        fit_intercept: whether an unpenalised constant is fitted; otherwise the intercept returned is 0.
    """
    xp = array_api_compat.array_namespace(inputs, labels)
    n_samples, n_features = inputs.shape
    centre, level = xp.zeros_like(inputs[0, :]), xp.zeros_like(labels[0])
    if fit_intercept:
        centre, level = xp.mean(inputs, axis=0), xp.mean(labels)
        inputs, labels = inputs - centre, labels - level
    transposed = xp.matrix_transpose(inputs)
    scale = n_samples * penalty
    if scale * GRAM_CONDITION > float(xp.sum(inputs * inputs)):
        if n_features <= n_samples:
            gram = transposed @ inputs + scale * xp.eye(n_features, dtype=inputs.dtype)
            weights = xp.linalg.solve(gram, (transposed @ labels)[:, None])[:, 0]
        else:
            gram = inputs @ transposed + scale * xp.eye(n_samples, dtype=inputs.dtype)
            weights = transposed @ xp.linalg.solve(gram, labels[:, None])[:, 0]
    else:
        left, singular, right = xp.linalg.svd(inputs, full_matrices=False)
        kept = singular > singular[0] * max(n_samples, n_features) * float(xp.finfo(inputs.dtype).eps)
        power = singular * singular + scale
        shrinkage = xp.where(kept, singular, 0.0 * singular) / xp.where(kept, power, xp.ones_like(power))
        weights = xp.matrix_transpose(right) @ (shrinkage * (xp.matrix_transpose(left) @ labels))
    return weights, level - centre @ weights
