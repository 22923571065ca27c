"""Ridge regression, ridgeless included: errors and their decomposition in closed form, given the effective ridge."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent, Point
from theory.modes import Modes
from theory.namespace import batch, single


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
        effective_ridge: the ridge by which the target's modes are shrunk, in units of their eigenvalues.
        outer_ridge: kappa, with ``penalty = kappa (1 - df1 / n)``; the same unless random features lie between.
        df1: trace of the hat matrix, the unpenalised constant included; ``sum m xi / (xi + k)`` of linear models.
        df2: ``df1 + kappa d df1 / d kappa``, the constant included; ``sum m xi^2 / (xi + k)^2`` of linear models.
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
    outer_ridge: Any
    df1: Any
    df2: Any
    phase: Any
    status: Any
    residual: Any
    iterations: Any


def predict_ridge(
    features: Equivalent | Modes, n_samples: Any, penalty: Any, *, width: Any = np.inf
) -> RidgePrediction:
    """Predict the errors of ``argmin (1/n) ||y - Phi theta||^2 + penalty ||theta||^2``.

    Args:
        features: an equivalent of :mod:`theory.equivalents`, or a mode table for linear models and kernels.
        n_samples: n > 0, in the units of the multiplicities; scalar or ``(batch,)``.
        penalty: nonnegative, multiplying the squared norm as above; 0 is the minimum-norm interpolator or least
            squares, by the exact limit. Scalar or ``(batch,)``.
        width: of a mode table: number N > 0 of random features over it; infinite by default.

    Returns:
        Errors, their decomposition and a status; the exact deterministic equivalent, whatever the sizes.

    Raises:
        ValueError: a size is not positive or the penalty is negative.

    Source: Hastie et al., arXiv:1903.08560, Theorems 2 and 5, for linear models; for random features Simon et al.,
        arXiv:2311.14646, and Atanasov et al., arXiv:2405.00592. The identity train = (penalty / kappa)^2 test is that
        of generalised cross-validation.
    """
    _check_sizes(_all(n_samples, np.greater), _all(width, np.greater), _all(penalty, np.greater_equal))
    equivalent = ModalEquivalent(modes=features, width=width) if isinstance(features, Modes) else features
    return risks(equivalent.solve(n_samples, penalty), n_samples)


def risks(point: Point, n_samples: Any) -> RidgePrediction:
    """Read the errors of ridge regression off a solved equivalent.

    With ``A = n - df`` and ``D = -d df / d log kappa`` the test error is ``n (T - kappa T') / (A + D)``.

    Args:
        point: of one problem or of a batch.
        n_samples: n, as the point was solved for.
    """
    if np.ndim(point.outer_ridge):
        with np.errstate(all="ignore"):
            return _risks(batch, point, n_samples)
    return _risks(single, point, float(n_samples))


def _all(value: Any, compare: Any) -> Any:
    if isinstance(value, float):
        return value > 0.0 or (compare is np.greater_equal and value == 0.0)
    return compare(value, 0).all()


def _check_sizes(samples_positive: Any, width_positive: Any, penalty_nonnegative: Any) -> None:
    if not (samples_positive and width_positive):
        raise ValueError("n_samples and width must exceed 0")
    if not penalty_nonnegative:
        raise ValueError("penalty must not be negative; for negative ridges see theory.functionals.optimal_penalty")


def _risks(xp: Any, point: Point, n: Any) -> RidgePrediction:
    free = point.sample_margin + point.spread
    used = point.n_unpenalised + point.df2
    label = point.bias + point.noise_variance
    numerator = label + point.feature_variance
    divergent = point.starved | ((free <= 0.0) & (numerator > 0.0))
    safe_free = xp.where(free > 0.0, free, 1.0)
    test_error = numerator * n / safe_free
    variance = (n * point.feature_variance + used * label) / safe_free
    train_error = (point.sample_margin / n) ** 2 * test_error

    # d(objective) / d(penalty).
    noisy = xp.where(point.total > 0.0, point.spread_per_ridge * point.total, 0.0)
    held = xp.where(point.sample_margin != 0.0, point.sample_margin * point.mixed_per_ridge, 0.0)
    unresolved = xp.where(numerator > 0.0, np.inf, point.recovered)
    norm = xp.where(free > 0.0, (noisy + held) / safe_free, unresolved)

    divergent = divergent | xp.isinf(test_error)
    return RidgePrediction(
        test_error=xp.where(divergent, np.inf, test_error),
        excess_risk=xp.where(divergent, np.inf, point.bias + variance),
        train_error=xp.where(divergent, np.inf, train_error),
        bias=xp.where(divergent, np.inf, point.bias),
        variance=xp.where(divergent, np.inf, variance),
        estimator_norm_squared=xp.where(divergent, np.inf, norm),
        effective_ridge=point.target_ridge,
        outer_ridge=point.outer_ridge,
        df1=point.df1 + point.n_unpenalised,
        df2=point.df2 + point.n_unpenalised,
        phase=point.phase,
        status=xp.where(divergent, "divergent", xp.where(point.converged, "converged", "not_converged")),
        residual=point.residual,
        iterations=point.iterations,
    )
