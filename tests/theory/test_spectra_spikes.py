"""Outliers of spikes and class means: printed numbers, closed forms, independent methods, limits, invariances."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

import theory
from tests.theory.oracles import assert_printed
from tests.theory.strategies import REPRODUCIBLE
from theory import Spectrum, spectra
from theory.activations import activation


def atoms(eigenvalues: list[float], counts: list[float]) -> Spectrum:
    return Spectrum(eigenvalues=np.array(eigenvalues), multiplicities=np.array(counts))


def features(
    names: list[str],
    widths: list[float],
    inputs: Spectrum,
    n_samples: float,
    *,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    spikes: tuple[int, ...] = (),
) -> spectra.FiniteFeatures:
    layers = tuple(
        theory.RandomLayer(
            activation=activation(name), width=width, weight_variance=weight_variance, bias_variance=bias_variance
        )
        for name, width in zip(names, widths, strict=True)
    )
    equivalent = theory.random_features(inputs, np.ones(inputs.eigenvalues.size), layers=layers, fit_intercept=True)
    return spectra.finite_features(equivalent, n_samples=n_samples, inputs=inputs, spikes=spikes)


def passage(*args: Any, **keywords: Any) -> spectra.Passage:
    return spectra.features_passage(features(*args, **keywords))


def gram(inputs: Spectrum, n_samples: float) -> spectra.Passage:
    return spectra.covariance_passage(spectra.sample_covariance(inputs, n_samples))


def residue(function: Callable[[np.ndarray], np.ndarray], at: float, radius: float) -> complex:
    """Return -1 times the residue at a simple pole, by the trapezoidal rule on a circle about it."""
    turns = np.exp(2j * np.pi * (np.arange(64) + 0.5) / 64)
    return complex(-np.mean(function(at + radius * turns) * radius * turns))


TWO_ATOMS = atoms([1.0, 2.0], [200.0, 200.0])


class TestSpectralClustering:
    @pytest.mark.parametrize(
        ("squares", "at", "alignment", "error"),
        [
            ((1.0, 1.0), "5.0816", ".3045", ".2541"),
            ((2.0, 2.0), "6.647", ".6441", ".0893"),
            ((0.0, 3.0), None, ".524", ".147"),
        ],
    )
    def test_printed_numbers(self, squares: tuple[float, float], at: str | None, alignment: str, error: str) -> None:
        found = spectra.class_means(gram(TWO_ATOMS, 800.0), eigenvalues=[1.0, 2.0], squares=squares)
        [outlier] = found
        if at is not None:
            assert_printed(outlier.at, at)
        assert_printed(outlier.alignment, alignment)
        assert_printed(outlier.misclassification, error)

    @pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0])
    @pytest.mark.parametrize("rho", [0.2, 0.9, 1.5, 6.0])
    def test_isotropic_classes(self, ratio: float, rho: float) -> None:
        inputs = theory.covariance.isotropic(100.0 * ratio)
        for side in ("samples", "inputs"):
            [outlier] = spectra.class_means(gram(inputs, 100.0), eigenvalues=[1.0], squares=[rho], side=side)
            np.testing.assert_allclose(outlier.threshold, np.sqrt(ratio), rtol=1e-12)
            assert outlier.visible == (rho > np.sqrt(ratio))
            labels = max((rho**2 - ratio) / (rho * (1.0 + rho)), 0.0)
            if side == "samples":
                np.testing.assert_allclose(outlier.alignment, labels, rtol=1e-12)
            elif outlier.visible:
                # As a spike of 1 + rho.
                expected = spectra.spike(spectra.sample_covariance(inputs, 100.0), 1.0 + rho)
                np.testing.assert_allclose(outlier.alignment, expected.alignment, rtol=1e-12)
                np.testing.assert_allclose(outlier.at, expected.at, rtol=1e-12)
            np.testing.assert_allclose(outlier.misclassification, ndtr(-np.sqrt(labels / (1.0 - labels))), rtol=1e-12)

    def test_directions_by_residues(self) -> None:
        # mu' (X'X/n - z)^-1 mu = (kappa / -z) M / (1 + M), with kappa = -1 / m of the n x n matrix.
        squares = np.array([0.7, 1.9])
        model = spectra.sample_covariance(TWO_ATOMS, 800.0)
        law = spectra.gram_law(model)
        [outlier] = spectra.class_means(
            spectra.covariance_passage(model), eigenvalues=[1.0, 2.0], squares=squares, side="inputs"
        )

        def form(z: np.ndarray) -> np.ndarray:
            kappa = 1.0 / spectra.stieltjes_transform(law, z)
            coupling = (1.0 / (np.array([1.0, 2.0]) + kappa[:, None])) @ squares
            return -kappa / z * coupling / (1.0 + coupling)

        assert outlier.at is not None
        found = residue(form, outlier.at, 0.2)
        np.testing.assert_allclose(found / squares.sum(), outlier.alignment, rtol=1e-10)

    def test_one_outlier_a_gap(self) -> None:
        inputs = atoms([1.0, 30.0], [200.0, 200.0])
        found = spectra.class_means(gram(inputs, 40_000.0), eigenvalues=[1.0, 30.0], squares=[4.0, 4.0])
        assert [outlier.visible for outlier in found] == [True, True]
        # Roots of 4 / (u - 1) + 4 / (u - 30) = 1.
        roots = sorted(np.roots([1.0, -39.0, 30.0 + 124.0]).real, reverse=True)
        model = spectra.sample_covariance(inputs, 40_000.0)
        for outlier, root in zip(found, roots, strict=True):
            np.testing.assert_allclose(outlier.at, spectra.spike(model, float(root)).at, rtol=1e-12)
        # With samples in plenty, together what a linear function knows of the labels: M / (1 + M), M = mu' Sigma^-1 mu.
        many = spectra.class_means(gram(inputs, 4e12), eigenvalues=[1.0, 30.0], squares=[4.0, 4.0])
        coupling = 4.0 + 4.0 / 30.0
        np.testing.assert_allclose(sum(outlier.alignment for outlier in many), coupling / (1.0 + coupling), rtol=1e-8)

    @pytest.mark.parametrize("rho", [0.01, 3.0])
    def test_a_mean_along_a_spike_adds_to_it(self, rho: float) -> None:
        way = passage(["tanh"], [1200.0], atoms([1.0, 5.0], [300.0, 1.0]), 600.0, spikes=(1,))
        found = spectra.class_means(way, eigenvalues=[1.0, 5.0], squares=[0.0, rho])
        spike = spectra.gram_spike(way, 5.0 + rho)
        [outlier] = found
        np.testing.assert_allclose(outlier.at, spike.at, rtol=1e-12)
        np.testing.assert_allclose(outlier.alignment, spike.alignment * rho / (5.0 + rho), rtol=1e-9)

    def test_no_mean_no_outlier(self) -> None:
        assert spectra.class_means(gram(TWO_ATOMS, 800.0), eigenvalues=[1.0, 2.0], squares=[0.0, 0.0]) == []


class TestOneLayer:
    @pytest.mark.parametrize(
        ("name", "sizes", "rho"),
        [
            ("tanh", (600.0, 1200.0, 2400.0), 3.0),
            ("erf", (600.0, 300.0, 700.0), 3.0),
            ("sign", (600.0, 1200.0, 6000.0), 2.0),
        ],
    )
    def test_as_a_generalised_marchenko_pastur_law(
        self, name: str, sizes: tuple[float, float, float], rho: float
    ) -> None:
        # The n x n kernel a1^2 X X' / d + (nu - a1^2) I as the population, and neurons as its samples.
        n_inputs, n_samples, width = sizes
        averages = theory.activations.moments(activation(name), 1.0)
        linear, rest = float(averages.slope) ** 2, float(averages.nonlinear_variance)
        c, inputs = n_inputs / n_samples, theory.covariance.isotropic(n_inputs)
        marchenko_pastur = spectra.gram_law(spectra.sample_covariance(inputs, n_samples))
        population = spectra.affine(marchenko_pastur, scale=linear / c, shift=rest)
        spike = linear * (1.0 + rho) * (1.0 / c + 1.0 / rho) + rest
        first = spectra.average(population, lambda t: t * spike / (spike - t))
        second = spectra.average(population, lambda t: t**2 / (spike - t) ** 2)
        at, slope = spike + n_samples / width * first, 1.0 - n_samples / width * second
        alignment = (rho**2 - c) / (rho * (1.0 + rho)) * spike * slope / at
        way = passage([name], [width], inputs, n_samples)
        [outlier] = spectra.class_means(way, eigenvalues=[1.0], squares=[rho])
        np.testing.assert_allclose(outlier.at, at, rtol=1e-10)
        np.testing.assert_allclose(outlier.alignment, alignment, rtol=1e-10)

    def test_printed_numbers(self) -> None:
        way = passage(["tanh"], [2400.0], theory.covariance.isotropic(600.0), 1200.0)
        [outlier] = spectra.class_means(way, eigenvalues=[1.0], squares=[3.0])
        assert_printed(outlier.at, "3.755")
        assert_printed(outlier.alignment, ".6145")
        [hidden] = spectra.class_means(way, eigenvalues=[1.0], squares=[0.9])
        # Above sqrt(d / n), and hidden by the width.
        assert hidden == replace(hidden, visible=False, alignment=0.0, misclassification=0.5)
        assert hidden.at == way.support[-1, 1]
        assert hidden.threshold is not None
        assert hidden.threshold > 0.9 > np.sqrt(0.5)

    def test_linear_neurons_compose(self) -> None:
        # W Sigma W' / d as the population of n samples: its own spike and law are those of a sample covariance.
        width, n_samples = 500.0, 700.0
        inputs = atoms([1.0, 3.0, 9.0], [100.0, 100.0, 1.0])
        bulk = atoms([1.0, 3.0], [100.0, 100.0])
        inner = spectra.sample_covariance(bulk, width)
        between, population = spectra.spike(inner, 9.0), spectra.gram_law(inner)
        first = spectra.average(population, lambda t: t * between.at / (between.at - t))
        second = spectra.average(population, lambda t: t**2 / (between.at - t) ** 2)
        at, slope = between.at + width / n_samples * first, 1.0 - width / n_samples * second
        way = passage(["linear"], [width], inputs, n_samples, spikes=(2,))
        outlier = spectra.gram_spike(way, 9.0)
        # H H' / width of inputs divided by sqrt(d).
        np.testing.assert_allclose(outlier.at, at * n_samples / inputs.multiplicities.sum(), rtol=1e-10)
        slopes = slope * float(inner.law.slope(np.array([9.0 / inner.unit]))[0])
        np.testing.assert_allclose(outlier.alignment, 9.0 * slopes / between.at, rtol=1e-10)


CHAINS = [
    (["tanh", "erf"], [600.0, 450.0], 0.0),
    (["relu"], [500.0], 0.3),
    (["relu", "tanh"], [700.0, 500.0], 0.1),
    (["erf", "relu", "gelu"], [700.0, 500.0, 600.0], 0.2),
]


class TestLayers:
    @pytest.mark.parametrize(("names", "widths", "bias_variance"), CHAINS)
    def test_by_residues_of_ridge_regression(self, names: list[str], widths: list[float], bias_variance: float) -> None:
        """(1/n) y' (HH'/n + penalty)^-1 y = T / kappa by the continuation that learners use, on a circle about the outlier."""
        inputs, squares, n_samples = atoms([0.6, 1.5], [150.0, 150.0]), np.array([2.5, 2.0]), 500.0
        layers = tuple(
            theory.RandomLayer(activation=activation(name), width=width, bias_variance=bias_variance)
            for name, width in zip(names, widths, strict=True)
        )
        # Energies that stand for couplings: mu' (Sigma + kappa)^-1 mu = sum c s / (s + kappa).
        energies = squares / inputs.eigenvalues
        equivalent = theory.random_features(inputs, energies, layers=layers, fit_intercept=True)
        prepared = spectra.finite_features(equivalent, n_samples=n_samples, inputs=inputs)
        way = spectra.features_passage(prepared)
        [outlier] = spectra.class_means(way, eigenvalues=inputs.eigenvalues, squares=squares)
        assert outlier.visible
        radius = 0.4 * (outlier.at - way.support[-1, 1])

        def form(z: np.ndarray) -> np.ndarray:
            continued = equivalent.continued(n_samples, -z / n_samples)
            assert continued.converged.all()
            coupling = energies.sum() - continued.shares[0].total
            return 1.0 / ((1.0 + coupling) * n_samples * continued.ridge)

        found = residue(form, outlier.at, radius)
        # Rare neurons are lumped together here.
        np.testing.assert_allclose(found.real, outlier.alignment, rtol=1e-6)
        np.testing.assert_allclose(found.imag, 0.0, atol=1e-6)
        centre = residue(lambda z: z * form(z), outlier.at, radius) / found
        np.testing.assert_allclose(centre, outlier.at, rtol=1e-7)

    @pytest.mark.parametrize(("names", "widths", "bias_variance"), CHAINS)
    def test_thresholds(self, names: list[str], widths: list[float], bias_variance: float) -> None:
        way = passage(
            names, widths, atoms([0.6, 1.5, 4.0], [150.0, 149.0, 1.0]), 500.0, bias_variance=bias_variance, spikes=(2,)
        )
        squares = np.array([0.3, 0.7])
        threshold = spectra.gram_spike(way, 4.0).threshold
        for share in (0.999, 1.001):
            outlier = spectra.gram_spike(way, share * threshold)
            assert outlier.visible == (share > 1.0)
            # What begins to show does so at the end, along a parabola.
            np.testing.assert_allclose(outlier.at, way.support[-1, 1], rtol=1e-4)
            assert outlier.alignment < 0.02
            [least] = spectra.class_means(way, eigenvalues=[0.6, 1.5], squares=squares)
            classes = share * least.threshold / squares.sum() * squares
            [outlier] = spectra.class_means(way, eigenvalues=[0.6, 1.5], squares=classes)
            assert outlier.visible == (share > 1.0)

    @pytest.mark.parametrize(("names", "widths", "bias_variance"), CHAINS)
    def test_units_and_sizes_do_not_matter(self, names: list[str], widths: list[float], bias_variance: float) -> None:
        plain = spectra.gram_spike(
            passage(names, widths, atoms([1.0, 8.0], [300.0, 1.0]), 500.0, bias_variance=bias_variance, spikes=(1,)),
            8.0,
        )
        # Inputs in other units, first weights in turn: only where biases and later weights are as they were.
        if len(names) == 1:
            scaled = features(
                names,
                widths,
                atoms([4.0, 32.0], [300.0, 1.0]),
                500.0,
                weight_variance=0.25,
                bias_variance=bias_variance,
                spikes=(1,),
            )
            other = spectra.gram_spike(spectra.features_passage(scaled), 32.0)
            np.testing.assert_allclose([other.at, other.alignment], [plain.at, plain.alignment], rtol=1e-12)
            np.testing.assert_allclose(other.threshold, 4.0 * plain.threshold, rtol=1e-9)
        doubled = passage(
            names,
            [2.0 * width for width in widths],
            atoms([1.0, 8.0], [600.0, 2.0]),
            1000.0,
            bias_variance=bias_variance,
            spikes=(1,),
        )
        other = spectra.gram_spike(doubled, 8.0)
        # Rare neurons are others.
        np.testing.assert_allclose([other.at, other.alignment], [plain.at, plain.alignment], rtol=1e-6)

    def test_width_to_infinity(self) -> None:
        inputs, n_samples = atoms([1.0, 6.0], [300.0, 1.0]), 400.0
        layers = tuple(theory.RandomLayer(activation=activation(name), bias_variance=0.2) for name in ("relu", "tanh"))
        kernel = theory.ConjugateKernel(layers=layers)
        found = kernel.linearised(306.0 / 301.0, 0.0)
        modes = atoms([found.slope / 301.0], [300.0])
        wide = spectra.wide_passage(modes, tail=found.tail, n_samples=n_samples, ratio=found.slope / 301.0)
        finite = passage(["relu", "tanh"], [1e10, 1e10], inputs, n_samples, bias_variance=0.2, spikes=(1,))
        for outlier, limit in (
            (spectra.gram_spike(finite, 6.0), spectra.gram_spike(wide, 6.0)),
            (
                spectra.class_means(finite, eigenvalues=[1.0], squares=[4.0])[0],
                spectra.class_means(wide, eigenvalues=[1.0], squares=[4.0])[0],
            ),
        ):
            np.testing.assert_allclose(outlier.at, limit.at, rtol=1e-6)
            np.testing.assert_allclose(outlier.alignment, limit.alignment, rtol=1e-6)
            np.testing.assert_allclose(outlier.threshold, limit.threshold, rtol=1e-6)

    def test_left_of_the_bulk(self) -> None:
        way = passage(["linear"], [2400.0], atoms([1.0, 0.1], [399.0, 1.0]), 1600.0, spikes=(1,))
        outlier = spectra.gram_spike(way, 0.1)
        assert outlier.visible
        assert outlier.at < way.support[0, 0]
        assert 0.1 < outlier.threshold < 1.0
        assert not spectra.gram_spike(way, 0.9).visible

    def test_nothing_linear_arrives(self) -> None:
        way = passage(["cos"], [500.0], atoms([1.0, 50.0], [300.0, 1.0]), 400.0, spikes=(1,))
        outlier = spectra.gram_spike(way, 50.0)
        assert (outlier.at, outlier.alignment, outlier.visible, outlier.threshold) == (None, 0.0, False, None)
        [classes] = spectra.class_means(way, eigenvalues=[1.0], squares=[50.0])
        assert (classes.visible, classes.misclassification) == (False, 0.5)


class TestLinearFeatures:
    @REPRODUCIBLE
    @given(
        ratio=st.floats(0.05, 20.0),
        upper=st.floats(1.0, 50.0),
        population=st.floats(0.01, 500.0),
    )
    def test_both_sides_of_a_spike(self, ratio: float, upper: float, population: float) -> None:
        model = spectra.sample_covariance(atoms([1.0, upper], [50.0, 50.0]), 100.0 / ratio)
        of_inputs, of_samples = (
            spectra.spike(model, population),
            spectra.gram_spike(spectra.covariance_passage(model), population),
        )
        assert of_inputs.visible == of_samples.visible
        assert of_inputs.threshold == of_samples.threshold
        if of_inputs.visible:
            assert of_inputs.at == of_samples.at
            # u x' / x with the direction, x' with the components along it.
            np.testing.assert_allclose(of_inputs.alignment * of_inputs.at, of_samples.alignment * population, rtol=1e-9)


class TestMean:
    def test_of_one_layer_as_a_mode(self) -> None:
        # A constant of mean square m0^2 beside modes a s / d is a spike of the inputs at m0^2 d / a.
        inputs = theory.covariance.isotropic(300.0)
        prepared = features(["relu"], [600.0], inputs, 450.0)
        averages = theory.activations.moments(activation("relu"), 1.0)
        strength = float(averages.mean) ** 2
        mode = spectra.gram_spike(spectra.features_passage(prepared), strength * 300.0 / float(averages.slope) ** 2)
        outlier = spectra.feature_mean(prepared, strength)
        np.testing.assert_allclose([outlier.at, outlier.alignment], [mode.at, mode.alignment], rtol=1e-10)
        assert outlier.population == 450.0 * strength

    @pytest.mark.parametrize(("names", "widths"), [(["relu"], [600.0]), (["relu", "gelu"], [600.0, 500.0])])
    def test_leading_order(self, names: list[str], widths: list[float]) -> None:
        # n times the constant, up to the trace over n and a neuron's own variance.
        prepared = features(names, widths, theory.covariance.isotropic(300.0), 450.0, bias_variance=0.3)
        outlier = spectra.feature_mean(prepared, 5.0)
        plain = spectra.rank_one(spectra.features_law(prepared), 5.0 * 450.0)
        np.testing.assert_allclose(outlier.at, plain.at, rtol=2.0 / 450.0)
        assert not spectra.feature_mean(prepared, 1e-4).visible

    def test_of_families(self) -> None:
        # Half of the features are cosines.
        inputs = theory.covariance.isotropic(200.0)
        fourier = theory.random_fourier(inputs, np.ones(1), frequencies=400.0)
        np.testing.assert_allclose(spectra.constant_of(fourier), 0.5 * np.exp(-1.0), rtol=1e-12)
        relu = theory.random_features(
            inputs, np.ones(1), layers=(theory.RandomLayer(activation=activation("relu"), width=300.0),)
        )
        np.testing.assert_allclose(spectra.constant_of(relu), 0.5 / np.pi, rtol=1e-12)


class TestInnerProductKernels:
    @pytest.mark.parametrize(
        ("name", "threshold"),
        [("tanh", ".71165917"), ("sign", ".74286568"), ("relu", ".72961004"), ("linear", ".70710678")],
    )
    def test_printed_thresholds(self, name: str, threshold: str) -> None:
        kernel = spectra.inner_product_kernel(activation(name), n_samples=800.0, n_features=400.0)
        for rho in (0.5, 2.0):
            outlier = spectra.class_mean_outlier(kernel, rho)
            assert_printed(outlier.threshold, threshold)
            assert outlier.visible == (rho > float(threshold))
            assert outlier.misclassification == spectra.misclassification(outlier.alignment)

    def test_linear_f_is_a_sample_covariance(self) -> None:
        # x.x' / d off the diagonal, 0 on it: eigenvalues of XX'/d less 1.
        kernel = spectra.inner_product_kernel(activation("linear"), n_samples=800.0, n_features=400.0)
        outlier = spectra.class_mean_outlier(kernel, 3.0)
        way = spectra.covariance_passage(
            spectra.sample_covariance(theory.covariance.isotropic(400.0), 800.0), scale=2.0, shift=-1.0
        )
        [expected] = spectra.class_means(way, eigenvalues=[1.0], squares=[3.0])
        for name in ("at", "alignment", "misclassification", "threshold"):
            np.testing.assert_allclose(getattr(outlier, name), getattr(expected, name), rtol=1e-12)

    def test_no_linear_part(self) -> None:
        kernel = spectra.inner_product_kernel(activation("cos"), n_samples=800.0, n_features=400.0)
        outlier = spectra.class_mean_outlier(kernel, 100.0)
        assert (outlier.visible, outlier.threshold, outlier.misclassification) == (False, None, 0.5)


def test_misclassification() -> None:
    assert spectra.misclassification(0.0) == 0.5
    assert spectra.misclassification(1.0) == 0.0
    np.testing.assert_allclose(spectra.misclassification(0.5), ndtr(-1.0), rtol=1e-14)
