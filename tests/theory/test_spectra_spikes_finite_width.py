"""Laws of kernel matrices at finite width, solved on the real line: closed forms, conservation, independent methods."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import theory
from tests.theory.oracles import assert_printed
from tests.theory.strategies import REPRODUCIBLE
from theory import InadmissibleProblem, Spectrum, spectra
from theory.activations import activation


def atoms(eigenvalues: list[float], counts: list[float]) -> Spectrum:
    return Spectrum(eigenvalues=np.array(eigenvalues), multiplicities=np.array(counts))


def random_features(names: list[str], widths: list[float], inputs: Spectrum, **variances: float) -> Any:
    layers = tuple(
        theory.RandomLayer(activation=activation(name), width=width, **variances)
        for name, width in zip(names, widths, strict=True)
    )
    return theory.random_features(inputs, np.ones(inputs.eigenvalues.size), layers=layers, fit_intercept=True)


def projection(inputs: Spectrum, width: float) -> theory.ModalEquivalent:
    return theory.ModalEquivalent(modes=theory.linear_modes(inputs, np.ones(inputs.eigenvalues.size)), width=width)


def mean_square(names: list[str], *, weight_variance: float = 1.0, bias_variance: float = 0.0) -> float:
    """E h^2 of the last layer, on inputs of unit variance."""
    square = 1.0
    for name in names:
        variance = weight_variance * square + bias_variance
        square = float(theory.activations.moments(activation(name), variance).square)
    return square


class TestClosedForms:
    def test_as_many_samples_as_neurons_as_inputs(self) -> None:
        # penalty = k^3 / (1 + k)^2, a density like x^(-2/3) at 0, in relative accuracy down to there.
        prepared = spectra.finite_features(projection(theory.covariance.isotropic(200.0), 200.0), n_samples=200.0)
        law = spectra.features_law(prepared)
        assert law.support[0, 0] == 0.0
        assert law.unbounded
        x = np.geomspace(1e-14, 0.99 * law.support[0, 1], 60)
        density = law.density_at(x, np.zeros(60, dtype=int))
        for point, found in zip(x, density, strict=True):
            roots = np.roots([1.0, point / 200.0, 2.0 * point / 200.0, point / 200.0])
            ridge = roots[np.argmin(roots.imag)]
            np.testing.assert_allclose(found, (1.0 / (ridge**2 / (1.0 + ridge))).imag / (200.0 * np.pi), rtol=1e-11)

    def test_printed_ends(self) -> None:
        inputs = theory.covariance.discrete(250.0, eigenvalues=[0.3, 1.7], weights=[0.5, 0.5])
        equivalent = random_features(["tanh", "tanh"], [350.0, 400.0], inputs, weight_variance=2.0)
        support = spectra.finite_features(equivalent, n_samples=300.0).support * 400.0 / 300.0
        assert_printed(support[0, 0], ".001877")
        assert_printed(support[0, 1], "4.9067")

    def test_noise_alone(self) -> None:
        # An even activation without biases: independent neurons of one variance, Marchenko and Pastur's law.
        equivalent = random_features(["abs"], [300.0], theory.covariance.isotropic(100.0))
        law = spectra.features_law(spectra.finite_features(equivalent, n_samples=450.0))
        variance = 1.0 - 2.0 / np.pi
        np.testing.assert_allclose(
            law.support,
            variance * 450.0 / 300.0 * np.array([[(1.0 - np.sqrt(2.0 / 3.0)) ** 2, (1.0 + np.sqrt(2.0 / 3.0)) ** 2]]),
        )
        assert law.atoms == ((0.0, pytest.approx(1.0 / 3.0)),)

    @pytest.mark.parametrize("n_samples", [150.0, 1e3, 1e5])
    def test_a_wide_projection_has_every_gap(self, n_samples: float) -> None:
        inputs = theory.covariance.power_law(200, exponent=1.5)
        wide = spectra.finite_features(projection(inputs, 1e12), n_samples=n_samples)
        limit = spectra.covariance_law(spectra.sample_covariance(inputs, n_samples))
        assert len(wide.support) == len(limit.support)
        np.testing.assert_allclose(wide.support, limit.support * n_samples, rtol=1e-6)
        np.testing.assert_allclose(wide.masses * n_samples, np.round(wide.masses * n_samples, 6), rtol=1e-9)
        assert np.isclose(wide.masses.sum() + wide.missing, 1.0, rtol=1e-12)

    def test_swapping_samples_and_neurons(self) -> None:
        # Linear features: X W W' X' / k and W' X' X W have the same eigenvalues but for zeros.
        inputs = atoms([1.0, 4.0], [100.0, 60.0])
        one = spectra.finite_features(projection(inputs, 700.0), n_samples=300.0)
        other = spectra.finite_features(projection(inputs, 300.0), n_samples=700.0)
        np.testing.assert_allclose(one.support / 300.0, other.support / 700.0, rtol=1e-12)


LEAST_END = 1.01e-16
"""Of the largest eigenvalue: where the support begins if its end next to 0 was not found; see docs/spectra.md."""
SHAPES = [
    (["tanh"], [400.0], 0.0, 300.0),
    (["relu", "relu"], [350.0, 400.0], 0.1, 250.0),
    (["erf", "relu", "tanh"], [350.0, 300.0, 400.0], 0.2, 600.0),
    (["sign", "gelu"], [300.0, 500.0], 0.4, 450.0),
    (["tanh"], [3000.0], 0.1, 5000.0),
]


class TestLaws:
    @pytest.mark.parametrize(("names", "widths", "bias_variance", "n_samples"), SHAPES)
    def test_mass_and_mean(self, names: list[str], widths: list[float], bias_variance: float, n_samples: float) -> None:
        equivalent = random_features(names, widths, theory.covariance.isotropic(300.0), bias_variance=bias_variance)
        prepared = spectra.finite_features(equivalent, n_samples=n_samples)
        law = spectra.features_law(prepared)
        # What an average demands of the mass is stricter than any demand on the rule here.
        centred = spectra.average(law, lambda x: x)
        constant = theory.random_features(
            theory.covariance.isotropic(300.0),
            np.ones(1),
            layers=tuple(
                theory.RandomLayer(activation=activation(name), width=width, bias_variance=bias_variance)
                for name, width in zip(names, widths, strict=True)
            ),
        ).constant
        np.testing.assert_allclose(centred + constant, mean_square(names, bias_variance=bias_variance), rtol=1e-9)
        np.testing.assert_allclose(prepared.masses.sum() + prepared.missing, 1.0, rtol=1e-12)
        for interval, mass in enumerate(prepared.masses):
            x = law.stretch.of(np.full(4000, interval)).points(np.linspace(0.0, np.pi, 4000))
            y = law.density_at(x, np.full(4000, interval))
            np.testing.assert_allclose(np.trapezoid(y, x), mass, rtol=1e-4)

    @pytest.mark.parametrize(("names", "widths", "bias_variance", "n_samples"), SHAPES)
    def test_transforms_as_ridge_regression_continues(
        self, names: list[str], widths: list[float], bias_variance: float, n_samples: float
    ) -> None:
        equivalent = random_features(names, widths, atoms([0.5, 2.0], [200.0, 100.0]), bias_variance=bias_variance)
        law = spectra.features_law(spectra.finite_features(equivalent, n_samples=n_samples))
        end = law.support[-1, 1]
        z = np.array([-0.01, -1.0, -30.0, 0.4 + 0.1j, 0.02 + 0.01j, 1.5 - 0.2j]) * end
        continued = equivalent.continued(n_samples, -z / n_samples)
        assert continued.converged.all()
        np.testing.assert_allclose(spectra.stieltjes_transform(law, z) * n_samples * continued.ridge, 1.0, rtol=1e-6)

    @REPRODUCIBLE
    @given(
        share=st.floats(0.01, 0.99),
        ratio=st.floats(0.1, 10.0),
        width=st.floats(30.0, 3000.0),
        n_samples=st.floats(30.0, 3000.0),
        tail=st.floats(0.0, 3.0),
    )
    def test_densities_solve_their_equation(
        self, share: float, ratio: float, width: float, n_samples: float, tail: float
    ) -> None:
        modes = theory.Modes(
            eigenvalues=np.array([1.0, ratio]),
            multiplicities=np.array([200.0 * share, 200.0 * (1.0 - share)]),
            energies=np.ones(2),
            tail_trace=tail,
        )
        prepared = spectra.finite_features(theory.ModalEquivalent(modes=modes, width=width), n_samples=n_samples)
        law = spectra.features_law(prepared)
        which = np.repeat(np.arange(len(law.support)), 5)
        x = law.stretch.of(which).points(np.tile(np.linspace(0.3, 2.8, 5), len(law.support)))
        outer = prepared.on_support(x, which) / prepared.chain.width
        inner = prepared.ridges(x.astype(complex))[0] / prepared.chain.width
        kept = modes.eigenvalues / (modes.eigenvalues + inner[:, None])
        df1 = kept @ modes.multiplicities + tail / inner
        np.testing.assert_allclose(outer, inner * (1.0 - df1 / width), rtol=1e-9, atol=1e-12 * np.abs(inner).max())
        residual = outer * (1.0 - df1 / n_samples) + x / n_samples
        assert np.all(np.abs(residual) <= 1e-9 * (np.abs(outer) + x / n_samples))
        # Where the end next to 0 was not found, what lies before it has no density.
        empty = (which == 0) & (law.support[0, 0] < LEAST_END * law.support[-1, 1]) & (np.abs(outer.imag) < 1e-20)
        assert np.all(outer.imag[~empty] < 0.0)
        assert np.all(np.diff(empty[which == 0].astype(int)) <= 0)
        np.testing.assert_allclose(prepared.masses.sum() + prepared.missing, 1.0, rtol=1e-9)

    def test_random_fourier_features_are_neurons_of_two_kinds(self) -> None:
        equivalent = theory.random_fourier(
            atoms([1.0, 3.0], [150.0, 50.0]), np.ones(2), frequencies=300.0, fit_intercept=True
        )
        for n_samples in (200.0, 900.0):
            law = spectra.features_law(spectra.finite_features(equivalent, n_samples=n_samples))
            z = np.array([-0.1, -3.0, 0.3 + 0.1j])
            ridge = equivalent.continued(n_samples, -z / n_samples).ridge
            np.testing.assert_allclose(spectra.stieltjes_transform(law, z) * n_samples * ridge, 1.0, rtol=1e-10)
            np.testing.assert_allclose(spectra.average(law, lambda x: x), 0.5 * (1.0 - np.exp(-1.5)), rtol=1e-9)

    def test_neurons_that_are_as_good_as_dead(self) -> None:
        # More samples than neurons: their own small noises are eigenvalues, a continuum that nodes of a quadrature are not.
        equivalent = random_features(
            ["relu", "relu"], [350.0, 400.0], theory.covariance.isotropic(300.0), weight_variance=2.0, bias_variance=0.1
        )
        prepared = spectra.finite_features(equivalent, n_samples=1000.0)
        law = spectra.features_law(prepared)
        assert prepared.plain is not None
        assert len(law.support) == 1
        x = np.geomspace(1e-3, 0.05, 200)
        y = law.density_at(x, np.zeros(200, dtype=int))
        assert np.all(y > 0.0)
        # Nearly a power of x, where single nodes would make waves down to 0.
        trend = np.polynomial.Polynomial.fit(np.log(x), np.log(y), 4)
        assert np.max(np.abs(np.log(y) - trend(np.log(x)))) < 0.15
        nodes = spectra.features_law(prepared.plain).density_at(x, np.zeros(200, dtype=int))
        assert np.min(nodes) < 0.01 * np.min(y)
        mean = spectra.average(law, lambda x: x)
        np.testing.assert_allclose(mean, spectra.average(spectra.features_law(prepared.plain), lambda x: x), rtol=1e-6)
        # The transform is that without the spread.
        z = np.array([-0.5 + 0j])
        ridge = equivalent.continued(1000.0, -z / 1000.0).ridge
        np.testing.assert_allclose(prepared.transform(z) * 1000.0 * ridge, 1.0, rtol=1e-7)

    def test_slopes_without_a_bound(self) -> None:
        # A quadratic's slopes grow with the bias: neurons that a layer of this width does not have would end the support.
        inputs = theory.covariance.isotropic(300.0)
        narrow, wide = (
            spectra.finite_features(
                random_features(["quadratic"], [width], inputs, bias_variance=0.3), n_samples=width / 2.0
            ).support[-1, 1]
            for width in (300.0, 300_000.0)
        )
        assert wide > 1.1 * narrow

    def test_features_with_a_mean_are_refused(self) -> None:
        layers = (theory.RandomLayer(activation=activation("relu"), width=100.0),)
        equivalent = theory.random_features(theory.covariance.isotropic(50.0), np.ones(1), layers=layers)
        with pytest.raises(InadmissibleProblem, match="fit_intercept=True"):
            spectra.finite_features(equivalent, n_samples=60.0)

    def test_features_of_infinite_width_are_refused(self) -> None:
        with pytest.raises(InadmissibleProblem, match="infinite width"):
            spectra.finite_features(projection(theory.covariance.isotropic(50.0), np.inf), n_samples=60.0)
