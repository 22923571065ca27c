"""Symmetric positive definite systems, by the library that has them: LAPACK, cuSOLVER, or the standard's own solver."""

from importlib import import_module
from typing import Any

import array_api_compat
import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from simulation.arrays import epsilon, times, transposed

REFINED_SIZE = 500
"""Smaller systems are solved in double precision before their matrix is in single."""

SLOWEST_RATE = 1e-2
"""By which a step of refinement shrinks the next one, where single precision tells the shift from rounding."""

SINGLE_RANGE = (1e-30, 1e30)


def is_wide(features: Any) -> bool:
    """Whether there are more features than samples."""
    return bool(features.shape[-1] > features.shape[-2])


def smaller_gram(features: Any) -> Any:
    """Return ``X X'`` where X, shape ``(..., n, p)``, is wide, else ``X'X``."""
    return features @ transposed(features) if is_wide(features) else transposed(features) @ features


def solve_ridge(features: Any, shift: float, targets: Any) -> Any:
    """Return ``(X'X + shift)^-1 X'y`` by the smaller of the primal and the dual system.

    Args:
        features: X, shape ``(..., n, p)``.
        shift: positive; well above the rounding of X'X.
        targets: y, shape ``(..., n)``.

    Returns:
        shape ``(..., p)``.
    """
    numpy_doubles = array_api_compat.is_numpy_array(features) and features.dtype == np.float64
    if not numpy_doubles or min(features.shape[-2:]) < REFINED_SIZE:
        return _by_gram(features, shift, targets)
    solution = np.empty((*features.shape[:-2], features.shape[-1]))
    for place in np.ndindex(features.shape[:-2]):
        refined = _refined(features[place], shift, targets[place])
        solution[place] = _by_gram(features[place], shift, targets[place]) if refined is None else refined
    return solution


def _by_gram(features: Any, shift: float, targets: Any) -> Any:
    gram = smaller_gram(features)
    if is_wide(features):
        return times(transposed(features), solve_shifted(gram, shift, targets))
    return solve_shifted(gram, shift, times(transposed(features), targets))


def _refined(features: Any, shift: float, targets: Any) -> Any:
    """Solve with a factor in single precision, and refine to double; None where single precision blurs the shift.

    The Gram product and Cholesky's factorisation take half the time. Residuals are those of X itself in double precision, so
    that what the steps converge to is the answer in double precision: Wilkinson's iterative refinement.
    """
    scale = float(np.mean(np.vecdot(features, features)) / features.shape[-1]) ** 0.5
    if not (scale > 0.0 and SINGLE_RANGE[0] < shift / scale**2 < SINGLE_RANGE[1]):
        return None
    features, shift = features / scale, shift / scale**2
    gram = smaller_gram(features.astype(np.float32))
    _shift(gram, shift)
    try:
        factor = _factor(gram)
    except LinAlgError:
        return None

    def step(residual: Any) -> Any:
        length = np.linalg.norm(residual)
        direction = residual / length if length > 0.0 else residual
        return cho_solve(factor, direction.astype(np.float32), check_finite=False) * length

    wide = is_wide(features)
    right_side = targets if wide else features.T @ targets
    solution, before = step(right_side), 1.0
    while True:
        product = features @ (features.T @ solution) if wide else features.T @ (features @ solution)
        change = step(right_side - product - shift * solution)
        solution = solution + change
        size = np.linalg.norm(change)
        relative = float(size / np.linalg.norm(solution)) if size > 0.0 else 0.0
        is_slow = relative > SLOWEST_RATE * before
        if is_slow and before > epsilon(features) ** 0.5:
            return None
        # This one was lost in rounding, or the next one would be.
        if is_slow or relative * relative < epsilon(features) * before:
            return (features.T @ solution if wide else solution) / scale
        before = relative


def solve_shifted(matrix: Any, shift: float, right_side: Any) -> Any:
    """Solve ``(matrix + shift) x = right_side``, the sum positive definite.

    Args:
        matrix: shape ``(..., n, n)``, symmetric; what is left of it is undefined.
        shift: added to the diagonal.
        right_side: shape ``(..., n)``.
    """
    if array_api_compat.is_numpy_array(matrix):
        _shift(matrix, shift)
    else:
        matrix = matrix + shift * array_api_compat.array_namespace(matrix).eye(matrix.shape[-1], dtype=matrix.dtype)
    return solve_positive(matrix, right_side[..., None])[..., 0]


def solve_positive(matrix: Any, right_sides: Any) -> Any:
    """Solve ``matrix x = right_side`` by Cholesky's factorisation.

    One that rounding has made indefinite is solved by elimination; where it is singular the answer is NaN.

    Args:
        matrix: shape ``(..., n, n)``, symmetric, positive definite; what is left of it is undefined.
        right_sides: shape ``(..., n, k)``.
    """
    if array_api_compat.is_cupy_array(matrix):
        return import_module("simulation.cuda").solve_positive(matrix, right_sides)  # loaded with the array already
    if not array_api_compat.is_numpy_array(matrix):
        return array_api_compat.array_namespace(matrix).linalg.solve(matrix, right_sides)
    solution = np.empty(right_sides.shape, right_sides.dtype)
    for place in np.ndindex(matrix.shape[:-2]):
        solution[place] = _solve_one(matrix[place], right_sides[place])
    return solution


def _solve_one(matrix: Any, right_sides: Any) -> Any:
    diagonal = np.diagonal(matrix).copy()
    try:
        return cho_solve(_factor(matrix), right_sides, check_finite=False)
    except LinAlgError:
        other = np.tril(matrix, -1)  # the half that LAPACK has left alone
    return by_elimination(other + other.T + np.diag(diagonal), right_sides)


def _shift(matrix: Any, shift: float) -> None:
    """Add a shift to the diagonal of NumPy's matrices, in place."""
    diagonal = np.arange(matrix.shape[-1])
    matrix[..., diagonal, diagonal] += shift


def _factor(matrix: Any) -> Any:
    """Return Cholesky's factor of a symmetric matrix of NumPy, in its place but for one half.

    Raises:
        LinAlgError: it is not positive definite.
    """
    # The transpose of a symmetric matrix in C's order is itself in that of LAPACK, which then needs no copy.
    # Of its two halves LAPACK is faster on the lower one.
    return cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)


def by_elimination(matrix: Any, right_sides: Any) -> Any:
    """Solve a system of NumPy; NaN where it is singular."""
    try:
        return np.linalg.solve(matrix, right_sides)
    except np.linalg.LinAlgError:
        return np.full(right_sides.shape, np.nan)
