"""What a learner is fitted on: the features of a training set, listed one by one or known by their inner products.

Where a constant is fitted the features are centred first, and the read-out is that of centred features. Shapes are those of
one training set; several side by side have leading axes, and each comes out as it would alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import array_api_compat

from simulation.arrays import dot, epsilon, is_all, is_any, times, transposed
from simulation.linear_algebra import is_wide, smaller_gram, solve_ridge, solve_shifted


class Fit(NamedTuple):
    """A trained read-out.

    Attributes:
        readout: theta, shape ``(p,)``, or for a kernel the weight of each sample, shape ``(n,)``.
        intercept: beside centred features.
        scores: f on the training set, shape ``(n,)``.
        norm_squared: ``||theta||^2``.
    """

    readout: Any
    intercept: Any
    scores: Any
    norm_squared: Any

    def shifted(self, intercept: Any) -> "Fit":
        """Add a constant."""
        return self._replace(intercept=self.intercept + intercept, scores=self.scores + intercept[..., None])


class Design(Protocol):
    """The features of a training set.

    Attributes:
        centre: their mean, which a constant absorbed, or for a kernel its mean with every sample; None without a constant.
        narrow: shape ``(n, r)`` with r at most n: the features, turned into as few directions as they span.
    """

    @property
    def centre(self) -> Any:
        """Mean of the features."""

    @property
    def narrow(self) -> Any:
        """Features in few directions; a direction that they do not span may be a column of zeros."""

    def expanded(self, coordinates: Any) -> Fit:
        """Turn a read-out of ``narrow``, shape ``(r,)``, back."""

    def ridge(self, labels: Any, penalty: float) -> Fit:
        """Minimise ``(1/n) ||y - X theta||^2 + penalty ||theta||^2``; penalty 0 gives the solution of least norm."""

    def filtered(self, labels: Any, shrink: Callable[[Any], Any], *, resolution: float) -> Fit:
        """Return ``theta = shrink(X'X / n) X'y / n``.

        Args:
            labels: shape ``(n,)``.
            shrink: of eigenvalues, elementwise; finite at 0.
            resolution: how small eigenvalues can be while it matters how small they are.
        """


@dataclass(frozen=True)
class ListedFeatures:
    """Features one by one.

    Attributes:
        matrix: shape ``(n, p)``, centred where there is a centre.
        centre: shape ``(p,)``, or None.
    """

    matrix: Any
    centre: Any = None

    @classmethod
    def of(cls, features: Any, *, fit_intercept: bool) -> "ListedFeatures":
        """Centre the features, shape ``(n, p)``, where a constant is fitted."""
        if not fit_intercept:
            return cls(features)
        centre = array_api_compat.array_namespace(features).mean(features, axis=-2)
        return cls(features - centre[..., None, :], centre)

    @property
    def narrow(self) -> Any:
        """The features; the triangle of their QR decomposition where they are more than the samples."""
        return transposed(self._decomposed[1]) if self._is_wide else self.matrix

    def expanded(self, coordinates: Any) -> Fit:
        """Turn a read-out of ``narrow`` back."""
        return self._fit(times(self._decomposed[0], coordinates) if self._is_wide else coordinates)

    def ridge(self, labels: Any, penalty: float) -> Fit:
        """Solve the smaller of the primal and the dual system, where the penalty keeps it well conditioned."""
        shift = int(self.matrix.shape[-2]) * penalty

        def readout(features: Any, targets: Any) -> Any:
            return solve_ridge(features, shift, targets)

        return self._resolved(labels, readout, inverse_of_shifted(penalty), penalty)

    def filtered(self, labels: Any, shrink: Callable[[Any], Any], *, resolution: float) -> Fit:
        """Filter the eigenvalues of the smaller Gram matrix, or singular values where it would blur the smallest."""

        def readout(features: Any, targets: Any) -> Any:
            xp, n_samples = array_api_compat.array_namespace(features), int(features.shape[-2])
            eigenvalues, vectors = xp.linalg.eigh(smaller_gram(features) / n_samples)
            factors = shrink(xp.where(eigenvalues > 0.0, eigenvalues, xp.zeros_like(eigenvalues))) / n_samples
            if is_wide(features):
                along = factors * times(transposed(vectors), targets)
                return times(transposed(features), times(vectors, along))
            along = factors * times(transposed(vectors), times(transposed(features), targets))
            return times(vectors, along)

        return self._resolved(labels, readout, shrink, resolution)

    def _resolved(
        self,
        labels: Any,
        readout: Callable[[Any, Any], Any],
        shrink: Callable[[Any], Any],
        resolution: float,
    ) -> Fit:
        """Read out by way of the smaller Gram matrix, or by singular values where that is too blurred: each set on its own."""
        xp, n_samples = array_api_compat.array_namespace(self.matrix), int(self.matrix.shape[-2])
        trace = xp.sum(xp.linalg.vecdot(self.matrix, self.matrix), axis=-1)
        resolved = n_samples * resolution > epsilon(self.matrix) ** 0.5 * trace
        if is_all(resolved):
            return self._fit(readout(self.matrix, labels))
        if not is_any(resolved):
            return self._fit(by_singular_values(self.matrix, labels, shrink))
        parts = [
            readout(self.matrix[index, ...], labels[index, ...])
            if is_all(resolved[index])
            else by_singular_values(self.matrix[index, ...], labels[index, ...], shrink)
            for index in range(int(self.matrix.shape[0]))
        ]
        return self._fit(xp.stack(parts))

    @property
    def _is_wide(self) -> bool:
        return is_wide(self.matrix)

    @cached_property
    def _decomposed(self) -> Any:
        return array_api_compat.array_namespace(self.matrix).linalg.qr(transposed(self.matrix))

    def _fit(self, readout: Any) -> Fit:
        return Fit(readout, 0.0 * readout[..., 0], times(self.matrix, readout), dot(readout, readout))


@dataclass(frozen=True)
class KernelMatrix:
    """Features known by their inner products.

    Attributes:
        matrix: shape ``(n, n)``, of centred features where there is a centre.
        centre: mean of the kernel with every sample, shape ``(n,)``, or None.
    """

    matrix: Any
    centre: Any = None

    @classmethod
    def of(cls, matrix: Any, *, fit_intercept: bool) -> "KernelMatrix":
        """Centre the features, whose inner products are given, where a constant is fitted."""
        if not fit_intercept:
            return cls(matrix)
        xp = array_api_compat.array_namespace(matrix)
        centre = xp.mean(matrix, axis=-2)
        level = xp.mean(centre, axis=-1)[..., None, None]
        return cls(matrix - centre[..., :, None] - centre[..., None, :] + level, centre)

    @cached_property
    def narrow(self) -> Any:
        """A square root: eigenvectors times roots of the eigenvalues, those at rounding level taken for 0."""
        roots, _, vectors = self._roots
        return vectors * roots[..., None, :]

    def expanded(self, coordinates: Any) -> Fit:
        """Turn a read-out of ``narrow`` back."""
        _, inverse_roots, vectors = self._roots
        readout = times(vectors, coordinates * inverse_roots)
        return Fit(readout, 0.0 * readout[..., 0], times(self.narrow, coordinates), dot(coordinates, coordinates))

    def ridge(self, labels: Any, penalty: float) -> Fit:
        """Solve the dual system, where the penalty keeps it well conditioned."""
        xp, n_samples = array_api_compat.array_namespace(self.matrix), int(self.matrix.shape[-1])
        resolved = n_samples * penalty > epsilon(self.matrix) ** 0.5 * xp.linalg.trace(self.matrix)
        if not is_any(resolved):
            return self.filtered(labels, inverse_of_shifted(penalty), resolution=penalty)
        if not is_all(resolved):
            each = range(int(self.matrix.shape[0]))
            alone = [KernelMatrix(self.matrix[index, ...]).ridge(labels[index, ...], penalty) for index in each]
            return Fit(*(xp.stack(parts) for parts in zip(*alone, strict=True)))
        weights = solve_shifted(xp.asarray(self.matrix, copy=True), n_samples * penalty, labels)
        scores = times(self.matrix, weights)
        return Fit(weights, 0.0 * weights[..., 0], scores, dot(weights, scores))

    def filtered(self, labels: Any, shrink: Callable[[Any], Any], *, resolution: float) -> Fit:  # noqa: ARG002  all there is
        """Filter the eigenvalues."""
        (roots, _, vectors), n_samples = self._roots, int(self.matrix.shape[-1])
        return self.expanded(shrink(roots**2 / n_samples) * roots * times(transposed(vectors), labels) / n_samples)

    @cached_property
    def _roots(self) -> tuple[Any, Any, Any]:
        """Roots of the eigenvalues, their inverses, 0 for those at rounding level, and the eigenvectors."""
        xp = array_api_compat.array_namespace(self.matrix)
        eigenvalues, vectors = xp.linalg.eigh(self.matrix)
        rounding = int(eigenvalues.shape[-1]) * epsilon(self.matrix) * eigenvalues[..., -1:]
        kept, nothing = eigenvalues > rounding, xp.zeros_like(eigenvalues)
        roots = xp.where(kept, xp.sqrt(xp.where(kept, eigenvalues, nothing)), nothing)
        inverse_roots = xp.where(kept, 1.0 / xp.where(kept, roots, xp.ones_like(roots)), nothing)
        return roots, inverse_roots, vectors


def by_singular_values(features: Any, labels: Any, shrink: Callable[[Any], Any]) -> Any:
    """Return ``shrink(X'X / n) X'y / n`` from the singular values of X, those at rounding level taken for 0.

    Args:
        features: X, shape ``(n, p)``.
        labels: y, shape ``(n,)``.
        shrink: of eigenvalues, elementwise.
    """
    xp, n_samples = array_api_compat.array_namespace(features), int(features.shape[-2])
    left, singular, right = xp.linalg.svd(features, full_matrices=False)
    rounding = max(features.shape[-2:]) * epsilon(features) * singular[..., :1]
    singular = xp.where(singular > rounding, singular, xp.zeros_like(singular))
    along = shrink(singular**2 / n_samples) * singular * times(transposed(left), labels)
    return times(transposed(right), along / n_samples)


def inverse_of_shifted(penalty: float) -> Callable[[Any], Any]:
    """Return ``1 / (s + penalty)`` of eigenvalues s, and 0 where that is infinite: least norm."""

    def shrink(eigenvalues: Any) -> Any:
        xp = array_api_compat.array_namespace(eigenvalues)
        shifted = eigenvalues + penalty
        kept = shifted > 0.0
        return xp.where(kept, 1.0 / xp.where(kept, shifted, xp.ones_like(shifted)), xp.zeros_like(shifted))

    return shrink
