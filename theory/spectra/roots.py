"""Many bracketed roots at once: Newton's method where it stays inside the bracket, bisection where it does not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

MAX_ITERATIONS = 400


def falling_roots(
    function: Callable[[Array, Indices], tuple[Any, Any]], *, lower: Array, upper: Array, tolerance: float = 1e-14
) -> Array:
    """Find where each of several functions crosses 0 from above.

    Args:
        function: of points and of which functions are meant, both of shape ``(k,)``, to values and slopes of that shape.
            Values are positive at ``lower`` and negative at ``upper``, where they need not be finite.
        lower: shape ``(n,)``.
        upper: shape ``(n,)``.
        tolerance: relative size of the last step, after which Newton's method has twice as many digits.

    Returns:
        The roots, shape ``(n,)``.
    """
    low, high = lower.astype(float), upper.astype(float)
    points: Array = 0.5 * (low + high)
    active = np.arange(points.size)
    for iteration in range(MAX_ITERATIONS):
        point = points[active]
        with np.errstate(all="ignore"):
            value, slope = function(point, active)
            newton = point - value / slope
        low[active] = np.where(value > 0.0, point, low[active])
        high[active] = np.where(value <= 0.0, point, high[active])
        near, far = low[active], high[active]
        # Every fourth step halves the bracket, whatever Newton says, so that it always closes.
        usable = np.isfinite(newton) & (newton >= near) & (newton <= far) & (iteration % 4 != 3)
        following = np.where(value == 0.0, point, np.where(usable, newton, 0.5 * (near + far)))
        points[active] = following
        settled = np.abs(newton - point) <= tolerance * np.abs(point)
        points[active[settled]] = np.clip(newton, near, far)[settled]
        closed = (far - near <= 4e-16 * np.abs(far)) | (value == 0.0)
        active = active[~(settled | closed)]
        if active.size == 0:
            break
    return points
