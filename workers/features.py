"""From the features of a request to the equivalent that square loss sees: one function a kind and a place it can stand in."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy.typing as npt

import theory
from api_schemas import features as schemas
from api_schemas import kernel as kernel_schemas
from api_schemas.layer import InfiniteLayer, Layer
from theory import Equivalent, ModalEquivalent, Modes, Spectrum
from theory.covariance import InadmissibleProblem
from workers.kinds import Evaluated
from workers.publications import EL_KAROUI, FAN_WANG, JACOT, LEE
from workers.refusals import Unsupported


def linear(_: schemas.LinearFeatures, spectrum: Spectrum, energies: npt.ArrayLike, **target: Any) -> Equivalent:
    """Linear features of inputs."""
    return ModalEquivalent(modes=theory.linear_modes(spectrum, energies, **target))


def linear_of_modes(_: schemas.LinearFeatures, modes: Modes) -> Equivalent:
    """Modes as they are."""
    return ModalEquivalent(modes=modes)


def random_projection(
    features: schemas.RandomProjection, spectrum: Spectrum, energies: npt.ArrayLike, **target: Any
) -> Equivalent:
    """Random combinations of inputs."""
    return ModalEquivalent(modes=theory.linear_modes(spectrum, energies, **target), width=features.width)


def projection_of_modes(features: schemas.RandomProjection, modes: Modes) -> Equivalent:
    """Random combinations of modes."""
    return ModalEquivalent(modes=modes, width=features.width)


def random_features(
    features: schemas.RandomFeatures, spectrum: Spectrum, energies: npt.ArrayLike, **target: Any
) -> Equivalent:
    """Layers of random weights."""
    return theory.random_features(spectrum, energies, layers=random_layers(features.layers), **target)


def random_fourier(
    features: schemas.RandomFourierFeatures, spectrum: Spectrum, energies: npt.ArrayLike, **target: Any
) -> Equivalent:
    """Cosines and sines of random frequencies."""
    return theory.random_fourier(
        spectrum, energies, frequencies=features.frequencies, length_scale=features.length_scale, **target
    )


def kernel(features: schemas.KernelFeatures, spectrum: Spectrum, energies: npt.ArrayLike, **target: Any) -> Equivalent:
    """A kernel of inputs, in the linear regime."""
    return theory.kernel_features(spectrum, energies, kernel=kernel_of(features.kernel), **target)


def kernel_on_sphere(features: schemas.KernelFeatures, **regime: Any) -> Equivalent:
    """A kernel of inputs on the sphere."""
    return ModalEquivalent(modes=theory.sphere_modes(kernel=kernel_of(features.kernel), **regime))


def trained(features: schemas.TwoLayerFeatures) -> schemas.TwoLayerFeatures:
    """Features that are trained have no equivalent of their own; :mod:`workers.networks` solves for them."""
    return features


@dataclass(frozen=True, kw_only=True)
class PoolFeatures:
    """Features of rows: those of infinite width that their kernel belongs to, and how many are drawn of them.

    Attributes:
        infinite: linear, or of a kernel.
        width: features that are drawn; infinite where all are used.
    """

    infinite: schemas.LinearFeatures | schemas.KernelFeatures
    width: float = inf


def linear_of_rows(features: schemas.LinearFeatures) -> PoolFeatures:
    """Rows as they are."""
    return PoolFeatures(infinite=features)


def projection_of_rows(features: schemas.RandomProjection) -> PoolFeatures:
    """Random combinations of the entries of a row."""
    return PoolFeatures(infinite=schemas.LinearFeatures(), width=features.width)


def kernel_of_rows(features: schemas.KernelFeatures) -> PoolFeatures:
    """A kernel of rows."""
    return PoolFeatures(infinite=features)


def random_features_of_rows(features: schemas.RandomFeatures) -> PoolFeatures:
    """One layer of random weights: independent features, whose kernel is the conjugate kernel.

    Raises:
        Unsupported: there are more layers, whose features share what the layers below drew.
    """
    if len(features.layers) > 1:
        raise Unsupported(
            "/model/features/layers",
            f"random_features of {len(features.layers)} layers have no theory with regime.kind = 'dataset', those of one layer"
            " have; for infinitely wide layers use features.kind = 'kernel' with kernel.kind = 'ck'",
        )
    [layer] = features.layers
    infinite = InfiniteLayer(
        activation=layer.activation, weight_variance=layer.weight_variance, bias_variance=layer.bias_variance
    )
    kernel = kernel_schemas.CkKernel(kind="ck", layers=[infinite])
    return PoolFeatures(infinite=schemas.KernelFeatures(kind="kernel", kernel=kernel), width=layer.width)


def kernel_of(kernel: kernel_schemas.Kernel) -> theory.Kernel:
    """Return the kernel that a request names, its parameters by the names of the schema's fields.

    Raises:
        InadmissibleProblem: there is no such kernel; the argument is a path within the request's ``kernel``.
    """
    parameters = {name: value for name, value in kernel.__dict__.items() if name != "kind"}
    if "layers" in parameters:
        parameters["layers"] = random_layers(parameters["layers"])
    built: theory.Kernel = KERNELS[kernel.kind].evaluate(**parameters)
    return built


KERNELS = {
    "rbf": Evaluated(schema=kernel_schemas.RbfKernel, evaluate=theory.Rbf, sources=(EL_KAROUI,)),
    "polynomial": Evaluated(schema=kernel_schemas.PolynomialKernel, evaluate=theory.Polynomial, sources=(EL_KAROUI,)),
    "laplace": Evaluated(schema=kernel_schemas.LaplaceKernel, evaluate=theory.Laplace, sources=(EL_KAROUI,)),
    "exponential": Evaluated(
        schema=kernel_schemas.ExponentialKernel, evaluate=theory.Exponential, sources=(EL_KAROUI,)
    ),
    "ck": Evaluated(schema=kernel_schemas.CkKernel, evaluate=theory.ConjugateKernel, sources=(LEE, FAN_WANG)),
    "ntk": Evaluated(schema=kernel_schemas.NtkKernel, evaluate=theory.NeuralTangentKernel, sources=(JACOT, FAN_WANG)),
}
"""The kernels, by the classes that their schemas' fields are passed to."""


def random_layers(layers: Sequence[Layer | InfiniteLayer]) -> tuple[theory.RandomLayer, ...]:
    """Return the layers that a request names.

    Raises:
        InadmissibleProblem: an activation's parameters do not fit together; the argument is a path from ``layers``.
    """
    return tuple(_layer(position, layer) for position, layer in enumerate(layers))


def activation_of(chosen: Any) -> theory.activations.Activation:
    """Return the activation that a request names.

    Raises:
        InadmissibleProblem: its parameters do not fit together.
    """
    if isinstance(chosen, str):
        return theory.activations.activation(chosen)
    parameters = {key: value for key, value in chosen.__dict__.items() if key != "kind"}
    return theory.activations.activation(str(chosen.kind), **parameters)


def _layer(position: int, layer: Layer | InfiniteLayer) -> theory.RandomLayer:
    try:
        activation = activation_of(layer.activation)
    except InadmissibleProblem as problem:
        raise InadmissibleProblem(str(problem), argument=f"layers/{position}/activation/{problem.argument}") from None
    widths = {"width": layer.width} if isinstance(layer, Layer) else {}
    return theory.RandomLayer(
        activation=activation, weight_variance=layer.weight_variance, bias_variance=layer.bias_variance, **widths
    )
