"""From the features of a request to what :mod:`simulation` draws, and to kernels as they are on inputs."""

from collections.abc import Callable
from typing import Any

import simulation
from workers.features import activation_of

FEATURES: dict[str, Callable[..., Any]] = {
    "linear": simulation.LinearFeatures,
    "random_features": simulation.RandomFeatures,
    "random_fourier": simulation.RandomFourier,
    "random_projection": simulation.RandomProjection,
    "rbf": simulation.Rbf,
    "polynomial": simulation.Polynomial,
    "laplace": simulation.Laplace,
    "exponential": simulation.Exponential,
    "ck": simulation.ConjugateKernel,
    "ntk": simulation.TangentKernel,
}


def features_of(features: Any) -> Any:
    """Return the features, or the kernel, that a request names."""
    part = features.kernel if features.kind == "kernel" else features
    fields = {name: value for name, value in part.__dict__.items() if name != "kind"}
    if "layers" in fields:
        row = simulation.InfiniteLayer if features.kind == "kernel" else simulation.Layer
        fields["layers"] = [
            row(**{**layer.__dict__, "activation": activation_of(layer.activation)}) for layer in part.layers
        ]
    return FEATURES[part.kind](**fields)
