"""The theory of one-pass SGD within its standard error of finite-size training, plus the O(1/d) that a limit neglects.

The allowance is not fitted to the draws. For least squares it is exact: how far the recursion of second moments of Gaussian
inputs, which knows d, is from the limit. Elsewhere it is twice what the prediction changes by when there is one direction in
d less, with as many samples as before, and one part in d.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import theory
from simulation import GaussianRegime, Layer, Moments, RandomFeatures, RandomProjection
from simulation.online import OnlineRegression, simulate_online
from simulation.online_networks import OnlineNetwork, simulate_online_network
from theory.activations import activation
from theory.learners.committee import predict_committee
from theory.learners.networks import TeacherNetwork, TwoLayerStudent, typical_overlaps
from theory.learners.sgd import predict_sgd
from theory.learners.single_index import predict_single_index

D = 200
LEVELS = np.repeat([0.3, 1.7], D // 2)


def two_levels(d: float = D) -> theory.Spectrum:
    return theory.covariance.discrete(d, eigenvalues=[0.3, 1.7], weights=[0.5, 0.5])


def assert_agrees(values: np.ndarray, expected: np.ndarray, allowance: np.ndarray) -> None:
    """Compare every column with four standard errors and the allowance."""
    for column, (value, slack) in enumerate(zip(expected, allowance, strict=True)):
        moments = Moments.of(values[:, column])
        # What is exact at the start scatters by rounding only.
        distance = max(abs(moments.mean - value) - slack - 1e-12, 0.0)
        assert distance <= 4.0 * moments.standard_error, f"at {column}: {moments.mean} for {value}"


# Least squares.

LEAST_SQUARES = {
    "isotropic, a long step": (theory.covariance.isotropic(D), 1.6, 1, {}),
    "two levels": (two_levels(), 0.6, 1, {}),
    "two levels, batches": (two_levels(), 2.4, 4, {}),
    "power law": (theory.covariance.power_law(D, exponent=1.0), 0.4, 1, {}),
    "a nonlinear part and a mean": (two_levels(), 0.6, 1, {"nonlinear_variance": 0.3, "mean": 0.4}),
    "a tail": (two_levels(), 0.6, 1, {"tail_trace": 150.0}),
}


def discrete_risk(
    xi: np.ndarray, energies: np.ndarray, floor: float, step: float, batch: int, n: list[int]
) -> list[float]:
    """Risk of Gaussian inputs at finite size, exactly, what acts as noise left out."""
    left, found = energies.copy(), {}
    for taken in range(0, max(n) + 1, batch):
        found[taken] = float(left.sum())
        total = left.sum() + floor
        kept = 1.0 - 2.0 * step * xi + (step * xi) ** 2 * (1.0 + 1.0 / batch)
        left = left * kept + (step * xi) ** 2 / batch * total
    return [found[count] for count in n]


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_least_squares(name: str) -> None:
    spectrum, gain, batch, options = LEAST_SQUARES[name]
    xi = np.repeat(spectrum.eigenvalues, spectrum.multiplicities.round().astype(int))
    energies = xi / xi.sum()
    tail = options.get("tail_trace", 0.0)
    regime = GaussianRegime(eigenvalues=xi, energies=energies, noise_variance=0.3, **options)
    step, n = gain / (xi.sum() + tail), [0, D, 4 * D, 12 * D]
    samples = simulate_online(
        OnlineRegression(regime=regime, n_samples=n, step_size=step, batch_size=batch), replicates=48, seed=0
    )
    unlearnable = options.get("nonlinear_variance", 0.0) + options.get("mean", 0.0) ** 2
    modes = theory.Modes(
        eigenvalues=xi,
        multiplicities=np.ones(D),
        energies=energies,
        unlearnable_variance=unlearnable,
        noise_variance=0.3,
        tail_trace=tail,
    )
    prediction = predict_sgd(modes, n, step, batch_size=batch)
    exact = np.array(discrete_risk(xi, energies, 0.3 + unlearnable, step, batch, n)) + unlearnable
    allowance = np.abs(exact - prediction.excess_risk)
    assert np.max(allowance / exact) < 12.0 * float(xi.max() / xi.sum())
    assert_agrees(samples.excess_risk, prediction.excess_risk, allowance)
    assert_agrees(samples.test_error, prediction.test_error, allowance)
    # The norm is off by as large a share, and that of its last step by less.
    share = np.max(allowance / exact) * prediction.estimator_norm_squared
    assert_agrees(samples.estimator_norm_squared, prediction.estimator_norm_squared, share)


def features_of(kind: str) -> tuple[Any, Any]:
    spectrum, energies = two_levels(), theory.target.isotropic(two_levels(), signal_variance=1.0)
    if kind == "projection":
        modes = theory.linear_modes(spectrum, energies, noise_variance=0.25)
        return theory.ModalEquivalent(modes=modes, width=150), RandomProjection(width=150)
    names = kind.split(", ")
    drawn = RandomFeatures(layers=[Layer(activation=activation(name), width=200, bias_variance=0.1) for name in names])
    layers = [theory.RandomLayer(activation=activation(name), width=200, bias_variance=0.1) for name in names]
    return theory.random_features(spectrum, energies, layers=layers, noise_variance=0.25), drawn


@pytest.mark.parametrize("kind", ["projection", "erf", "relu, tanh"])
def test_other_features(kind: str) -> None:
    equivalent, drawn = features_of(kind)
    step = 0.3 * predict_sgd(equivalent, 0, 1e-9).critical_step_size
    n = [60, 400, 1600]
    regime = GaussianRegime(eigenvalues=LEVELS, energies=LEVELS / D, noise_variance=0.25)
    samples = simulate_online(
        OnlineRegression(regime=regime, n_samples=n, step_size=step, features=drawn), replicates=24, seed=0, n_test=2000
    )
    prediction = predict_sgd(equivalent, n, step)
    # A step shrinks the fastest mode by step * xi; features with a mean have xi / trace of 0.1 to 0.3 there.
    mean = float(equivalent.constant)
    slack = 0.5 * step * (mean + 2.0 / D)
    assert_agrees(samples.excess_risk, prediction.excess_risk, slack * prediction.excess_risk)
    assert_agrees(
        samples.estimator_norm_squared, prediction.estimator_norm_squared, slack * prediction.estimator_norm_squared
    )


# Networks.


def neglected(predict: Callable[[float], np.ndarray]) -> np.ndarray:
    """What the limit neglects, by the prediction for D inputs and for one less."""
    whole = predict(float(D))
    return 2.0 * np.abs(predict(D - 1.0) - whole) + np.abs(whole) / D


NEURONS = {
    "erf of erf": ("erf", "erf", 1.0, 0.0),
    "gelu of tanh": ("gelu", "tanh", 0.8, 0.0),
    "relu of sign": ("relu", "sign", 0.5, 0.0),
    "leaky relu of softplus": ("leaky_relu", "softplus", 0.6, 0.0),
    "sine of ternary": ("sin", "ternary", 0.6, 0.0),
    "phase retrieval by abs": ("abs", "quadratic", 0.1, 0.4),
}


@pytest.mark.parametrize("name", NEURONS)
def test_single_index_models(name: str) -> None:
    kind, teacher, gain, overlap = NEURONS[name]
    n, norm = [0, D // 2, 3 * D, 10 * D], 0.25

    def predict(d: float) -> Any:
        modes = theory.Modes(
            eigenvalues=[0.3, 1.7], multiplicities=[d / 2, d / 2], energies=[0.15, 0.85], noise_variance=0.05
        )
        return predict_single_index(
            modes,
            n,
            gain / D,
            activation=activation(kind),
            teacher_activation=activation(teacher),
            initial_norm_squared=norm,
            initial_overlap=overlap,
        )

    trained = OnlineNetwork(
        eigenvalues=LEVELS,
        activation=activation(kind),
        teacher_activation=activation(teacher),
        n_samples=n,
        step_size=gain / D,
        self_overlaps=[[norm]],
        overlaps=[[overlap * np.sqrt(norm)]],
        teacher_weights=np.full((1, D), 1.0 / np.sqrt(D)),
        noise_variance=0.05,
    )
    samples = simulate_online_network(trained, replicates=24, seed=0)
    prediction = predict(float(D))
    assert_agrees(samples.excess_risk, prediction.excess_risk, neglected(lambda d: predict(d).excess_risk))
    assert_agrees(samples.norms_squared[:, :, 0], prediction.norm_squared, neglected(lambda d: predict(d).norm_squared))


COMMITTEES = {
    "two of two": ((2, 2), "isotropic", {"step_size": 0.5}, 0.0),
    "three of two, noise, two levels": ((3, 2), "two levels", {"step_size": 0.4}, 0.05),
    "two of one, read-out trained": (
        (2, 1),
        "two levels",
        {"step_size": 0.4, "readout_step_size": 0.4, "readout": [0.5, 0.8]},
        0.02,
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("two of two", marks=pytest.mark.slow),
        pytest.param("three of two, noise, two levels", marks=pytest.mark.slow),
        "two of one, read-out trained",
    ],
)
def test_committee_machines(name: str) -> None:
    (count, taught), covariance, fields, noise = COMMITTEES[name]
    n, variance = [0, D, 5 * D, 25 * D], 0.25
    overlaps = np.sqrt(variance / D) * typical_overlaps(count, taught)

    def predict(d: float) -> Any:
        spectrum = theory.covariance.isotropic(d) if covariance == "isotropic" else two_levels(d)
        student = TwoLayerStudent(hidden_units=count, initial_overlaps=overlaps, **fields)
        return predict_committee(
            student, TeacherNetwork(hidden_units=taught, spectrum=spectrum, noise_variance=noise), n
        )

    trained = OnlineNetwork(
        eigenvalues=np.ones(D) if covariance == "isotropic" else LEVELS,
        activation=activation("erf"),
        teacher_activation=activation("erf"),
        n_samples=n,
        step_size=fields["step_size"],
        self_overlaps=variance * D * np.eye(count),
        overlaps=D * overlaps,
        teacher_overlaps=D * np.eye(taught),
        readout=fields.get("readout"),
        readout_step_size=fields.get("readout_step_size", 0.0) / D,
        input_scale=1.0 / np.sqrt(2 * D),
        noise_variance=noise,
    )
    samples = simulate_online_network(trained, replicates=24, seed=0)
    prediction = predict(float(D))
    assert_agrees(samples.excess_risk, prediction.excess_risk, neglected(lambda d: predict(d).excess_risk))
    assert_agrees(samples.test_error, prediction.test_error, neglected(lambda d: predict(d).test_error))
    own = np.diagonal(samples.self_overlaps, axis1=2, axis2=3).mean(axis=2)
    # In erf(u) fields are divided by sqrt(2).
    assert_agrees(
        2.0 * own,
        np.diagonal(prediction.self_overlaps, axis1=1, axis2=2).mean(axis=1),
        neglected(lambda d: np.diagonal(predict(d).self_overlaps, axis1=1, axis2=2).mean(axis=1)),
    )
    assert_agrees(
        samples.readout.mean(axis=2),
        prediction.readout.mean(axis=1),
        neglected(lambda d: predict(d).readout.mean(axis=1)),
    )
