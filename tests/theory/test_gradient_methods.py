"""Gradient flow and descent: against integrals over the spectrum, their limits, and ridge, which they average to."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import theory
from tests.theory.oracles import assert_printed, average_over_marchenko_pastur
from tests.theory.strategies import REPRODUCIBLE, magnitudes, tables
from theory import predict_gradient_descent, predict_gradient_flow, predict_ridge
from theory.covariance import InadmissibleProblem

TWO_ATOMS = theory.Modes(
    eigenvalues=[1.0, 5.0], multiplicities=[200.0, 200.0], energies=[0.75, 0.75], noise_variance=0.3
)
NUMBERS = ("test_error", "excess_risk", "train_error", "bias", "variance", "estimator_norm_squared", "df1")
ISOTROPIC = theory.covariance.isotropic(200.0)
ENERGIES = theory.target.isotropic(ISOTROPIC, signal_variance=1.0)


def isotropic(*, n_features: float = 1.0, signal: float = 1.0, noise: float = 0.25) -> theory.Modes:
    return theory.Modes(eigenvalues=[1.0], multiplicities=[n_features], energies=[signal], noise_variance=noise)


def network(names: str, widths: list[float], *, weight_variance: float, **target: float) -> theory.Equivalent:
    layers = tuple(
        theory.RandomLayer(activation=theory.activations.activation(name), width=width, weight_variance=weight_variance)
        for name, width in zip(names.split(), widths, strict=True)
    )
    return theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.25, **target)


SMALL_NETWORK = network("tanh erf", [260.0, 240.0], weight_variance=1.5)
SHAPES: dict[str, theory.Equivalent] = {
    "linear": theory.ModalEquivalent(modes=TWO_ATOMS),
    "projection": theory.ModalEquivalent(modes=TWO_ATOMS, width=150.0),
    "layers": SMALL_NETWORK,
    "fourier": theory.random_fourier(ISOTROPIC, ENERGIES, frequencies=90.0, noise_variance=0.2, mean=0.4),
    "kernel": theory.kernel_features(ISOTROPIC, ENERGIES, kernel=theory.Rbf(length_scale=1.0), noise_variance=0.2),
}


class TestReferenceNumbers:
    @pytest.mark.parametrize(
        ("per_feature", "time", "train", "test"),
        [
            (0.5, 1.0, ".07167864112", ".8956038544"),
            (2.0, 1.0, ".2776805627", ".5579319960"),
            (2.0, 10.0, ".1267633280", ".4608377397"),
            (1.0, 100.0, ".01007008081", "1.819635186"),
            (0.5, 100.0, "0", ".9999999998"),
        ],
    )
    def test_isotropic(self, per_feature: float, time: float, train: str, test: str) -> None:
        prediction = predict_gradient_flow(isotropic(), per_feature, time)
        assert_printed(prediction.train_error, train)
        # The last of these is .99999999983: its ten digits carry half a unit of the contour it was found by.
        np.testing.assert_allclose(prediction.test_error, float(test), rtol=1e-10)

    @pytest.mark.parametrize(
        ("penalty", "time", "train", "test"),
        [
            (0.0, 0.1, ".6170533488", "1.4206087548"),
            (0.0, 1.0, ".0590803182", "1.4050418045"),
            (0.0, 10.0, ".0002145484", "1.6824072941"),
            (0.2, 1.0, ".0730302620", "1.3774232613"),
            (0.2, 10.0, ".0166951222", "1.4682180961"),
        ],
    )
    def test_two_atoms(self, penalty: float, time: float, train: str, test: str) -> None:
        prediction = predict_gradient_flow(TWO_ATOMS, 240.0, time, penalty=penalty)
        assert_printed(prediction.train_error, train)
        assert_printed(prediction.test_error, test)

    @pytest.mark.parametrize(
        ("names", "widths", "weight_variance", "time", "train", "test"),
        [
            ("tanh", [400.0], 1.0, 1.0, ".39181059", ".78854043"),
            ("tanh", [400.0], 1.0, 10.0, ".10230940", ".67405988"),
            ("tanh tanh", [400.0, 300.0], 1.5, 1.0, ".60288402", ".95595851"),
            ("tanh tanh", [400.0, 300.0], 1.5, 10.0, ".22351741", ".90823467"),
        ],
    )
    def test_deep_features(
        self, names: str, widths: list[float], weight_variance: float, time: float, train: str, test: str
    ) -> None:
        """Times are in units of features that are not divided by the root of their number."""
        equivalent = network(names, widths, weight_variance=weight_variance)
        prediction = predict_gradient_flow(equivalent, 300.0, time * widths[-1])
        assert_printed(prediction.train_error, train)
        assert_printed(prediction.test_error, test)


def by_marchenko_pastur(
    ratio: float, left: Callable[[float], float], *, penalty: float, signal: float, noise: float
) -> dict[str, float]:
    """Isotropic inputs: average what a filter leaves over the spectrum of X'X/n; ``left(A)`` of the labels, A the Hessian."""

    average = partial(average_over_marchenko_pastur, ratio=1.0 / ratio)

    def weight(t: float) -> float:
        return (1.0 - left(t + penalty)) / (t + penalty) if t + penalty > 0.0 else 0.0

    def residual(t: float) -> float:
        return 1.0 - t * weight(t)

    kept = average(lambda t: t * weight(t))
    norm_of_noise = average(lambda t: t * weight(t) ** 2) / ratio
    return {
        "test_error": noise + signal * average(lambda t: residual(t) ** 2) + noise * norm_of_noise,
        "train_error": signal * average(lambda t: t * residual(t) ** 2)
        + noise * (1.0 - (1.0 - average(lambda t: residual(t) ** 2)) / ratio),
        "bias": signal * (1.0 - kept) ** 2,
        "estimator_norm_squared": signal * average(lambda t: (t * weight(t)) ** 2) + noise * norm_of_noise,
        "df1": kept,
    }


@pytest.mark.parametrize("ratio", [0.3, 0.9, 1.0, 2.5])
@pytest.mark.parametrize("penalty", [0.0, 0.4])
@pytest.mark.parametrize("time", [0.03, 1.0, 30.0])
def test_flow_is_an_average_over_the_marchenko_pastur_law(ratio: float, penalty: float, time: float) -> None:
    expected = by_marchenko_pastur(ratio, lambda a: np.exp(-time * a), penalty=penalty, signal=1.3, noise=0.6)
    prediction = predict_gradient_flow(isotropic(signal=1.3, noise=0.6), ratio, time, penalty=penalty)
    assert prediction.status == "converged"
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(prediction, name), value, rtol=1e-9, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("ratio", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("penalty", [0.0, 0.4])
@pytest.mark.parametrize("steps", [1, 2, 5, 40, 41, 300])
@pytest.mark.parametrize("share", [0.05, 0.6, 0.97])
def test_descent_is_an_average_over_the_marchenko_pastur_law(
    ratio: float, penalty: float, steps: int, share: float
) -> None:
    """Steps up to twice the inverse of the largest eigenvalue, where the power alternates in sign."""
    step = share * 2.0 / ((1.0 + ratio**-0.5) ** 2 + penalty)
    expected = by_marchenko_pastur(ratio, lambda a: (1.0 - step * a) ** steps, penalty=penalty, signal=1.3, noise=0.6)
    modes = isotropic(signal=1.3, noise=0.6)
    prediction = predict_gradient_descent(modes, ratio, steps, step_size=step, penalty=penalty)
    assert prediction.status == "converged"
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(prediction, name), value, rtol=1e-9, atol=1e-14, err_msg=name)


class TestLimits:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("n_samples", [120.0, 700.0])
    @pytest.mark.parametrize("penalty", [0.0, 1e-3])
    def test_flow_for_ever_is_ridge(self, shape: str, n_samples: float, penalty: float) -> None:
        equivalent = SHAPES[shape]
        flow, ridge = (
            predict_gradient_flow(equivalent, n_samples, 1e12, penalty=penalty),
            predict_ridge(equivalent, n_samples, penalty),
        )
        assert flow.status == "converged"
        assert flow.phase == ridge.phase
        for name in NUMBERS:
            # The norm is a difference of terms that grow with the time.
            rtol = 1e-6 if name == "estimator_norm_squared" else 1e-8
            np.testing.assert_allclose(getattr(flow, name), getattr(ridge, name), rtol=rtol, atol=1e-12, err_msg=name)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_no_time_at_all_is_no_predictor(self, shape: str) -> None:
        equivalent = SHAPES[shape]
        rest, soon = (predict_gradient_flow(equivalent, 150.0, time) for time in (0.0, 1e-9))
        labels = predict_ridge(equivalent, 150.0, 1e12).test_error
        assert rest.status == "converged"
        assert (rest.estimator_norm_squared, rest.df1, rest.variance) == (0.0, 0.0, 0.0)
        for name in ("test_error", "train_error"):
            np.testing.assert_allclose(getattr(rest, name), labels, rtol=1e-9)
            np.testing.assert_allclose(getattr(soon, name), labels, rtol=1e-6)
        descent = predict_gradient_descent(equivalent, 150.0, 0, step_size=1e-3)
        assert (descent.test_error, descent.train_error) == (rest.test_error, rest.train_error)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_small_steps_of_descent_are_flow(self, shape: str) -> None:
        equivalent = SHAPES[shape]
        step = 1e-5 * theory.largest_step_size(equivalent, 130.0)
        differences = []
        for steps in (100_000, 200_000):
            size = step * 100_000 / steps
            descent = predict_gradient_descent(equivalent, 130.0, steps, step_size=size)
            flow = predict_gradient_flow(equivalent, 130.0, steps * size)
            differences.append(descent.test_error / flow.test_error - 1.0)
        # The difference is of first order in the step.
        assert abs(differences[0]) < 1e-4
        np.testing.assert_allclose(differences[0], 2.0 * differences[1], rtol=1e-2, atol=1e-11)

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("penalty", [0.02, 1.0])
    def test_the_laplace_average_of_the_flow_is_ridge(self, shape: str, penalty: float) -> None:
        """What is linear in the predictor: ``integral penalty exp(-penalty t) f_t dt`` is ridge at that penalty."""
        equivalent = SHAPES[shape]
        nodes, weights = np.polynomial.legendre.leggauss(60)
        # t from 1e-12 to 60 / penalty, in its logarithm: the integrand is smooth there.
        low, high = np.log(1e-12 / penalty), np.log(60.0 / penalty)
        times = np.exp(low + (high - low) * (nodes + 1.0) / 2.0)
        flow = predict_gradient_flow(equivalent, 130.0, times)
        density = penalty * times * np.exp(-penalty * times) * weights * (high - low) / 2.0
        point = equivalent.solve(130.0, penalty)
        np.testing.assert_allclose(density @ flow.score_mean, point.learned, rtol=1e-7)
        np.testing.assert_allclose(density @ flow.df1, point.df1, rtol=1e-7)


def test_a_constant_costs_a_sample_and_a_share_of_the_time() -> None:
    """Centring takes one sample away, so that second moments shrink by (n - 1) / n and time counts for less."""
    centred = theory.linear_modes(ISOTROPIC, ENERGIES, noise_variance=0.2, mean=3.0, fit_intercept=True)
    plain = theory.linear_modes(ISOTROPIC, ENERGIES, noise_variance=0.2)
    with_constant = predict_gradient_flow(centred, 81.0, 2.0, penalty=0.1)
    without = predict_gradient_flow(plain, 80.0, 2.0 * 80.0 / 81.0, penalty=0.1 * 81.0 / 80.0)
    np.testing.assert_allclose(with_constant.test_error, without.test_error * 81.0 / 80.0, rtol=1e-12)
    np.testing.assert_allclose(with_constant.train_error, without.train_error * 80.0 / 81.0, rtol=1e-12)
    np.testing.assert_allclose(with_constant.df1, without.df1 + 1.0, rtol=1e-12)
    with pytest.raises(InadmissibleProblem, match="n_samples must exceed 1"):
        predict_gradient_flow(centred, 1.0, 2.0)


@pytest.mark.parametrize("features", ["projection", "layers"])
def test_square_features_settle_like_the_root_of_time(features: str) -> None:
    # As many features as modes: their eigenvalues reach down to 0, and no time is the last.
    modes = theory.linear_modes(ISOTROPIC, ENERGIES, noise_variance=0.2)
    linear = theory.RandomLayer(activation=theory.activations.activation("linear"), width=200.0, bias_variance=0.1)
    square: theory.Equivalent = theory.ModalEquivalent(modes=modes, width=200.0)
    if features == "layers":
        square = theory.random_features(ISOTROPIC, ENERGIES, layers=(linear,), noise_variance=0.2, fit_intercept=True)
    settled = predict_ridge(square, 840.0, 0.0).test_error
    left = np.array([predict_gradient_flow(square, 840.0, time).test_error - settled for time in (1e7, 1e9, 1e11)])
    np.testing.assert_allclose(left[:-1] / left[1:], 10.0, rtol=2e-3)


def test_a_flow_that_no_limit_is_known_of_goes_on_all_the_same() -> None:
    """Rounding is all that some square layers leave of a ridge without a penalty, and its sign was taken for a time."""
    spectrum = theory.covariance.isotropic(100.0)
    layer = theory.RandomLayer(activation=theory.activations.activation("linear"), width=100.0, bias_variance=0.1)
    features = theory.random_features(
        spectrum,
        theory.target.isotropic(spectrum, signal_variance=1.0),
        layers=(layer,),
        noise_variance=0.2,
        fit_intercept=True,
    )
    sizes = np.concatenate([np.linspace(419.0, 421.0, 21), [420.1]])
    errors = [predict_gradient_flow(features, float(n), 10.0).test_error for n in np.sort(sizes)]
    # With an intercept biases take no part: these are projections of inputs over the root of their number.
    inputs = theory.covariance.isotropic(100.0, variance=0.01)
    energies = theory.target.isotropic(inputs, signal_variance=1.0)
    modes = theory.linear_modes(inputs, energies, noise_variance=0.2, fit_intercept=True)
    projection = theory.ModalEquivalent(modes=modes, width=100.0)
    expected = [predict_gradient_flow(projection, float(n), 10.0).test_error for n in np.sort(sizes)]
    np.testing.assert_allclose(errors, expected, rtol=1e-10)


def test_a_trajectory_is_its_times_one_by_one() -> None:
    times = np.array([0.0, 0.3, 4.0, 60.0])
    trajectory = predict_gradient_flow(SMALL_NETWORK, 200.0, times)
    for position, time in enumerate(times):
        alone = predict_gradient_flow(SMALL_NETWORK, 200.0, float(time))
        for name in NUMBERS:
            value = getattr(trajectory, name)[position]
            np.testing.assert_allclose(value, getattr(alone, name), rtol=1e-9, atol=1e-12, err_msg=name)


class TestStepSize:
    @pytest.mark.parametrize("ratio", [0.3, 1.0, 4.0])
    def test_isotropic(self, ratio: float) -> None:
        np.testing.assert_allclose(
            theory.largest_step_size(isotropic(), ratio, penalty=0.3),
            2.0 / ((1.0 + ratio**-0.5) ** 2 + 0.3),
            rtol=1e-12,
        )

    def test_the_tail_of_a_kernel_counts(self) -> None:
        modes = theory.Modes(eigenvalues=[1.0], multiplicities=[100.0], energies=[1.0], tail_trace=30.0)
        np.testing.assert_allclose(
            theory.largest_step_size(modes, 50.0), 2.0 / ((1.0 + 2.0**0.5) ** 2 + 30.0 / 50.0), rtol=1e-12
        )

    def test_features_of_finite_width_match_a_product_of_marchenko_pasturs(self) -> None:
        """Random projections as layers of no nonlinearity: two routes to one edge."""
        chain = network("linear", [150.0], weight_variance=1.0)
        table = theory.ModalEquivalent(modes=theory.linear_modes(ISOTROPIC, ENERGIES), width=150.0)
        np.testing.assert_allclose(
            theory.largest_step_size(chain, 120.0) / 200.0, theory.largest_step_size(table, 120.0), rtol=1e-7
        )

    def test_sampled(self) -> None:
        """The largest eigenvalue of sampled features, whose mean makes an outlier, within 3 standard errors and O(1/n)."""
        generator = np.random.default_rng(20261125)
        d, width, n = 300, 400, 350
        equivalent = theory.random_features(
            theory.covariance.isotropic(d),
            [1.0],
            layers=(theory.RandomLayer(activation=theory.activations.activation("relu"), width=float(width)),),
        )
        found = []
        for _ in range(12):
            weights, inputs = generator.standard_normal((width, d)), generator.standard_normal((n, d))
            features = np.maximum(inputs @ weights.T / d**0.5, 0.0) / width**0.5
            found.append(np.linalg.norm(features, 2) ** 2 / n)
        bound = 2.0 / theory.largest_step_size(equivalent, float(n))
        error = np.std(found, ddof=1) / len(found) ** 0.5
        assert abs(np.mean(found) - bound) < 3.0 * error + 2.0 * bound / n

    def test_an_unstable_step_is_refused_with_the_bound(self) -> None:
        bound = theory.largest_step_size(TWO_ATOMS, 240.0)
        prediction = predict_gradient_descent(TWO_ATOMS, 240.0, 100, step_size=bound * (1.0 - 1e-9))
        assert prediction.critical_step_size == bound
        with pytest.raises(InadmissibleProblem, match=f"below {bound:.6g}") as refusal:
            predict_gradient_descent(TWO_ATOMS, 240.0, 100, step_size=bound * (1.0 + 1e-9))
        assert refusal.value.argument == "step_size"


@pytest.mark.parametrize("bad", [{"n_samples": 0.0}, {"time": -1.0}, {"penalty": -1.0}])
def test_inadmissible_arguments(bad: dict[str, float]) -> None:
    arguments = {"n_samples": 100.0, "time": 1.0, "penalty": 0.0} | bad
    with pytest.raises(ValueError, match="must"):
        predict_gradient_flow(TWO_ATOMS, arguments["n_samples"], arguments["time"], penalty=arguments["penalty"])


@REPRODUCIBLE
@given(modes=tables(decades=2.0), ratio=magnitudes(1.5), shift=magnitudes(4.0), penalty=st.just(0.0) | magnitudes(2.0))
def test_any_flow(modes: theory.Modes, ratio: float, shift: float, penalty: float) -> None:
    """Every answer is finite, decomposes, and lies between the labels' variance and an interpolated training set."""
    n_samples = max(ratio * float(modes.n_modes), 3.0)
    time = shift * n_samples / float(modes.trace)
    prediction = predict_gradient_flow(modes, n_samples, time, penalty=penalty)
    rest = predict_gradient_flow(modes, n_samples, 0.0)
    assert prediction.status == "converged"
    scale = rest.test_error
    assert 0.0 <= prediction.train_error <= rest.train_error * (1.0 + 1e-9)
    assert 0.0 <= prediction.bias <= scale * (1.0 + 1e-9)
    assert prediction.variance >= -1e-9 * scale
    assert prediction.estimator_norm_squared >= 0.0
    assert -1e-6 <= prediction.df1 <= n_samples * (1.0 + 1e-9)
