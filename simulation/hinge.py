"""The support vector machine by a primal-dual interior-point method with a certified gap, over the array API."""

from typing import Any

import array_api_compat

from simulation.arrays import dot, epsilon, is_any, times, transposed
from simulation.linear_algebra import solve_positive
from simulation.losses import hinge
from simulation.margins import signed_features, split

GAP = 1e-10
"""Between primal and dual objective, relative to the former, when it stops."""
MAX_STEPS = 100
TO_THE_BOUNDARY = 0.995
"""Share of the way to the boundary that a step goes."""


ROUNDING = 4.0
"""Of the loss of a sample, which no gap gets below, in units of that of single numbers."""
NO_PENALTY = 1e-8
"""In units of the mean square of a feature, stands for 0: from some penalty down the minimum no longer moves."""


def minimise_hinge(features: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
    """Minimise ``mean max(0, 1 - y f) + (penalty/2) ||w||^2``, ``f = X w + b``; return w and b.

    Penalty 0 is the shortest w of the least loss: the machine of hard margin, where a hyperplane tells the classes apart.
    With margins 1 - excess + surplus, Z the rows y x and dual variables alpha in (0, 1), the minimum is where

        n penalty w = Z' alpha,     y' alpha = 0,     alpha surplus = (1 - alpha) excess = barrier

    as the barrier goes to 0. Newton's steps there, less all variables but w and b, are one system of that size each.

    Args:
        features: shape ``(n, r)``, of any array API namespace; leading axes are of problems side by side.
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
    n_samples, n_features = features.shape[-2:]
    squares = xp.mean(features * features, axis=(-2, -1))
    # Features that are all 0 have no scale, and any will do.
    small = NO_PENALTY * xp.where(squares > 0.0, squares, xp.ones_like(squares))
    ridge = n_samples * (penalty + (xp.zeros_like(squares) if penalty > 0.0 else small))
    signed, penalties = signed_features(features, labels, penalty=ridge[..., None], fit_intercept=fit_intercept)
    square = xp.eye(signed.shape[-1], dtype=signed.dtype) * penalties[..., None, :]
    weights, one = xp.zeros_like(penalties), xp.ones_like(labels)
    # alpha, 1 - alpha with digits of its own, excess and surplus.
    state = xp.stack([0.5 * one, 0.5 * one, 2.0 * one, one])
    searching, outcome = squares >= 0.0, squares + xp.nan
    for _ in range(MAX_STEPS):
        alpha, room, excess, surplus = xp.unstack(state)
        margins, pull = times(signed, weights), times(transposed(signed), alpha)
        primal = xp.sum(hinge(margins), axis=-1) + 0.5 * dot(penalties * weights, weights)
        dual = xp.sum(alpha, axis=-1) - 0.5 * xp.sum(pull[..., :n_features] ** 2, axis=-1) / ridge
        # Where alpha does not balance the classes it bounds the objective up to what that is worth to the intercept.
        unbalanced = xp.sum(xp.abs(weights[..., n_features:] * pull[..., n_features:]), axis=-1)
        gap = primal - dual + unbalanced
        closed = gap <= GAP * primal + ROUNDING * epsilon(signed) * n_samples
        outcome = xp.where(searching & closed, xp.zeros_like(outcome), outcome)
        searching = searching & ~closed & xp.isfinite(gap)
        if not is_any(searching):
            break
        stiffness = surplus / alpha + excess / room
        # One factorisation serves two sides: towards the boundary, and away from it by a barrier of 1.
        short, push = 1.0 - margins, 1.0 / alpha - 1.0 / room
        sides = [
            times(transposed(signed), short / stiffness) + pull - penalties * weights,
            times(transposed(signed), push / stiffness),
        ]
        system = (transposed(signed) / stiffness[..., None, :]) @ signed + square
        solved = solve_positive(system, xp.stack(sides, axis=-1))
        barrier = xp.mean(alpha * surplus + room * excess, axis=-1) / 2.0
        target = xp.zeros_like(barrier)
        for is_last in (False, True):
            step = solved[..., 0] + target[..., None] * solved[..., 1]
            by_alpha = (short + target[..., None] * push - times(signed, step)) / stiffness
            by_excess = (target[..., None] + excess * by_alpha) / room - excess
            by_surplus = (target[..., None] - surplus * by_alpha) / alpha - surplus
            steps = xp.stack([by_alpha, -by_alpha, by_excess, by_surplus])
            fastest = xp.max(xp.max(-steps / state, axis=-1), axis=0)
            length = TO_THE_BOUNDARY / xp.where(fastest > TO_THE_BOUNDARY, fastest, TO_THE_BOUNDARY + 0.0 * fastest)
            if not is_last:
                alpha_then, room_then, excess_then, surplus_then = xp.unstack(state + length[..., None] * steps)
                then = xp.mean(alpha_then * surplus_then + room_then * excess_then, axis=-1) / 2.0
                target = barrier * (then / barrier) ** 3
        length = xp.where(searching, length, xp.zeros_like(length))[..., None]
        weights = xp.where(length > 0.0, weights + length * step, weights)
        state = xp.where(length > 0.0, state + length * steps, state)
    return split(weights + outcome[..., None], n_features)
