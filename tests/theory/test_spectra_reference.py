"""The numbers printed in the theory notes on spectra, each to all the digits printed there."""

import numpy as np
import pytest
from scipy.optimize import brentq

import theory
from tests.theory.test_reference_numbers import assert_printed
from theory import spectra
from theory.activations import activation

THREE_ATOMS = theory.covariance.discrete(200, eigenvalues=[1.0, 3.0, 10.0], weights=[0.4, 0.4, 0.2])
MODEL = spectra.sample_covariance(THREE_ATOMS, 2000)
LAW = spectra.covariance_law(MODEL)


def kernel(name: str, ratio: float) -> spectra.InnerProductKernel:
    return spectra.inner_product_kernel(activation(name), n_samples=800.0, n_features=800.0 * ratio)


class TestThreeAtoms:
    def test_edges(self) -> None:
        printed = [".57947369", "1.33170392", "1.92588385", "4.26242073", "7.60134859", "13.23504224"]
        for edge, digits in zip(LAW.support.ravel(), printed, strict=True):
            assert_printed(edge, digits)

    def test_density(self) -> None:
        values = LAW.density_at(np.array([1.0, 3.0, 10.0]), np.arange(3))
        for value, digits in zip(values, [".6173098", ".21503705", ".04569078"], strict=True):
            assert_printed(value, digits)

    def test_transforms(self) -> None:
        assert_printed(spectra.stieltjes_transform(LAW, [-1.0])[0].real, ".33155176")
        companion = spectra.stieltjes_transform(spectra.gram_law(MODEL), [-1.0])[0]
        assert_printed(companion.real, ".93315518")

    def test_statistics(self) -> None:
        log, inverse = spectra.log_det(MODEL, shift=0.0), spectra.trace_inverse(MODEL, shift=0.0)
        assert_printed(log.per_dimension, ".848206575")
        assert_printed(inverse.per_dimension, ".6148148148")
        assert_printed(200 * inverse.per_dimension + inverse.mean_correction, "123.0313")
        assert_printed(inverse.standard_deviation**2, ".1318")
        assert_printed(200 * log.per_dimension + log.mean_correction, "169.5886")
        square = spectra.moment(MODEL, order=2)
        assert_printed(200 * square.per_dimension + square.mean_correction, "5061.6")

    def test_spike(self) -> None:
        outlier = spectra.spike(MODEL, 20.0)
        assert_printed(outlier.at, "20.58328173")
        assert_printed(outlier.alignment, ".95091107")


class TestMarchenkoPastur:
    def test_twice_as_many_dimensions_as_samples(self) -> None:
        model = spectra.sample_covariance(theory.covariance.isotropic(200), 100)
        law = spectra.covariance_law(model)
        assert_printed(law.support[0, 0], ".17157288")
        assert_printed(law.support[0, 1], "5.82842712")
        assert law.atoms == ((0.0, 0.5),)
        assert_printed(law.density_at(np.array([2.0]), np.array([0]))[0], ".10527110")
        assert_printed(spectra.log_det(model, shift=0.1).per_dimension, "-.9123540462")

    def test_log_determinant_at_half(self) -> None:
        log = spectra.log_det(spectra.sample_covariance(theory.covariance.isotropic(200), 400), shift=0.0)
        np.testing.assert_allclose(log.mean_correction, 0.5 * np.log(0.5), rtol=1e-14)
        np.testing.assert_allclose(log.standard_deviation**2, -2.0 * np.log(0.5), rtol=1e-14)


@pytest.mark.parametrize(
    ("population", "at", "alignment"), [(8.0, "8.891", ".8484"), (5.5, "6.673", ".640"), (4.0, "5.971", None)]
)
def test_spikes_over_two_atoms(population: float, at: str, alignment: str | None) -> None:
    atoms = theory.covariance.discrete(900, eigenvalues=[1.0, 3.0], weights=[0.5, 0.5])
    outlier = spectra.spike(spectra.sample_covariance(atoms, 3000), population)
    assert_printed(outlier.at, at)
    assert outlier.visible == (alignment is not None)
    if alignment is None:
        assert outlier.alignment == 0.0
    else:
        assert_printed(outlier.alignment, alignment)


class TestInnerProductKernels:
    @pytest.mark.parametrize(
        ("name", "threshold"),
        [("tanh", ".71165917"), ("sign", ".74286568"), ("relu", ".72961004"), ("linear", ".70710678")],
    )
    def test_least_separation_of_classes_that_shows(self, name: str, threshold: str) -> None:
        matrix = kernel(name, 0.5)
        found = brentq(lambda rho: spectra.class_mean_outlier(matrix, rho).visible - 0.5, 0.3, 2.0, xtol=1e-12)
        assert_printed(found, threshold)

    @pytest.mark.parametrize(("name", "at", "alignment"), [("tanh", "6.2175", ".7738"), ("sign", "8.2694", ".7659")])
    def test_class_means(self, name: str, at: str, alignment: str) -> None:
        outlier = spectra.class_mean_outlier(kernel(name, 0.5), 4.0)
        assert_printed(outlier.at, at)
        assert_printed(outlier.alignment, alignment)

    def test_the_spurious_outlier_of_relu(self) -> None:
        matrix = kernel("relu", 0.25)
        (outlier,) = spectra.norm_outliers(matrix)
        assert_printed(outlier.at, "-1.7701")
        assert_printed(spectra.inner_product_law(matrix).support[-1, 1], "4.12")


def test_conjugate_kernel_of_one_layer_as_a_composition() -> None:
    # 600 inputs, 1200 samples, 2400 neurons; the printed value is good to its last digit by simulation only.
    layers = (theory.RandomLayer(activation=activation("tanh"), width=2400.0),)
    inputs = theory.covariance.isotropic(600)
    features = theory.random_features(inputs, np.zeros(1), layers=layers, fit_intercept=True)
    law = spectra.finite_kernel_law(features, rank=spectra.finite_rank(features), n_samples=1200.0)
    assert_printed(spectra.average(law, lambda x: np.log(x + 0.1)), "-1.27098")
