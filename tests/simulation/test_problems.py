"""Drawing, training and measuring on features and kernels: against scikit-learn, exact limits and other namespaces."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from simulation import (
    ConjugateKernel,
    Exponential,
    GaussianRegime,
    Hinge,
    InfiniteLayer,
    Laplace,
    Layer,
    LinearFeatures,
    Moments,
    Polynomial,
    Problem,
    RandomFeatures,
    RandomFourier,
    RandomProjection,
    Rbf,
    Ridge,
    SphereRegime,
    TangentKernel,
    draw_training_set,
    simulate,
)
from simulation.devices import stream
from tests.simulation.namespaces import STRICT
from theory import InadmissibleProblem
from theory.activations import activation

QUANTITIES = ("test_error", "excess_risk", "train_error", "estimator_norm_squared")
INDEX = np.arange(1.0, 31.0)
RELU = Layer(activation=activation("relu"), width=25, bias_variance=0.1)
FEATURES = {
    "linear": LinearFeatures(),
    "random features": RandomFeatures(layers=[RELU, Layer(activation=activation("erf"), width=50)]),
    "random fourier": RandomFourier(frequencies=20),
    "projection": RandomProjection(width=20),
    "rbf": Rbf(),
    "laplace": Laplace(),
    "polynomial": Polynomial(degree=3),
    "exponential": Exponential(),
    "ck": ConjugateKernel(layers=[InfiniteLayer(activation=activation("relu"))]),
    "ntk": TangentKernel(layers=[InfiniteLayer(activation=activation("erf"))]),
}


def gaussian(**others: float) -> GaussianRegime:
    fields = {"noise_variance": 0.1, "nonlinear_variance": 0.2, "mean": 1.5} | others
    return GaussianRegime(eigenvalues=INDEX**-0.5, energies=INDEX**-1.0, **fields)


def problem(name: str = "linear", regime: object = None, penalty: float = 1e-2, **others: float) -> Problem:
    fields = {"n_samples": 40, "learner": Ridge(penalty=penalty)} | others
    return Problem(regime=regime or gaussian(), features=FEATURES[name], **fields)


def z_score(values: np.ndarray, expected: float) -> float:
    moments = Moments.of(values)
    return (moments.mean - expected) / moments.standard_error


def assert_same_law(left: np.ndarray, right: np.ndarray) -> None:
    one, other = Moments.of(left), Moments.of(right)
    assert abs(one.mean - other.mean) < 4 * np.hypot(one.standard_error, other.standard_error)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("penalty", [0.0, 1e-2])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_every_namespace_measures_the_same(name: str, penalty: float, fit_intercept: bool) -> None:
    trained = problem(name, penalty=penalty, fit_intercept=fit_intercept)
    plain = simulate(trained, replicates=2, seed=5, n_test=50)
    strict = simulate(trained, replicates=2, seed=5, n_test=50, device=STRICT)
    for quantity in QUANTITIES:
        # Interpolation leaves residuals of rounding only, 1e-15 of the labels, squared.
        np.testing.assert_allclose(getattr(strict, quantity), getattr(plain, quantity), rtol=1e-9, atol=1e-22)


@pytest.mark.parametrize("name", FEATURES)
def test_a_replicate_is_the_same_alone_or_among_others(name: str) -> None:
    for regime in (gaussian(), SphereRegime(n_features=5, degree_energies=[0.1, 0.5, 0.4], noise_variance=0.1)):
        trained = problem(name, regime)
        together = simulate(trained, replicates=4, seed=3, n_test=20)
        alone = [simulate(trained, replicates=1, seed=3, first_replicate=number, n_test=20) for number in range(4)]
        for quantity in QUANTITIES:
            np.testing.assert_array_equal(getattr(together, quantity), [getattr(one, quantity)[0] for one in alone])
        assert len(set(together.test_error.tolist())) == 4
        other = simulate(trained, replicates=4, seed=4, n_test=20)
        assert not np.isin(other.test_error, together.test_error).any()
    assert simulate(problem(name), replicates=0, seed=0).test_error.shape == (0,)


@pytest.mark.parametrize("name", ["rbf", "laplace", "polynomial", "exponential", "ck", "ntk"])
def test_kernel_ridge_is_scikit_learns(name: str) -> None:
    # What the simulation measures for one replicate, recomputed from the same draws with scikit-learn's dual weights.
    trained = problem(name)
    measured = simulate(trained, replicates=1, seed=2, n_test=30)
    drawn = draw_training_set(trained, stream(2, 0))
    inputs, labels = drawn.inputs, drawn.labels
    fresh, noiseless = drawn.target.draw(drawn.streams, 30)
    gram = trained.features.matrix(inputs)
    reference = KernelRidge(alpha=40 * 1e-2, kernel="precomputed").fit(gram, labels)
    predicted = reference.predict(trained.features.matrix(fresh, inputs))
    np.testing.assert_allclose(measured.excess_risk, np.mean((noiseless - predicted) ** 2), rtol=1e-8)
    np.testing.assert_allclose(measured.train_error, np.mean((labels - reference.predict(gram)) ** 2), rtol=1e-8)
    norm = reference.dual_coef_ @ gram @ reference.dual_coef_
    np.testing.assert_allclose(measured.estimator_norm_squared, norm, rtol=1e-8)
    np.testing.assert_allclose(measured.test_error - measured.excess_risk, 0.1, rtol=1e-12)


def test_a_kernel_with_an_intercept_ignores_the_mean_of_the_labels() -> None:
    low, high = (
        simulate(problem("rbf", gaussian(mean=mean), fit_intercept=True), replicates=3, seed=0) for mean in (0.0, 50.0)
    )
    for quantity in QUANTITIES:
        np.testing.assert_allclose(getattr(low, quantity), getattr(high, quantity), rtol=1e-9)


def test_a_kernel_of_low_rank_is_least_squares_without_a_penalty() -> None:
    # The polynomial kernel of degree 1 without offset is linear regression on the inputs / sqrt(d).
    regime = gaussian(nonlinear_variance=0.0, mean=0.0)
    kernel = Problem(regime=regime, features=Polynomial(degree=1, offset=0.0), learner=Ridge(penalty=0.0), n_samples=60)
    linear = replace(kernel, features=LinearFeatures())
    by_kernel, by_weights = (simulate(one, replicates=3, seed=0, n_test=20) for one in (kernel, linear))
    np.testing.assert_allclose(by_kernel.train_error, by_weights.train_error, rtol=1e-9)
    np.testing.assert_allclose(by_kernel.estimator_norm_squared, 30 * by_weights.estimator_norm_squared, rtol=1e-8)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_exact_errors_are_those_of_fresh_data(fit_intercept: bool) -> None:
    # A single layer of linear neurons is a projection up to sqrt(d), and is measured on fresh inputs.
    regime = gaussian()
    common = {"regime": regime, "n_samples": 40, "fit_intercept": fit_intercept}
    exact = Problem(features=RandomProjection(width=20), learner=Ridge(penalty=0.3), **common)
    neurons = RandomFeatures(layers=[Layer(activation=activation("linear"), width=20)])
    fresh = Problem(features=neurons, learner=Ridge(penalty=0.3 / 30), **common)
    one, other = simulate(exact, replicates=200, seed=1), simulate(fresh, replicates=200, seed=1)
    np.testing.assert_allclose(one.train_error, other.train_error, rtol=1e-8)
    assert abs(z_score(one.test_error - other.test_error, 0.0)) < 4


@pytest.mark.parametrize("name", ["linear", "projection"])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_tail_is_many_small_directions(name: str, fit_intercept: bool) -> None:
    # 3000 directions without any of the target share the tail's trace, which is what the tail is the limit of.
    tail = gaussian(tail_trace=4.0, nonlinear_variance=0.0)
    listed = GaussianRegime(
        eigenvalues=np.concatenate([INDEX**-0.5, np.full(3000, 4.0 / 3000)]),
        energies=np.concatenate([INDEX**-1.0, np.zeros(3000)]),
        noise_variance=0.1,
        mean=1.5,
    )
    one, other = (
        simulate(problem(name, regime, fit_intercept=fit_intercept), replicates=100, seed=seed)
        for seed, regime in enumerate((tail, listed))
    )
    for quantity in QUANTITIES:
        assert_same_law(getattr(one, quantity), getattr(other, quantity))


def test_a_target_on_the_sphere_that_only_has_a_mean_is_learned_by_an_intercept() -> None:
    regime = SphereRegime(n_features=10, degree_energies=[4.0])
    samples = simulate(problem("rbf", regime, fit_intercept=True), replicates=3, seed=0)
    assert np.all(samples.test_error < 1e-25)


def test_a_linear_target_on_the_sphere_is_that_of_random_weights() -> None:
    # Least squares on the sphere's inputs: the error does not know the direction of the target.
    trained = Problem(
        regime=SphereRegime(n_features=20, degree_energies=[0.0, 1.0], noise_variance=0.5),
        features=LinearFeatures(),
        learner=Ridge(penalty=0.0),
        n_samples=400,
    )
    samples = simulate(trained, replicates=200, seed=0)
    assert abs(z_score(samples.train_error, 0.5 * (1 - 20 / 400))) < 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_samples": 2.5}, r"n_samples must be a whole number, at least 1, got 2\.5"),
        ({"features": Rbf(), "regime": gaussian(tail_trace=2.0)}, "a tail of trace 2 is seen by linear .* not by Rbf"),
        (
            {"learner": Hinge(penalty=1.0)},
            "Hinge needs labels that are classes, and those of GaussianRegime are numbers",
        ),
    ],
)
def test_inadmissible_problems_say_which_rule_they_break(change: dict[str, object], message: str) -> None:
    fields = {"regime": gaussian(), "features": LinearFeatures(), "n_samples": 5, "learner": Ridge(penalty=0.1)}
    with pytest.raises(InadmissibleProblem, match=message):
        Problem(**(fields | change))
