"""Ridge regression, ridgeless included: errors and their decomposition in closed form, given the effective ridge."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.modes import Modes
from theory.namespace import batch, namespace_of
from theory.solvers.effective_ridge import THRESHOLD_TOLERANCE, EffectiveRidge, solve_effective_ridge

CHUNK_ENTRIES = 2_000_000
"""A batch is worked off in pieces of about this many matrix entries (16 MB an array)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgePrediction:
    """What ridge regression attains; floats for one problem, arrays of shape ``(batch,)`` for a batch.

    Errors are infinite where ``status`` is "divergent".

    Attributes:
        test_error: mean squared error against a fresh noisy label.
        excess_risk: ``test_error - noise_variance``, equal to ``bias + variance``.
        train_error: mean squared error on the training set, without the penalty.
        bias: squared bias of the predictor averaged over data and features, with what the features cannot express.
        variance: what the randomness of data, noise and features adds.
        estimator_norm_squared: ``||theta||^2``, an unpenalised constant left out.
        effective_ridge: k, see :mod:`theory.solvers.effective_ridge`.
        df1: sum m xi / (xi + k) and the unpenalised constant: trace of the hat matrix.
        df2: sum m xi^2 / (xi + k)^2 and the unpenalised constant.
        phase: "underparameterized", "threshold" or "overparameterized".
        status: "converged", "divergent" or "not_converged".
        residual, iterations: of the fixed point.
    """

    test_error: Any
    excess_risk: Any
    train_error: Any
    bias: Any
    variance: Any
    estimator_norm_squared: Any
    effective_ridge: Any
    df1: Any
    df2: Any
    phase: Any
    status: Any
    residual: Any
    iterations: int


def predict_ridge(modes: Modes, n_samples: Any, penalty: Any, *, width: Any = np.inf) -> RidgePrediction:
    """Predict the errors of ``argmin (1/n) ||y - Phi theta||^2 + penalty ||theta||^2``.

    Args:
        modes: mode table of the features; see :class:`theory.modes.Modes`.
        n_samples: n > 0, in the units of the multiplicities; scalar or ``(batch,)``.
        penalty: nonnegative, multiplying the squared norm as above; 0 is the minimum-norm interpolator or least
            squares, by the exact limit. Scalar or ``(batch,)``.
        width: number N > 0 of random features over the modes; infinite (the default) for linear models and kernels.

    Returns:
        Errors, their decomposition and a status; the exact deterministic equivalent, whatever the sizes.

    Raises:
        ValueError: a size is not positive or the penalty is negative.

    Source: Hastie et al., arXiv:1903.08560, Theorems 2 and 5, for infinite width; for finite width Simon et al.,
        arXiv:2311.14646, and Atanasov et al., arXiv:2405.00592. The identity train = (penalty / k)^2 test is that of
        generalised cross-validation.
    """
    if modes.is_single(n_samples, penalty, width):
        _check_sizes(n_samples > 0.0, width > 0.0, penalty >= 0.0)
        with np.errstate(all="ignore"):
            root = solve_effective_ridge(modes, n_samples, penalty, width=width)
            return _risks(namespace_of(modes), modes, root, float(n_samples), float(width))
    _check_sizes(np.greater(n_samples, 0).all(), np.greater(width, 0).all(), np.greater_equal(penalty, 0).all())
    shape = np.broadcast_shapes(modes.eigenvalues.shape[:-1], np.shape(n_samples), np.shape(penalty), np.shape(width))
    per_chunk = max(1, CHUNK_ENTRIES // modes.eigenvalues.shape[-1])
    sizes = [np.array(np.broadcast_to(value, shape), float) for value in (n_samples, penalty, width)]
    pieces = []
    with np.errstate(all="ignore"):
        for start in range(0, shape[0], per_chunk):
            piece = slice(start, start + per_chunk)
            rows = modes.rows(piece)
            samples, penalties, widths = (value[piece] for value in sizes)
            root = solve_effective_ridge(rows, samples, penalties, width=widths)
            pieces.append(_risks(batch, rows, root, samples, widths))
    return _joined(pieces)


def _check_sizes(samples_positive: Any, width_positive: Any, penalty_nonnegative: Any) -> None:
    if not (samples_positive and width_positive):
        raise ValueError("n_samples and width must exceed 0")
    if not penalty_nonnegative:
        raise ValueError("penalty must not be negative; for negative ridges see theory.functionals.optimal_penalty")


def _risks(xp: Any, modes: Modes, root: EffectiveRidge, n: Any, width: Any) -> RidgePrediction:
    ridge, n_margin, width_margin = root.ridge, root.sample_margin, root.width_margin
    starved = xp.isinf(ridge)
    k = xp.where(starved, 1.0, ridge)
    interpolating = k > 0.0
    xi, m, c = xp.modes(modes.eigenvalues), xp.modes(modes.multiplicities), xp.modes(modes.energies)
    column = xp.column(k)
    resolvent = 1.0 / (xi + column)
    kept, shrunk = xi * resolvent, column * resolvent
    safe_ridge = xp.where(interpolating, k, 1.0)
    tail_per_ridge = modes.tail_trace / safe_ridge

    kept_resolvent = kept * resolvent
    df1 = xp.sum_modes(m, kept) + tail_per_ridge
    df2 = xp.sum_modes(m, kept * kept)
    # (df1 - df2) / k and (T - B) / k, from sums that stay exact at k = 0.
    spread_per_ridge = xp.sum_modes(m, kept_resolvent) + tail_per_ridge / safe_ridge
    mixed_per_ridge = xp.sum_modes(c, kept_resolvent)
    # df1 - df2 and T - B; not k times the sums above, which overflow for eigenvalues of 1e-300.
    kept_shrunk = kept * shrunk
    spread = xp.sum_modes(m, kept_shrunk) + tail_per_ridge
    mixed = xp.sum_modes(c, kept_shrunk)
    squared_bias = xp.sum_modes(c, shrunk * shrunk)

    # rho = (N - df1) / (N - df2), 1 for infinite width; n (1 - gamma) = n - rho df2 - (1 - rho) df1.
    width_left = width_margin + spread / width
    no_width_left = width_left == 0.0
    safe_width_left = xp.where(no_width_left, 1.0, width_left)
    rho = xp.where(no_width_left, 0.0, width_margin / safe_width_left)
    one_minus_rho = xp.where(no_width_left, 1.0, spread / width / safe_width_left)
    free = n_margin + rho * spread
    used = modes.n_unpenalised + df2 + one_minus_rho * spread

    bias = squared_bias + modes.unlearnable_variance
    label = bias + modes.noise_variance
    numerator = label + one_minus_rho * mixed
    divergent = starved | ((free <= 0.0) & (numerator > 0.0))
    safe_free = xp.where(free > 0.0, free, 1.0)
    test_error = numerator * n / safe_free
    variance = (n * one_minus_rho * mixed + used * label) / safe_free
    train_error = (n_margin / n) ** 2 * test_error

    # d(objective) / d(penalty), the denominator being width_margin (n - df2) + (n - df1) (df1 - df2) / N.
    slope = width_margin * (n_margin + spread) + n_margin * spread / width
    safe_slope = xp.where(slope > 0.0, slope, 1.0)
    noisy = xp.where(label + mixed > 0.0, spread_per_ridge * (label + mixed), 0.0)
    norm = (noisy + xp.where(n_margin > 0.0, n_margin * mixed_per_ridge, 0.0)) / safe_slope
    # Without noise the interpolator recovers the target exactly at the threshold: sum c / xi, for infinite width.
    # Features as many as the modes and no more are too often nearly singular: their weights have no mean square.
    square = (width_margin <= 0.0) & (mixed_per_ridge > 0.0)
    recovered = mixed_per_ridge / xp.where(width_margin > 0.0, width_margin, 1.0)
    norm = xp.where(slope > 0.0, norm, xp.where((numerator > 0.0) | square, np.inf, recovered))

    divergent = divergent | xp.isinf(test_error)
    return RidgePrediction(
        test_error=xp.where(divergent, np.inf, test_error),
        excess_risk=xp.where(divergent, np.inf, bias + variance),
        train_error=xp.where(divergent, np.inf, train_error),
        bias=xp.where(divergent, np.inf, bias),
        variance=xp.where(divergent, np.inf, variance),
        estimator_norm_squared=xp.where(divergent, np.inf, norm),
        effective_ridge=ridge,
        df1=xp.where(starved, 0.0, df1) + modes.n_unpenalised,
        df2=xp.where(starved, 0.0, df2) + modes.n_unpenalised,
        phase=_phase(xp, modes, n, width),
        status=xp.where(divergent, "divergent", xp.where(root.converged, "converged", "not_converged")),
        residual=root.residual,
        iterations=root.iterations,
    )


def _phase(xp: Any, modes: Modes, n: Any, width: Any) -> Any:
    available = n - modes.n_unpenalised
    parameters = xp.minimum(modes.rank, width)
    at_threshold = abs(available - parameters) <= THRESHOLD_TOLERANCE * abs(available)
    side = xp.where(available > parameters, "underparameterized", "overparameterized")
    return xp.where(at_threshold, "threshold", side)


def _joined(pieces: list[RidgePrediction]) -> RidgePrediction:
    if len(pieces) == 1:
        return pieces[0]
    fields = RidgePrediction.__slots__
    joined = {
        name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in fields if name != "iterations"
    }
    return RidgePrediction(**joined, iterations=max(piece.iterations for piece in pieces))
