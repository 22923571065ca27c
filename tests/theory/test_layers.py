"""Random features of any depth: the notes' reference numbers, independent forms of the same equations, and limits."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

import theory
from tests.theory.oracles import assert_printed
from theory import ModalEquivalent, RandomLayer, RidgePrediction, predict_ridge
from theory.activations import ACTIVATIONS, activation, moments
from theory.equivalents.layered import LayeredEquivalent
from theory.equivalents.layers import LayerLaw
from theory.equivalents.random_features import layer_statistics

ISOTROPIC = theory.covariance.isotropic(200)
ENERGIES = theory.target.isotropic(ISOTROPIC, signal_variance=1.0)


def network(
    names: str, widths: tuple[float, ...], *, weight_variance: float = 1.0, bias_variance: float = 0.0
) -> tuple[RandomLayer, ...]:
    return tuple(
        RandomLayer(
            activation=activation(name), width=width, weight_variance=weight_variance, bias_variance=bias_variance
        )
        for name, width in zip(names.split(), widths, strict=True)
    )


def without_constant(equivalent: Any) -> Any:
    """Leave out the constant that features with a mean form, as the notes' reference numbers do."""
    if isinstance(equivalent, LayeredEquivalent):
        return LayeredEquivalent(modes=equivalent.modes, layers=equivalent.layers, n_inputs=equivalent.n_inputs)
    return equivalent


def predict(layers: tuple[RandomLayer, ...], n_samples: float, penalty: float, **target: Any) -> RidgePrediction:
    """Predict with the notes' penalty, of features that are not divided by the square root of their width."""
    equivalent = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, **{"noise_variance": 0.25, **target})
    return predict_ridge(without_constant(equivalent), n_samples, penalty / layers[-1].width)


@pytest.mark.parametrize(
    ("layers", "n_samples", "penalty", "innermost", "outer", "train", "test"),
    [
        (
            network("tanh tanh", (400, 300), weight_variance=1.5),
            300,
            0.1,
            "1.06076610",
            ".17908336",
            ".26824666",
            ".86028988",
        ),
        (
            network("relu relu", (400, 300), weight_variance=2.0),
            300,
            0.1,
            "1.91442492",
            ".22013769",
            ".26139631",
            "1.26674223",
        ),
        (
            network("relu erf abs", (300, 300, 300), weight_variance=2.0, bias_variance=0.1),
            *(250, 0.05, "4.80612270", ".20013794", ".12510631", "2.00446292"),
        ),
        (network("sign sign", (400, 600)), 300, 0.0, "1.72117760", ".68058863", "0", "1.78724544"),
    ],
)
def test_reference_numbers(
    layers: tuple[RandomLayer, ...], n_samples: float, penalty: float, innermost: str, outer: str, train: str, test: str
) -> None:
    prediction = predict(layers, n_samples, penalty)
    assert_printed(prediction.effective_ridge, innermost)
    assert_printed(prediction.outer_ridge * layers[-1].width, outer)
    assert_printed(prediction.train_error, train)
    assert_printed(prediction.test_error, test)


def test_reference_numbers_of_one_layer() -> None:
    prediction = predict(network("tanh", (400,)), 300, 0.1)
    slope = float(moments(activation("tanh"), 1.0).slope) ** 2
    # The mode table has the features' eigenvalues; the notes' innermost ridge is in units of the inputs'.
    assert_printed(prediction.effective_ridge * 200.0 / slope, ".50268008")
    assert_printed(prediction.outer_ridge * 400.0, ".21870109")
    assert_printed(prediction.train_error, ".13435974")
    assert_printed(prediction.test_error, ".64264488")


@pytest.mark.parametrize(
    ("width", "test"),
    [
        *((100, "1.291"), (200, "1.796"), (280, "7.265"), (300, "63.86")),
        *((320, "7.637"), (400, "2.064"), (800, ".941"), (3000, ".712")),
    ],
)
def test_double_descent_in_the_width_of_the_last_layer(width: float, test: str) -> None:
    prediction = predict(network("tanh tanh", (600, width), weight_variance=1.5), 300, 1e-6)
    assert_printed(prediction.test_error, test)


class TestAgainstOtherForms:
    """The chain of one layer of equal neurons is the fixed point of a mode table with a tail, solved by other code."""

    LAW = LayerLaw(width=150.0, weights=np.ones(1), slopes=np.array([0.7]), nonlinear_variances=np.array([0.2]))
    SPECTRUM = theory.covariance.discrete(120, eigenvalues=[1.0, 4.0], weights=[0.75, 0.25])
    MODES = theory.linear_modes(SPECTRUM, [0.4, 0.8], noise_variance=0.3, nonlinear_variance=0.1)

    @property
    def chain(self) -> LayeredEquivalent:
        return LayeredEquivalent(modes=self.MODES, layers=(self.LAW,), n_inputs=120.0)

    @property
    def table(self) -> ModalEquivalent:
        modes = theory.Modes(
            eigenvalues=0.7 * self.MODES.eigenvalues / 120.0,
            multiplicities=self.MODES.multiplicities,
            energies=self.MODES.energies,
            tail_trace=0.2,
            unlearnable_variance=0.1,
            noise_variance=0.3,
        )
        return ModalEquivalent(modes=modes, width=150.0)

    @pytest.mark.parametrize("n_samples", [40.0, 149.0, 150.0, 151.0, 700.0])
    @pytest.mark.parametrize("penalty", [0.0, 1e-14, 1e-6, 1e-2, 10.0, 1e6])
    def test_ridge(self, n_samples: float, penalty: float) -> None:
        chain, table = (predict_ridge(equivalent, n_samples, penalty) for equivalent in (self.chain, self.table))
        assert chain.status == table.status
        for name in (
            "test_error",
            "train_error",
            "bias",
            "variance",
            "estimator_norm_squared",
            "outer_ridge",
            "df1",
            "df2",
        ):
            np.testing.assert_allclose(getattr(chain, name), getattr(table, name), rtol=1e-9, atol=1e-30, err_msg=name)

    def test_complex_penalties(self) -> None:
        penalty = np.array([0.1, 0.02 + 0.01j, -0.003 + 0.002j, -0.01 - 1e-4j, 3.0 - 2.0j])
        chain, table = (equivalent.continued(300.0, penalty) for equivalent in (self.chain, self.table))
        assert chain.converged.all()
        assert table.converged.all()
        np.testing.assert_allclose(chain.ridge, table.ridge, rtol=1e-11)
        np.testing.assert_allclose(chain.total, table.total, rtol=1e-11)

    @pytest.mark.parametrize("names", ["tanh", "relu erf", "sigmoid abs gelu"])
    def test_real_penalties_are_where_complex_ones_start(self, names: str) -> None:
        layers = network(names, (250.0, 300.0, 200.0)[: len(names.split())], bias_variance=0.2)
        equivalent = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, mean=0.7)
        penalty = np.array([1e-3, 0.1, 2.0])
        continued = equivalent.continued(260.0, penalty.astype(complex))
        points = [equivalent.solve(260.0, float(value)) for value in penalty]
        np.testing.assert_allclose(continued.ridge, [point.outer_ridge for point in points], rtol=1e-12)
        np.testing.assert_allclose(continued.total, [point.total for point in points], rtol=1e-12)

    @pytest.mark.parametrize("names", ["tanh", "relu erf", "leaky_relu cos softplus", "abs relu"])
    @pytest.mark.parametrize("penalty", [1e-6, 1e-2, 1.0])
    def test_derivatives_are_those_of_the_values(self, names: str, penalty: float) -> None:
        """Everything that ridge reads follows from kappa and T: TEST = (T - kappa T') / lambda', by complex steps here."""
        layers = network(names, (250.0, 300.0, 200.0)[: len(names.split())], bias_variance=0.1)
        equivalent = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.1, mean=0.5)
        prediction = predict_ridge(equivalent, 230.0, penalty)
        step = 1e-20
        continued = equivalent.continued(230.0, np.array([penalty * (1.0 + 1j * step)]))
        assert continued.converged.all()
        kappa, total = continued.ridge, continued.total
        kappa_slope, total_slope = kappa.imag[0] / (penalty * step), total.imag[0] / (penalty * step)
        test = total.real[0] * kappa_slope - kappa.real[0] * total_slope
        np.testing.assert_allclose(prediction.test_error, test, rtol=1e-9)
        norm = total.real[0] / kappa.real[0] - penalty * test / kappa.real[0] ** 2
        np.testing.assert_allclose(prediction.estimator_norm_squared, norm, rtol=1e-7)

    def test_neurons_that_differ_by_an_independent_root_search(self) -> None:
        layers = network("relu", (170.0,), bias_variance=0.5)
        [found] = layer_statistics(layers, 1.0)
        a, c, w = (
            found.averages.slopes_squared,
            found.averages.nonlinear_variances,
            found.averages.weights,
        )
        penalty, n, k, d = 0.03, 220.0, 170.0, 200.0

        def outer(inner: float) -> tuple[float, float]:
            df = d / (1.0 + inner)
            g = inner * df / d
            kappa = brentq(lambda x: w @ (a / (c + x + a * g)) - d / (k * inner), 0.0, 1e6, xtol=1e-15, rtol=1e-15)
            return kappa, k * float(w @ ((c + a * g) / (c + kappa + a * g)))

        def gap(inner: float) -> float:
            kappa, df = outer(inner)
            return kappa * (1.0 - df / n) - penalty * k

        inner = brentq(gap, 2.0, 1e4, xtol=1e-14, rtol=1e-14)
        prediction = predict(layers, n, penalty * k)
        np.testing.assert_allclose(prediction.effective_ridge, inner, rtol=1e-11)
        np.testing.assert_allclose(prediction.outer_ridge * k, outer(inner)[0], rtol=1e-11)
        np.testing.assert_allclose(prediction.df1, outer(inner)[1], rtol=1e-11)


class TestLimits:
    @pytest.mark.parametrize("names", ["erf", "tanh erf", "relu", "relu gelu", "sin abs"])
    @pytest.mark.parametrize("bias_variance", [0.0, 0.3])
    def test_width_to_infinity_is_the_conjugate_kernel(self, names: str, bias_variance: float) -> None:
        count = len(names.split())
        target = {"noise_variance": 0.2, "nonlinear_variance": 0.1, "mean": 0.6}
        wide = network(names, (1e11,) * count, bias_variance=bias_variance)
        kernel = theory.kernel_features(ISOTROPIC, ENERGIES, kernel=theory.ConjugateKernel(layers=wide), **target)
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=wide, **target)
        for penalty in (1e-3, 0.1):
            limit, prediction = predict_ridge(kernel, 250.0, penalty), predict_ridge(features, 250.0, penalty)
            for name in ("test_error", "train_error", "estimator_norm_squared", "df1"):
                np.testing.assert_allclose(getattr(prediction, name), getattr(limit, name), rtol=1e-6, err_msg=name)

    def test_a_linear_layer_is_a_random_projection(self) -> None:
        layers = network("linear", (90.0,))
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2)
        modes = theory.linear_modes(ISOTROPIC, ENERGIES, noise_variance=0.2)
        projected = predict_ridge(modes, 130.0, 0.3 * 200.0, width=90.0)
        prediction = predict_ridge(features, 130.0, 0.3)  # the layer divides by sqrt(d)
        np.testing.assert_allclose(prediction.test_error, projected.test_error, rtol=1e-12)
        np.testing.assert_allclose(prediction.train_error, projected.train_error, rtol=1e-12)

    def test_wide_linear_layers_are_the_linear_model(self) -> None:
        layers = network("linear linear linear", (1e12, 1e12, 1e12))
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2)
        linear = predict_ridge(theory.linear_modes(ISOTROPIC, ENERGIES, noise_variance=0.2), 130.0, 0.3 * 200.0)
        np.testing.assert_allclose(predict_ridge(features, 130.0, 0.3).test_error, linear.test_error, rtol=1e-8)

    @pytest.mark.parametrize("names", ["tanh", "relu tanh", "abs relu", "cos"])
    def test_a_large_penalty_predicts_nothing(self, names: str) -> None:
        layers = network(names, (150.0, 250.0)[: len(names.split())], bias_variance=0.0)
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2, mean=1.5)
        prediction = predict_ridge(features, 100.0, 1e12)
        np.testing.assert_allclose(prediction.test_error, 1.0 + 0.2 + 1.5**2, rtol=1e-9)
        np.testing.assert_allclose(prediction.train_error, 1.0 + 0.2 + 1.5**2, rtol=1e-9)

    @pytest.mark.parametrize("names", ["tanh erf", "relu relu", "gelu abs", "linear tanh", "tanh linear"])
    @pytest.mark.parametrize("n_samples", [60.0, 119.0, 121.0, 400.0])
    def test_ridgeless_is_the_limit_of_small_penalties(self, names: str, n_samples: float) -> None:
        layers = network(names, (180.0, 120.0), weight_variance=1.3)
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2, mean=0.3)
        ridgeless, near = (predict_ridge(features, n_samples, penalty) for penalty in (0.0, 1e-16))
        assert ridgeless.status == near.status == "converged"
        np.testing.assert_allclose(near.test_error, ridgeless.test_error, rtol=1e-7)
        np.testing.assert_allclose(near.train_error, ridgeless.train_error, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(near.df1, ridgeless.df1, rtol=1e-9)

    @pytest.mark.parametrize("names", ["tanh erf", "relu relu", "sigmoid cos"])
    def test_ridgeless_diverges_with_as_many_samples_as_neurons(self, names: str) -> None:
        features = theory.random_features(
            ISOTROPIC, ENERGIES, layers=network(names, (180.0, 120.0)), noise_variance=0.2
        )
        prediction = predict_ridge(features, 120.0, 0.0)
        assert (prediction.status, prediction.phase) == ("divergent", "threshold")

    def test_a_linear_bottleneck_bounds_the_degrees_of_freedom(self) -> None:
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=network("linear linear", (40.0, 300.0)))
        prediction = predict_ridge(features, 1000.0, 0.0)
        np.testing.assert_allclose(prediction.df1, 40.0, rtol=1e-12)
        assert prediction.phase == "underparameterized"

    def test_an_even_first_layer_lets_no_signal_through(self) -> None:
        target = {"noise_variance": 0.2, "mean": 0.0}
        layers = network("abs tanh", (150.0, 130.0))
        blocked = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, **target)
        noise_only = theory.random_features(ISOTROPIC, 0.0 * ENERGIES, layers=layers, noise_variance=1.2)
        prediction, noise = predict_ridge(blocked, 100.0, 0.1), predict_ridge(noise_only, 100.0, 0.1)
        np.testing.assert_allclose(prediction.test_error, noise.test_error, rtol=1e-12)
        np.testing.assert_allclose(prediction.bias, 1.0, rtol=1e-12)
        # A bias opens it: neurons off the axis of symmetry respond.
        opened = theory.random_features(
            ISOTROPIC, ENERGIES, layers=network("abs tanh", (150.0, 130.0), bias_variance=0.5), **target
        )
        assert predict_ridge(opened, 100.0, 0.1).bias < 0.999

    @pytest.mark.parametrize("name", ["tanh", "erf", "gelu", "relu", "sigmoid"])
    @pytest.mark.parametrize(("bias_variance", "weight_variance"), [(1.0, 0.1), (10.0, 1.0), (10.0, 2.0)])
    def test_neurons_that_hardly_respond_do_not_stop_the_ridgeless_limit(
        self, name: str, bias_variance: float, weight_variance: float
    ) -> None:
        """There the ridge of the layer vanishes while its smallest noise does too, and Newton's method is slow."""
        layers = network(name, (300.0,), weight_variance=weight_variance, bias_variance=bias_variance)
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.25)
        for n_samples in (400.0, 1000.0, 1e5):
            errors = []
            for penalty in (1e-8, 1e-14, 1e-20, 0.0):
                prediction = predict_ridge(features, n_samples, penalty)
                assert prediction.status == "converged"
                errors.append(prediction.test_error)
            # Neurons of ever smaller noise come in one after the other, at ever smaller steps.
            steps = np.abs(np.diff(errors)) / errors[-1]
            assert np.all(np.diff(steps) <= 1e-9)

    @pytest.mark.parametrize(("names", "rank"), [("linear", 201.0), ("linear linear", 201.0), ("relu linear", 131.0)])
    def test_a_mean_without_noise_is_a_direction_more(self, names: str, rank: float) -> None:
        """The biases of a layer that adds no noise point out of the span of its weights."""
        widths = (130.0, 400.0) if names == "relu linear" else (400.0, 300.0)
        layers = network(names, widths[: len(names.split())], bias_variance=0.3)
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2)
        assert predict_ridge(features, rank, 0.0).status == "divergent"
        prediction = predict_ridge(features, rank + 50.0, 0.0)
        assert prediction.status == "converged"
        np.testing.assert_allclose(prediction.df1, rank, rtol=1e-9)

    @pytest.mark.parametrize("name", ["abs", "cos", "quadratic"])
    def test_a_vanishing_bias_is_none(self, name: str) -> None:
        none, hardly = (
            theory.random_features(
                ISOTROPIC, ENERGIES, layers=network(name, (300.0,), bias_variance=bias), noise_variance=0.2
            )
            for bias in (0.0, 1e-100)
        )
        for penalty in (1e-3, 0.1):
            expected = predict_ridge(none, 200.0, penalty).test_error
            np.testing.assert_allclose(predict_ridge(hardly, 200.0, penalty).test_error, expected, rtol=1e-3)


class TestConstants:
    """Features with a mean form a constant, which takes one of their directions and learns the target's mean."""

    @pytest.mark.parametrize("names", ["relu", "relu relu", "softplus sigmoid"])
    def test_the_mean_is_learned(self, names: str) -> None:
        layers = network(names, (400.0, 300.0)[: len(names.split())])
        errors = [
            predict_ridge(
                theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2, mean=mean), 350.0, 1e-4
            ).test_error
            for mean in (0.0, 1.0)
        ]
        assert errors[0] < errors[1] < errors[0] * 1.02

    def test_features_without_a_mean_cannot(self) -> None:
        layers = network("tanh erf", (400.0, 300.0))
        without, with_mean, with_intercept = (
            predict_ridge(
                theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2, **options), 350.0, 1e-4
            )
            for options in ({}, {"mean": 1.0}, {"mean": 1.0, "fit_intercept": True})
        )
        np.testing.assert_allclose(with_mean.bias, without.bias + 1.0, rtol=1e-12)
        assert without.test_error < with_intercept.test_error < 1.02 * without.test_error

    @pytest.mark.parametrize("names", ["relu", "relu tanh", "relu relu"])
    def test_an_intercept_is_one_parameter_more(self, names: str) -> None:
        layers = network(names, (300.0, 150.0)[: len(names.split())])
        width = layers[-1].width
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.2, fit_intercept=True)
        assert predict_ridge(features, width + 1.0, 0.0).status == "divergent"
        prediction = predict_ridge(features, width + 50.0, 0.0)
        np.testing.assert_allclose(prediction.df1, width + 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("bias_variance", [0.0, 0.4])
def test_every_activation_in_every_place(name: str, bias_variance: float) -> None:
    for names in (name, f"{name} relu", f"tanh {name}", f"{name} {name} {name}"):
        layers = network(names, (130.0, 180.0, 90.0)[: len(names.split())], bias_variance=bias_variance)
        features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.1, mean=0.4)
        for n_samples, penalty in ((60.0, 0.0), (60.0, 0.05), (400.0, 0.0), (400.0, 0.05), (400.0, 5.0)):
            prediction = predict_ridge(features, n_samples, penalty)
            assert prediction.status == "converged"
            assert 0.1 < prediction.test_error < 100.0
            assert 0.0 <= prediction.train_error <= prediction.test_error
            np.testing.assert_allclose(prediction.bias + prediction.variance, prediction.excess_risk, rtol=1e-12)


def test_sixteen_layers() -> None:
    layers = network(" ".join(["tanh", "relu"] * 8), (300.0,) * 16, weight_variance=1.8, bias_variance=0.05)
    features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.1)
    prediction = predict_ridge(features, 250.0, 1e-3)
    assert prediction.status == "converged"
    assert 0.1 < prediction.test_error < 1.3


def test_a_network_whose_input_no_longer_varies_is_refused() -> None:
    layers = network("ternary ternary", (100.0, 100.0), weight_variance=1e-6)
    with pytest.raises(theory.InadmissibleProblem, match="layer 1"):
        theory.random_features(ISOTROPIC, ENERGIES, layers=layers)
    drowned = network("relu relu", (100.0, 100.0), weight_variance=1e-7, bias_variance=1e6)
    with pytest.raises(theory.InadmissibleProblem, match="same for every input"):
        theory.random_features(ISOTROPIC, ENERGIES, layers=drowned)


@pytest.mark.parametrize("names", ["sin", "sin relu", "relu cos"])
def test_an_oscillation_too_fast_to_respond_lets_no_signal_through(names: str) -> None:
    layers = network(names, (461.0, 300.0)[: len(names.split())], weight_variance=394.0, bias_variance=81.0)
    features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.1)
    prediction = predict_ridge(features, 150.0, 0.3)
    assert prediction.status == "converged"
    np.testing.assert_allclose(prediction.bias, 1.0, rtol=1e-9)


@pytest.mark.parametrize("weight_variance", [1e-216, 1e-70, 1e70])
def test_variances_beyond_double_precision_are_refused(weight_variance: float) -> None:
    for names in ("softplus", "sin", "tanh", "relu"):
        layers = (RandomLayer(activation=activation(names), width=100.0, weight_variance=weight_variance),)
        with pytest.raises(theory.InadmissibleProblem, match="variance"):
            theory.random_features(ISOTROPIC, ENERGIES, layers=layers)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("weight_variance", [1e-40, 1e-8, 1e8, 1e40])
def test_extreme_variances_are_answered_or_refused(name: str, weight_variance: float) -> None:
    smooth, waves = activation(name).scale is not None, np.isfinite(activation(name).finest)
    layers = (RandomLayer(activation=activation(name), width=100.0, weight_variance=weight_variance),)
    if weight_variance > (1e6 if waves else 1e12 if smooth else 1e60):
        with pytest.raises(theory.InadmissibleProblem, match=f"for {name}"):
            theory.random_features(ISOTROPIC, ENERGIES, layers=layers)
        return
    features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.1)
    scale = float(moments(activation(name), weight_variance).square)
    prediction = predict_ridge(features, 150.0, 0.1 * scale)
    assert prediction.status == "converged"
    assert 0.1 <= prediction.test_error < 2.0


def test_a_batch_is_its_problems() -> None:
    layers = network("relu tanh", (150.0, 120.0))
    features = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.1)
    n_samples = np.array([50.0, 120.0, 300.0])
    batch = predict_ridge(features, n_samples, 0.01)
    single = [predict_ridge(features, float(n), 0.01) for n in n_samples]
    np.testing.assert_array_equal(batch.test_error, [prediction.test_error for prediction in single])
    assert batch.status.tolist() == [prediction.status for prediction in single]


def test_the_units_of_inputs_do_not_matter_where_the_first_layer_undoes_them() -> None:
    scaled = theory.covariance.isotropic(200, variance=9.0)
    layers = network("relu erf", (150.0, 120.0), weight_variance=1.0)
    rescaled = (
        RandomLayer(activation=activation("relu"), width=150.0, weight_variance=1.0 / 9.0),
        layers[1],
    )
    one = theory.random_features(ISOTROPIC, ENERGIES, layers=layers, noise_variance=0.1)
    other = theory.random_features(scaled, ENERGIES, layers=rescaled, noise_variance=0.1)
    np.testing.assert_allclose(
        predict_ridge(one, 140.0, 0.02).test_error, predict_ridge(other, 140.0, 0.02).test_error, rtol=1e-12
    )
