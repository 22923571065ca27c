"""Laws of spectra against closed forms, against each other, and at extremes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad

import theory
from tests.theory.strategies import REPRODUCIBLE, magnitudes
from theory import spectra
from theory.activations import activation
from theory.covariance import InadmissibleProblem, Spectrum

RATIOS = [0.01, 0.3, 0.999, 1.0, 1.001, 2.0, 50.0]


def isotropic(ratio: float, *, variance: float = 1.0) -> spectra.SampleCovariance:
    return spectra.sample_covariance(theory.covariance.isotropic(1000.0 * ratio, variance=variance), 1000.0)


def atoms(eigenvalues: list[float], counts: list[float]) -> Spectrum:
    return Spectrum(eigenvalues=np.array(eigenvalues), multiplicities=np.array(counts))


def marchenko_pastur(ratio: float, x: np.ndarray) -> np.ndarray:
    low, high = (1.0 - np.sqrt(ratio)) ** 2, (1.0 + np.sqrt(ratio)) ** 2
    return np.sqrt(np.maximum((x - low) * (high - x), 0.0)) / (2.0 * np.pi * ratio * x)


def total_mass(law: spectra.Law) -> float:
    mass = spectra.average(law, np.ones_like)
    assert mass is not None
    return mass


@st.composite
def populations(draw: st.DrawFn) -> tuple[Spectrum, float]:
    """A population of a few atoms and a number of samples."""
    count = draw(st.integers(1, 5))
    eigenvalues = draw(st.lists(magnitudes(3.0), min_size=count, max_size=count))
    counts = draw(st.lists(st.integers(1, 300).map(float), min_size=count, max_size=count))
    return atoms(eigenvalues, counts), draw(magnitudes(1.5)) * sum(counts)


class TestClosedForms:
    @pytest.mark.parametrize("ratio", RATIOS)
    def test_marchenko_pastur(self, ratio: float) -> None:
        law = spectra.covariance_law(isotropic(ratio, variance=3.0))
        low, high = 3.0 * (1.0 - np.sqrt(ratio)) ** 2, 3.0 * (1.0 + np.sqrt(ratio)) ** 2
        np.testing.assert_allclose(law.support, [[low, high]], rtol=1e-13, atol=1e-16 * high)
        x, y = spectra.density(law, 500)
        inside = slice(1, -1)
        expected = marchenko_pastur(ratio, x[inside] / 3.0) / 3.0
        # The closed form itself cancels next to its edges.
        np.testing.assert_allclose(y[inside], expected, rtol=1e-9)
        assert sum(mass for _, mass in law.atoms) == pytest.approx(max(0.0, 1.0 - 1.0 / ratio), abs=1e-15)

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_marchenko_pastur_transform(self, ratio: float) -> None:
        z = np.array([-2.0, -0.01, 1.0 + 0.5j, 0.3 - 1e-6j, 100.0 + 1j, 1e6 + 1e-3j])
        found = spectra.stieltjes_transform(spectra.covariance_law(isotropic(ratio)), z)
        # ratio z m^2 - (1 - ratio - z) m + 1 = 0, of whose roots m is the one on the side of z.
        np.testing.assert_allclose(ratio * z * found**2 - (1.0 - ratio - z) * found, -1.0, rtol=1e-8)
        assert np.all(found.imag * z.imag >= 0.0)
        assert np.all(found[z.imag == 0.0].real > 0.0)

    @pytest.mark.parametrize("name", ["tanh", "sign", "relu", "cos"])
    def test_the_transform_of_an_inner_product_kernel_solves_its_cubic(self, name: str) -> None:
        kernel = spectra.inner_product_kernel(activation(name), n_samples=600.0, n_features=300.0, variance=1.7)
        z = np.array([1.0 + 1e-9j, 0.3 + 2.0j, -7.0 + 0.1j])
        m = spectra.stieltjes_transform(spectra.inner_product_law(kernel), z)
        assert np.all(m.imag > 0.0)
        np.testing.assert_allclose(kernel.value(m), z, rtol=1e-10)

    def test_a_linear_function_makes_a_sample_covariance_without_its_diagonal(self) -> None:
        kernel = spectra.inner_product_kernel(activation("linear"), n_samples=600.0, n_features=300.0, variance=2.0)
        law = spectra.inner_product_law(kernel)
        gram = spectra.gram_law(spectra.sample_covariance(theory.covariance.isotropic(600.0, variance=1.0), 300.0))
        # f(x.x' / sqrt d) / sqrt d = x.x' / d off the diagonal, whose mean is 2.
        edges = spectra.covariance_law(
            spectra.sample_covariance(theory.covariance.isotropic(600.0, variance=2.0), 300.0)
        ).support
        np.testing.assert_allclose(law.support, edges - 2.0, rtol=1e-12)
        assert law.atoms == ((pytest.approx(-2.0), 0.5),)
        assert gram.atoms == ()

    def test_an_even_function_makes_a_semicircle(self) -> None:
        kernel = spectra.inner_product_kernel(activation("cos"), n_samples=600.0, n_features=300.0)
        law = spectra.inner_product_law(kernel)
        radius = 2.0 * np.sqrt(kernel.remainder / 0.5)
        np.testing.assert_allclose(law.support, [[-radius, radius]], rtol=1e-12)
        x = np.linspace(-0.9, 0.9, 7) * radius
        semicircle = 2.0 / (np.pi * radius**2) * np.sqrt(radius**2 - x**2)
        np.testing.assert_allclose(law.density_at(x, np.zeros(7, int)), semicircle, rtol=1e-10)


class TestEveryLaw:
    @pytest.fixture(
        params=[
            "atoms",
            "decades",
            "more dimensions",
            "null",
            "gram",
            "square",
            "power law",
            "relu",
            "linear",
            "kernel",
        ]
    )
    def law(self, request: pytest.FixtureRequest) -> spectra.Law:
        three = atoms([1.0, 3.0, 10.0], [40.0, 40.0, 20.0])
        if request.param == "kernel":
            return spectra.wide_kernel_law(three, tail=0.7, n_samples=150.0)
        if request.param in ("relu", "linear"):
            kernel = spectra.inner_product_kernel(activation(request.param), n_samples=400.0, n_features=100.0)
            return spectra.inner_product_law(kernel)
        population, n_samples = {
            "atoms": (three, 1000.0),
            "decades": (atoms([1e-6, 1.0, 1e6], [30.0, 30.0, 40.0]), 300.0),
            "more dimensions": (three, 40.0),
            "null": (atoms([0.0, 1.0, 5.0], [30.0, 50.0, 20.0]), 60.0),
            "gram": (three, 60.0),
            "square": (three, 100.0),
            "power law": (theory.covariance.power_law(100, exponent=1.5), 70.0),
        }[request.param]
        model = spectra.sample_covariance(population, n_samples)
        return spectra.gram_law(model) if request.param == "gram" else spectra.covariance_law(model)

    def test_has_mass_one(self, law: spectra.Law) -> None:
        np.testing.assert_allclose(total_mass(law), 1.0, rtol=1e-9)

    def test_has_a_transform_that_is_the_average_it_is_defined_by(self, law: spectra.Law) -> None:
        width = float(np.max(np.abs(law.support)))
        for z in (0.7 * width + 0.2j * width, -1.5 * width + 0j, 3.0 * width + 0j, 0.1 * width - 0.1j * width):
            found = spectra.stieltjes_transform(law, [z])[0]
            real = spectra.average(law, lambda x, z=z: (1.0 / (x - z)).real)
            imaginary = spectra.average(law, lambda x, z=z: (1.0 / (x - z)).imag)
            np.testing.assert_allclose([found.real, found.imag], [real, imaginary], rtol=1e-8, atol=1e-9 / width)

    def test_has_a_density_that_its_transform_tends_to(self, law: spectra.Law) -> None:
        for interval, (low, high) in enumerate(law.support):
            x = np.array([0.9 * low + 0.1 * high, 0.5 * (low + high), 0.2 * low + 0.8 * high])
            height = 1e-9 * (high - low)
            above = spectra.stieltjes_transform(law, x + 1j * height).imag / np.pi
            np.testing.assert_allclose(law.density_at(x, np.full(3, interval)), above, rtol=1e-6, atol=1e-12 / high)

    def test_has_a_density_that_ends_where_the_support_does(self, law: spectra.Law) -> None:
        x, y = spectra.density(law, 300)
        assert np.all(np.diff(x) > 0.0)
        assert np.all(y >= 0.0)
        assert np.isfinite(y).all()
        first = 1 if law.unbounded else 0
        assert np.isin(law.support.ravel()[first:], x).all()
        assert np.all(y[np.isin(x, law.support)] == 0.0)
        assert x.size == 300 or law.support.shape[0] > 100

    def test_scales_and_shifts(self, law: spectra.Law) -> None:
        moved = spectra.affine(law, scale=2.5, shift=-1.0)
        z = np.array([0.3 + 0.4j])
        np.testing.assert_allclose(
            spectra.stieltjes_transform(moved, z), spectra.stieltjes_transform(law, (z + 1.0) / 2.5) / 2.5, rtol=1e-12
        )
        np.testing.assert_allclose(total_mass(moved), 1.0, rtol=1e-9)


class TestSampleCovariance:
    @REPRODUCIBLE
    @given(problem=populations())
    def test_moments_are_those_of_the_population(self, problem: tuple[Spectrum, float]) -> None:
        population, n_samples = problem
        law = spectra.covariance_law(spectra.sample_covariance(population, n_samples))
        weights = population.multiplicities / population.multiplicities.sum()
        first, second = weights @ population.eigenvalues, weights @ population.eigenvalues**2
        ratio = population.multiplicities.sum() / n_samples
        np.testing.assert_allclose(total_mass(law), 1.0, rtol=1e-8)
        np.testing.assert_allclose(spectra.average(law, lambda x: x), first, rtol=1e-8)
        np.testing.assert_allclose(spectra.average(law, np.square), second + ratio * first**2, rtol=1e-8)

    @REPRODUCIBLE
    @given(problem=populations(), scale=magnitudes(40.0))
    def test_units_do_not_matter(self, problem: tuple[Spectrum, float], scale: float) -> None:
        population, n_samples = problem
        # With almost as many samples as dimensions the lower edge is a difference of almost equal numbers.
        assume(abs(population.multiplicities.sum() / n_samples - 1.0) > 1e-6)
        law = spectra.covariance_law(spectra.sample_covariance(population, n_samples))
        scaled = atoms((population.eigenvalues * scale).tolist(), population.multiplicities.tolist())
        other = spectra.covariance_law(spectra.sample_covariance(scaled, n_samples))
        np.testing.assert_allclose(other.support, law.support * scale, rtol=1e-9)
        (x, y), (other_x, other_y) = spectra.density(law, 50), spectra.density(other, 50)
        np.testing.assert_allclose(other_x, x * scale, rtol=1e-9)
        np.testing.assert_allclose(other_y * scale, y, rtol=1e-6, atol=1e-7 * y.max())

    @REPRODUCIBLE
    @given(problem=populations())
    def test_doubling_all_sizes_changes_nothing(self, problem: tuple[Spectrum, float]) -> None:
        population, n_samples = problem
        doubled = atoms(population.eigenvalues.tolist(), (2.0 * population.multiplicities).tolist())
        law, other = (
            spectra.covariance_law(spectra.sample_covariance(one, n))
            for one, n in ((population, n_samples), (doubled, 2.0 * n_samples))
        )
        np.testing.assert_allclose(other.support, law.support, rtol=1e-12)

    @REPRODUCIBLE
    @given(problem=populations(), z=st.complex_numbers(min_magnitude=1e-6, max_magnitude=1e6))
    def test_transforms_solve_the_silverstein_equation(self, problem: tuple[Spectrum, float], z: complex) -> None:
        population, n_samples = problem
        if z.imag == 0.0:
            z = complex(-abs(z.real), 0.0)
        model = spectra.sample_covariance(population, n_samples)
        v = spectra.stieltjes_transform(spectra.gram_law(model), [z])[0]
        t, share = population.eigenvalues, population.multiplicities / n_samples
        terms = np.concatenate([[-z], share * t / (1.0 + t * v)])
        # -1 / v = z - sum share t / (1 + t v), up to the rounding of its largest term.
        np.testing.assert_allclose(terms.sum(), 1.0 / v, atol=1e-9 * np.abs(terms).max())
        assert v.imag * z.imag >= 0.0
        m = spectra.stieltjes_transform(spectra.covariance_law(model), [z])[0]
        ratio = population.multiplicities.sum() / n_samples
        np.testing.assert_allclose(ratio * m - (1.0 - ratio) / z, v, atol=1e-9 * (abs(v) + abs((1.0 - ratio) / z)))

    @pytest.mark.parametrize("n_samples", [10.0, 100.0, 1e3, 1e5, 1e7, 1e12])
    def test_more_samples_open_more_gaps(self, n_samples: float) -> None:
        model = spectra.sample_covariance(theory.covariance.power_law(300, exponent=1.5), n_samples)
        law = spectra.covariance_law(model)
        ends = law.support.ravel()
        assert np.all(np.diff(ends) > 0.0)
        assert len(law.support) <= 300
        assert len(law.support) == 300 or n_samples < 1e9
        np.testing.assert_allclose(law.masses.sum() + sum(mass for _, mass in law.atoms), 1.0, rtol=1e-12)

    @pytest.mark.parametrize(("dimension", "n_samples"), [(1.0, 1e12), (1e12, 1.0), (1e6, 1e6), (0.5, 0.25)])
    def test_extreme_ratios(self, dimension: float, n_samples: float) -> None:
        law = spectra.covariance_law(spectra.sample_covariance(theory.covariance.isotropic(dimension), n_samples))
        x, y = spectra.density(law, 100)
        assert np.isfinite(x).all()
        assert np.isfinite(y).all()

    def test_nearly_equal_eigenvalues_are_one(self) -> None:
        split = atoms([1.0, 1.0 + 1e-15, 1.0 - 1e-15], [1.0, 1.0, 1.0])
        law = spectra.covariance_law(spectra.sample_covariance(split, 6.0))
        np.testing.assert_allclose(law.support, spectra.covariance_law(isotropic(0.5)).support, rtol=1e-12)

    def test_only_zeros_are_refused(self) -> None:
        with pytest.raises(InadmissibleProblem, match="all population eigenvalues are 0"):
            spectra.sample_covariance(atoms([0.0], [5.0]), 3.0)

    def test_too_many_decades_are_refused(self) -> None:
        with pytest.raises(InadmissibleProblem, match="may span a factor"):
            spectra.sample_covariance(atoms([1e-60, 1.0], [5.0, 5.0]), 3.0)

    @pytest.mark.parametrize("z", [1.0, 3.0, 0.0])
    def test_no_transform_on_the_spectrum(self, z: float) -> None:
        law = spectra.covariance_law(isotropic(2.0))
        with pytest.raises(InadmissibleProblem, match="not defined at"):
            spectra.stieltjes_transform(law, [z])


class TestOutliers:
    @pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0])
    @pytest.mark.parametrize("population", [1.01, 2.0, 10.0, 1e4])
    def test_isotropic_transition(self, ratio: float, population: float) -> None:
        outlier = spectra.spike(isotropic(ratio), population)
        assert outlier.visible == (population > 1.0 + np.sqrt(ratio))
        if outlier.visible:
            excess = population - 1.0
            np.testing.assert_allclose(outlier.at, population * (1.0 + ratio / excess), rtol=1e-12)
            alignment = (1.0 - ratio / excess**2) / (1.0 + ratio / excess)
            np.testing.assert_allclose(outlier.alignment, alignment, rtol=1e-12)
        else:
            np.testing.assert_allclose(outlier.at, (1.0 + np.sqrt(ratio)) ** 2, rtol=1e-12)

    def test_left_of_the_bulk(self) -> None:
        assert spectra.spike(isotropic(0.1), 0.2).visible
        hidden = spectra.spike(isotropic(0.1), 0.9)
        assert not hidden.visible
        np.testing.assert_allclose(hidden.at, (1.0 - np.sqrt(0.1)) ** 2, rtol=1e-12)
        assert not spectra.spike(isotropic(2.0), 0.2).visible

    def test_one_more_direction_of_rank_one(self) -> None:
        # Of a semicircle of variance 1: strength + 1 / strength, seen with 1 - 1 / strength^2.
        kernel = spectra.inner_product_kernel(activation("cos"), n_samples=100.0, n_features=50.0)
        law = spectra.inner_product_law(kernel)
        unit = spectra.affine(law, scale=1.0 / np.sqrt(kernel.remainder / 0.5))
        outlier = spectra.rank_one(unit, 1.6)
        np.testing.assert_allclose(outlier.at, 1.6 + 1.0 / 1.6, rtol=1e-9)
        np.testing.assert_allclose(outlier.alignment, 1.0 - 1.0 / 1.6**2, rtol=1e-6)
        assert not spectra.rank_one(unit, 0.9).visible


def features(names: list[str], widths: list[float], n_inputs: float, **variances: float) -> Any:
    layers = tuple(
        theory.RandomLayer(activation=activation(name), width=width, **variances)
        for name, width in zip(names, widths, strict=True)
    )
    inputs = theory.covariance.isotropic(n_inputs)
    return theory.random_features(inputs, np.zeros(1), layers=layers, fit_intercept=True)


class TestFiniteWidth:
    @pytest.mark.parametrize(
        ("names", "widths", "n_samples"),
        [(["tanh"], [400.0], 300.0), (["tanh"], [100.0], 300.0), (["tanh", "erf"], [300.0, 250.0], 200.0)],
    )
    def test_mass_and_mean(self, names: list[str], widths: list[float], n_samples: float) -> None:
        equivalent = features(names, widths, 200.0)
        law = spectra.finite_kernel_law(equivalent, rank=spectra.finite_rank(equivalent), n_samples=n_samples)
        np.testing.assert_allclose(total_mass(law), 1.0, rtol=1e-7)
        diagonal, variance = 0.0, 1.0
        for name in names:
            diagonal = float(theory.activations.moments(activation(name), variance).square)
            variance = diagonal
        np.testing.assert_allclose(spectra.average(law, lambda x: x), diagonal, rtol=1e-6)

    def test_tends_to_the_kernel_of_infinite_width(self) -> None:
        wide = spectra.finite_kernel_law(features(["tanh"], [1e7], 200.0), rank=1e7, n_samples=300.0)
        conjugate = theory.ConjugateKernel(layers=(theory.RandomLayer(activation=activation("tanh")),))
        found = conjugate.linearised(1.0, 1.0 / 200.0)
        law = spectra.wide_kernel_law(atoms([found.slope / 200.0], [200.0]), tail=found.tail, n_samples=300.0)
        # Without an atom the wide one has a narrow band where the kernel has its tail.
        np.testing.assert_allclose(wide.support[-1, 1], law.support[-1, 1], rtol=1e-4)
        z = [-0.3, 0.2 + 0.1j]
        np.testing.assert_allclose(spectra.stieltjes_transform(wide, z), spectra.stieltjes_transform(law, z), rtol=1e-4)

    def test_linear_features_of_infinite_width_are_the_inputs(self) -> None:
        wide = spectra.finite_kernel_law(features(["linear"], [1e9], 200.0), rank=200.0, n_samples=100.0)
        gram = spectra.covariance_law(spectra.sample_covariance(theory.covariance.isotropic(100.0), 200.0))
        np.testing.assert_allclose(wide.support, gram.support, rtol=1e-6)


def test_density_integrates_against_an_independent_rule() -> None:
    law = spectra.covariance_law(spectra.sample_covariance(atoms([1.0, 3.0, 10.0], [40.0, 40.0, 20.0]), 1000.0))
    total = 0.0
    for interval, (low, high) in enumerate(law.support):
        part, _ = quad(
            lambda x, j=interval: float(law.density_at(np.array([x]), np.array([j]))[0]), low, high, limit=200
        )
        total += part
    np.testing.assert_allclose(total, 1.0, rtol=1e-7)
