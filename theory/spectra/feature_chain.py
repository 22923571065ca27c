"""From features of finite width to their chain of ridges: layers, a mode table seen through random features, or families."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import legvander

from theory.activations.panels import NODES, POINTS, WEIGHTS
from theory.covariance import InadmissibleProblem, Spectrum
from theory.equivalents.blocks import BlockEquivalent
from theory.equivalents.layered import LayeredEquivalent
from theory.equivalents.layers import LayerLaw
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent
from theory.modes import Modes
from theory.spectra.chain import Chain, Neurons

Array = npt.NDArray[np.float64]

RARE = 0.01
"""Expected number of neurons at both ends of the range of biases that are lumped together, each end as one kind with its mean.

Edges would otherwise lie where one neuron in 1e17 puts them: far out for slopes without a bound, at 0 for neurons that are
as good as dead."""
MOST_LUMPED = 0.02
"""Share of all neurons that may be lumped, however few there are."""
ALIKE = 1e-14
"""Neurons that differ by no more than this share are alike."""
CELLS = 32
"""Of a panel of the quadrature over biases."""
WIDEST = 1.8
"""Widest span of a cell, in units of its noise, which stays positive."""
SMALLEST = 1e-300
PROPORTIONAL = 1e-9


def chain_of(
    equivalent: Equivalent, n_samples: float, *, inputs: Spectrum | None = None, spikes: Sequence[int] = ()
) -> Chain:
    """Return features of finite width as a chain.

    Args:
        equivalent: of the features, without a constant (fit_intercept=True), its energies positive if ``inputs`` are given.
        n_samples: n.
        inputs: what the equivalent was built from, where population eigenvalues are to be those of the inputs' covariance.
        spikes: positions in ``inputs`` of eigenvalues beside the bulk, which are left out of it.

    Raises:
        InadmissibleProblem: the features form a constant, or are of infinite width, or are several families with modes.
    """
    if equivalent.constant > 0.0:
        raise InadmissibleProblem(
            "the constant that features form is an outlier, not part of the law; build them with fit_intercept=True"
        )
    layers: tuple[Neurons, ...]
    if isinstance(equivalent, LayeredEquivalent):
        modes, n_inputs, layers = equivalent.modes, equivalent.n_inputs, tuple(map(neurons, equivalent.layers))
        scale = 1.0
    elif isinstance(equivalent, ModalEquivalent) and np.isfinite(equivalent.width):
        modes, n_inputs, layers = _seen(equivalent.modes, (equivalent.modes,), (float(equivalent.width),))
        scale = n_inputs
    elif isinstance(equivalent, BlockEquivalent):
        signal = [family for family in equivalent.families if family.n_modes > 0.0]
        if len(signal) > 1:
            raise InadmissibleProblem(
                f"one family of features alone may have modes of its own, got {len(signal)}; leave the others' out"
            )
        modes, n_inputs, layers = _seen((signal or [equivalent.families[0]])[0], equivalent.families, equivalent.widths)
        scale = n_inputs
    else:
        raise InadmissibleProblem("features of infinite width are no chain; use theory.spectra.wide_kernel_law")
    eigenvalues, multiplicities = scale * modes.eigenvalues, modes.multiplicities.copy()
    ratio = 1.0 if inputs is None else input_ratio(modes, inputs)
    if ratio is not None:
        ratio *= scale
        multiplicities[list(spikes)] = 0.0
    if not np.any(multiplicities > 0.0):
        # Noise alone: as many directions as there are features.
        (layer,) = layers
        eigenvalues, multiplicities, layers = layer.noises, layer.weights * layer.width, ()
    kept = (multiplicities > 0.0) & (eigenvalues > 0.0)
    distinct, groups = np.unique(eigenvalues[kept], return_inverse=True)
    return Chain(
        eigenvalues=distinct,
        multiplicities=np.bincount(groups, weights=multiplicities[kept]).astype(float),
        n_inputs=n_inputs,
        layers=layers,
        n_samples=float(n_samples),
        ratio=ratio,
    )


def _seen(modes: Modes, families: Sequence[Modes], widths: Sequence[float]) -> tuple[Modes, float, tuple[Neurons, ...]]:
    """Return modes seen through random features of them as one layer, of unit slopes, on inputs as many as it is wide.

    Families that have noise alone are neurons without slopes in it.
    """
    shares = np.array(widths, float)
    width = float(shares.sum())
    layer = Neurons(
        width=width,
        weights=shares / width,
        slopes=np.array([float(family is modes) for family in families]),
        noises=np.array([float(family.tail_trace) for family in families]),
    )
    return modes, width, (layer,)


def neurons(law: LayerLaw) -> Neurons:
    """Return a layer's neurons: those that are alike as one, and at each end of the biases the rare ones as one."""
    weights, slopes, noises = law.weights, law.slopes, law.nonlinear_variances
    largest = np.max(slopes)
    if np.ptp(slopes) <= ALIKE * largest and np.ptp(noises) <= ALIKE * max(largest, np.max(noises)):
        return Neurons(width=law.width, weights=np.ones(1), slopes=slopes[:1], noises=noises[:1])
    return _lumped(law.width, weights, slopes, noises)


def cells(law: LayerLaw, below: float) -> Neurons:
    """Return a layer's neurons as a continuum: cells of biases, each evenly spread over what D takes in it.

    Args:
        law: of a layer with biases; its quadrature is one of panels.
        below: normalised degrees of freedom h below, at which the cells' ranges of D = c + kappa + a h join.
    """
    shape = (law.weights.size // POINTS, POINTS)
    # Polynomials through each panel's nodes.
    order = np.arange(POINTS)
    to_coefficients = (order + 0.5) * legvander(NODES, POINTS - 1) * WEIGHTS[:, None]
    ends = np.linspace(-1.0, 1.0, CELLS + 1)
    whole = legvander(ends, POINTS)
    # The integral of P_k from -1 is (P_(k+1) - P_(k-1)) / (2k + 1), and x + 1 for k = 0.
    integrals = np.concatenate([ends[:, None] + 1.0, (whole[:, 2:] - whole[:, :-2]) / (2 * order[1:] + 1)], axis=1)
    densities = (law.weights.reshape(shape) / WEIGHTS) @ to_coefficients
    weights = np.diff(densities @ integrals.T, axis=1)
    slopes, noises = (
        np.maximum(values.reshape(shape) @ to_coefficients @ whole[:, :-1].T, 0.0)
        for values in (law.slopes, law.nonlinear_variances)
    )
    spans = np.abs(np.diff(noises + below * slopes, axis=1)).ravel()
    slopes, noises = (0.5 * (values[:, 1:] + values[:, :-1]).ravel() for values in (slopes, noises))
    weights = np.maximum(weights, 0.0).ravel() / np.sum(np.maximum(weights, 0.0))
    # Their means as they are.
    slopes *= float(law.weights @ law.slopes) / float(weights @ slopes)
    noises *= float(law.weights @ law.nonlinear_variances) / float(weights @ noises)
    spans = np.maximum(np.minimum(spans, WIDEST * noises), SMALLEST)
    return _lumped(law.width, weights, slopes, noises, spans)


def _lumped(width: float, weights: Array, slopes: Array, noises: Array, spans: Array | None = None) -> Neurons:
    """Lump those at both ends together of which a layer has less than one; biases ascend."""
    rare = 0.5 * min(RARE / width, MOST_LUMPED)
    kept = np.flatnonzero((np.cumsum(weights) > rare) & (np.cumsum(weights[::-1])[::-1] > rare))
    groups = np.clip(np.arange(weights.size), kept[0], kept[-1]) - kept[0]
    together = np.bincount(groups, weights=weights).astype(float)
    return Neurons(
        width=width,
        weights=together,
        slopes=np.bincount(groups, weights=weights * slopes) / together,
        noises=np.bincount(groups, weights=weights * noises) / together,
        spans=None if spans is None else spans[kept],
    )


def input_ratio(modes: Modes, inputs: Spectrum) -> float | None:
    """Return the ratio of the modes' eigenvalues to the inputs', None where the modes are not of the inputs."""
    positive = inputs.eigenvalues > 0.0
    if not np.any(modes.energies > 0.0) or modes.eigenvalues.size < positive.size:
        return None
    # A constant may follow the inputs' modes.
    ratios = modes.eigenvalues[: positive.size][positive] / inputs.eigenvalues[positive]
    alike = np.ptp(ratios) <= PROPORTIONAL * np.max(ratios)
    return float(np.mean(ratios)) if alike else None


def constant_of(equivalent: Equivalent) -> float:
    """Return the constant in the features' kernel: K has n times that on the direction all samples share.

    Of families side by side the equivalent's own is that of one family's kernel.
    """
    constant = float(equivalent.constant)
    if isinstance(equivalent, BlockEquivalent) and constant > 0.0:
        shares = [
            width
            for modes, width in zip(equivalent.families, equivalent.widths, strict=True)
            if constant in modes.eigenvalues
        ]
        return constant * sum(shares) / sum(equivalent.widths)
    return constant
