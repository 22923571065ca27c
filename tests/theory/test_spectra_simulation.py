"""Spectra against the eigenvalues of sampled matrices, to their standard errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import theory
from theory import spectra
from theory.activations import activation

Sampler = Callable[[np.random.Generator], np.ndarray]
DRAWS = 24
STANDARD_ERRORS = 4.5


def assert_within_standard_errors(sample: Any, expected: float, *, allowance: float = 0.0) -> None:
    """Compare a mean over draws with its limit; ``allowance`` is the O(1 / n) that the limit neglects."""
    values = np.asarray(sample, float)
    error = values.std(ddof=1) / np.sqrt(values.size)
    assert abs(values.mean() - expected) <= STANDARD_ERRORS * error + allowance, (values.mean(), error, expected)


def gaussian(generator: np.random.Generator, n_samples: int, eigenvalues: np.ndarray) -> np.ndarray:
    return generator.standard_normal((n_samples, eigenvalues.size)) * np.sqrt(eigenvalues)


def eigenvalues_of(sampler: Sampler, *, draws: int = DRAWS, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [np.linalg.eigvalsh(sampler(generator)) for _ in range(draws)]


THREE_ATOMS = np.repeat([1.0, 3.0, 10.0], [80, 80, 40])
POPULATION = theory.covariance.discrete(200, eigenvalues=[1.0, 3.0, 10.0], weights=[0.4, 0.4, 0.2])


@pytest.fixture(scope="module")
def sampled() -> list[np.ndarray]:
    """Eigenvalues of sample covariances of 600 samples in 200 dimensions."""

    def sample(generator: np.random.Generator) -> np.ndarray:
        x = gaussian(generator, 600, THREE_ATOMS)
        return x.T @ x / 600

    return eigenvalues_of(sample, draws=100)


MODEL = spectra.sample_covariance(POPULATION, 600)


class TestSampleCovariance:
    @pytest.mark.parametrize(
        ("statistic", "function"),
        [
            (spectra.log_det(MODEL, shift=0.0), np.log),
            (spectra.log_det(MODEL, shift=2.0), lambda x: np.log(x + 2.0)),
            (spectra.trace_inverse(MODEL, shift=0.0), lambda x: 1.0 / x),
            (spectra.effective_dimension(MODEL, ridge=2.0), lambda x: x / (x + 2.0)),
            (spectra.moment(MODEL, order=2), np.square),
            (spectra.linear_statistic(MODEL, lambda x: np.exp(-x)), lambda x: np.exp(-x)),
        ],
        ids=["log", "shifted log", "inverse", "effective dimension", "square", "exponential"],
    )
    def test_linear_statistics(self, sampled: list[np.ndarray], statistic: Any, function: Any) -> None:
        sums = np.array([function(values).sum() for values in sampled])
        limit = 200 * statistic.per_dimension + statistic.mean_correction
        # What is neglected beyond the correction is of its order over the dimension.
        assert_within_standard_errors(sums, limit, allowance=abs(statistic.mean_correction) / 50)
        # A sample variance of N Gaussian sums has a relative standard error of sqrt(2 / N).
        ratio = sums.var(ddof=1) / statistic.standard_deviation**2
        assert abs(ratio - 1.0) <= STANDARD_ERRORS * np.sqrt(2.0 / len(sampled))
        # The correction is what brings them together: without it the mean is off by many standard errors.

    def test_distribution(self, sampled: list[np.ndarray]) -> None:
        law = spectra.covariance_law(MODEL)
        found = np.sort(np.concatenate(sampled))
        x, y = spectra.density(law, 2000)
        cumulative = np.concatenate([[0.0], np.cumsum(np.diff(x) * 0.5 * (y[1:] + y[:-1]))])
        distance = np.max(np.abs(np.interp(found, x, cumulative) - np.arange(found.size) / found.size))
        # Eigenvalues are rigid: the distance is O(1 / dimension), not its root.
        assert distance < 2.0 / 200

    def test_transform(self, sampled: list[np.ndarray]) -> None:
        law = spectra.covariance_law(MODEL)
        for z in (-1.0 + 0j, 2.0 + 1.0j, 5.0 - 0.5j):
            found = spectra.stieltjes_transform(law, [z])[0]
            means = np.array([np.mean(1.0 / (values - z)) for values in sampled])
            assert_within_standard_errors(means.real, found.real, allowance=abs(found) / 200)
            assert_within_standard_errors(means.imag, found.imag, allowance=abs(found) / 200)

    @pytest.mark.parametrize(("n_samples", "spikes"), [(800, (4.0, 9.0)), (2400, (0.15, 5.0))])
    def test_spikes(self, n_samples: int, spikes: tuple[float, ...]) -> None:
        population = np.concatenate([np.ones(400 - len(spikes)), spikes])
        bulk = spectra.sample_covariance(theory.covariance.isotropic(400), n_samples)
        generator = np.random.default_rng(1)
        places: list[list[float]] = [[] for _ in spikes]
        alignments: list[list[float]] = [[] for _ in spikes]
        for _ in range(DRAWS // 2):
            x = gaussian(generator, n_samples, population)
            values, vectors = np.linalg.eigh(x.T @ x / n_samples)
            for position, spike in enumerate(spikes):
                above = sum(other > spike for other in spikes)
                chosen = -1 - above if spike > 1.0 else 0
                places[position].append(values[chosen])
                alignments[position].append(vectors[400 - len(spikes) + position, chosen] ** 2)
        for position, spike in enumerate(spikes):
            outlier = spectra.spike(bulk, spike)
            assert outlier.visible
            # The spikes themselves take their share of the dimension from the bulk.
            allowance = 3.0 * outlier.at / n_samples
            assert_within_standard_errors(places[position], outlier.at, allowance=allowance)
            assert_within_standard_errors(alignments[position], outlier.alignment, allowance=0.01)


class TestInnerProductKernels:
    @staticmethod
    def matrix(name: str, mean: float = 0.0) -> Sampler:
        f = activation(name)
        # Of f less its mean, as the theory has it.
        centre = float(theory.activations.moments(f, 1.0).mean)

        def sample(generator: np.random.Generator) -> np.ndarray:
            x = generator.standard_normal((600, 300))
            if mean:
                labels = np.where(np.arange(600) < 300, 1.0, -1.0)
                x[:, 0] += mean * labels
            k = (f.value(x @ x.T / np.sqrt(300)) - centre) / np.sqrt(300)
            np.fill_diagonal(k, 0.0)
            return k

        return sample

    @pytest.mark.parametrize("name", ["tanh", "sign", "relu", "abs"])
    def test_moments(self, name: str) -> None:
        kernel = spectra.inner_product_kernel(activation(name), n_samples=600.0, n_features=300.0)
        law = spectra.inner_product_law(kernel)
        outliers = np.array([outlier.at for outlier in spectra.norm_outliers(kernel) if outlier.visible])
        values = eigenvalues_of(self.matrix(name), draws=8)
        for order in (2, 3, 4):
            limit = spectra.average(law, lambda x, order=order: x**order) + np.sum(outliers**order) / 600
            if order == 3:
                # What is quadratic in the inputs, (x.y)^2 / d - 1 = tr A B with A, B in d^2 / 2 dimensions, has
                # E tr(AB) tr(BC) tr(CA) = 4 / d: a term of order 1 / sqrt(d) that the limit neglects.
                quadratic = float(theory.activations.moments(activation(name), 1.0).curvature) / np.sqrt(2.0)
                limit += quadratic**3 * np.sqrt(2.0) * 600**2 / 300**2.5
            # Fluctuations of the norms.
            allowance = 0.03 * spectra.average(law, lambda x, order=order: np.abs(x) ** order)
            assert_within_standard_errors([np.mean(one**order) for one in values], limit, allowance=allowance)

    def test_class_means(self) -> None:
        kernel = spectra.inner_product_kernel(activation("tanh"), n_samples=600.0, n_features=300.0)
        outlier = spectra.class_mean_outlier(kernel, 4.0)
        values = eigenvalues_of(self.matrix("tanh", mean=2.0), draws=12)
        # Seen to be 2 % below at 400 inputs and within a standard error at 1600.
        assert_within_standard_errors([one[-1] for one in values], outlier.at, allowance=0.03 * outlier.at)

    def test_the_spurious_outlier(self) -> None:
        kernel = spectra.inner_product_kernel(activation("abs"), n_samples=600.0, n_features=300.0)
        values = eigenvalues_of(self.matrix("abs"), draws=8)
        found = {outlier.at > 0.0: outlier.at for outlier in spectra.norm_outliers(kernel)}
        assert set(found) == {False, True}
        assert_within_standard_errors([one[0] for one in values], found[False], allowance=0.06 * abs(found[False]))
        assert_within_standard_errors([one[-1] for one in values], found[True], allowance=0.06 * found[True])


class TestKernelMatrices:
    @pytest.mark.parametrize(
        ("names", "bias_variance"), [(["tanh"], 0.0), (["relu"], 0.0), (["tanh", "erf"], 0.0), (["relu", "sin"], 0.2)]
    )
    def test_random_features(self, names: list[str], bias_variance: float) -> None:
        n_inputs, n_samples, widths = 300, 400, [500, 350][: len(names)]
        layers = tuple(
            theory.RandomLayer(
                activation=activation(name), width=float(width), weight_variance=1.5, bias_variance=bias_variance
            )
            for name, width in zip(names, widths, strict=True)
        )
        inputs = theory.covariance.isotropic(n_inputs)
        equivalent = theory.random_features(inputs, np.zeros(1), layers=layers, fit_intercept=True)
        rank = spectra.finite_rank(equivalent)
        law = spectra.finite_kernel_law(equivalent, rank=rank, n_samples=float(n_samples))

        def sample(generator: np.random.Generator) -> np.ndarray:
            h = generator.standard_normal((n_samples, n_inputs))
            for layer in layers:
                width = int(layer.width)
                weights = generator.standard_normal((h.shape[1], width)) * np.sqrt(1.5 / h.shape[1])
                h = layer.activation.value(h @ weights + np.sqrt(bias_variance) * generator.standard_normal(width))
            # The features' mean is an outlier of its own.
            h = h - h.mean(axis=0)
            return h @ h.T / h.shape[1]

        values = eigenvalues_of(sample, draws=10)
        for function in (lambda x: np.log(x + 0.1), lambda x: 1.0 / (x + 0.5), np.square):
            limit = spectra.average(law, function)
            size = spectra.average(law, lambda x, f=function: np.abs(f(x)))
            # Centring takes one eigenvalue, and the equivalent is one to O(1 / n).
            assert_within_standard_errors([np.mean(function(one)) for one in values], limit, allowance=0.015 * size)
        assert_within_standard_errors(
            [one[-1] for one in values], law.support[-1, 1], allowance=0.04 * law.support[-1, 1]
        )

    def test_a_kernel_of_infinite_width_and_its_mean(self) -> None:
        n_inputs, n_samples = 300, 400
        found = theory.Rbf(length_scale=1.3).linearised(1.0, 1.0 / n_inputs)

        def sample(generator: np.random.Generator) -> np.ndarray:
            x = generator.standard_normal((n_samples, n_inputs))
            squares = (x**2).sum(1)
            distances = np.maximum(squares[:, None] + squares - 2.0 * x @ x.T, 0.0)
            np.fill_diagonal(distances, 0.0)
            return np.exp(-distances / (2.0 * 1.3**2 * n_inputs))

        modes = theory.Spectrum(
            eigenvalues=np.array([found.slope / n_inputs]), multiplicities=np.array([float(n_inputs)])
        )
        law = spectra.wide_kernel_law(modes, tail=found.tail, n_samples=float(n_samples))
        outlier = spectra.rank_one(law, n_samples * found.constant)
        values = eigenvalues_of(sample, draws=10)
        # Lengths fluctuate by sqrt(2 / d), 8 %, which shifts entries by its square.
        assert_within_standard_errors([one[-1] for one in values], outlier.at, allowance=0.01 * outlier.at)
        for function in (np.log, lambda x: 1.0 / (x + 0.5)):
            limit = spectra.average(law, function)
            bulk = [np.mean(function(one[:-1])) for one in values]
            assert_within_standard_errors(bulk, limit, allowance=0.02 * abs(limit))
