"""Kernels of infinitely wide networks on the inputs as drawn: conjugate kernel and neural tangent kernel.

A layer takes the variances and covariances of Gaussian pre-activations to averages of its activation over them:
:func:`theory.activations.dual` and :func:`theory.activations.dual_slopes`, element by element.
Source of the recursions: Daniely, Frostig, Singer, arXiv:1602.05897; Jacot, Gabriel, Hongler, arXiv:1806.07572.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from simulation.arrays import like, on_host
from simulation.domains import nonnegative, positive
from theory.activations import Activation, dual, dual_slopes
from theory.covariance import InadmissibleProblem

Array = npt.NDArray[np.float64]

SERIES_OF = ("tanh", "sigmoid", "softplus", "ternary")
"""Activations whose averages over pairs are quadratures of milliseconds an element: Mehler's series does it for most."""
SERIES_TERMS = 64
SERIES_TOLERANCE = 1e-12
"""Relative to the average over equal pre-activations; elements whose series has not converged to it are integrated."""
CHUNK = 16
"""Variances whose quadratures are done together, in arrays that fit a processor's cache."""


@dataclass(frozen=True, kw_only=True)
class InfiniteLayer:
    """A layer of infinite width.

    Attributes:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        weight_variance: positive.
        bias_variance: nonnegative.
    """

    activation: Activation
    weight_variance: float = 1.0
    bias_variance: float = 0.0

    def __post_init__(self) -> None:
        positive("weight_variance", self.weight_variance)
        nonnegative("bias_variance", self.bias_variance)


@dataclass(frozen=True, kw_only=True)
class ConjugateKernel:
    """``E h_L(x) h_L(x')``: the inner product of the last layer's features over the square root of its width.

    Attributes:
        layers: first to last, at least one.
    """

    layers: Sequence[InfiniteLayer]

    def __post_init__(self) -> None:
        _some(self.layers)

    def matrix(self, left: Any, right: Any = None) -> Any:
        """Evaluate the kernel at every pair, on the host; see :class:`simulation.kernels.Kernel`."""
        return _on_host(self._matrix, left, right)

    def _matrix(self, left: Array, right: Array | None) -> Array:
        pairs = _Pairs.of_inputs(left, right)
        for layer in self.layers:
            pairs = pairs.before(layer).map(layer.activation, dual, layer.activation.mean_square)
        return pairs.covariance


@dataclass(frozen=True, kw_only=True)
class TangentKernel:
    """Inner product of the gradients of the output by all weights and biases, of the read-out too.

    The read-out ``sqrt(weight_variance) v . h_L / sqrt(width) + sqrt(bias_variance) b`` has the last layer's variances.

    Attributes:
        layers: first to last, at least one, with activations that have no jumps.
    """

    layers: Sequence[InfiniteLayer]

    def __post_init__(self) -> None:
        _some(self.layers)
        for layer in self.layers:
            if not layer.activation.is_continuous:
                raise InadmissibleProblem(
                    f"activation {layer.activation.kind!r} jumps, so its tangent kernel is infinite; use the conjugate kernel",
                    argument="activation",
                )

    def matrix(self, left: Any, right: Any = None) -> Any:
        """Evaluate the kernel at every pair, on the host; see :class:`simulation.kernels.Kernel`."""
        return _on_host(self._matrix, left, right)

    def _matrix(self, left: Array, right: Array | None) -> Array:
        pairs = _Pairs.of_inputs(left, right)
        tangents = np.zeros_like(pairs.covariance)
        for layer, following in zip(self.layers, [*self.layers[1:], self.layers[-1]], strict=True):
            pairs = pairs.before(layer)
            tangents = tangents + pairs.covariance
            slopes = pairs.map(layer.activation, dual_slopes, layer.activation.mean_square_slope).covariance
            tangents = following.weight_variance * slopes * tangents
            pairs = pairs.map(layer.activation, dual, layer.activation.mean_square)
        return tangents + pairs.before(self.layers[-1]).covariance


def _on_host(matrix: Callable[[Array, Array | None], Array], left: Any, right: Any) -> Any:
    """Evaluate a kernel of one replicate after the other, and put the matrices where the inputs are."""
    rows = on_host(left)
    columns = None if right is None else on_host(right)
    places = list(np.ndindex(rows.shape[:-2]))
    found = [matrix(rows[place], None if columns is None else columns[place]) for place in places]
    return like(left, np.reshape(found, (*rows.shape[:-2], *found[0].shape)))


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Second moments of a Gaussian field at two lists of inputs.

    Attributes:
        left: variances at the first list, shape ``(m,)``.
        right: at the second, shape ``(n,)``.
        covariance: shape ``(m, n)``.
        same: whether the lists are one, so that the covariance's diagonal is the variances.
    """

    left: Array
    right: Array
    covariance: Array
    same: bool

    @classmethod
    def of_inputs(cls, left: Array, right: Array | None) -> "_Pairs":
        """Inner products of the inputs, divided by their size."""
        other = left if right is None else right
        size = left.shape[1]
        squares = [np.sum(inputs * inputs, axis=1) / size for inputs in (left, other)]
        return cls(left=squares[0], right=squares[1], covariance=left @ other.T / size, same=right is None)

    def before(self, layer: InfiniteLayer) -> "_Pairs":
        """Moments of the layer's pre-activations, from those of what is below it."""
        moments = (layer.weight_variance * part + layer.bias_variance for part in self._parts)
        return self._like(*moments)

    def map(
        self,
        activation: Activation,
        average: Callable[[Activation, Array, Array, Array], Array],
        square: Callable[[Array, Array], Array],
    ) -> "_Pairs":
        """Average a product of two values of a function of the field, over its values at every pair.

        Args:
            activation: the function, or what it is the slope of.
            average: :func:`theory.activations.dual` or ``dual_slopes``.
            square: the average over equal pre-activations, of their variance and a shift.
        """
        left, right = (square(variances, np.zeros_like(variances)) for variances in (self.left, self.right))
        u, v, c = np.broadcast_arrays(self.left[:, None], self.right[None, :], self.covariance)
        if activation.kind in SERIES_OF:
            covariance = self._by_series(activation, average, left, right)
        else:
            covariance = average(activation, u, v, c)
        return self._like(left, right, covariance)

    @property
    def _parts(self) -> tuple[Array, Array, Array]:
        return self.left, self.right, self.covariance

    def _like(self, left: Array, right: Array, covariance: Array) -> "_Pairs":
        if self.same:
            covariance = covariance.copy()
            np.fill_diagonal(covariance, left)
        return _Pairs(left=left, right=right, covariance=covariance, same=self.same)

    def _by_series(
        self,
        activation: Activation,
        average: Callable[[Activation, Array, Array, Array], Array],
        left: Array,
        right: Array,
    ) -> Array:
        """Sum c_k(u) c_k(v) rho^k, or k c_k(u) c_k(v) rho^(k-1) / sqrt(q_u q_v) for slopes, while it converges.

        What is left beyond the last term is at most rho^K times the geometric mean of what the coefficients leave of the
        two squares, by Cauchy and Schwarz.
        """
        rho = self.covariance / np.sqrt(self.left[:, None] * self.right[None, :])
        slopes = average is dual_slopes
        rows, columns = (_coefficients(activation, variances, slopes=slopes) for variances in (self.left, self.right))
        total = np.zeros_like(rho)
        for row, column in zip(rows.T[::-1], columns.T[::-1], strict=True):
            total = total * rho + np.multiply.outer(row, column)
        missing = np.sqrt(
            np.multiply.outer(
                np.maximum(left - np.sum(rows * rows, axis=1), 1e-15 * left),
                np.maximum(right - np.sum(columns * columns, axis=1), 1e-15 * right),
            )
        )
        scale = np.sqrt(np.multiply.outer(left, right))
        doubtful = np.abs(rho) ** rows.shape[1] * missing > SERIES_TOLERANCE * scale
        if self.same:
            np.fill_diagonal(doubtful, val=False)
        u, v, c = np.broadcast_arrays(self.left[:, None], self.right[None, :], self.covariance)
        for i, j in np.argwhere(doubtful):
            total[i, j] = average(activation, u[i, j], v[i, j], c[i, j])
        return total


def _coefficients(activation: Activation, variances: Array, *, slopes: bool) -> Array:
    """Hermite coefficients of phi, or of phi', at each variance: shape ``(len(variances), terms)``."""
    orders = np.sqrt(np.arange(1.0, SERIES_TERMS))
    coefficients = np.empty((variances.size, SERIES_TERMS))
    for start in range(0, variances.size, CHUNK):
        rows = slice(start, start + CHUNK)
        grid = activation.grid(variances[rows], np.zeros_like(variances[rows]))
        weighted = (grid.weights * activation.value(grid.u)).reshape(grid.shift.size, -1)
        z = grid.z.reshape(weighted.shape)
        before, polynomial = np.zeros_like(z), np.ones_like(z)
        for k, root in enumerate([*orders, 1.0]):
            coefficients[rows, k] = np.vecdot(weighted, polynomial)
            last = orders[k - 1] if k > 0 else 0.0
            before, polynomial = polynomial, (z * polynomial - last * before) / root
    return orders / np.sqrt(variances)[:, None] * coefficients[:, 1:] if slopes else coefficients


def _some(layers: Sequence[InfiniteLayer]) -> None:
    if not layers:
        raise InadmissibleProblem("a network's kernel needs at least one layer", argument="layers")
