"""Linear statistics of sample covariances: closed forms against sums over the support, and what has no answer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import theory
from tests.theory.strategies import REPRODUCIBLE
from tests.theory.test_spectra_laws import atoms, isotropic, populations
from theory import spectra
from theory.covariance import InadmissibleProblem, Spectrum

NAMED: dict[str, tuple[Callable[..., spectra.LinearStatistic], dict[str, Any], Callable[[Any], Any]]] = {
    "log_det": (spectra.log_det, {"shift": 0.3}, lambda x: np.log(x + 0.3)),
    "trace_inverse": (spectra.trace_inverse, {"shift": 0.3}, lambda x: 1.0 / (x + 0.3)),
    "effective_dimension": (spectra.effective_dimension, {"ridge": 0.3}, lambda x: x / (x + 0.3)),
    "mean": (spectra.moment, {"order": 1}, lambda x: x),
    "fifth moment": (spectra.moment, {"order": 5}, lambda x: x**5),
}
MODELS = {
    "gaps": spectra.sample_covariance(atoms([1.0, 3.0, 10.0], [40.0, 40.0, 20.0]), 1000.0),
    "more dimensions": spectra.sample_covariance(atoms([1.0, 3.0, 10.0], [40.0, 40.0, 20.0]), 45.0),
    "square": spectra.sample_covariance(atoms([1.0, 3.0], [40.0, 60.0]), 100.0),
    "null": spectra.sample_covariance(atoms([0.0, 1.0, 3.0], [20.0, 40.0, 40.0]), 90.0),
}


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", NAMED)
def test_closed_forms_are_sums_over_the_support(name: str, model: str, gram: bool) -> None:
    named, parameters, function = NAMED[name]
    closed = named(MODELS[model], gram=gram, **parameters)
    summed = spectra.linear_statistic(MODELS[model], function, gram=gram)
    assert closed.reason is summed.reason is None
    np.testing.assert_allclose(summed.per_dimension, closed.per_dimension, rtol=1e-9)
    size = abs(closed.mean_correction) + closed.standard_deviation
    np.testing.assert_allclose(summed.mean_correction, closed.mean_correction, atol=1e-8 * size, rtol=0)
    np.testing.assert_allclose(summed.standard_deviation, closed.standard_deviation, rtol=1e-8)


class TestClosedForms:
    @pytest.mark.parametrize("ratio", [0.1, 0.5, 0.99])
    def test_log_determinant_of_marchenko_pastur(self, ratio: float) -> None:
        found = spectra.log_det(isotropic(ratio, variance=3.0), shift=0.0)
        limit = np.log(3.0) - 1.0 - (1.0 - ratio) / ratio * np.log1p(-ratio)
        np.testing.assert_allclose(found.per_dimension, limit, rtol=1e-12)
        np.testing.assert_allclose(found.mean_correction, 0.5 * np.log1p(-ratio), rtol=1e-13)
        np.testing.assert_allclose(found.standard_deviation**2, -2.0 * np.log1p(-ratio), rtol=1e-13)

    @pytest.mark.parametrize("ratio", [0.1, 2.0])
    def test_first_moments_of_gaussian_data(self, ratio: float) -> None:
        # E tr S^2 = n p (n + p + 1) / n^2; the variance of tr S is 2 tr Sigma^2 / n.
        model = isotropic(ratio)
        p, n = 1000.0 * ratio, 1000.0
        first, second = spectra.moment(model, order=1), spectra.moment(model, order=2)
        np.testing.assert_allclose(first.per_dimension, 1.0, rtol=1e-14)
        np.testing.assert_allclose(first.mean_correction, 0.0, atol=1e-14)
        np.testing.assert_allclose(first.standard_deviation**2, 2.0 * p / n, rtol=1e-13)
        np.testing.assert_allclose(p * second.per_dimension + second.mean_correction, p * (n + p + 1.0) / n, rtol=1e-13)

    def test_inverse_of_gaussian_data(self) -> None:
        # E tr S^-1 = p n / (n - p - 1) = p / (1 - g) + g / (1 - g)^2 + ...
        found = spectra.trace_inverse(isotropic(0.5), shift=0.0)
        np.testing.assert_allclose(found.per_dimension, 2.0, rtol=1e-13)
        np.testing.assert_allclose(found.mean_correction, 0.5 / 0.25, rtol=1e-13)

    @REPRODUCIBLE
    @given(problem=populations())
    def test_units_only_add_to_a_log_determinant(self, problem: tuple[Spectrum, float]) -> None:
        population, n_samples = problem
        scaled = atoms((population.eigenvalues * 7.3e20).tolist(), population.multiplicities.tolist())
        one = spectra.log_det(spectra.sample_covariance(population, n_samples), shift=2.0)
        other = spectra.log_det(spectra.sample_covariance(scaled, n_samples), shift=2.0 * 7.3e20)
        np.testing.assert_allclose(other.per_dimension - np.log(7.3e20), one.per_dimension, atol=1e-12, rtol=1e-12)
        np.testing.assert_allclose(other.mean_correction, one.mean_correction, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(other.standard_deviation, one.standard_deviation, rtol=1e-9, atol=1e-9)

    def test_full_rank_gram_matrices_need_no_shift(self) -> None:
        model = MODELS["more dimensions"]
        shifted = spectra.log_det(model, shift=1e-9, gram=True)
        found = spectra.log_det(model, shift=0.0, gram=True)
        np.testing.assert_allclose(found.per_dimension, shifted.per_dimension, rtol=1e-8)
        np.testing.assert_allclose(found.standard_deviation, shifted.standard_deviation, rtol=1e-8)


class TestWithoutAnswer:
    @pytest.mark.parametrize("model", ["more dimensions", "square", "null"])
    @pytest.mark.parametrize("named", [spectra.log_det, spectra.trace_inverse])
    def test_singular_matrices_need_a_shift(self, named: Any, model: str) -> None:
        with pytest.raises(InadmissibleProblem, match="needs a positive shift") as refusal:
            named(MODELS[model], shift=0.0)
        assert refusal.value.argument == "shift"

    @pytest.mark.parametrize("function", [lambda x: 1.0 / (x - 2.5), lambda x: np.log(x - 2.0), lambda x: x / 0.0])
    def test_no_limit_at_a_pole_on_the_support(self, function: Callable[[Any], Any]) -> None:
        found = spectra.linear_statistic(MODELS["gaps"], function)
        assert found.per_dimension is found.mean_correction is found.standard_deviation is None
        assert "pole" in str(found.reason)

    @pytest.mark.parametrize(
        "function",
        [lambda x: np.abs(x - 2.5), lambda x: np.sqrt((x - 2.5) ** 2), lambda x: np.where(np.real(x) > 2.5, 1.0, 0.0)],
    )
    def test_no_fluctuations_where_not_smooth(self, function: Callable[[Any], Any]) -> None:
        found = spectra.linear_statistic(MODELS["gaps"], function)
        assert found.per_dimension is not None
        assert found.mean_correction is found.standard_deviation is None
        assert "not smooth" in str(found.reason)

    def test_a_pole_in_a_gap_is_none(self) -> None:
        found = spectra.linear_statistic(MODELS["gaps"], lambda x: 1.0 / (x - 1.6))
        assert found.reason is None
        assert found.standard_deviation > 0.0

    def test_what_leaves_double_precision(self) -> None:
        model = spectra.sample_covariance(theory.covariance.isotropic(10.0, variance=1e90), 20.0)
        found = spectra.moment(model, order=8)
        assert found.per_dimension is None
        assert "double precision" in str(found.reason)

    @pytest.mark.parametrize("order", [0, 33, -1])
    def test_orders_out_of_range(self, order: int) -> None:
        with pytest.raises(InadmissibleProblem, match="order must lie in"):
            spectra.moment(MODELS["gaps"], order=order)
