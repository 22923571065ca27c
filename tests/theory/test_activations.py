"""Activations and their one-point averages, against forty-digit sums, closed forms against quadrature, and identities."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfcx

from tests.theory.strategies import REPRODUCIBLE, magnitudes
from theory.activations import ACTIVATIONS, Activation, activation, bias_averages, hermite_coefficients, moments
from theory.covariance import InadmissibleProblem

RTOL = 1e-12
VARIANCES = np.geomspace(1e-3, 1e3, 13)
NAMES = ("mean", "mean_slope", "mean_curvature", "mean_square", "mean_square_slope", "nonlinear_variance")
EVERY = [
    *(activation(kind) for kind in ACTIVATIONS),
    activation("leaky_relu", negative_slope=0.3),
    activation("ternary", low=-0.4, high=0.7),
]
every = pytest.mark.parametrize("phi", EVERY, ids=str)


def assert_close(actual: np.ndarray, expected: np.ndarray, *, rtol: float = RTOL, atol: float = 0.0) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


# Forty digits. The trapezoidal rule over z converges exponentially for analytic functions; by subtraction of large
# moments, which loses up to 15 digits at small variances, and by Stein's lemma, so that nothing is shared with the code.


def exact_moments(kind: str, variance: float, shift: float) -> dict[str, float]:
    value, slope, strip, growth = ANALYTIC[kind]
    deviation = math.sqrt(variance)
    # The error is exp(-2 pi (distance to the nearest pole) / step), or of that order where the function grows there.
    step = min(2.0 * math.pi * strip / (72.0 * deviation), 0.5 / math.sqrt(1.0 + growth * variance))
    with localcontext(prec=45):
        h, s, b = Decimal(step), Decimal(variance).sqrt(), Decimal(shift)
        sums = [Decimal(0)] * 6
        for k in range(-math.ceil(13.0 / step), math.ceil(13.0 / step) + 1):
            z = k * h
            weight = (-z * z / 2).exp()
            u = b + s * z
            phi, prime = value(u), slope(u)
            terms = (1, phi, phi * z, phi * (z * z - 1), phi * phi, prime * prime)
            sums = [total + weight * term for total, term in zip(sums, terms, strict=True)]
        mass, m0, m1, m2, square, square_slope = sums
        m0, m1, m2, square = m0 / mass, m1 / mass, m2 / mass, square / mass
        return {
            "mean": float(m0),
            "mean_slope": float(m1 / s),
            "mean_curvature": float(m2 / (s * s)),
            "mean_square": float(square),
            "mean_square_slope": float(square_slope / mass),
            "nonlinear_variance": float(square - m0 * m0 - m1 * m1),
        }


def exact_tanh(u: Decimal) -> Decimal:
    decay = (-2 * abs(u)).exp()
    return ((1 - decay) / (1 + decay)).copy_sign(u)


def exact_sigmoid(u: Decimal) -> Decimal:
    return 1 / (1 + (-u).exp())


def exact_erf(u: Decimal) -> Decimal:
    if abs(u) > 11:
        return Decimal(1).copy_sign(u)
    term = total = u
    order = 0
    while abs(term) > abs(total) * Decimal("1e-46"):
        order += 1
        term = term * 2 * u * u / (2 * order + 1)
        total += term
    return 2 * total * (-u * u).exp() / PI.sqrt()


def exact_gelu(u: Decimal) -> Decimal:
    return u * (1 + exact_erf(u / Decimal(2).sqrt())) / 2


def exact_gelu_slope(u: Decimal) -> Decimal:
    return (1 + exact_erf(u / Decimal(2).sqrt())) / 2 + u * (-u * u / 2).exp() / (2 * PI).sqrt()


PI = Decimal("3.14159265358979323846264338327950288419716939937510582")
ANALYTIC: dict[str, tuple[Callable[[Decimal], Decimal], Callable[[Decimal], Decimal], float, float]] = {
    "tanh": (exact_tanh, lambda u: 1 - exact_tanh(u) ** 2, math.pi / 2, 0.0),
    "sigmoid": (exact_sigmoid, lambda u: exact_sigmoid(u) * exact_sigmoid(-u), math.pi, 0.0),
    "softplus": (lambda u: (1 + u.exp()).ln(), exact_sigmoid, math.pi, 0.0),
    "erf": (exact_erf, lambda u: 2 * (-u * u).exp() / PI.sqrt(), math.inf, 4.0),
    "gelu": (exact_gelu, exact_gelu_slope, math.inf, 2.0),
}
"""phi, phi', distance of the nearest pole to the real axis, and c of growth like exp(c y^2 / 2) along the imaginary one."""

REFERENCE_CASES = [
    (kind, variance, shift)
    for kind in ANALYTIC
    for variance, shifts in {
        1e-3: (0.0, 1e-9, 0.7, -3.0),
        0.04: (0.0, -0.3),
        1.0: (0.0, 1e-6, 2.0, -4.0),
        30.0: (0.0, -1.0),
        1e3: (0.0, 2.0),
    }.items()
    for shift in shifts
    if variance < 1e3 or kind in {"tanh", "softplus"}
]


@pytest.mark.parametrize(("kind", "variance", "shift"), REFERENCE_CASES)
def test_averages_have_twelve_digits(kind: str, variance: float, shift: float) -> None:
    phi, shift = activation(kind), shift * math.sqrt(variance)
    exact = exact_moments(kind, variance, shift)
    square = exact["mean_square"]
    for name in NAMES:
        average = float(getattr(phi, name)(np.array(variance), np.array(shift)))
        # gelu's first two averages and tanh's second cross zero: there, digits of their parts are what one can have.
        floor = 1e-15 * math.sqrt(square) if phi.parity != "odd" and name == "mean" else 0.0
        assert_close(average, exact[name], rtol=5e-14, atol=floor + 1e-29)


@pytest.mark.parametrize("variance", VARIANCES)
def test_nonlinear_variance_of_erf_by_its_series(variance: float) -> None:
    # (2 / pi)(asin x - x) at x = 2q / (1 + 2q).
    x = 2.0 * variance / (1.0 + 2.0 * variance)
    terms = [math.comb(2 * k, k) / 4.0**k / (2 * k + 1) * x ** (2 * k + 1) for k in range(1, 400)]
    expected = 2.0 / math.pi * (math.fsum(terms) if x < 0.9 else math.asin(x) - x)
    assert_close(moments(activation("erf"), variance).nonlinear_variance, expected)


@every
@pytest.mark.parametrize("standardised", [0.0, 1e-6, 0.3, -1.0, 3.0, -6.0, -9.0])
@pytest.mark.parametrize("name", NAMES)
def test_closed_forms_agree_with_quadrature(phi: Activation, name: str, standardised: float) -> None:
    # Beyond 15 standard deviations quadrature sees nothing, as where a threshold is 0.5 and the variance 1e-3; sin and
    # cos at variance 1e3 average to 1e-217. sigmoid is the other way about: its override keeps the digits.
    variances = VARIANCES[VARIANCES < 70.0] if phi.kind in {"sin", "cos"} else VARIANCES
    shift = standardised * np.sqrt(variances)
    closed, quadrature = getattr(phi, name)(variances, shift), getattr(Activation, name)(phi, variances, shift)
    assert_close(closed, quadrature, atol=1e-35 if phi.kind not in {"sin", "cos", "sigmoid"} else 3e-15)


@every
def test_stein(phi: Activation) -> None:
    for variance, shift in [(0.5, 0.0), (1.3, 0.8), (20.0, -2.0)]:
        grid = phi.grid(np.array(variance), np.array(shift))
        values, s = phi.value(grid.u), math.sqrt(variance)
        averages = moments(phi, variance, shift)
        assert_close(averages.mean, grid.average(values), atol=1e-14)
        assert_close(averages.slope, grid.average(values * grid.z) / s, atol=1e-14)
        assert_close(averages.curvature, grid.average(values * (grid.z**2 - 1.0)) / variance, atol=1e-13)


@every
def test_derivatives(phi: Activation) -> None:
    # The integral of phi' (and of phi'') between breaks is the difference of phi (of phi').
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for low, high in [(-3.0, -2.1), (-1.9, -0.8), (-0.35, -0.05), (0.05, 0.45), (0.8, 1.9), (2.5, 4.0)]:
        u = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        ends = np.array([low, high])
        for function, derivative in [(phi.value, phi.slope), (phi.slope, phi.curvature)]:
            assert_close(0.5 * (high - low) * (weights @ derivative(u)), np.diff(function(ends))[0], atol=1e-14)


@every
def test_breaks(phi: Activation) -> None:
    for place, jump in phi.discontinuities:
        left, right = phi.value(np.array([place - 1e-9, place + 1e-9]))
        assert_close(right - left, jump)
    for place, jump in phi.kinks:
        left, right = phi.slope(np.array([place - 1e-9, place + 1e-9]))
        assert_close(right - left, jump)
    assert phi.is_continuous == (phi.kind not in {"sign", "ternary"})
    assert np.all(np.isfinite(moments(phi, VARIANCES).square_slope)) == phi.is_continuous


@every
def test_parity(phi: Activation) -> None:
    u = np.linspace(-7.0, 7.0, 101)
    odd, even = np.array_equal(phi.value(-u), -phi.value(u)), np.array_equal(phi.value(-u), phi.value(u))
    assert phi.parity == ("odd" if odd else "even" if even else None)
    centred = moments(phi, VARIANCES)
    if odd:
        assert np.all(centred.mean == 0.0)
        assert np.all(centred.curvature == 0.0)
    if even:
        assert np.all(centred.slope == 0.0)


@every
def test_the_energy_of_an_activation_is_that_of_its_parts(phi: Activation) -> None:
    for standardised in (0.0, 0.4, -2.0, 5.0):
        parts = moments(phi, VARIANCES, standardised * np.sqrt(VARIANCES))
        whole = parts.mean**2 + VARIANCES * parts.slope**2 + parts.nonlinear_variance
        assert_close(whole, parts.square, rtol=3e-14)
        assert np.all(parts.nonlinear_variance >= 0.0)


def test_a_straight_line_has_no_nonlinear_part() -> None:
    for phi in (activation("linear"), activation("leaky_relu", negative_slope=1.0)):
        assert np.all(moments(phi, VARIANCES, 0.3).nonlinear_variance == 0.0)
        assert np.all(Activation.nonlinear_variance(phi, VARIANCES, np.zeros_like(VARIANCES)) == 0.0)


def test_leaky_relu_contains_relu() -> None:
    leaky, relu = activation("leaky_relu", negative_slope=0.0), activation("relu")
    for name in NAMES:
        shift = 0.2 * VARIANCES
        np.testing.assert_array_equal(getattr(leaky, name)(VARIANCES, shift), getattr(relu, name)(VARIANCES, shift))


@pytest.mark.parametrize("phi", [activation("relu"), activation("abs"), activation("leaky_relu")], ids=str)
@given(scale=magnitudes(3.0), variance=magnitudes(2.0), shift=st.floats(-3.0, 3.0))
@REPRODUCIBLE
def test_rectifiers_are_homogeneous(phi: Activation, scale: float, variance: float, shift: float) -> None:
    plain, scaled = moments(phi, variance, shift), moments(phi, variance * scale**2, shift * scale)
    assert_close(scaled.mean, scale * plain.mean, atol=1e-14 * scale)
    assert_close(scaled.slope, plain.slope)
    assert_close(scaled.curvature, plain.curvature / scale)
    assert_close(scaled.square, scale**2 * plain.square)
    assert_close(scaled.nonlinear_variance, scale**2 * plain.nonlinear_variance)


@given(
    low=st.floats(-3.0, 1.0),
    gap=st.floats(1e-3, 4.0),
    negative_slope=st.floats(0.0, 1.0),
    variance=magnitudes(3.0),
    standardised=st.floats(-5.0, 5.0),
)
@REPRODUCIBLE
def test_parameters(low: float, gap: float, negative_slope: float, variance: float, standardised: float) -> None:
    for phi in (
        activation("ternary", low=low, high=low + gap),
        activation("leaky_relu", negative_slope=negative_slope),
    ):
        v, b = np.array(variance), np.array(standardised * math.sqrt(variance))
        for name in NAMES:
            scale = math.sqrt(variance) if phi.is_continuous else 1.0
            closed, quadrature = getattr(phi, name)(v, b), getattr(Activation, name)(phi, v, b)
            size = {"mean": scale, "mean_slope": scale / math.sqrt(variance), "mean_curvature": scale / variance}
            assert_close(closed, quadrature, atol=1e-14 * size.get(name, scale**2 * 1e-6))


# Reference numbers: regression.md section 2 and deep.md section 7.


def test_reference_numbers_of_relu() -> None:
    relu = moments(activation("relu"), 1.0)
    assert_close(relu.mean, 1.0 / math.sqrt(2.0 * math.pi))
    assert_close(relu.slope, 0.5)
    assert_close(relu.nonlinear_variance, 0.25 - 0.5 / math.pi, rtol=1e-14)
    assert_close(relu.nonlinear_variance, 0.09084505690810, atol=5e-15)
    expected = [0.39894228, 0.5, 0.28209479, 0.0, -0.08143375, 0.0, 0.04460310]
    assert_close(hermite_coefficients(activation("relu"), 1.0, 7), expected, atol=5e-9)


@every
def test_hermite_coefficients(phi: Activation) -> None:
    for variance in (0.3, 2.0):
        coefficients = hermite_coefficients(phi, variance, 40)
        averages = moments(phi, variance)
        expected = [averages.mean, math.sqrt(variance) * averages.slope, variance * averages.curvature / math.sqrt(2.0)]
        assert_close(coefficients[:3], expected, atol=1e-14)
        rest = np.sum(coefficients[2:] ** 2)
        assert rest <= averages.nonlinear_variance * (1.0 + 1e-12) + 1e-15
        if phi.kind in {"sin", "cos", "quadratic"}:
            assert_close(rest, averages.nonlinear_variance)


# What deep chains read: averages over frozen parts.


@cache
def dense_biases() -> tuple[np.ndarray, np.ndarray]:
    step = 1e-3
    nodes = (np.arange(-9_000, 9_000) + 0.5) * step
    return nodes, np.exp(-0.5 * nodes**2) * (step / math.sqrt(2.0 * math.pi))


@every
@pytest.mark.parametrize(("variance", "frozen"), [(1.0, 0.3), (2.0, 1.9), (0.05, 0.01)])
def test_bias_averages(phi: Activation, variance: float, frozen: float) -> None:
    averages = bias_averages(phi, variance, frozen)
    a, c = averages.slopes_squared, averages.nonlinear_variances
    assert_close(averages.weights.sum(), 1.0)
    assert_close(averages.weights @ a, averages.slope)
    if phi.scale is None:
        biases, weights = dense_biases()
        residual, shift = np.full_like(biases, variance - frozen), math.sqrt(frozen) * biases
        assert_close(averages.mean, weights @ phi.mean(residual, shift) ** 2, atol=1e-14)
        dense_a, dense_c = phi.mean_slope(residual, shift) ** 2, phi.nonlinear_variance(residual, shift)
        for kappa, g in [(0.1, 0.5), (1e-3, 2.0), (5.0, 0.1)]:
            expected = weights @ (dense_a / (dense_c + kappa + dense_a * g))
            assert_close(averages.weights @ (a / (c + kappa + a * g)), expected, rtol=1e-11)


@pytest.mark.parametrize("kappa", [1.0, 1e-4, 1e-10])
@pytest.mark.parametrize("frozen", [0.5, 0.9999, 1.0 - 1e-9])
def test_bias_averages_resolve_where_the_slope_vanishes(frozen: float, kappa: float) -> None:
    # For the square, a = 4 f b^2 and c is constant: E 1 / (c + kappa + a) is a scaled error function of any narrowness.
    averages = bias_averages(activation("quadratic"), 1.0, frozen)
    lowest, growth = 2.0 * (1.0 - frozen) ** 2 + kappa, 4.0 * frozen
    expected = math.sqrt(0.5 * math.pi / (lowest * growth)) * erfcx(math.sqrt(0.5 * lowest / growth))
    inverse = 1.0 / (averages.nonlinear_variances + kappa + averages.slopes_squared)
    assert_close(averages.weights @ inverse, expected)


@every
def test_nothing_frozen_is_a_single_node(phi: Activation) -> None:
    for variance in (1e-3, 0.7, 1e3):
        averages, plain = bias_averages(phi, variance), moments(phi, variance)
        assert averages.biases.tolist() == [0.0]
        assert averages.weights.tolist() == [1.0]
        assert_close(averages.slopes_squared, [plain.slope**2])
        assert_close(averages.nonlinear_variances, [plain.nonlinear_variance])
        assert_close(averages.mean, plain.mean**2, atol=1e-300)
        assert_close(averages.slope, plain.slope**2, atol=1e-300)
        assert_close(averages.curvature, plain.curvature**2, atol=1e-300)


@every
def test_energy_over_frozen_parts(phi: Activation) -> None:
    # E phi^2 = O + (q - f) E_b a + E_b c.
    for variance, frozen in [(1.0, 1e-8), (1.0, 0.5), (3.0, 2.999), (30.0, 20.0)]:
        averages = bias_averages(phi, variance, frozen)
        explained = averages.mean + (variance - frozen) * averages.slope
        rest = averages.weights @ averages.nonlinear_variances
        assert_close(explained + rest, moments(phi, variance).square)


# Refusals.


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("swish", {}, "must be one of linear, relu, .* got 'swish'"),
        ("relu", {"negative_slope": 0.1}, "relu has no parameter 'negative_slope'; it takes none"),
        ("ternary", {"middle": 0.1}, "its parameters are low, high"),
        ("leaky_relu", {"negative_slope": -1.0}, r"must lie in \[0, 1\], got -1.0; .* 'abs'"),
        ("leaky_relu", {"negative_slope": math.nan}, r"must lie in \[0, 1\], got nan"),
        ("ternary", {"low": 1.0, "high": 1.0}, "low must be below high, got 1.0 and 1.0; .* 'sign'"),
        ("ternary", {"high": math.inf}, "high must be finite, got inf; .* 'sign'"),
    ],
)
def test_refused_activations(kind: str, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        activation(kind, **parameters)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.inf, math.nan])
def test_refused_variances(variance: float) -> None:
    tanh = activation("tanh")
    for refused in (
        lambda: moments(tanh, [1.0, variance]),
        lambda: bias_averages(tanh, variance),
        lambda: hermite_coefficients(tanh, variance, 3),
    ):
        with pytest.raises(InadmissibleProblem, match="variance must be positive and finite, got"):
            refused()


def test_refused_arguments() -> None:
    tanh = activation("tanh")
    with pytest.raises(InadmissibleProblem, match="shift must be finite, got inf"):
        moments(tanh, 1.0, math.inf)
    with pytest.raises(InadmissibleProblem, match=r"count must lie in 1\.\.64, got 65"):
        hermite_coefficients(tanh, 1.0, 65)
    for frozen in (-0.1, 1.0, math.nan):
        with pytest.raises(InadmissibleProblem, match=r"frozen must lie in \[0, variance\), got"):
            bias_averages(tanh, 1.0, frozen)


def test_shapes() -> None:
    for phi in EVERY:
        averages = moments(phi, VARIANCES[:3, None], np.array([0.0, 0.5]))
        for name in ("mean", "slope", "curvature", "square", "square_slope", "nonlinear_variance"):
            whole = getattr(averages, name)
            assert whole.shape == (3, 2)
            one = getattr(moments(phi, VARIANCES[1], 0.5), name)
            assert_close(whole[1, 1], one, rtol=1e-14)
