"""Arrays of replicates side by side: all functions act on the last axes, whatever comes before, in any array API namespace."""

from typing import Any

import array_api_compat
import numpy as np


def like(array: Any, values: Any) -> Any:
    """Return values from the host in the namespace, on the device and in the precision of an array."""
    return array_api_compat.array_namespace(array).asarray(np.asarray(values), dtype=array.dtype)


def on_host(array: Any) -> Any:
    """Return an array, or a number, as one of NumPy in double precision."""
    if array_api_compat.is_cupy_array(array):
        array = array_api_compat.to_device(array, "cpu")
    return np.asarray(array, dtype=np.float64)


def transposed(matrix: Any) -> Any:
    """Exchange the last two axes."""
    return array_api_compat.array_namespace(matrix).matrix_transpose(matrix)


def times(matrix: Any, vector: Any) -> Any:
    """Return matrix times vector: ``(..., m, n)`` and ``(..., n)`` to ``(..., m)``."""
    return (matrix @ vector[..., None])[..., 0]


def dot(left: Any, right: Any) -> Any:
    """Return the inner product over the last axis."""
    return array_api_compat.array_namespace(left).sum(left * right, axis=-1)


def epsilon(array: Any) -> float:
    """Return the relative rounding of an array's precision."""
    return float(array_api_compat.array_namespace(array).finfo(array.dtype).eps)


def is_any(condition: Any) -> bool:
    """Whether a condition holds somewhere."""
    return bool(array_api_compat.array_namespace(condition).any(condition))


def is_all(condition: Any) -> bool:
    """Whether a condition holds everywhere."""
    return bool(array_api_compat.array_namespace(condition).all(condition))
