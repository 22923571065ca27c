"""From layers of random weights to what square loss sees: the statistics of each layer, then a chain or a mode table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from theory.activations import Activation, BiasAverages, bias_averages, moments
from theory.covariance import InadmissibleProblem, Spectrum
from theory.equivalents.kernels import with_constant
from theory.equivalents.layered import LayeredEquivalent
from theory.equivalents.layers import LayerLaw
from theory.equivalents.linear import linear_modes
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent
from theory.modes import Modes

LEAST_VARIANCE, MOST_VARIANCE = 1e-60, 1e60
MOST_VARIANCE_SMOOTH = 1e12
"""Of activations with a scale of their own, beside which the pre-activations are as good as infinite."""
MOST_VARIANCE_OSCILLATING = 1e6
"""Of those whose oscillations have to be resolved."""
SMALLEST_RESPONSE = 1e-30
"""Share of a linear response in a neuron's variance; no number of samples here would make less be learned."""
LEAST_SHARE = 1e-10
"""Of a pre-activation's variance; less than this would be left with too few digits."""


@dataclass(frozen=True, kw_only=True)
class RandomLayer:
    """``h = activation(sqrt(weight_variance) W h_below / sqrt(width below) + sqrt(bias_variance) b)``.

    Attributes:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        width: number of neurons, positive; infinite for a kernel.
        weight_variance: positive.
        bias_variance: at least 0.
    """

    activation: Activation
    width: float = np.inf
    weight_variance: float = 1.0
    bias_variance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LayerStatistics:
    """A layer's pre-activation and what the activation makes of it.

    Attributes:
        variance: q of the pre-activation over neurons and inputs.
        frozen: s, its part that is the same for every input.
        square: D = E h^2.
        averages: over the frozen part; ``averages.mean`` is O, the part of D that is the same for every input.
    """

    variance: float
    frozen: float
    square: float
    averages: BiasAverages

    @property
    def blocks(self) -> bool:
        """Whether no neuron has a linear response worth the name: an even activation about 0, or one that oscillates fast."""
        linear = self.averages.slopes_squared * (self.variance - self.frozen)
        return not np.any(linear > SMALLEST_RESPONSE * self.square)


def layer_statistics(layers: Sequence[RandomLayer], input_variance: float) -> list[LayerStatistics]:
    """Propagate the pre-activations' variances through the layers.

    Args:
        layers: first to last.
        input_variance: mean variance of an input, ``tr Sigma / d``.

    Raises:
        InadmissibleProblem: a layer's variances leave the range of double precision, or its input no longer varies.

    Source: Poole et al., arXiv:1606.05340; the frozen part: Piccolo and Schröder, arXiv:2105.05115.
    """
    return list(_statistics(tuple(replace(layer, width=np.inf) for layer in layers), input_variance))


@lru_cache(maxsize=1024)
def _statistics(layers: tuple[RandomLayer, ...], input_variance: float) -> tuple[LayerStatistics, ...]:
    """Compute them once for the many problems that differ in sizes or penalty only."""
    found = []
    square, shared = input_variance, 0.0
    for position, layer in enumerate(layers):
        variance = layer.weight_variance * square + layer.bias_variance
        frozen = layer.weight_variance * shared + layer.bias_variance
        most = _most_variance(layer.activation)
        if not LEAST_VARIANCE <= variance <= most:
            raise InadmissibleProblem(
                f"the pre-activations of layer {position} have variance {variance:.3g}, which must lie between"
                f" {LEAST_VARIANCE:g} and, for {layer.activation.kind}, {most:g}; scale weight_variance, or the inputs",
                argument=f"layers/{position}",
            )
        if not variance - frozen > LEAST_SHARE * variance:
            raise InadmissibleProblem(
                f"the pre-activations of layer {position} have variance {variance:.3g}, of which all but a share of"
                f" {LEAST_SHARE:g} is the same for every input; nothing is left to learn from: use fewer layers or smaller"
                " biases",
                argument=f"layers/{position}",
            )
        averages = bias_averages(layer.activation, variance, frozen)
        square = float(moments(layer.activation, variance).square)
        shared = min(averages.mean, square)
        found.append(LayerStatistics(variance=variance, frozen=frozen, square=square, averages=averages))
    return tuple(found)


def _most_variance(activation: Activation) -> float:
    """Return up to where an activation's averages keep their digits."""
    if np.isfinite(activation.finest):
        return MOST_VARIANCE_OSCILLATING
    return MOST_VARIANCE if activation.scale is None else MOST_VARIANCE_SMOOTH


def random_features(
    spectrum: Spectrum,
    energies: npt.ArrayLike,
    *,
    layers: Sequence[RandomLayer],
    noise_variance: float = 0.0,
    nonlinear_variance: float = 0.0,
    mean: float = 0.0,
    fit_intercept: bool = False,
) -> Equivalent:
    """Build the equivalent of the last layer's features, divided by the square root of its width.

    Args:
        spectrum: of the inputs, its multiplicities counts.
        energies: of the target's linear part, one an entry of the spectrum.
        layers: first to last, of finite width.
        noise_variance: of the labels.
        nonlinear_variance: energy of the target orthogonal to constants and linear functions, which acts as noise as long
            as samples and widths are few beside d^2.
        mean: of the target. Features that have a mean themselves form a constant that learns it; otherwise, without an
            intercept, its square acts as noise.
        fit_intercept: whether an unpenalised constant is fitted.

    Returns:
        A mode table with a width where the neurons of a single layer are all alike, a chain otherwise.

    Raises:
        InadmissibleProblem: see :func:`layer_statistics`.

    Source: :mod:`theory.equivalents.layered`; for a single layer Mei and Montanari, arXiv:1908.05355.
    """
    n_inputs = float(np.sum(spectrum.multiplicities)) if spectrum.count is None else spectrum.count
    statistics = layer_statistics(layers, float(spectrum.multiplicities @ spectrum.eigenvalues) / n_inputs)
    constant = 0.0 if fit_intercept else statistics[-1].averages.mean
    base = linear_modes(
        spectrum,
        energies,
        noise_variance=noise_variance,
        nonlinear_variance=nonlinear_variance,
        mean=0.0 if constant > 0.0 else mean,
        fit_intercept=fit_intercept,
    )
    if len(layers) == 1 and statistics[0].frozen == 0.0:
        return _shallow(base, n_inputs, layers[0], statistics[0], constant=constant, mean=mean)
    laws: list[LayerLaw] = []
    for layer, found in zip(layers, statistics, strict=True):
        averages = found.averages
        if found.blocks:
            # The linear signal ends here; what comes out is noise.
            base, n_inputs, laws = _noise_only(base, layer.width, found), layer.width, []
        else:
            law = LayerLaw(
                width=layer.width,
                weights=averages.weights,
                slopes=layer.weight_variance * averages.slopes_squared,
                nonlinear_variances=averages.nonlinear_variances,
                biased=layer.bias_variance > 0.0,
            )
            laws.append(law)
    if not laws:
        # The mean takes the place of one of the directions.
        left = max(1.0 - 1.0 / n_inputs, 0.0) if constant > 0.0 else 1.0
        flat = replace(base, eigenvalues=base.eigenvalues / n_inputs, multiplicities=left * base.multiplicities)
        return ModalEquivalent(modes=with_constant(flat, constant, mean), constant=constant)
    return LayeredEquivalent(
        modes=base, layers=tuple(laws), n_inputs=n_inputs, constant=constant, mean=mean if constant > 0.0 else 0.0
    )


def _shallow(
    base: Modes, n_inputs: float, layer: RandomLayer, found: LayerStatistics, *, constant: float, mean: float
) -> Equivalent:
    """A layer of neurons that are all alike: linear modes, infinitely many nonlinear ones, and a constant."""
    slope = float(found.averages.slopes_squared[0])
    modes = replace(
        base,
        eigenvalues=layer.weight_variance * slope * base.eigenvalues / n_inputs,
        tail_trace=float(found.averages.nonlinear_variances[0]),
    )
    return ModalEquivalent(modes=with_constant(modes, constant, mean), width=layer.width, constant=constant)


def _noise_only(base: Modes, width: float, found: LayerStatistics) -> Modes:
    """What a layer that blocks leaves of its input: directions without signal, as many as neurons."""
    variances = found.averages.nonlinear_variances
    return Modes(
        eigenvalues=variances,
        multiplicities=width * found.averages.weights,
        energies=np.zeros_like(variances),
        unlearnable_variance=base.unlearnable_variance + base.signal_variance,
        noise_variance=base.noise_variance,
        n_unpenalised=base.n_unpenalised,
    )
