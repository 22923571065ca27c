"""What a learner is fitted on: the features of a training set, listed one by one or known by their inner products.

Where a constant is fitted the features are centred first, and the read-out is that of centred features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import array_api_compat

CONDITION = 1e8
"""Up to this condition number inner products are enough; beyond it the singular values of the features are used."""


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
        return self._replace(intercept=self.intercept + intercept, scores=self.scores + intercept)


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
        """Features in few directions."""

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
        centre = array_api_compat.array_namespace(features).mean(features, axis=0)
        return cls(features - centre, centre)

    @property
    def narrow(self) -> Any:
        """The features; the triangle of their QR decomposition where they are more than the samples."""
        if not self._is_wide:
            return self.matrix
        return array_api_compat.array_namespace(self.matrix).matrix_transpose(self._decomposed[1])

    def expanded(self, coordinates: Any) -> Fit:
        """Turn a read-out of ``narrow`` back."""
        return self._fit(self._decomposed[0] @ coordinates if self._is_wide else coordinates)

    def ridge(self, labels: Any, penalty: float) -> Fit:
        """Solve the smaller of the primal and the dual system, where the penalty keeps it well conditioned."""
        if not self._is_resolved(penalty):
            return self.filtered(labels, inverse_of_shifted(penalty), resolution=penalty)
        if self._is_wide:
            return self._fit(self._transposed @ self._dual.ridge(labels, penalty).readout)
        xp = array_api_compat.array_namespace(self.matrix)
        n_samples, n_features = self.matrix.shape
        system = self._transposed @ self.matrix + n_samples * penalty * xp.eye(n_features)
        return self._fit(_solved(system, self._transposed @ labels))

    def filtered(self, labels: Any, shrink: Callable[[Any], Any], *, resolution: float) -> Fit:
        """Filter the eigenvalues of the smaller Gram matrix, or singular values where it would blur the smallest."""
        xp, n_samples = array_api_compat.array_namespace(self.matrix), int(self.matrix.shape[0])
        if not self._is_resolved(resolution):
            left, singular, right = xp.linalg.svd(self.matrix, full_matrices=False)
            rounding = max(self.matrix.shape) * float(xp.finfo(self.matrix.dtype).eps) * singular[0]
            singular = xp.where(singular > rounding, singular, xp.zeros_like(singular))
            along = shrink(singular**2 / n_samples) * singular * (xp.matrix_transpose(left) @ labels)
            return self._fit(xp.matrix_transpose(right) @ along / n_samples)
        if self._is_wide:
            return self._fit(self._transposed @ self._dual.filtered(labels, shrink, resolution=resolution).readout)
        eigenvalues, vectors = xp.linalg.eigh(self._transposed @ self.matrix / n_samples)
        factors = shrink(xp.where(eigenvalues > 0.0, eigenvalues, xp.zeros_like(eigenvalues)))
        along = factors * (xp.matrix_transpose(vectors) @ (self._transposed @ labels))
        return self._fit(vectors @ along / n_samples)

    @property
    def _is_wide(self) -> bool:
        return bool(self.matrix.shape[1] > self.matrix.shape[0])

    @property
    def _transposed(self) -> Any:
        return array_api_compat.array_namespace(self.matrix).matrix_transpose(self.matrix)

    @property
    def _dual(self) -> "KernelMatrix":
        return KernelMatrix(self.matrix @ self._transposed)

    @cached_property
    def _decomposed(self) -> Any:
        return array_api_compat.array_namespace(self.matrix).linalg.qr(self._transposed)

    def _is_resolved(self, resolution: float) -> bool:
        xp = array_api_compat.array_namespace(self.matrix)
        return int(self.matrix.shape[0]) * resolution * CONDITION > float(xp.sum(self.matrix * self.matrix))

    def _fit(self, readout: Any) -> Fit:
        return Fit(readout, 0.0, self.matrix @ readout, readout @ readout)


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
        centre = xp.mean(matrix, axis=0)
        return cls(matrix - centre[:, None] - centre[None, :] + xp.mean(centre), centre)

    @cached_property
    def narrow(self) -> Any:
        """A square root: eigenvectors times roots of the eigenvalues, without those at rounding level."""
        roots, vectors = self._roots
        return vectors * roots

    def expanded(self, coordinates: Any) -> Fit:
        """Turn a read-out of ``narrow`` back."""
        roots, vectors = self._roots
        return Fit(vectors @ (coordinates / roots), 0.0, self.narrow @ coordinates, coordinates @ coordinates)

    def ridge(self, labels: Any, penalty: float) -> Fit:
        """Solve the dual system, where the penalty keeps it well conditioned."""
        xp = array_api_compat.array_namespace(self.matrix)
        n_samples = int(self.matrix.shape[0])
        if n_samples * penalty * CONDITION <= float(xp.linalg.trace(self.matrix)):
            return self.filtered(labels, inverse_of_shifted(penalty), resolution=penalty)
        weights = _solved(self.matrix + n_samples * penalty * xp.eye(n_samples), labels)
        scores = self.matrix @ weights
        return Fit(weights, 0.0, scores, weights @ scores)

    def filtered(self, labels: Any, shrink: Callable[[Any], Any], *, resolution: float) -> Fit:  # noqa: ARG002  all there is
        """Filter the eigenvalues."""
        (roots, vectors), n_samples = self._roots, int(self.matrix.shape[0])
        along = array_api_compat.array_namespace(vectors).matrix_transpose(vectors) @ labels
        return self.expanded(shrink(roots**2 / n_samples) * roots * along / n_samples)

    @cached_property
    def _roots(self) -> tuple[Any, Any]:
        xp = array_api_compat.array_namespace(self.matrix)
        eigenvalues, vectors = xp.linalg.eigh(self.matrix)
        count = int(eigenvalues.shape[0])
        rounding = count * float(xp.finfo(self.matrix.dtype).eps) * float(eigenvalues[-1])
        first = int(xp.sum(xp.astype(eigenvalues <= rounding, xp.int64)))
        return xp.sqrt(eigenvalues[first:]), vectors[:, first:]


def inverse_of_shifted(penalty: float) -> Callable[[Any], Any]:
    """Return ``1 / (s + penalty)`` of eigenvalues s, and 0 where that is infinite: least norm."""

    def shrink(eigenvalues: Any) -> Any:
        xp = array_api_compat.array_namespace(eigenvalues)
        shifted = eigenvalues + penalty
        kept = shifted > 0.0
        return xp.where(kept, 1.0 / xp.where(kept, shifted, xp.ones_like(shifted)), xp.zeros_like(shifted))

    return shrink


def _solved(system: Any, right_side: Any) -> Any:
    xp = array_api_compat.array_namespace(system)
    return xp.linalg.solve(system, right_side[:, None])[:, 0]
