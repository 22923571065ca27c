"""From a request whose numbers carry derivatives to the equivalent of its features in its regime."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from api_schemas.features import KernelFeatures
from api_schemas.prediction import PredictionRequest
from theory.activations import Activation, activation
from theory.derivatives import blocks, inputs, kernels, layered
from theory.derivatives.dual import Dual, Vector
from theory.derivatives.equivalents import Equivalent, ModalEquivalent, Table
from theory.derivatives.sphere import sphere
from theory.derivatives.statistics import Layer
from workers.answers import Built
from workers.directions import Directions
from workers.features import kernel_of
from workers.inputs import plain_spectrum

COVARIANCES: dict[str, Callable[..., inputs.Spectrum]] = {
    "isotropic": inputs.isotropic,
    "discrete": inputs.discrete,
    "power_law": inputs.power_law,
    "spiked": inputs.spiked,
    "ar1": inputs.ar1,
    "explicit": inputs.explicit,
}
KERNELS: dict[str, Callable[..., kernels.LinearCoefficients]] = {
    "rbf": kernels.rbf,
    "polynomial": kernels.polynomial,
    "laplace": kernels.laplace,
    "exponential": kernels.exponential,
}
WIDE: dict[str, Callable[..., kernels.LinearCoefficients]] = {
    "ck": kernels.conjugate,
    "ntk": kernels.neural_tangent,
}
"""Kernels of networks of infinite width."""


def _fields(part: Any) -> dict[str, Any]:
    return {name: value for name, value in part.__dict__.items() if name != "kind"}


def spectrum_of(request: PredictionRequest, directions: Directions) -> inputs.Spectrum:
    """Return the spectrum of the inputs."""
    regime: Any = directions.regime
    covariance = regime.covariance
    plain = plain_spectrum(request.regime)
    return COVARIANCES[covariance.kind](directions.space, plain, regime.n_features, **_fields(covariance))


def energies_of(spectrum: inputs.Spectrum, directions: Directions) -> Vector:
    """Return the energies of the target's linear part."""
    target, covariance = directions.regime.target, directions.regime.covariance
    alignment, variance = target.alignment, target.signal_variance
    if alignment.kind == "isotropic":
        return inputs.isotropic_target(spectrum, signal_variance=variance)
    if alignment.kind == "source":
        return inputs.source(
            spectrum,
            signal_variance=variance,
            exponent=alignment.exponent,
            covariance_exponent=covariance.exponent,
        )
    return inputs.energies(spectrum, signal_variance=variance, values=alignment.values)


def mean_energies_of(spectrum: inputs.Spectrum, directions: Directions) -> Vector:
    """Return the energies that stand for a class mean."""
    regime = directions.regime
    energy = regime.mean_norm * regime.mean_norm
    if regime.mean_alignment.kind == "isotropic":
        squares = inputs.normalised(spectrum.multiplicities, energy)
    else:
        squares = inputs.energies(spectrum, signal_variance=energy, values=regime.mean_alignment.values)
    return inputs.mean_energies(spectrum, squares)


def features_of(directions: Directions, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    """Return the equivalent of the features on inputs; ``target`` as for :func:`theory.linear_modes`."""
    features = directions.model.features
    return FEATURES[features.kind].of_inputs(features, spectrum, energies, **target)


def equivalent_of(request: PredictionRequest, built: Built, directions: Directions) -> Equivalent:
    """Return the equivalent of a request's features on labels that are numbers."""
    regime, model = directions.regime, directions.model
    if regime.kind == "eigenspectrum":
        return FEATURES[model.features.kind].of_modes(model.features, _listed(directions))
    if regime.kind == "sphere":
        return _on_sphere(request, built, directions)
    spectrum = spectrum_of(request, directions)
    return features_of(
        directions,
        spectrum,
        energies_of(spectrum, directions),
        noise_variance=regime.noise_variance,
        nonlinear_variance=regime.target.nonlinear_variance,
        mean=regime.target.mean,
        fit_intercept=model.fit_intercept,
    )


def _on_sphere(request: PredictionRequest, built: Built, directions: Directions) -> Equivalent:
    """Return the equivalent of a kernel on the sphere."""
    regime, kernel, features = directions.regime, directions.model.features.kernel, request.model.features
    if kernel.kind in WIDE:
        parameters = [
            number
            for layer in _layers(kernel.layers)
            for number in (layer.weight_variance, layer.bias_variance, *layer.parameters)
        ]
    else:
        parameters = [value for value in _fields(kernel).values() if isinstance(value, Dual)]
    assert isinstance(features, KernelFeatures)
    assert built.equivalent is not None
    return sphere(
        directions.space,
        built.equivalent.tables[0],
        regime.degree_energies,
        kernel=kernel_of(features.kernel),
        parameters=parameters,
        dimension=int(regime.n_features),
        noise_variance=regime.noise_variance,
    )


def _listed(directions: Directions) -> Table:
    """Return the mode table that a regime lists."""
    regime, space = directions.regime, directions.space
    multiplicities = regime.multiplicities
    return Table(
        space=space,
        eigenvalues=regime.eigenvalues,
        multiplicities=space.constants(np.ones(regime.eigenvalues.value.size))
        if multiplicities is None
        else multiplicities,
        energies=regime.energies,
        tail_trace=regime.tail_trace,
        noise_variance=regime.noise_variance,
        n_unpenalised=int(directions.model.fit_intercept),
    )


class _FeatureMap:
    """How features of a kind are built, on inputs and on modes."""

    def __init__(self, of_inputs: Callable[..., Equivalent], of_modes: Callable[..., Equivalent] | None = None) -> None:
        self.of_inputs, self._of_modes = of_inputs, of_modes

    def of_modes(self, features: Any, table: Table) -> Equivalent:
        """Return the equivalent of features of modes."""
        assert self._of_modes is not None
        return self._of_modes(features, table)


def _linear(_: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return ModalEquivalent(table=inputs.linear_table(spectrum, energies, **target))


def _projection(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return ModalEquivalent(table=inputs.linear_table(spectrum, energies, **target), width=features.width)


def _kernel(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    kernel = features.kernel
    if kernel.kind in WIDE:
        linearised = partial(WIDE[kernel.kind], layers=_layers(kernel.layers))
    else:
        linearised = partial(KERNELS[kernel.kind], **_fields(kernel))
    return kernels.kernel_features(spectrum, energies, linearised=linearised, **target)


def _random_features(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return layered.random_features(spectrum, energies, layers=_layers(features.layers), **target)


def _layers(layers: list[Any]) -> list[Layer]:
    """Return the layers that a request names."""
    return [
        Layer(
            activation=_activation(layer.activation),
            weight_variance=layer.weight_variance,
            bias_variance=layer.bias_variance,
            width=getattr(layer, "width", np.inf),
            parameters=tuple(_fields(layer.activation).values()) if not isinstance(layer.activation, str) else (),
        )
        for layer in layers
    ]


def _activation(chosen: Any) -> Activation:
    if isinstance(chosen, str):
        return activation(chosen)
    return activation(chosen.kind, **{name: value.value for name, value in _fields(chosen).items()})


def _random_fourier(features: Any, spectrum: inputs.Spectrum, energies: Vector, **target: Any) -> Equivalent:
    return blocks.random_fourier(
        spectrum, energies, frequencies=features.frequencies, length_scale=features.length_scale, **target
    )


FEATURES = {
    "linear": _FeatureMap(_linear, lambda _, table: ModalEquivalent(table=table)),
    "random_projection": _FeatureMap(
        _projection, lambda features, table: ModalEquivalent(table=table, width=features.width)
    ),
    "random_features": _FeatureMap(_random_features),
    "random_fourier": _FeatureMap(_random_fourier),
    "kernel": _FeatureMap(_kernel),
}
