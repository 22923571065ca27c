"""Finite-size features and exact kernels: their moments, and the kernels that features tend to."""

from itertools import pairwise

import array_api_strict
import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from simulation import (
    ConjugateKernel,
    Exponential,
    InfiniteLayer,
    Laplace,
    Layer,
    Moments,
    Polynomial,
    RandomFeatures,
    RandomFourier,
    RandomProjection,
    Rbf,
    TangentKernel,
)
from theory import InadmissibleProblem
from theory.activations import Activation, activation, dual, dual_slopes, moments


def inputs(count: int = 6, size: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size))


def layer(kind: str, width: int = 50, **others: float) -> Layer:
    return Layer(activation=activation(kind), width=width, **others)


def infinite(kind: str, **others: float) -> InfiniteLayer:
    return InfiniteLayer(activation=activation(kind), **others)


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.sum((left[:, None, :] - right[None, :, :]) ** 2, axis=-1)


def gram_moments(features: object, points: np.ndarray, draws: int) -> list[list[Moments]]:
    rng = np.random.default_rng(3)
    grams = []
    for _ in range(draws):
        mapped = features.apply(features.draw(rng, points.shape[1]), points)
        grams.append(mapped @ mapped.T)
    return [[Moments.of(entry) for entry in row] for row in np.moveaxis(grams, 0, -1)]


def assert_mean(measured: list[list[Moments]], expected: np.ndarray) -> None:
    for row, exact in zip(measured, expected, strict=True):
        for entry, value in zip(row, exact, strict=True):
            # A constant feature scatters by rounding only.
            assert abs(entry.mean - value) <= 4 * entry.standard_error + 1e-14 * abs(value)


# Features whose mean inner product is their kernel at any width.


def test_random_fourier_features_have_half_the_rbf_kernel() -> None:
    points = inputs(4)
    fourier = RandomFourier(frequencies=20, length_scale=0.7)
    assert_mean(gram_moments(fourier, points, 2000), 0.5 * Rbf(length_scale=0.7).matrix(points))
    assert fourier.apply(fourier.draw(np.random.default_rng(0), 12), points).shape == (4, 40)


@pytest.mark.parametrize("kind", ["relu", "erf", "abs", "ternary", "softplus"])
def test_one_layer_has_its_conjugate_kernel(kind: str) -> None:
    points = inputs(4)
    one = RandomFeatures(layers=[layer(kind, 20, weight_variance=1.7, bias_variance=0.3)])
    kernel = ConjugateKernel(layers=[infinite(kind, weight_variance=1.7, bias_variance=0.3)])
    assert_mean(gram_moments(one, points, 2000), kernel.matrix(points))


def test_a_projection_has_the_inner_products_themselves() -> None:
    points = inputs(4)
    assert_mean(gram_moments(RandomProjection(width=20), points, 2000), points @ points.T)


def test_deep_features_tend_to_their_conjugate_kernel() -> None:
    # The gap of three layers is of relative order 1 / sqrt(width).
    points = inputs(4, 30)
    kernel = ConjugateKernel(
        layers=[infinite("relu", bias_variance=0.1), infinite("abs"), infinite("gelu", weight_variance=2.0)]
    )
    gaps = []
    for width in (50, 200, 800, 3200):
        wide = RandomFeatures(
            layers=[
                layer("relu", width, bias_variance=0.1),
                layer("abs", width),
                layer("gelu", width, weight_variance=2.0),
            ]
        )
        mapped = wide.apply(wide.draw(np.random.default_rng(0), 30), points)
        gaps.append(np.sqrt(np.mean((mapped @ mapped.T / kernel.matrix(points) - 1.0) ** 2)))
    assert gaps[-1] < 5 / np.sqrt(3200)
    assert all(wider < narrower for narrower, wider in pairwise(gaps[::2]))


def test_layers_have_their_variances() -> None:
    # E h^2 of every layer is that of the Gaussian recursion, up to the finite width of those below.
    points = inputs(200, 300)
    layers = [layer("tanh", 1500, weight_variance=1.5, bias_variance=0.2), layer("relu", 1500, weight_variance=0.7)]
    below = 1.0
    for depth in (1, 2):
        top = layers[depth - 1]
        below = top.weight_variance * below + top.bias_variance
        below = float(moments(top.activation, below).square)
        network = RandomFeatures(layers=layers[:depth])
        mapped = network.apply(network.draw(np.random.default_rng(1), 300), points)
        np.testing.assert_allclose(np.mean(np.sum(mapped**2, axis=1)), below, rtol=0.03)


# Exact kernels.


def test_kernels_are_their_formulas() -> None:
    left, right = inputs(5), inputs(3, seed=1)
    squared, products = squared_distances(left, right), left @ right.T / 12
    for kernel, expected in (
        (Rbf(length_scale=0.8), np.exp(-squared / (2 * 0.64 * 12))),
        (Laplace(length_scale=0.8), np.exp(-np.sqrt(squared) / (0.8 * np.sqrt(12)))),
        (Polynomial(degree=3, offset=0.5), (0.5 + products) ** 3),
        (Exponential(rate=1.5), np.exp(1.5 * products)),
    ):
        np.testing.assert_allclose(kernel.matrix(left, right), expected, rtol=1e-12)


def test_kernels_agree_with_scikit_learn() -> None:
    left, right = inputs(5), inputs(3, seed=1)
    np.testing.assert_allclose(
        Rbf(length_scale=0.8).matrix(left, right), rbf_kernel(left, right, gamma=1 / (2 * 0.64 * 12)), rtol=1e-12
    )
    np.testing.assert_allclose(
        Polynomial(degree=4, offset=0.5).matrix(left, right),
        polynomial_kernel(left, right, degree=4, gamma=1 / 12, coef0=0.5),
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    "kernel", [Rbf(), Laplace(), Polynomial(degree=2), Exponential()], ids=lambda k: type(k).__name__
)
def test_an_input_meets_itself_exactly(kernel: object) -> None:
    points = 1e3 + inputs(4)
    matrix = kernel.matrix(points * 1e-3)
    np.testing.assert_array_equal(matrix, matrix.T)
    if isinstance(kernel, Rbf | Laplace):
        np.testing.assert_array_equal(np.diagonal(matrix), np.ones(4))


# Networks of infinite width.


def by_hand(phi: Activation, covariance: np.ndarray, average: object = dual) -> np.ndarray:
    variances = np.diagonal(covariance)
    return average(phi, variances[:, None], variances[None, :], covariance)


@pytest.mark.parametrize("kind", ["tanh", "erf", "gelu", "sigmoid"])
def test_networks_follow_their_recursions(kind: str) -> None:
    points = inputs(5)
    phi = activation(kind)
    first = 1.5 * (points @ points.T / 12) + 0.2
    second = 0.8 * by_hand(phi, first) + 0.1
    layers = [
        infinite(kind, weight_variance=1.5, bias_variance=0.2),
        infinite(kind, weight_variance=0.8, bias_variance=0.1),
    ]
    np.testing.assert_allclose(ConjugateKernel(layers=layers).matrix(points), by_hand(phi, second), rtol=1e-9)
    tangent = second + 0.8 * first * by_hand(phi, first, dual_slopes)
    tangent = 0.8 * by_hand(phi, second) + 0.1 + 0.8 * tangent * by_hand(phi, second, dual_slopes)
    np.testing.assert_allclose(TangentKernel(layers=layers).matrix(points), tangent, rtol=1e-7)


def test_the_relu_tangent_kernel_is_the_arc_cosine_formula() -> None:
    # One hidden layer, weights of variance 2: |x||x'|/d (2 k1 of the cosine + cosine k0), k0 and k1 the arc-cosine kernels.
    left, right = inputs(5), inputs(4, seed=1)
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)[None, :]
    cosine = left @ right.T / lengths
    k0 = (np.pi - np.arccos(cosine)) / np.pi
    k1 = (cosine * (np.pi - np.arccos(cosine)) + np.sqrt(1 - cosine**2)) / np.pi
    expected = lengths / 12 * 2.0 * (k1 + cosine * k0)
    np.testing.assert_allclose(
        TangentKernel(layers=[infinite("relu", weight_variance=2.0)]).matrix(left, right), expected, rtol=1e-12
    )


@pytest.mark.parametrize("kind", ["relu", "tanh", "erf"])
def test_the_tangent_kernel_is_that_of_gradients(kind: str) -> None:
    # Gradients of a wide network's output by all its weights and biases, written out for one hidden layer.
    points = inputs(3)
    phi, width, a, b = activation(kind), 400, 1.5, 0.2
    rng = np.random.default_rng(0)
    grams = []
    for _ in range(400):
        hidden = np.sqrt(a / 12) * points @ rng.standard_normal((12, width)) + np.sqrt(b) * rng.standard_normal(width)
        readout = rng.standard_normal(width)
        back = np.sqrt(a / width) * readout * phi.slope(hidden)
        grams.append(
            a / width * phi.value(hidden) @ phi.value(hidden).T + b + (back @ back.T) * (a * points @ points.T / 12 + b)
        )
    kernel = TangentKernel(layers=[infinite(kind, weight_variance=a, bias_variance=b)])
    assert_mean([[Moments.of(entry) for entry in row] for row in np.moveaxis(grams, 0, -1)], kernel.matrix(points))


@pytest.mark.parametrize("kind", ["tanh", "softplus", "ternary"])
def test_series_are_the_integrals(kind: str) -> None:
    # In five dimensions some pairs are too close for the series; equal inputs never are.
    left, right = inputs(6, 5), inputs(2, 5, seed=1)
    phi = activation(kind)
    variances = [np.sum(points**2, axis=1) / 5 for points in (left, right)]
    expected = dual(phi, variances[0][:, None], variances[1][None, :], left @ right.T / 5)
    kernel = ConjugateKernel(layers=[infinite(kind)])
    np.testing.assert_allclose(kernel.matrix(left, right), expected, rtol=0, atol=2e-12 * np.max(np.abs(expected)))
    np.testing.assert_allclose(np.diagonal(kernel.matrix(left)), moments(phi, variances[0]).square, rtol=1e-12)


# Every namespace, every domain.


@pytest.mark.parametrize(
    "features",
    [
        RandomFeatures(layers=[layer("gelu", bias_variance=0.5), layer("erf", 30)]),
        RandomFourier(frequencies=20),
        RandomProjection(width=20),
    ],
    ids=lambda features: type(features).__name__,
)
def test_every_namespace_maps_the_same(features: object) -> None:
    weights = features.draw(np.random.default_rng(0), 12)
    plain = features.apply(weights, inputs())
    strict = features.apply([array_api_strict.asarray(array) for array in weights], array_api_strict.asarray(inputs()))
    np.testing.assert_allclose(np.asarray(strict), plain, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "kernel",
    [
        Rbf(),
        Laplace(),
        Polynomial(degree=3),
        Exponential(),
        ConjugateKernel(layers=[infinite("relu")]),
        TangentKernel(layers=[infinite("erf")]),
    ],
    ids=lambda kernel: type(kernel).__name__,
)
def test_every_namespace_has_the_same_kernel(kernel: object) -> None:
    for right in (None, inputs(3, seed=1)):
        strict = kernel.matrix(
            array_api_strict.asarray(inputs()), None if right is None else array_api_strict.asarray(right)
        )
        assert isinstance(strict, type(array_api_strict.asarray(0.0)))
        np.testing.assert_allclose(np.asarray(strict), kernel.matrix(inputs(), right), rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layer("relu", 2.5), r"width must be a whole number, at least 1, got 2\.5"),
        (lambda: layer("relu", 0), "width must be a whole number, at least 1, got 0"),
        (lambda: layer("relu", weight_variance=0.0), r"weight_variance must be positive and finite, got 0\.0"),
        (lambda: layer("relu", bias_variance=-1.0), "bias_variance must be finite and at least 0"),
        (lambda: RandomFeatures(layers=[]), "random features need at least one layer"),
        (lambda: RandomProjection(width=np.inf), "width must be a whole number"),
        (lambda: RandomFourier(frequencies=0), "frequencies must be a whole number, at least 1, got 0"),
        (
            lambda: RandomFourier(frequencies=1, length_scale=-1.0),
            r"length_scale must be positive and finite, got -1\.0",
        ),
        (lambda: Rbf(length_scale=0.0), "length_scale must be positive"),
        (lambda: Laplace(length_scale=np.inf), "length_scale must be positive"),
        (lambda: Polynomial(degree=1.5), r"degree must be a whole number, at least 1, got 1\.5"),
        (lambda: Polynomial(degree=2, offset=-1.0), "offset must be finite and at least 0"),
        (lambda: Exponential(rate=0.0), "rate must be positive"),
        (lambda: ConjugateKernel(layers=[]), "at least one layer"),
        (lambda: infinite("relu", weight_variance=-1.0), "weight_variance must be positive"),
        (lambda: TangentKernel(layers=[infinite("sign")]), "'sign' jumps, so its tangent kernel is infinite"),
    ],
)
def test_inadmissible_maps_say_which_rule_they_break(build: object, message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        build()
