"""The effective ridge of square loss: the one scalar fixed point behind every error, spectrum and optimum.

With ``df1(k) = sum_i m_i xi_i / (xi_i + k) + tail_trace / k`` it is the root k > 0 of

    penalty = k * (1 - df1(k) / n_samples) * (1 - df1(k) / width),

the last factor being 1 for infinite width. In terms of the margin ``A = min(n_samples, width) - df1(k)``, whose
vanishing is the interpolation threshold, this is ``k * A * (gap + A) = penalty * n_samples * width``, with ``gap`` the
difference of the two sizes. Neither ``A`` nor ``1 - df1 / n`` is ever formed by subtracting nearly equal numbers.

Sources: Hastie, Montanari, Rosset, Tibshirani, arXiv:1903.08560 (infinite width); Simon et al., arXiv:2311.14646, and
Atanasov, Zavatone-Veth, Pehlevan, arXiv:2405.00592 (finite width).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from theory.modes import Modes
from theory.namespace import batch, namespace_of

MAX_ITERATIONS = 200
PATIENCE = 40
STEP_TOLERANCE = 1e-9
"""Newton stops after a relative step below this; it converges quadratically, so what is left is rounding."""
RESIDUAL_TOLERANCE = 1e-10
BOUND_TOLERANCE = 1e-9
THRESHOLD_TOLERANCE = 1e-12
"""Sizes that agree to this relative accuracy are the same size: counts such as d * weight carry rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectiveRidge:
    """The solved fixed point; floats for one problem, arrays of shape ``(batch,)`` for a batch.

    Attributes:
        ridge: effective ridge k seen by the target, in the units of the penalty and at least as large.
        sample_margin: ``n_samples - df1(k)``, an unpenalised constant counted in df1; nonnegative, free of cancellation.
        width_margin: ``1 - df1(k) / width``, likewise; exactly 1 for infinite width.
        residual: relative error of ``ridge``, estimated by one more Newton step.
        iterations: how often the sums over the modes were formed, for each problem.
        converged: whether the residual is small and the root lies between bounds that were found independently.
    """

    ridge: Any
    sample_margin: Any
    width_margin: Any
    residual: Any
    iterations: Any
    converged: Any


class _Equation(NamedTuple):
    """``k * A(k) * (offset + slope * A(k)) = level`` with ``A(k) = size - df1(k)``."""

    xi: Any
    m: Any
    n_modes: Any
    tail: Any
    size: Any
    offset: Any
    slope: Any
    level: Any


def solve_effective_ridge(modes: Modes, n_samples: Any, penalty: Any, *, width: Any = np.inf) -> EffectiveRidge:
    """Solve the fixed point for one problem or, over a leading axis, for many.

    Args:
        modes: eigenvalues of shape ``(m,)``, or ``(batch, m)``.
        n_samples: n > 0, scalar or ``(batch,)``, in the units of the multiplicities.
        penalty: nonnegative, scalar or ``(batch,)``; 0 is the ridgeless limit from above, taken exactly.
        width: number N > 0 of random features over the modes; infinite for a linear model or a kernel.

    Returns:
        The root, its margins and a status per problem. Ridgeless with more samples and width than ``rank``, the ridge
        is 0. Where an unpenalised constant leaves no sample (``n_samples <= n_unpenalised``) the ridge is infinite.

    Source: see the module's docstring.
    """
    if modes.is_single(n_samples, penalty, width):
        return _solve(namespace_of(modes), modes, float(n_samples), float(penalty), float(width))
    sizes = (n_samples, penalty, width)
    shape = np.broadcast_shapes(modes.eigenvalues.shape[:-1], *(np.shape(value) for value in sizes))
    with np.errstate(all="ignore"):
        return _solve(batch, modes, *(np.array(np.broadcast_to(value, shape), float) for value in sizes))


def _solve(xp: Any, modes: Modes, n_samples: Any, penalty: Any, width: Any) -> EffectiveRidge:
    infinite = xp.isinf(width)
    finite_width = xp.where(infinite, 1.0, width)
    available = n_samples - modes.n_unpenalised
    size = xp.minimum(available, width)
    gap = xp.where(infinite, 0.0, abs(available - finite_width))
    starved = size <= 0.0
    # Ridgeless with modes to spare, the root of A(k) = 0 is positive; otherwise k = 0, reached exactly.
    full_rank = (size >= modes.rank) | (abs(size - modes.rank) <= THRESHOLD_TOLERANCE * size)
    at_zero = (penalty == 0.0) & full_rank
    trivial = starved | at_zero

    one_sided = infinite | (penalty == 0.0)
    safe_size = xp.where(trivial, 1.0, size)
    safe_level = xp.where(trivial, 1.0, penalty * n_samples)
    equation = _Equation(
        xi=xp.modes(modes.eigenvalues),
        m=xp.modes(modes.multiplicities),
        n_modes=modes.n_modes,
        tail=modes.tail_trace,
        size=safe_size,
        offset=xp.where(one_sided, 1.0, gap / finite_width),
        slope=xp.where(one_sided, 0.0, 1.0 / finite_width),
        level=safe_level,
    )
    lower, upper = _bounds(xp, modes, equation, finite_width, gap, one_sided)
    ridge, residual, iterations = _newton(xp, equation, lower, upper)
    bounded = (ridge >= lower * (1.0 - BOUND_TOLERANCE)) & (ridge <= upper * (1.0 + BOUND_TOLERANCE))
    converged = (residual <= RESIDUAL_TOLERANCE) & bounded

    margin = _margin_at_root(xp, equation, ridge)
    surplus = size - modes.rank
    surplus = xp.where(surplus > THRESHOLD_TOLERANCE * size, surplus, 0.0)
    margin = xp.where(starved, 0.0, xp.where(at_zero, surplus, margin))
    samples_scarce = available <= width
    return EffectiveRidge(
        ridge=xp.where(starved, np.inf, xp.where(at_zero, 0.0, ridge)),
        sample_margin=xp.where(samples_scarce, margin, margin + gap),
        width_margin=xp.where(infinite, 1.0, xp.where(samples_scarce, margin + gap, margin) / finite_width),
        residual=xp.where(trivial, 0.0, residual),
        iterations=iterations,
        converged=trivial | converged,
    )


def _bounds(xp: Any, modes: Modes, equation: _Equation, width: Any, gap: Any, one_sided: Any) -> tuple[Any, Any]:
    """Bracket the root by two isotropic problems, solved in closed form.

    The eigenvalue enters df1 through a function that is concave in xi and convex in 1/xi, so by Jensen's inequality the
    arithmetic mean of the eigenvalues bounds the root from above and the harmonic mean from below. For one distinct
    eigenvalue both are the root.
    """
    size, tail = equation.size, modes.tail_trace
    source = equation.level / xp.where(one_sided, 1.0, (size + gap) / width) + tail
    lower = _isotropic_root(xp, source, size, modes.n_modes, modes.harmonic_mean)
    upper = _isotropic_root(xp, equation.level + tail, size, modes.n_modes, modes.arithmetic_mean)
    # Two-sided: k <= level / size + trace (1 / n + 1 / N), regression.md's bound with the smaller size in both places.
    upper = xp.where(one_sided, upper, equation.level / size + 2.0 * modes.trace / size)
    return xp.minimum(lower, upper), upper


def _isotropic_root(xp: Any, source: Any, size: Any, n_modes: Any, mean: Any) -> Any:
    """Solve ``size k - n_modes mean k / (mean + k) = source`` for k, the quadratic's larger root without cancellation."""
    linear = source + (n_modes - size) * mean
    # The discriminant's terms by their roots: at 1e-200 or 1e200 squares would leave the range of doubles.
    root = xp.hypot(linear, 2.0 * xp.sqrt(size * source) * xp.sqrt(mean))
    positive = linear >= 0.0
    denominator = xp.where(positive, 1.0, root - linear)
    return xp.where(positive, (linear + root) / (2.0 * size), 2.0 * source * (mean / denominator))


def _margin(xp: Any, equation: _Equation, ridge: Any) -> tuple[Any, Any]:
    """Evaluate ``A = size - df1`` and ``dA / dlog k = df1 - df2``."""
    column = xp.column(ridge)
    resolvent = 1.0 / (equation.xi + column)
    kept, shrunk = equation.xi * resolvent, column * resolvent
    n_kept, n_shrunk = xp.sum_modes(equation.m, kept), xp.sum_modes(equation.m, shrunk)
    spread = xp.sum_modes(equation.m, kept * shrunk)
    # size - sum m f = (size - sum m) + sum m q: whichever sum is the smaller keeps the digits.
    smaller = xp.minimum(n_kept, n_shrunk)
    margin = xp.where(n_kept < n_shrunk, equation.size - n_kept, (equation.size - equation.n_modes) + n_shrunk)
    well = abs(margin) + spread >= 0.01 * smaller
    if not xp.every(well):
        # k lies in a gap of the spectrum and size is the number of modes above it: count those, and sum what is left.
        above = equation.xi > column
        n_above = xp.sum_modes(equation.m, above)
        counted = (equation.size - n_above) + xp.sum_modes(equation.m, np.where(above, shrunk, -kept))
        margin = xp.where(well, margin, counted)
    tail = equation.tail / ridge
    return margin - tail, spread + tail


def _margin_at_root(xp: Any, equation: _Equation, ridge: Any) -> Any:
    """The margin from the equation itself: A = level / (k (offset + slope A)), the positive root of a quadratic."""
    offset, slope = equation.offset, equation.slope
    root = xp.sqrt(equation.level) / xp.sqrt(ridge)  # by roots, as above
    return 2.0 * root * (root / (offset + xp.hypot(offset, 2.0 * xp.sqrt(slope) * root)))


def _newton(xp: Any, equation: _Equation, lower: Any, upper: Any) -> tuple[Any, Any, Any]:
    """Find the root by Newton's method inside a bracket; returns it, its residual and the number of evaluations.

    A problem of a batch stops where it would by itself, so that its answer does not depend on the others.

    Far from the threshold both sides are powers of k and the step is taken between logarithms; near it the left side is
    affine in k and the step is taken directly. A step out of the bracket is replaced by the geometric mean.
    """
    low, high, ridge = lower, upper, upper
    offset, slope, level = equation.offset, equation.slope, equation.level
    has_level = level > 0.0
    safe_level = xp.where(has_level, level, 1.0)
    two_sided = not xp.every(slope == 0.0)
    settled = done = level < 0.0  # nowhere yet
    iterations: Any = 0
    for iteration in range(1, MAX_ITERATIONS + 1):
        margin, spread = _margin(xp, equation, ridge)
        # Left of the threshold both factors may be negative; their product must not pass for a positive one.
        room = xp.maximum(margin, 0.0)
        value = ridge * margin * (offset + slope * room)
        steepness = value + ridge * spread * (offset + 2.0 * slope * room)  # d value / d log k
        excess = value - level
        rising = steepness > 0.0
        relative = xp.where(rising, excess / xp.where(rising, steepness, 1.0), np.inf)
        if two_sided:
            # With n_samples = width the left side has nearly a double root; solved for the margin it has a simple one.
            wanted = _margin_at_root(xp, equation, ridge)
            decay = level / ridge / xp.where(has_level, offset + 2.0 * slope * wanted, 1.0)
            relative = xp.where(slope > 0.0, (margin - wanted) / (spread + decay), relative)
        iterations = xp.where(done, iterations, iteration)
        done = settled | (abs(relative) <= 4e-16)
        if xp.every(done):
            return ridge, abs(relative), iterations
        low, high = xp.where(excess < 0.0, ridge, low), xp.where(excess > 0.0, ridge, high)
        power_like = has_level & (value > 0.0) & (steepness < 3.0 * value)
        safe_value = xp.where(power_like, value, safe_level)
        safe_steepness = xp.where(power_like, steepness, 1.0)
        wanted_growth = xp.maximum(safe_level / safe_value, 1e-300)
        logarithmic = ridge * xp.exp(xp.log(wanted_growth) * safe_value / safe_steepness)
        proposal = xp.where(power_like, logarithmic, ridge * (1.0 - relative))
        settled = settled | (abs(proposal - ridge) <= STEP_TOLERANCE * ridge)
        # Across a gap of many decades Newton only halves k; after PATIENCE every other step halves the bracket.
        bisect = iteration > PATIENCE and iteration % 2 == 0
        inside = settled | ((proposal > low) & (proposal < high) & (not bisect))
        ridge = xp.where(done, ridge, xp.where(inside, proposal, xp.sqrt(low) * xp.sqrt(high)))
    return ridge, abs(relative), iterations
