"""Inputs and targets as drawn, against their exact moments."""

import numpy as np
import pytest
from scipy.special import eval_gegenbauer

from simulation import GaussianRegime, Moments, SphereRegime
from simulation.sphere import gegenbauer, n_harmonics
from theory import InadmissibleProblem


def z_score(values: np.ndarray, expected: float) -> float:
    moments = Moments.of(values)
    return (moments.mean - expected) / moments.standard_error


def gaussian(**others: float) -> GaussianRegime:
    index = np.arange(1.0, 21.0)
    return GaussianRegime(eigenvalues=index**-1.5, energies=index**-2.0, **others)


def test_a_gaussian_target_has_the_variances_asked_for() -> None:
    rng = np.random.default_rng(0)
    target = gaussian(nonlinear_variance=0.4, mean=1.5).target(rng)
    inputs, values = target.draw(rng, 200_000)
    signal = np.sum(np.arange(1.0, 21.0) ** -2.0)
    assert abs(z_score(values, 1.5)) < 4
    assert abs(z_score((values - 1.5) ** 2, signal + 0.4)) < 4
    nonlinear = values - 1.5 - inputs @ target.weights
    assert abs(z_score(nonlinear**2, 0.4)) < 4


def test_the_nonlinear_part_is_orthogonal_to_quadratic_functions() -> None:
    rng = np.random.default_rng(1)
    regime = GaussianRegime(eigenvalues=np.ones(7), energies=np.zeros(7), nonlinear_variance=1.0)
    inputs, values = regime.target(rng).draw(rng, 100_000)
    products = [inputs[:, i] * inputs[:, j] for i in range(7) for j in range(i + 1)]
    scores = [z_score(values * function, 0.0) for function in [*inputs.T, *products]]
    assert np.max(np.abs(scores)) < 4


def test_gegenbauer_polynomials_are_those_of_scipy() -> None:
    cosines = np.linspace(-1.0, 1.0, 101)
    for n_features in (3, 10, 40):
        ours = gegenbauer(cosines, 6, n_features)
        order = 0.5 * (n_features - 2)
        for degree, values in enumerate(ours):
            scale = eval_gegenbauer(degree, order, 1.0)
            np.testing.assert_allclose(values, eval_gegenbauer(degree, order, cosines) / scale, rtol=1e-12, atol=1e-13)
    assert [values.shape for values in gegenbauer(cosines, 0, 5)] == [(101,)]


def test_harmonics_are_counted() -> None:
    # On the sphere in three dimensions 2l + 1; in d of degree 2: symmetric matrices without trace.
    assert [n_harmonics(degree, 3) for degree in range(6)] == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]
    assert n_harmonics(2, 24) == 24 * 25 / 2 - 1


@pytest.mark.parametrize("seed", range(3))
def test_a_target_on_the_sphere_has_its_energies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    energies = [0.3, 0.5, 0.2, 0.7]
    target = SphereRegime(n_features=6, degree_energies=energies).target(rng)
    inputs, values = target.draw(rng, 200_000)
    np.testing.assert_allclose(np.sum(inputs**2, axis=1), 6.0, rtol=1e-12)
    assert abs(z_score(values**2, sum(energies))) < 4
    assert abs(abs(np.mean(values)) - np.sqrt(0.3)) < 4 * np.std(values) / np.sqrt(values.size)
    # The parts of different degrees are orthogonal, and each has its energy.
    parts = gegenbauer(inputs @ target.directions.T / np.sqrt(6.0), 3, 6)
    for degree, energy in enumerate(energies):
        part = parts[degree] @ target.degree_weights[degree]
        if degree:
            assert abs(z_score(part**2, energy)) < 4
        assert abs(z_score(part * (values - part), 0.0)) < 4


def test_targets_on_the_sphere_are_redrawn() -> None:
    regime = SphereRegime(n_features=6, degree_energies=[0.0, 1.0])
    first, second = (regime.target(np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.isclose(first.degree_weights[1], second.degree_weights[1]).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eigenvalues": [1.0, 2.0]}, r"need one shape \(d,\), got \(2,\) and \(1,\)"),
        ({"eigenvalues": [-1.0]}, "eigenvalues must be finite and at least 0"),
        ({"energies": [np.nan]}, "energies must be finite and at least 0"),
        ({"eigenvalues": [0.0]}, "no energy where the inputs have no variance"),
        ({"noise_variance": np.inf}, "noise_variance must be finite and at least 0"),
        ({"tail_trace": -1.0}, "tail_trace must be finite and at least 0"),
        ({"mean": np.nan}, "mean must be finite, got nan"),
        ({"nonlinear_variance": 1.0}, "needs at least 3 directions, got 1"),
    ],
)
def test_inadmissible_gaussian_regimes(change: dict[str, object], message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        GaussianRegime(**({"eigenvalues": [1.0], "energies": [1.0]} | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_features": 2}, "n_features must be a whole number, at least 3, got 2"),
        ({"n_features": 4.5}, r"n_features must be a whole number, at least 3, got 4\.5"),
        ({"degree_energies": []}, r"one entry a degree, from 0 up, got shape \(0,\)"),
        ({"degree_energies": [1.0, -1.0]}, "degree_energies must be finite and at least 0"),
        ({"noise_variance": -1.0}, "noise_variance must be finite and at least 0"),
    ],
)
def test_inadmissible_spheres(change: dict[str, object], message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        SphereRegime(**({"n_features": 5, "degree_energies": [0.0, 1.0]} | change))
