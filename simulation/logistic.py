"""Logistic regression by Newton's method with backtracking, over the array API."""

from typing import Any

import array_api_compat
import numpy as np

from simulation.activations import sigmoid
from simulation.losses import logistic
from simulation.margins import signed_features, split

GRADIENT = 1e-10
"""Length of the gradient at which it stops, relative to that at weights 0."""
MAX_STEPS = 200
MAX_HALVINGS = 50
DECREASE = 1e-4
"""Share of the decrease promised by the slope that a step must bring (Armijo's rule)."""
ROUNDING = 1e-14
"""Relative rounding of the objective, which no step needs to beat."""


def minimise_logistic(features: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
    """Minimise ``mean log(1 + exp(-y f)) + (penalty/2) ||w||^2``, ``f = X w + b``; return w and b.

    They are NaN where there is no minimum: without a penalty, and classes that the features separate.

    Args:
        features: shape ``(n, r)``, of any array API namespace.
        labels: shape ``(n,)``, +-1.
        penalty: nonnegative; not of b.
        fit_intercept: whether b is fitted; otherwise it is 0.
    """
    xp = array_api_compat.array_namespace(features)
    n_samples, n_features = features.shape
    signed, penalties = signed_features(features, labels, penalty=penalty, fit_intercept=fit_intercept)
    if penalty == 0.0 and n_features >= n_samples:
        return split(signed[0, :] * xp.nan, n_features)
    transposed, square = xp.matrix_transpose(signed), xp.eye(signed.shape[1]) * penalties
    weights, margins = xp.zeros_like(signed[0, :]), xp.zeros_like(labels)
    value, first = float(np.log(2.0)), 0.0
    for _ in range(MAX_STEPS):
        pull = sigmoid(-margins)
        gradient = penalties * weights - transposed @ pull / n_samples
        size = float(xp.linalg.vector_norm(gradient))
        first = max(first, size)
        if size <= GRADIENT * first:
            separated = penalty == 0.0 and float(xp.min(margins)) > 0.0
            return split(weights * (xp.nan if separated else 1.0), n_features)
        hessian = (transposed * (pull * (1.0 - pull))) @ signed / n_samples + square
        step = xp.linalg.solve(hessian, -gradient[:, None])[:, 0]
        slope, along, length = float(gradient @ step), signed @ step, 1.0
        for _ in range(MAX_HALVINGS):
            tried, tried_margins = weights + length * step, margins + length * along
            tried_value = float(xp.mean(logistic(tried_margins)) + 0.5 * xp.sum(penalties * tried * tried))
            if tried_value <= value * (1.0 + ROUNDING) + DECREASE * length * slope:
                break
            length *= 0.5
        weights, margins, value = tried, tried_margins, tried_value
    return split(weights * xp.nan, n_features)
