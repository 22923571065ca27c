"""Clusters of Gaussian inputs, each with a mean, a covariance, a weight and a label of its own."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

MAX_FEATURES = 500
"""Above, a prediction takes minutes, and estimated covariances say little."""
ASYMMETRY = 1e-12
INDEFINITE = 1e-10
"""Of the largest entry, what rounding may leave of either."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """Gaussian clusters of inputs with labels.

    Attributes:
        means: shape ``(K, d)``.
        covariances: shape ``(K, d, d)``, symmetric and positive semidefinite.
        weights: shape ``(K,)``, positive; share of each cluster, scaled to add up to 1.
        labels: shape ``(K,)``, +-1, both present.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    means: Array
    covariances: Array
    weights: Array
    labels: Array

    def __post_init__(self) -> None:
        means, covariances, weights, labels = (
            np.asarray(getattr(self, name), float) for name in ("means", "covariances", "weights", "labels")
        )
        if means.ndim != 2 or min(means.shape) == 0:
            raise InadmissibleProblem(f"means needs the shape (K, d), got {means.shape}", argument="means")
        count, d = means.shape
        if d > MAX_FEATURES:
            raise InadmissibleProblem(
                f"at most {MAX_FEATURES} features fit the equations of clusters, got {d}: project the inputs first",
                argument="means",
            )
        for name, value, shape in (
            ("covariances", covariances, (count, d, d)),
            ("weights", weights, (count,)),
            ("labels", labels, (count,)),
        ):
            if value.shape != shape:
                raise InadmissibleProblem(
                    f"{name} needs the shape {shape} beside means of the shape {means.shape}, got {value.shape}",
                    argument=name,
                )
        for name, value in (("means", means), ("covariances", covariances), ("weights", weights)):
            if not np.all(np.isfinite(value)):
                raise InadmissibleProblem(f"{name} must be finite; replace NaN and infinity", argument=name)
        if not np.all(weights > 0.0):
            raise InadmissibleProblem(
                f"weights must exceed 0, got {weights.min():g}: leave empty clusters out", argument="weights"
            )
        if not np.array_equal(np.unique(labels), [-1.0, 1.0]):
            raise InadmissibleProblem(
                f"labels must be -1 and 1, both present, got {np.unique(labels).tolist()}: with one class there is nothing to"
                " tell apart",
                argument="labels",
            )
        scale = np.max(np.abs(covariances))
        if not np.all(np.abs(covariances - np.swapaxes(covariances, 1, 2)) <= ASYMMETRY * scale):
            raise InadmissibleProblem(
                "covariances must be symmetric: average each with its transpose", argument="covariances"
            )
        lowest = float(np.min(np.linalg.eigvalsh(covariances)))
        if lowest < -INDEFINITE * scale:
            raise InadmissibleProblem(
                f"covariances must be positive semidefinite, got an eigenvalue of {lowest:g}", argument="covariances"
            )
        if not scale > 0.0:
            raise InadmissibleProblem("the features have no variance within any cluster", argument="covariances")
        for name, value in (
            ("means", means),
            ("covariances", covariances),
            ("weights", weights / np.sum(weights)),
            ("labels", labels),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def trace(self) -> float:
        """Of the covariance within a cluster, averaged over them."""
        return float(self.weights @ np.trace(self.covariances, axis1=1, axis2=2))

    @cached_property
    def half_difference(self) -> Array:
        """Half the difference of the means of both classes, shape ``(d,)``."""
        sides = [self.weights * (self.labels == sign) for sign in (1.0, -1.0)]
        above, below = (side @ self.means / np.sum(side) for side in sides)
        half: Array = 0.5 * (above - below)
        return half

    def arrays(self) -> dict[str, Array]:
        """Return what :meth:`of_arrays` reads."""
        return {name: getattr(self, name) for name in ("means", "covariances", "weights", "labels")}

    @classmethod
    def of_arrays(cls, arrays: dict[str, Array]) -> "Clusters":
        """Return the clusters whose :meth:`arrays` these are."""
        return cls(**{name: arrays[name] for name in ("means", "covariances", "weights", "labels")})
