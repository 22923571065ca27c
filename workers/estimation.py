"""How an estimate is made of rows and features: from how many of the rows, in how long, and by which matrix."""

from typing import Any

import numpy as np
import numpy.typing as npt

from api_schemas.features import KernelFeatures, LinearFeatures
from simulation.infinite_width import SERIES_OF
from simulation.kernels import Kernel
from theory.covariance import InadmissibleProblem
from theory.pools import Pool, pool_of_kernel, pool_of_rows
from workers.finite_features import features_of
from workers.refusals import Refused

Array = npt.NDArray[np.float64]
Infinite = LinearFeatures | KernelFeatures
"""Features that are not drawn."""

COPIES = 1.5
"""What a decomposition takes, in units of the matrix."""
BLOCK = 256
"""Rows of a kernel that are evaluated together."""
SUBSAMPLE_SEED = 0
SECONDS_PER_ROW, SECONDS_PER_SQUARE, SECONDS_PER_CUBE, SECONDS_PER_PRODUCT = 3e-4, 8.5e-7, 3.3e-10, 9e-10
"""Of an estimate on one core: tables of leverages, a hundred ridges, a decomposition, and what is projected on it, each with
its part of the trials."""
SECONDS_PER_CLASS = 0.12
"""Of rates of misclassification by Gaussian numbers, which more than two classes take."""
SECONDS_PER_ENTRY, SECONDS_PER_DUAL, SECONDS_PER_SERIES = 2e-8, 6e-8, 6e-7
"""Of the evaluation of a kernel; of a network's, per layer, where averages are closed forms and where they are series."""
SCALES = (1e-100, 1e100)
"""Eigenvalues within this range have products that stay within double precision."""


def expected_seconds(features: Infinite, *, n_rows: int, n_features: int, n_targets: int, memory: int) -> float:
    """Return how long an estimate is expected to take on one core.

    Args:
        features: linear, or of a kernel.
        n_rows: that there are.
        n_features: columns.
        n_targets: columns of numbers, or of the codes of classes.
        memory: bytes that it may take.
    """
    used = min(n_rows, _most_rows(features, n_features, memory))
    seconds = SECONDS_PER_ROW * used + (SECONDS_PER_CLASS * n_targets if n_targets > 1 else 0.0)
    if isinstance(features, LinearFeatures) and n_features < used:
        side = n_features
        return seconds + SECONDS_PER_PRODUCT * used * side**2 + SECONDS_PER_CUBE * side**3
    layers = [] if isinstance(features, LinearFeatures) else getattr(features.kernel, "layers", [])
    kinds = [getattr(layer.activation, "kind", layer.activation) for layer in layers]
    entry = sum(SECONDS_PER_SERIES if kind in SERIES_OF else SECONDS_PER_DUAL for kind in kinds) or SECONDS_PER_ENTRY
    return seconds + (SECONDS_PER_SQUARE + entry) * used**2 + SECONDS_PER_CUBE * used**3


def estimate(
    features: Infinite,
    rows: Array,
    targets: Array,
    labels: npt.NDArray[np.integer[Any]] | None,
    *,
    fit_intercept: bool,
    memory: int,
) -> Pool:
    """Make an estimate; of a random subsample where all rows would take more memory than there may be.

    Args:
        features: linear, or of a kernel.
        rows: shape ``(N, d)``.
        targets: shape ``(N, C)``.
        labels: shape ``(N,)``, the classes, or None.
        fit_intercept: whether an unpenalised constant is fitted.
        memory: bytes that it may take.

    Raises:
        Refused: these features have no estimate on these rows.
    """
    most = _most_rows(features, rows.shape[1], memory)
    if rows.shape[0] > most:
        chosen = np.sort(np.random.default_rng(SUBSAMPLE_SEED).permutation(rows.shape[0])[:most])
        rows, targets = rows[chosen], targets[chosen]
        labels = None if labels is None else labels[chosen]
    options: dict[str, Any] = {"fit_intercept": fit_intercept, "labels": labels}
    try:
        with np.errstate(all="ignore"):
            if isinstance(features, LinearFeatures):
                found = pool_of_rows(np.asarray(rows), np.asarray(targets), **options)
            else:
                kernel = kernel_matrix(features_of(features), np.asarray(rows))
                found = pool_of_kernel(kernel, np.asarray(targets), overwrite=True, **options)
            smallest, largest = SCALES
            if not smallest <= found.eigenvalues[0] * found.n_rows <= largest:
                raise ArithmeticError("their kernel's eigenvalues leave double precision")  # noqa: TRY301 - one way out
            _ = found.curves  # which finds numbers that are not finite
    except (ValueError, ArithmeticError, InadmissibleProblem) as error:
        # A kernel that overflows on these rows, or is the same for all of them.
        raise Refused("/model/features", f"have no estimate on these rows: {error}; choose another scale") from None
    return found


def kernel_matrix(kernel: Kernel, rows: Array) -> Array:
    """Evaluate a kernel at every pair of rows, block by block: beside the matrix itself little memory is needed.

    Args:
        kernel: of :mod:`simulation.kernels` or :mod:`simulation.infinite_width`.
        rows: shape ``(N, d)``.

    Returns:
        Shape ``(N, N)``, symmetric.
    """
    n_rows = rows.shape[0]
    matrix = np.empty((n_rows, n_rows))
    for start in range(0, n_rows, BLOCK):
        piece = slice(start, min(start + BLOCK, n_rows))
        if start:
            before = kernel.matrix(rows[piece], rows[:start])
            matrix[piece, :start], matrix[:start, piece] = before, before.T
        # Of equal rows exactly: the root of a distance would make much of its rounding.
        matrix[piece, piece] = kernel.matrix(rows[piece])
    return matrix


def _most_rows(features: Infinite, n_features: int, memory: int) -> int:
    """Return how many rows the memory allows."""
    side = int((memory / (8.0 * COPIES)) ** 0.5)
    # Of linear features the smaller of the two Gram matrices is decomposed.
    narrow = isinstance(features, LinearFeatures) and n_features <= side
    return max(int(memory / (8.0 * COPIES * n_features)), side) if narrow else side
