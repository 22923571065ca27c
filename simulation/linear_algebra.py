"""Symmetric positive definite systems, by the library that has them: LAPACK, cuSOLVER, or the standard's own solver."""

from importlib import import_module
from typing import Any

import array_api_compat
import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve


def solve_shifted(matrix: Any, shift: float, right_side: Any) -> Any:
    """Solve ``(matrix + shift) x = right_side``, the sum positive definite.

    Args:
        matrix: shape ``(..., n, n)``, symmetric; what is left of it is undefined.
        shift: added to the diagonal.
        right_side: shape ``(..., n)``.
    """
    if array_api_compat.is_numpy_array(matrix):
        diagonal = np.arange(matrix.shape[-1])
        matrix[..., diagonal, diagonal] += shift
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
        # The transpose of a symmetric matrix in C's order is itself in that of LAPACK, which then needs no copy.
        # Of its two halves LAPACK is faster on the lower one.
        factor = cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
        return cho_solve(factor, right_sides, check_finite=False)
    except LinAlgError:
        other = np.tril(matrix, -1)  # the half that LAPACK has left alone
    return by_elimination(other + other.T + np.diag(diagonal), right_sides)


def by_elimination(matrix: Any, right_sides: Any) -> Any:
    """Solve a system of NumPy; NaN where it is singular."""
    try:
        return np.linalg.solve(matrix, right_sides)
    except np.linalg.LinAlgError:
        return np.full(right_sides.shape, np.nan)
