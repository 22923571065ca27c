"""Logistic regression by Newton's method with backtracking, over the array API."""

from typing import Any

import array_api_compat

from simulation.activations import sigmoid
from simulation.arrays import dot, epsilon, is_any, times, transposed
from simulation.linear_algebra import solve_positive
from simulation.losses import logistic
from simulation.margins import blank, signed_features, split

GRADIENT = 1e-10
"""Length of the gradient at which it stops, relative to that at weights 0."""
BALANCE = 1e-6
"""Of the penalty's pull, what the loss may fail to balance where it is next to nothing for every sample."""
ROUNDED_GRADIENT = 100.0
"""Of the same, what rounding leaves of it, in units of that of single numbers."""
MAX_STEPS = 200
MAX_HALVINGS = 50
DECREASE = 1e-4
"""Share of the decrease promised by the slope that a step must bring (Armijo's rule)."""
ROUNDING = 50.0
"""Of the objective, which no step needs to beat, in units of that of single numbers."""


def minimise_logistic(features: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
    """Minimise ``mean log(1 + exp(-y f)) + (penalty/2) ||w||^2``, ``f = X w + b``; return w and b.

    They are NaN where there is no minimum: without a penalty, and classes that the features separate.

    Args:
        features: shape ``(n, r)``, of any array API namespace; leading axes are of problems side by side.
        labels: shape ``(n,)``, +-1.
        penalty: nonnegative; not of b.
        fit_intercept: whether b is fitted; otherwise it is 0.
    """
    xp = array_api_compat.array_namespace(features)
    n_samples, n_features = features.shape[-2:]
    signed, penalties = signed_features(features, labels, penalty=penalty, fit_intercept=fit_intercept)
    square = xp.eye(signed.shape[-1], dtype=signed.dtype) * penalties[..., None, :]
    weights, margins = xp.zeros_like(penalties), xp.zeros_like(labels)
    value = xp.mean(logistic(margins), axis=-1)
    nothing = xp.zeros_like(value)
    # As many directions as samples tell any classes apart.
    searching = (penalty > 0.0) | (n_features - xp.sum(blank(features), axis=-1) < n_samples)
    outcome, first = nothing + xp.nan, nothing
    tolerance, rounding = max(GRADIENT, ROUNDED_GRADIENT * epsilon(signed)), ROUNDING * epsilon(signed)
    for _ in range(MAX_STEPS):
        pull = sigmoid(-margins)
        gradient = penalties * weights - times(transposed(signed), pull) / n_samples
        size = dot(gradient, gradient) ** 0.5
        first = xp.where(size > first, size, first)
        arrived = size <= tolerance * first
        # Separable classes without much of a penalty: the loss is nothing long before the penalty has its say.
        pulled = penalties * weights
        settled = dot(gradient, gradient) <= BALANCE**2 * dot(pulled, pulled)
        arrived = arrived & (settled | (xp.min(margins, axis=-1) <= 0.0)) if penalty > 0.0 else arrived
        if penalty == 0.0:
            outcome = xp.where(searching & arrived & (xp.min(margins, axis=-1) <= 0.0), nothing, outcome)
        else:
            outcome = xp.where(searching & arrived, nothing, outcome)
        searching = searching & ~arrived & xp.isfinite(size)
        if not is_any(searching):
            break
        hessian = (transposed(signed) * (pull * (1.0 - pull))[..., None, :]) @ signed / n_samples + square
        step = solve_positive(hessian, -gradient[..., None])[..., 0]
        slope, along, length = dot(gradient, step), times(signed, step), xp.ones_like(value)
        trying = searching
        for _ in range(MAX_HALVINGS):
            tried, tried_margins = weights + length[..., None] * step, margins + length[..., None] * along
            tried_value = xp.mean(logistic(tried_margins), axis=-1) + 0.5 * dot(penalties * tried, tried)
            trying = trying & (tried_value > value * (1.0 + rounding) + DECREASE * length * slope)
            if not is_any(trying):
                break
            length = xp.where(trying, 0.5 * length, length)
        weights = xp.where(searching[..., None], tried, weights)
        margins = xp.where(searching[..., None], tried_margins, margins)
        value = xp.where(searching, tried_value, value)
    return split(weights + outcome[..., None], n_features)
