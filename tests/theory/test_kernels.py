"""Kernels in the linear regime and on the sphere, and random Fourier features: reference numbers, exact kernels, limits."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import eval_gegenbauer

import theory
from tests.theory.oracles import assert_printed
from theory import RandomLayer, predict_ridge
from theory.activations import ACTIVATIONS, activation
from theory.equivalents.sphere import harmonics

ISOTROPIC = theory.covariance.isotropic(200)
ENERGIES = theory.target.isotropic(ISOTROPIC, signal_variance=1.0)


def layers(names: str, *, weight_variance: float = 1.0, bias_variance: float = 0.0) -> tuple[RandomLayer, ...]:
    return tuple(
        RandomLayer(activation=activation(name), weight_variance=weight_variance, bias_variance=bias_variance)
        for name in names.split()
    )


WIDE = """
    relu 2 0 .31830989 .50000000 .18169011 .63661977 2.00000000 1.36338023 .02358807 .53390265 .00102258 .55979526
    relu,relu,relu 2 0 .60482572 .20034502 .19482926 2.12077621 1.82514615 4.05407763 .03929702 .66218329 .00025909 .74499762
    relu,relu,relu 2 .1 .73716813 .21910530 .19372657 2.80631898 2.05208216 4.14159887 .03730511 .64604694 .00023457 .72584447
    erf,erf 2 .05 .02745231 .36598311 .11142344 .17814245 2.19799689 1.77220679 .04248957 .53606986 .00068697 .57813642
    tanh,tanh 1.5 0 0 .28459353 .04653146 0 1.28067091 .47808164 .08278432 .52668198 .00494556 .51770379
    gelu,gelu 2 0 .30566158 .29376489 .24446718 .86067854 1.85166316 2.67511193 .02489151 .62408953 .00044872 .66541677
    sin,abs 1 .5 .74948461 .10958394 .11603791 1.57268496 .51136823 1.15350003 .08785828 .71658673 .00297204 .75998040
"""


@pytest.mark.parametrize("row", WIDE.strip().splitlines())
def test_reference_numbers_of_wide_networks(row: str) -> None:
    names, weight, bias, *numbers = row.split()
    found = layers(names.replace(",", " "), weight_variance=float(weight), bias_variance=float(bias))
    for kernel, coefficients, errors in (
        (theory.ConjugateKernel(layers=found), numbers[0:3], numbers[6:8]),
        (theory.NeuralTangentKernel(layers=found), numbers[3:6], numbers[8:10]),
    ):
        linear = kernel.linearised(1.0, 1.0 / 200)
        for value, printed in zip((linear.constant, linear.slope, linear.tail), coefficients, strict=True):
            assert_printed(value, printed)
        # The notes leave the constant out.
        modes = theory.Modes(
            eigenvalues=[linear.slope / 200],
            multiplicities=[200.0],
            energies=[1.0],
            tail_trace=linear.tail,
            noise_variance=0.25,
        )
        prediction = predict_ridge(modes, 300.0, 0.1 / 300.0)
        assert_printed(prediction.train_error, errors[0])
        assert_printed(prediction.test_error, errors[1])


@pytest.mark.parametrize(
    ("n_samples", "alpha", "test", "train"),
    [(400, 0.0, ".2819328", "0"), (400, 0.5, ".4697608", ".1231697"), (100, 0.5, ".8768468", ".1846524")],
)
def test_reference_numbers_of_rbf(n_samples: float, alpha: float, test: str, train: str) -> None:
    equivalent = theory.kernel_features(ISOTROPIC, ENERGIES, kernel=theory.Rbf(), noise_variance=0.1)
    prediction = predict_ridge(equivalent, n_samples, alpha / n_samples)
    assert_printed(prediction.test_error, test)
    assert_printed(prediction.train_error, train)


@pytest.mark.parametrize(
    ("depth", "coefficients"),
    [
        (1, (".3183098862", "1", "2")),
        (2, (".6857086363", ".9581130643", "3")),
        (3, ("1.0603881068", ".9125730773", "4")),
    ],
)
def test_reference_numbers_of_the_tangent_kernel_without_a_random_read_out(
    depth: int, coefficients: tuple[str, ...]
) -> None:
    """Of regression.md 3.3: He scaling, of which ours has twice the value, a factor 2 of the read-out's variance."""
    kernel = theory.NeuralTangentKernel(layers=layers(" ".join(["relu"] * depth), weight_variance=2.0))
    linear = kernel.linearised(1.0, 0.0)
    constant, slope, diagonal = (float(value) for value in coefficients)
    np.testing.assert_allclose(linear.constant, 2.0 * constant, rtol=1e-9)
    np.testing.assert_allclose(linear.slope, 2.0 * slope, rtol=1e-9)
    np.testing.assert_allclose(linear.constant + linear.slope + linear.tail, 2.0 * diagonal, rtol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "function", "derivative", "second"),
    [
        (theory.Exponential(rate=0.7), lambda u: np.exp(0.7 * u), 0.7, 0.49),
        (theory.Polynomial(degree=3, offset=0.4), lambda u: (0.4 + u) ** 3, 3 * 0.16, 6 * 0.4),
        (theory.Polynomial(degree=1, offset=2.0), lambda u: 2.0 + u, 1.0, 0.0),
    ],
)
@pytest.mark.parametrize("variance", [1e-4, 0.3, 1.0, 7.0])
def test_kernels_of_scalar_products(
    kernel: Any, function: Any, derivative: float, second: float, variance: float
) -> None:
    linear = kernel.linearised(variance, 0.02)
    np.testing.assert_allclose(linear.constant, function(0.0) + second * 0.01, rtol=1e-14)
    np.testing.assert_allclose(linear.slope, derivative, rtol=1e-14)
    tail = function(variance) - function(0.0) - variance * derivative
    np.testing.assert_allclose(linear.tail, tail, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("kernel", "function"),
    [
        (theory.Rbf(length_scale=0.8), lambda u: np.exp(-u / (2 * 0.64))),
        (theory.Laplace(length_scale=1.3), lambda u: np.exp(-np.sqrt(u) / 1.3)),
    ],
)
@pytest.mark.parametrize("variance", [1e-2, 0.3, 1.0, 7.0])
def test_kernels_of_distances(kernel: Any, function: Any, variance: float) -> None:
    linear, far, step = kernel.linearised(variance, 0.0), 2.0 * variance, 1e-20
    slope = function(far + 1j * step).imag / step
    np.testing.assert_allclose(linear.constant, function(far), rtol=1e-14)
    np.testing.assert_allclose(linear.slope, -2.0 * slope, rtol=1e-13)
    np.testing.assert_allclose(linear.tail, function(0.0) - function(far) + far * slope, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ("sign", "ternary")])
@pytest.mark.parametrize("bias_variance", [0.0, 0.4])
def test_wide_networks_add_up_to_their_diagonal(name: str, bias_variance: float) -> None:
    for depth in (1, 2, 4):
        found = layers(" ".join([name] * depth), weight_variance=1.2, bias_variance=bias_variance)
        for kernel in (theory.ConjugateKernel(layers=found), theory.NeuralTangentKernel(layers=found)):
            linear = kernel.linearised(1.0, 0.0)
            diagonal = float(kernel.on_sphere(np.ones(1))[0])
            # A kink's dual of slopes turns like sqrt(1 - correlation) at 1, where rounding costs half the digits.
            np.testing.assert_allclose(linear.constant + linear.slope + linear.tail, diagonal, rtol=1e-7)
            # Value and slope at cosine 0 are the constant and the linear coefficient.
            step = 1e-4
            low, middle, high = kernel.on_sphere(np.array([-step, 0.0, step]))
            np.testing.assert_allclose(linear.constant, middle, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(linear.slope, (high - low) / (2.0 * step), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["sign", "ternary"])
def test_activations_that_jump_have_no_tangent_kernel(name: str) -> None:
    with pytest.raises(theory.InadmissibleProblem, match="jumps") as caught:
        theory.NeuralTangentKernel(layers=layers(f"relu {name}"))
    assert caught.value.argument == "layers/1/activation"


def test_kernels_of_equal_coefficients_give_equal_answers() -> None:
    target = {"noise_variance": 0.2, "mean": 0.3}
    rbf = theory.Rbf(length_scale=1.1)
    found = rbf.linearised(1.0, 0.0)
    modes = theory.Modes(
        eigenvalues=[found.slope / 200, found.constant],
        multiplicities=[200.0, 1.0],
        energies=[1.0, 0.09],
        tail_trace=found.tail,
        noise_variance=0.2,
    )
    kernel = theory.kernel_features(ISOTROPIC, ENERGIES, kernel=rbf, **target)
    expected, prediction = predict_ridge(modes, 150.0, 1e-3), predict_ridge(kernel, 150.0, 1e-3)
    np.testing.assert_allclose(prediction.test_error, expected.test_error, rtol=1e-12)


def test_a_kernel_without_a_linear_part_learns_nothing() -> None:
    kernel = theory.kernel_features(ISOTROPIC, ENERGIES, kernel=theory.Polynomial(degree=2, offset=0.0))
    prediction = predict_ridge(kernel, 150.0, 1e-3)
    np.testing.assert_allclose(prediction.bias, 1.0, rtol=1e-9)


class TestSphere:
    @pytest.mark.parametrize(
        ("n_samples", "test_error", "ridge"),
        [
            *((12, ".985385", ".526149"), (24, ".887679", ".244227"), (100, ".584365", ".0464328")),
            *((299, ".329393", ".0120837"), (1000, ".115074", ".00247339")),
        ],
    )
    def test_reference_numbers(self, n_samples: float, test_error: str, ridge: str) -> None:
        modes = theory.sphere_modes(
            24,
            kernel=theory.Exponential(rate=2.0),
            degree_energies=[0.0, 0.5, 0.5],
            n_samples=n_samples,
            noise_variance=0.05,
        )
        prediction = predict_ridge(modes, n_samples, 0.0)
        assert_printed(prediction.test_error, test_error)
        assert_printed(prediction.effective_ridge, ridge)

    @pytest.mark.parametrize(
        "kernel",
        [
            theory.Rbf(length_scale=0.6),
            theory.Exponential(rate=3.0),
            theory.Polynomial(degree=4, offset=0.5),
            theory.Laplace(length_scale=0.9),
            theory.ConjugateKernel(layers=layers("relu erf", bias_variance=0.2)),
            theory.NeuralTangentKernel(layers=layers("relu relu", weight_variance=2.0)),
        ],
        ids=lambda kernel: type(kernel).__name__,
    )
    @pytest.mark.parametrize("dimension", [3, 4, 24, 300])
    def test_eigenvalues_are_gegenbauer_coefficients(self, kernel: Any, dimension: int) -> None:
        modes = theory.sphere_modes(dimension, kernel=kernel, degree_energies=[1.0] * 4, n_samples=10.0)
        half = dimension / 2.0 - 1.0

        def average(function: Any) -> float:
            """Integrate over the angle by an adaptive rule."""
            points = [np.pi / 2.0, np.pi / 2.0 - 3.0 / np.sqrt(dimension), np.pi / 2.0 + 3.0 / np.sqrt(dimension)]
            options: dict[str, Any] = {"points": [p for p in points if 0 < p < np.pi], "limit": 400, "epsabs": 1e-13}
            return float(quad(lambda t: function(np.cos(t)) * np.sin(t) ** (dimension - 2), 0.0, np.pi, **options)[0])

        whole = average(np.ones_like)
        for degree in range(4):
            at_one = eval_gegenbauer(degree, half, 1.0)
            expected = (
                average(
                    lambda t, degree=degree, at_one=at_one: (
                        float(kernel.on_sphere(np.array([t]))[0]) * eval_gegenbauer(degree, half, t) / at_one
                    )
                )
                / whole
            )
            np.testing.assert_allclose(modes.eigenvalues[degree], expected, rtol=1e-7, atol=1e-10)
        diagonal = float(kernel.on_sphere(np.ones(1))[0])
        np.testing.assert_allclose(modes.trace, diagonal, rtol=1e-9)

    def test_multiplicities_are_dimensions_ofharmonics(self) -> None:
        assert [harmonics(3, degree) for degree in range(5)] == [1.0, 3.0, 5.0, 7.0, 9.0]
        assert [harmonics(4, degree) for degree in range(5)] == [1.0, 4.0, 9.0, 16.0, 25.0]
        # Homogeneous polynomials of degree 6 in 24 variables, less those of degree 4.
        np.testing.assert_allclose(harmonics(24, 6), 475020.0 - 17550.0, rtol=1e-12)

    def test_the_linear_regime_is_its_first_plateau(self) -> None:
        """With n of the order of d and d large, degree 1 is all that can be learned."""
        dimension, n_samples = 20_000, 15_000.0
        spectrum = theory.covariance.isotropic(dimension)
        energies = theory.target.isotropic(spectrum, signal_variance=1.0)
        for kernel in (theory.Rbf(), theory.Exponential(rate=1.5), theory.Laplace()):
            linear = theory.kernel_features(
                spectrum, energies, kernel=kernel, noise_variance=0.2, nonlinear_variance=0.3
            )
            sphere = theory.sphere_modes(
                dimension, kernel=kernel, degree_energies=[0.0, 1.0, 0.3], n_samples=n_samples, noise_variance=0.2
            )
            expected = predict_ridge(linear, n_samples, 1e-5).test_error
            np.testing.assert_allclose(predict_ridge(sphere, n_samples, 1e-5).test_error, expected, rtol=2e-3)

    def test_enough_samples_learn_every_degree_of_the_target(self) -> None:
        kernel = theory.Exponential(rate=2.0)
        errors = [
            predict_ridge(
                theory.sphere_modes(6, kernel=kernel, degree_energies=[0.1, 0.3, 0.3, 0.3], n_samples=n), n, 1e-9
            ).test_error
            for n in (10.0, 100.0, 1000.0, 1e4, 1e6)
        ]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 1e-6

    def test_an_energy_on_a_degree_that_the_kernel_lacks_is_not_learned(self) -> None:
        modes = theory.sphere_modes(
            10, kernel=theory.Polynomial(degree=2), degree_energies=[0.0, 0.5, 0.2, 0.3], n_samples=1e5
        )
        prediction = predict_ridge(modes, 1e5, 1e-9)
        np.testing.assert_allclose(prediction.bias, 0.3, rtol=1e-6)

    @pytest.mark.parametrize("n_features", [1, 2, 2.5, 24.5])
    def test_only_whole_dimensions_from_three(self, n_features: float) -> None:
        with pytest.raises(theory.InadmissibleProblem) as caught:
            theory.sphere_modes(n_features, kernel=theory.Rbf(), degree_energies=[1.0], n_samples=10.0)
        assert caught.value.argument == "n_features"


class TestFourier:
    def test_many_frequencies_are_half_the_rbf_kernel(self) -> None:
        target = {"noise_variance": 0.2, "nonlinear_variance": 0.1, "mean": 0.6}
        fourier = theory.random_fourier(ISOTROPIC, ENERGIES, frequencies=1e10, length_scale=1.2, **target)
        kernel = theory.kernel_features(ISOTROPIC, ENERGIES, kernel=theory.Rbf(length_scale=1.2), **target)
        for penalty in (0.0, 1e-3, 0.1):
            limit, prediction = predict_ridge(kernel, 250.0, 2.0 * penalty), predict_ridge(fourier, 250.0, penalty)
            np.testing.assert_allclose(prediction.test_error, limit.test_error, rtol=1e-6)
            np.testing.assert_allclose(prediction.train_error, limit.train_error, rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(prediction.estimator_norm_squared, 2.0 * limit.estimator_norm_squared, rtol=1e-6)

    @pytest.mark.parametrize("n_samples", [50.0, 199.0, 201.0, 500.0])
    def test_ridgeless_is_the_limit_of_small_penalties(self, n_samples: float) -> None:
        fourier = theory.random_fourier(ISOTROPIC, ENERGIES, frequencies=100.0, noise_variance=0.2, mean=0.5)
        ridgeless, near = (predict_ridge(fourier, n_samples, penalty) for penalty in (0.0, 1e-14))
        assert ridgeless.status == near.status == "converged"
        np.testing.assert_allclose(near.test_error, ridgeless.test_error, rtol=1e-6)
        np.testing.assert_allclose(near.estimator_norm_squared, ridgeless.estimator_norm_squared, rtol=1e-6)

    def test_ridgeless_diverges_with_as_many_samples_as_features(self) -> None:
        fourier = theory.random_fourier(ISOTROPIC, ENERGIES, frequencies=100.0, noise_variance=0.2)
        prediction = predict_ridge(fourier, 200.0, 0.0)
        assert (prediction.status, prediction.phase) == ("divergent", "threshold")

    @pytest.mark.parametrize("penalty", [1e-6, 1e-3, 0.3])
    def test_everything_follows_from_the_two_functions(self, penalty: float) -> None:
        fourier = theory.random_fourier(ISOTROPIC, ENERGIES, frequencies=120.0, noise_variance=0.2, mean=0.5)
        prediction, step = predict_ridge(fourier, 180.0, penalty), 1e-20
        continued = fourier.continued(180.0, np.array([penalty * (1.0 + 1j * step)]))
        assert continued.converged.all()
        kappa, total = continued.ridge, continued.total
        np.testing.assert_allclose(kappa.real[0], prediction.outer_ridge, rtol=1e-11)
        kappa_slope, total_slope = kappa.imag[0] / (penalty * step), total.imag[0] / (penalty * step)
        test = total.real[0] * kappa_slope - kappa.real[0] * total_slope
        np.testing.assert_allclose(prediction.test_error, test, rtol=1e-8)
        norm = total.real[0] / kappa.real[0] - penalty * test / kappa.real[0] ** 2
        np.testing.assert_allclose(prediction.estimator_norm_squared, norm, rtol=1e-6)

    @pytest.mark.parametrize("length_scale", [1e-3, 0.1, 1.0, 30.0, 1e5])
    @pytest.mark.parametrize("fit_intercept", [False, True])
    def test_any_length_scale(self, length_scale: float, fit_intercept: bool) -> None:
        fourier = theory.random_fourier(
            ISOTROPIC,
            ENERGIES,
            frequencies=120.0,
            length_scale=length_scale,
            noise_variance=0.2,
            mean=0.5,
            fit_intercept=fit_intercept,
        )
        for n_samples in (100.0, 400.0):
            prediction = predict_ridge(fourier, n_samples, 1e-3)
            assert prediction.status == "converged"
            assert 0.2 < prediction.test_error < 3.0
            np.testing.assert_allclose(prediction.bias + prediction.variance, prediction.excess_risk, rtol=1e-12)
