"""The support vector machine by a primal-dual interior-point method with a certified gap, over the array API."""

from typing import Any

import array_api_compat

from simulation.losses import hinge
from simulation.margins import signed_features, split

GAP = 1e-10
"""Between primal and dual objective, relative to the former, when it stops."""
MAX_STEPS = 100
TO_THE_BOUNDARY = 0.995
"""Share of the way to the boundary that a step goes."""


ROUNDING = 1e-15
"""Of the loss of a sample, which no gap gets below."""
NO_PENALTY = 1e-8
"""In units of the mean square of a feature, stands for 0: from some penalty down the minimum no longer moves."""


def minimise_hinge(features: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
    """Minimise ``mean max(0, 1 - y f) + (penalty/2) ||w||^2``, ``f = X w + b``; return w and b.

    Penalty 0 is the shortest w of the least loss: the machine of hard margin, where a hyperplane tells the classes apart.
    With margins 1 - excess + surplus, Z the rows y x and dual variables alpha in (0, 1), the minimum is where

        n penalty w = Z' alpha,     y' alpha = 0,     alpha surplus = (1 - alpha) excess = barrier

    as the barrier goes to 0. Newton's steps there, less all variables but w and b, are one system of that size each.

    Args:
        features: shape ``(n, r)``, of any array API namespace.
        labels: shape ``(n,)``, +-1, of both signs where an intercept is fitted.
        penalty: nonnegative; not of b.
        fit_intercept: whether b is fitted; otherwise it is 0.

    Returns:
        NaN where the gap did not close.

    Source: Ferris, Munson, *Interior-point methods for massive support vector machines*, SIAM J. Optim. 13 (2002); the
        barrier by Mehrotra's rule, SIAM J. Optim. 2 (1992); that small penalties are as good as none: Mangasarian, Meyer,
        *Nonlinear perturbation of linear programs*, SIAM J. Control Optim. 17 (1979).
    """
    xp = array_api_compat.array_namespace(features)
    n_samples, n_features = features.shape
    # Features that are all 0 have no scale, and any will do.
    ridge = n_samples * (penalty or NO_PENALTY * float(xp.mean(features * features)) or 1.0)
    signed, penalties = signed_features(features, labels, penalty=ridge, fit_intercept=fit_intercept)
    transposed, square = xp.matrix_transpose(signed), xp.eye(signed.shape[1]) * penalties
    weights, one = xp.zeros_like(signed[0, :]), xp.ones_like(labels)
    # alpha, 1 - alpha with digits of its own, excess and surplus.
    state = xp.stack([0.5 * one, 0.5 * one, 2.0 * one, one])
    for _ in range(MAX_STEPS):
        alpha, room, excess, surplus = xp.unstack(state)
        margins, pull = signed @ weights, transposed @ alpha
        primal = float(xp.sum(hinge(margins)) + 0.5 * xp.sum(penalties * weights * weights))
        dual = float(xp.sum(alpha) - 0.5 * xp.sum(pull[:n_features] ** 2) / ridge)
        # Where alpha does not balance the classes it bounds the objective up to what that is worth to the intercept.
        unbalanced = float(xp.sum(xp.abs(weights[n_features:] * pull[n_features:])))
        if primal - dual + unbalanced <= GAP * primal + ROUNDING * n_samples:
            return split(weights, n_features)
        stiffness = surplus / alpha + excess / room
        # One factorisation serves two sides: towards the boundary, and away from it by a barrier of 1.
        short, push = 1.0 - margins, 1.0 / alpha - 1.0 / room
        sides = [transposed @ (short / stiffness) + pull - penalties * weights, transposed @ (push / stiffness)]
        solved = xp.linalg.solve((transposed / stiffness) @ signed + square, xp.stack(sides, axis=1))
        barrier, target = float(xp.mean(alpha * surplus + room * excess)) / 2.0, 0.0
        for is_last in (False, True):
            step = solved[:, 0] + target * solved[:, 1]
            by_alpha = (short + target * push - signed @ step) / stiffness
            by_excess = (target + excess * by_alpha) / room - excess
            by_surplus = (target - surplus * by_alpha) / alpha - surplus
            steps = xp.stack([by_alpha, -by_alpha, by_excess, by_surplus])
            length = min(1.0, TO_THE_BOUNDARY / max(float(xp.max(-steps / state)), TO_THE_BOUNDARY))
            if not is_last:
                alpha_then, room_then, excess_then, surplus_then = xp.unstack(state + length * steps)
                then = float(xp.mean(alpha_then * surplus_then + room_then * excess_then)) / 2.0
                target = barrier * (then / barrier) ** 3
        weights, state = weights + length * step, state + length * steps
    return split(weights * xp.nan, n_features)
