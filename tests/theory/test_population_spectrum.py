"""The population spectrum of a pool: two atoms recovered, and the risk of its eigenspectrum against transport."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.datasets import load_digits

import theory
from theory.covariance import InadmissibleProblem
from theory.pools import pool_of_rows, predict_pool
from theory.pools.population import PopulationSpectrum, population_spectrum

Array = np.ndarray
RIDGES = np.array([0.05, 0.5, 5.0])


@dataclass(frozen=True)
class Tables:
    """What is asked of a pool, by brute force."""

    n_rows: int
    n_features: int
    fit_intercept: bool
    eigenvalues: Array
    ridges: Array
    loo: Array


def tables(kernel: Array, targets: Array, *, fit_intercept: bool, n_features: int = 0) -> Tables:
    """Take one eigendecomposition, and leave each row out in turn by its leverage."""
    n = kernel.shape[0]
    centre = np.eye(n) - (1.0 / n if fit_intercept else 0.0)
    values, vectors = np.linalg.eigh(centre @ kernel @ centre / n)
    values = np.maximum(values, 0.0)
    targets = targets.reshape(n, -1)
    projected = vectors.T @ (centre @ targets)
    ridges = np.geomspace(1e-9, 1e3, 97) * values.max()
    loo = []
    for ridge in ridges:
        left = ridge / (values + ridge)
        # A constant is fitted to all rows, by every model.
        free = (vectors**2) @ left - (1.0 / n if fit_intercept else 0.0)
        loo.append(np.mean(np.sum((vectors @ (left[:, None] * projected) / free[:, None]) ** 2, axis=1)))
    kept = np.sort(values)[::-1][: n - 1] if fit_intercept else np.sort(values)[::-1]
    return Tables(n, n_features, fit_intercept, kept, ridges, np.array(loo))


def transported(pool: Tables, n_samples: float, penalty: float) -> float:
    """Return the risk at (n, penalty) by kappa alone: no population is deconvolved."""
    constant = int(pool.fit_intercept)

    def at(ridge: float) -> tuple[float, float, float]:
        shares = pool.eigenvalues / (pool.eigenvalues + ridge)
        df1 = np.sum(shares)
        kappa = ridge / (1.0 - (df1 + constant) / pool.n_rows)
        falling = np.sum(shares * (1.0 - shares))
        # d kappa / d l by central differences would do; this is its closed form.
        slope = kappa / ridge * (1.0 - falling / (pool.n_rows - constant - df1))
        return kappa, df1, pool.n_rows * (1.0 - 1.0 / slope) - constant

    def excess(logarithm: float) -> float:
        kappa, df1, _ = at(np.exp(logarithm))
        return kappa * (1.0 - (df1 + constant) / n_samples) - penalty

    logarithm = brentq(excess, np.log(pool.ridges[0]), np.log(pool.ridges[-1]), xtol=1e-12)
    _, _, df2 = at(np.exp(logarithm))
    risk = np.exp(np.interp(logarithm, np.log(pool.ridges), np.log(pool.loo)))
    return float(risk * (1.0 - (df2 + constant) / pool.n_rows) / (1.0 - (df2 + constant) / n_samples))


def risk_of(spectrum: PopulationSpectrum, n_samples: float, penalty: float, *, fit_intercept: bool) -> float:
    """Return what the eigenspectrum predicts; a constant is one row less and one part in n more."""
    modes = theory.Modes(
        eigenvalues=spectrum.eigenvalues,
        multiplicities=spectrum.multiplicities,
        energies=spectrum.energies,
        tail_trace=spectrum.tail_trace,
        noise_variance=spectrum.noise_variance,
    )
    rows = n_samples - int(fit_intercept)
    found = theory.predict_ridge(modes, n_samples=rows, penalty=penalty * n_samples / rows)
    return float(found.test_error * n_samples / rows)


def gaussian_pool(rng: np.random.Generator, *, fit_intercept: bool, noise_variance: float = 0.25) -> Tables:
    """600 rows of 300 features, half of variance 1 and half of 4."""
    rows = rng.normal(size=(600, 300)) * np.repeat([1.0, 2.0], 150)
    target = rows @ (rng.normal(size=300) / sqrt(750.0)) + sqrt(noise_variance) * rng.normal(size=600)
    return tables(rows @ rows.T, target, fit_intercept=fit_intercept, n_features=300)


def exact(ridge: Array, power: int) -> Array:
    """Of the two atoms."""
    return 150.0 * ((1.0 / (1.0 + ridge)) ** power + (4.0 / (4.0 + ridge)) ** power)


@pytest.fixture(scope="module")
def recovered() -> list[PopulationSpectrum]:
    rng = np.random.default_rng(3)
    return [population_spectrum(gaussian_pool(rng, fit_intercept=bool(index % 2))) for index in range(12)]


def test_two_atoms_are_recovered(recovered: list[PopulationSpectrum]) -> None:
    for power, name in ((1, "df1"), (2, "df2")):
        errors = np.array([getattr(one, name)(RIDGES) / exact(RIDGES, power) - 1.0 for one in recovered])
        # Single pools miss by their luck, of which the trace's share is sqrt(2 tr2 / N) / tr = 0.4 %; on average hardly.
        standard_error = np.std(errors, axis=0, ddof=1) / sqrt(len(recovered))
        assert np.all(np.abs(np.mean(errors, axis=0)) <= 5e-4 + 3.0 * standard_error), (name, errors.mean(axis=0))
        assert np.all(np.abs(errors) <= 0.02), name
    ranks = np.array([one.effective_rank for one in recovered])
    assert np.mean(ranks) == pytest.approx(750.0**2 / 2550.0, rel=0.01)
    noise = np.array([one.noise_variance for one in recovered])
    assert abs(np.mean(noise) - 0.25) <= 3.0 * np.std(noise, ddof=1) / sqrt(noise.size)
    signal = np.array([np.sum(one.energies) for one in recovered])
    assert abs(np.mean(signal) - 1.0) <= 3.0 * np.std(signal, ddof=1) / sqrt(signal.size)


def test_what_is_sent_is_admissible(recovered: list[PopulationSpectrum]) -> None:
    for one in recovered:
        assert one.smallest_identified_ridge == 0.0
        assert one.eigenvalues.shape == one.multiplicities.shape == one.energies.shape
        assert np.all(np.diff(one.eigenvalues) < 0.0)
        assert one.eigenvalues[-1] > 0.0
        assert np.min(one.multiplicities) > 0.0
        assert np.min(one.energies) >= 0.0
        assert one.noise_variance >= 0.0
        # No more modes than features.
        assert np.sum(one.multiplicities) <= 300.0 * (1.0 + 1e-4)
        assert one.df1_error < 5e-3
        assert one.level_error < 0.05


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_units(fit_intercept: bool) -> None:
    pool = gaussian_pool(np.random.default_rng(0), fit_intercept=fit_intercept)
    expected = population_spectrum(pool)
    scaled = population_spectrum(
        Tables(600, 300, fit_intercept, 9.0 * pool.eigenvalues, 9.0 * pool.ridges, 4.0 * pool.loo)
    )
    np.testing.assert_allclose(scaled.eigenvalues, 9.0 * expected.eigenvalues, rtol=1e-9)
    np.testing.assert_allclose(scaled.multiplicities, expected.multiplicities, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scaled.energies, 4.0 * expected.energies, rtol=1e-6, atol=1e-9)
    assert scaled.noise_variance == pytest.approx(4.0 * expected.noise_variance, rel=1e-6)


def test_fewer_rows_than_directions_identify_no_small_ridge() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 200))
    pool = tables(rows @ rows.T, rows[:, 0], fit_intercept=False, n_features=200)
    found = population_spectrum(pool)
    # Isotropic: df1 = n at that ridge, kappa = d / n - 1.
    assert found.smallest_identified_ridge == pytest.approx(200.0 / 60.0 - 1.0, rel=0.1)
    assert found.df1(found.smallest_identified_ridge) == pytest.approx(60.0, rel=0.02)


def digits(kind: str) -> tuple[Array, Array]:
    data = load_digits()
    inputs = data.data[:, data.data.std(axis=0) > 0.0] / 16.0
    chosen = np.random.default_rng(0).permutation(inputs.shape[0])[:600]
    rows, targets = inputs[chosen], np.eye(10)[data.target[chosen]]
    if kind == "linear":
        return rows @ rows.T, targets
    squares = np.sum(rows**2, axis=1)
    return np.exp(-np.maximum(squares[:, None] + squares - 2.0 * rows @ rows.T, 0.0) / 16.0), targets


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(("kind", "tolerance"), [("linear", 0.015), ("rbf", 0.08)])
def test_digits_near_the_pool(kind: str, tolerance: float, fit_intercept: bool) -> None:
    kernel, targets = digits(kind)
    pool = tables(kernel, targets, fit_intercept=fit_intercept, n_features=61 if kind == "linear" else 0)
    found = population_spectrum(pool)
    for n_samples in (500.0, 600.0):
        for share in (1e-4, 1e-3, 1e-2):
            penalty = share * float(np.sum(pool.eigenvalues))
            expected = transported(pool, n_samples, penalty)
            risk = risk_of(found, n_samples, penalty, fit_intercept=fit_intercept)
            # The spectrum is exact where it fits: what it misses of S it misses here.
            assert abs(risk / expected - 1.0) <= tolerance, (n_samples, share, risk, expected)
            assert abs(risk / expected - 1.0) <= found.level_error + 5.0 * found.df1_error + 2e-3


@pytest.mark.parametrize("eigenvalues", [np.zeros(0), np.zeros(3)])
def test_rows_that_do_not_vary(eigenvalues: Array) -> None:
    with pytest.raises(InadmissibleProblem, match="differ"):
        population_spectrum(Tables(5, 3, False, eigenvalues, np.ones(2), np.ones(2)))


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_of_a_pool(fit_intercept: bool) -> None:
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(400, 40)) * np.geomspace(3.0, 0.1, 40) + 0.5
    target = rows @ rng.normal(size=40) / 10.0 + 0.3 * rng.normal(size=400)
    pool = pool_of_rows(rows, target, fit_intercept=fit_intercept)
    found = population_spectrum(pool)
    expected = population_spectrum(tables(rows @ rows.T, target, fit_intercept=fit_intercept, n_features=rows.shape[1]))
    assert found.smallest_identified_ridge == expected.smallest_identified_ridge == 0.0
    assert found.effective_rank == pytest.approx(expected.effective_rank, rel=1e-3)
    assert found.noise_variance == pytest.approx(expected.noise_variance, rel=0.01)
    for n_samples in (300.0, 400.0):
        for penalty in (1e-3, 1e-1):
            risk = risk_of(found, n_samples, penalty, fit_intercept=fit_intercept)
            assert risk == pytest.approx(predict_pool(pool, n_samples, penalty).test_error, rel=0.02)
