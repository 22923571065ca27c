"""Averages over two pre-activations: independent sums, limits, derivatives, and the kernels of deep networks made of them."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.theory.strategies import REPRODUCIBLE, magnitudes
from theory.activations import (
    ACTIVATIONS,
    Activation,
    activation,
    bias_averages,
    dual,
    dual_curvatures,
    dual_slopes,
    hermite_coefficients,
    moments,
)
from theory.covariance import InadmissibleProblem

RTOL = 1e-12
EVERY = [
    *(activation(kind) for kind in ACTIVATIONS),
    activation("leaky_relu", negative_slope=0.3),
    activation("ternary", low=-0.4, high=0.7),
]
CLOSED = [phi for phi in EVERY if type(phi).dual is not Activation.dual]
every = pytest.mark.parametrize("phi", EVERY, ids=str)
VARIANCES = [(1e-3, 1e-3), (1.0, 1.0), (0.3, 5.0), (40.0, 2.0), (1e3, 1e3)]
CORRELATIONS = [0.0, 1e-7, 0.3, -0.6, 0.95, 1.0 - 1e-6, -1.0 + 1e-6, 1.0 - 1e-12, 1.0, -1.0]
DUALS = {"dual": dual, "dual_slopes": dual_slopes, "dual_curvatures": dual_curvatures}


def assert_close(actual: np.ndarray, expected: np.ndarray, *, rtol: float = RTOL, atol: float = 0.0) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def trapezoidal(phi: Activation, variance_u: float, variance_v: float, correlation: float) -> tuple[float, float]:
    """E phi phi and E phi' phi' by the trapezoidal rule in the plane, which converges exponentially for analytic phi."""
    strip = {"tanh": math.pi / 2, "sigmoid": math.pi, "softplus": math.pi}[phi.kind]
    deviation = math.sqrt(max(variance_u, variance_v))
    # The pole in u is half as far for the sum of both coordinates in v.
    step = min(2.0 * math.pi * strip / (48.0 * deviation), 0.4)
    z = np.arange(-math.ceil(8.7 / step), math.ceil(8.7 / step) + 1) * step
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    u = math.sqrt(variance_u) * z
    values = slopes = 0.0
    for block in np.array_split(np.arange(z.size), 1 + z.size // 200):
        v = math.sqrt(variance_v) * (
            correlation * z + math.sqrt((1.0 - correlation) * (1.0 + correlation)) * z[block, None]
        )
        joint = weight[block, None] * weight
        values += np.sum(joint * phi.value(u) * phi.value(v))
        slopes += np.sum(joint * phi.slope(u) * phi.slope(v))
    return float(values), float(slopes)


@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "softplus"])
@pytest.mark.parametrize(
    ("variance_u", "variance_v", "correlation"),
    [(1.0, 1.0, 0.5), (1.0, 1.0, -0.97), (1e-3, 4.0, 0.2), (9.0, 2.0, 0.999), (1.0, 1.0, 1.0), (1e3, 1e3, -0.4)],
)
def test_quadrature_in_the_plane(kind: str, variance_u: float, variance_v: float, correlation: float) -> None:
    phi, covariance = activation(kind), correlation * math.sqrt(variance_u * variance_v)
    values, slopes = trapezoidal(phi, variance_u, variance_v, correlation)
    # The sum in the plane has absolute errors only, which odd functions of little correlation feel.
    assert_close(dual(phi, variance_u, variance_v, covariance), values, atol=1e-15)
    assert_close(dual_slopes(phi, variance_u, variance_v, covariance), slopes)


def reaches(phi: Activation, variance: float) -> bool:
    """Whether quadrature sees the activation: its thresholds, or its waves before they average out."""
    if phi.kind in {"sin", "cos"}:
        return variance < 10.0
    return all(abs(place) < 8.0 * math.sqrt(variance) for place, _ in phi.discontinuities)


@pytest.mark.parametrize("phi", CLOSED, ids=str)
@pytest.mark.parametrize("name", DUALS)
def test_closed_forms_agree_with_conditioning(phi: Activation, name: str) -> None:
    # Averages over the shared part of products of one-point averages: another road to the same numbers. Where phi breaks
    # the derivatives are singular at perfect correlation, and conditioning, which smooths over 1e-15, loses digits beside it.
    regular = name == "dual" or (phi.is_continuous and not phi.kinks)
    for variance_u, variance_v in VARIANCES:
        if not (reaches(phi, variance_u) and reaches(phi, variance_v)):
            continue
        largest = math.sqrt(variance_u * variance_v)
        for correlation in CORRELATIONS:
            if not regular and abs(correlation) > 0.9999:
                continue
            arguments = [np.array(x) for x in (variance_u, variance_v, correlation * largest)]
            closed, conditioned = getattr(phi, name)(*arguments), getattr(Activation, name)(phi, *arguments)
            # Perfectly opposite pre-activations have 0 where one of them is cut off: digits of the parts are left.
            size = float(getattr(phi, name)(arguments[0], arguments[0], 0.99 * arguments[0]))
            assert_close(closed, conditioned, rtol=3e-12, atol=1e-13 * abs(size) if correlation < 0 else 1e-16)


@every
@pytest.mark.parametrize("variance", [1e-3, 0.2, 1.0, 30.0, 1e3])
def test_uncorrelated_pre_activations_factor(phi: Activation, variance: float) -> None:
    one, other = moments(phi, variance), moments(phi, 2.0 * variance)
    for function, name in [(dual, "mean"), (dual_slopes, "slope"), (dual_curvatures, "curvature")]:
        expected = getattr(one, name) * getattr(other, name)
        assert_close(function(phi, variance, 2.0 * variance, 0.0), expected, atol=1e-300)


@every
@pytest.mark.parametrize("variance", [1e-3, 0.2, 1.0, 30.0, 1e3])
def test_equal_pre_activations_square(phi: Activation, variance: float) -> None:
    averages = moments(phi, variance)
    assert_close(dual(phi, variance, variance, variance), averages.square)
    assert_close(dual_slopes(phi, variance, variance, variance), averages.square_slope)


@every
@pytest.mark.parametrize(("variance_u", "variance_v"), [(1.0, 1.0), (0.3, 5.0)])
def test_duals_are_each_others_derivatives_by_the_covariance(
    phi: Activation, variance_u: float, variance_v: float
) -> None:
    # Price's theorem, integrated: exactly, but for rounding.
    nodes, weights = np.polynomial.legendre.leggauss(20)
    for low, high in [(-0.6, 0.2), (0.2, 0.6)]:
        low, high = low * math.sqrt(variance_u * variance_v), high * math.sqrt(variance_u * variance_v)  # noqa: PLW2901
        between = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        for function, derivative in [(dual, dual_slopes), (dual_slopes, dual_curvatures)]:
            difference = float(np.diff(function(phi, variance_u, variance_v, np.array([low, high])))[0])
            integral = 0.5 * (high - low) * float(weights @ derivative(phi, variance_u, variance_v, between))
            assert_close(difference, integral, rtol=1e-11, atol=1e-15)


@every
def test_hermite_series(phi: Activation) -> None:
    coefficients = hermite_coefficients(phi, 0.7, 64)
    for correlation in (-0.4, 0.1, 0.5):
        series = np.sum(coefficients**2 * correlation ** np.arange(64))
        assert_close(dual(phi, 0.7, 0.7, 0.7 * correlation), series, atol=1e-15)


@pytest.mark.parametrize("kind", ["relu", "abs", "sign", "erf", "tanh", "softplus", "gelu", "ternary"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_beside_perfect_correlation(kind: str, sign: float) -> None:
    # E phi(u) phi(±v) leaves its limit as -(q/2) E phi'(u) phi'(±u) (2 (1 - rho)) / 2 if phi' is finite, as a root if not.
    phi, gap = activation(kind), np.array([1e-13, 1e-11, 1e-9, 1e-7])
    limit = dual(phi, 1.0, 1.0, sign)
    change = np.abs(limit - dual(phi, 1.0, 1.0, sign * (1.0 - gap)))
    if phi.is_continuous:
        slope = abs(dual_slopes(phi, 1.0, 1.0, sign))
        assert np.all(np.abs(change - slope * gap) <= 1e-15 + gap**1.49)
    else:
        jumps = sum(jump**2 * math.exp(-0.5 * place**2) for place, jump in phi.discontinuities)
        assert_close(change, jumps * np.sqrt(2.0 * gap) / (2.0 * math.pi), rtol=3e-3)


@pytest.mark.parametrize("gap", [1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
def test_opposite_rectifiers_keep_their_digits(gap: float) -> None:
    # For t = pi - angle, relu's dual is (sin t - t cos t) / (2 pi), t^3 / (6 pi) as t -> 0.
    covariance = -(1.0 - gap)
    exact_gap = 1.0 + covariance
    t = 2.0 * math.asin(math.sqrt(exact_gap / 2.0))
    series = (t**3 / 3.0 - t**5 / 30.0 + t**7 / 840.0 - t**9 / 45360.0) / (2.0 * math.pi)
    assert_close(dual(activation("relu"), 1.0, 1.0, covariance), series)
    assert_close(dual_slopes(activation("relu"), 1.0, 1.0, covariance), t / (2.0 * math.pi))


@given(
    kind=st.sampled_from(sorted(ACTIVATIONS)),
    variance_u=magnitudes(3.0),
    variance_v=magnitudes(3.0),
    correlation=st.floats(-1.0, 1.0),
)
@REPRODUCIBLE
def test_cauchy_schwarz(kind: str, variance_u: float, variance_v: float, correlation: float) -> None:
    phi, covariance = activation(kind), correlation * math.sqrt(variance_u * variance_v)
    u, v = moments(phi, variance_u), moments(phi, variance_v)
    assert abs(dual(phi, variance_u, variance_v, covariance)) <= math.sqrt(u.square * v.square) * (1.0 + RTOL)
    slopes = abs(dual_slopes(phi, variance_u, variance_v, covariance))
    assert slopes <= math.sqrt(u.square_slope * v.square_slope) * (1.0 + RTOL)
    swapped = dual(phi, variance_v, variance_u, covariance)
    assert_close(dual(phi, variance_u, variance_v, covariance), swapped, atol=1e-15)


# The kernels of deep networks, deep.md section 4: recursion over layers, and its reference numbers.


class Layer(NamedTuple):
    kind: str
    weight_variance: float
    bias_variance: float = 0.0


def kernels(layers: list[Layer]) -> list[float]:
    """CK: weight of 11', of XX'/d, diagonal; NTK: the same three; for inputs of unit mean variance."""
    first = layers[0]
    q, s, a = first.weight_variance + first.bias_variance, first.bias_variance, first.weight_variance
    theta, omega, beta = q, s, a
    ck = [0.0] * 3
    for layer in layers:
        phi, sw2, sb2 = activation(layer.kind), layer.weight_variance, layer.bias_variance
        averages, whole = bias_averages(phi, q, s), moments(phi, q)
        big_a = a * averages.slope
        ck = [averages.mean, big_a, float(whole.square) - averages.mean - big_a]
        beta = sw2 * big_a + sw2 * (beta * averages.slope + omega * a * averages.curvature)
        theta, omega = (
            sw2 * float(whole.square) + sb2 + sw2 * theta * float(whole.square_slope),
            (sw2 * averages.mean + sb2 + sw2 * omega * averages.slope),
        )
        q, s, a = sw2 * float(whole.square) + sb2, sw2 * averages.mean + sb2, sw2 * big_a
    return [*ck, omega, beta, theta - omega - beta]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Layer("relu", 2.0)], [0.31830989, 0.5, 0.18169011, 0.63661977, 2.0, 1.36338023]),
        (
            [Layer("relu", 2.0)] * 3,
            [0.60482572, 0.20034502, 0.19482926, 2.12077621, 1.82514615, 4.05407763],
        ),
        (
            [Layer("relu", 2.0, 0.1)] * 3,
            [0.73716813, 0.21910530, 0.19372657, 2.80631898, 2.05208216, 4.14159887],
        ),
        (
            [Layer("erf", 2.0, 0.05)] * 2,
            [0.02745231, 0.36598311, 0.11142344, 0.17814245, 2.19799689, 1.77220679],
        ),
        ([Layer("tanh", 1.5)] * 2, [0.0, 0.28459353, 0.04653146, 0.0, 1.28067091, 0.47808164]),
        ([Layer("gelu", 2.0)] * 2, [0.30566158, 0.29376489, 0.24446718, 0.86067854, 1.85166316, 2.67511193]),
        (
            [Layer("sin", 1.0, 0.5), Layer("abs", 1.0, 0.5)],
            [0.74948461, 0.10958394, 0.11603791, 1.57268496, 0.51136823, 1.15350003],
        ),
    ],
    ids=["relu", "relu^3", "relu^3 with bias", "erf^2 with bias", "tanh^2", "gelu^2", "sin,abs with bias"],
)
def test_reference_numbers_of_deep_kernels(layers: list[Layer], expected: list[float]) -> None:
    assert_close(kernels(layers), expected, rtol=0.0, atol=5.1e-9)


def test_a_deep_relu_network_forgets_its_input() -> None:
    # The correlation of any two inputs tends to 1 as 1 - (9 pi^2 / 2) / depth^2; the frozen share reaches .99 and beyond.
    relu, share = activation("relu"), 0.0
    for _ in range(300):
        share = 2.0 * bias_averages(relu, 1.0, share).mean
    assert_close((1.0 - share) * 300.0**2, 4.5 * math.pi**2, rtol=0.1)


# Refusals.


def test_refused_covariances() -> None:
    relu = activation("relu")
    for function in DUALS.values():
        with pytest.raises(InadmissibleProblem, match=r"covariance must lie within .* = ±2\.0, got 2\.1; clip it"):
            function(relu, 1.0, 4.0, [0.5, 2.1])
        with pytest.raises(InadmissibleProblem, match="variance_v must be positive and finite, got"):
            function(relu, 1.0, 0.0, 0.0)
        with pytest.raises(InadmissibleProblem, match="covariance must be finite, got nan"):
            function(relu, 1.0, 1.0, math.nan)
    # Rounding is forgiven.
    assert_close(dual(relu, 1.0, 1.0, 1.0 + 1e-12), 0.5)
    assert dual(relu, np.ones((2, 1)), np.ones(3), 0.5).shape == (2, 3)
