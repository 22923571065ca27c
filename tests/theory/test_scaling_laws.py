"""Scaling laws: exponents and amplitudes against the solver at large sizes, and how compute is best spent against searches."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.optimize import linprog, minimize, minimize_scalar

import theory
from theory.equivalents.population import ABUNDANT
from theory.functionals.allocation import allocate_flow, allocate_ridge, flow_excess, infinite_power_law
from theory.functionals.optimal_penalty import optimal_penalty
from theory.functionals.scaling_laws import (
    PowerLaw,
    amplitudes,
    compute_optimal_flow,
    compute_optimal_ridge,
    crossovers,
    exponents,
)

NOTES = [(1.5, 0.3), (2.0, 0.75), (1.5, 1.5)]
"""Exponents of eigenvalues and source condition for which the notes give every regime."""
EXPECTED = {
    "samples": (-0.9, -3.0, -3.0),
    "width": (-0.9, -2.0, -1.5),
    "time": (-0.6, -1.5, -3.0),
    "samples_noisy_ridgeless": (0.0, 0.0, 0.0),
    "samples_noisy_optimal_penalty": (-0.9 / 1.9, -0.75, -0.75),
    "optimal_penalty": (-1.5 / 1.9, -0.5, -0.375),
    "samples_noisy_optimal_time": (-0.9 / 1.9, -0.75, -4.5 / 5.5),
    "optimal_time": (1.5 / 1.9, 0.5, 1.5 / 5.5),
}


def law_of(alpha: float, r: float, *, noise: float = 0.0) -> PowerLaw:
    return PowerLaw(exponent=alpha, source_exponent=r, scale=3.0, energy=0.7, noise_variance=noise)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_exponents_of_the_notes(name: str) -> None:
    found = [getattr(exponents(law_of(*point)), name) for point in NOTES]
    np.testing.assert_allclose(found, EXPECTED[name], rtol=1e-14)


def measured(law: PowerLaw, size: float) -> dict[str, float]:
    """Return the excess risk in every regime at one size, as the solver has it."""
    modes = infinite_power_law(law)
    silent = replace(modes, noise_variance=0.0)
    best = optimal_penalty(modes, size)
    scale = amplitudes(law).optimal_time * size ** exponents(law).optimal_time
    stopped = minimize_scalar(
        lambda u: theory.predict_gradient_flow(modes, size, scale * float(np.exp(u))).excess_risk,
        bounds=(-1.0, 1.0),
        options={"xatol": 1e-4},
    )
    return {
        "samples": theory.predict_ridge(silent, size, 0.0).excess_risk,
        "width": theory.predict_ridge(silent, ABUNDANT, 0.0, width=size).excess_risk,
        "time": flow_excess(silent, ABUNDANT, size / law.scale)[0],
        "samples_noisy_ridgeless": theory.predict_ridge(modes, size, 0.0).excess_risk,
        "samples_noisy_optimal_penalty": best.test_error - law.noise_variance,
        "samples_noisy_optimal_time": float(stopped.fun),
        "optimal_penalty": best.penalty,
        "optimal_time": scale * float(np.exp(stopped.x)),
    }


@pytest.mark.parametrize("point", NOTES)
def test_the_solver_follows_exponents_and_amplitudes(point: tuple[float, float]) -> None:
    law = law_of(*point, noise=0.1)
    slopes, factors = asdict(exponents(law)), asdict(amplitudes(law))
    small, large = measured(law, 1e4), measured(law, 1e8)
    for name, slope in slopes.items():
        size = (1e4, 1e8) if name != "time" else (1e4 / law.scale, 1e8 / law.scale)
        off = [found[name] / (factors[name] * at**slope) - 1.0 for found, at in zip((small, large), size, strict=True)]
        # A law is a leading order: what is left of it shrinks, over four decades to below a percent; or is rounding.
        assert abs(off[1]) < 0.01, (name, off)
        assert abs(off[1]) < 0.5 * abs(off[0]) or abs(off[1]) < 1e-6, (name, off)


def test_laws_without_a_factor_are_said_to_have_none() -> None:
    assert [name for name, value in asdict(amplitudes(law_of(1.5, 1.0, noise=1.0))).items() if np.isnan(value)] == [
        "samples",
        "samples_noisy_optimal_penalty",
        "optimal_penalty",
    ]
    assert np.isnan(amplitudes(law_of(1.5, 0.5, noise=1.0)).width)
    noiseless = amplitudes(law_of(1.5, 0.3))
    assert all(np.isnan(value) == ("noisy" in name or "optimal" in name) for name, value in asdict(noiseless).items())


def test_factors_follow_the_units() -> None:
    one, other = law_of(1.7, 0.4, noise=0.2), replace(law_of(1.7, 0.4, noise=0.4), scale=30.0, energy=1.4)
    first, second = amplitudes(one), amplitudes(other)
    powers = {"time": 2.0 * 10.0**-0.8, "optimal_penalty": 10.0, "optimal_time": 0.1}
    for name, value in asdict(first).items():
        np.testing.assert_allclose(getattr(second, name), value * powers.get(name, 2.0), rtol=1e-12)


@pytest.mark.parametrize("point", NOTES)
def test_laws_are_equal_where_they_cross(point: tuple[float, float]) -> None:
    law = law_of(*point, noise=1e-3)
    slopes, factors = exponents(law), amplitudes(law)
    found = crossovers(law)
    assert [crossing.between for crossing in found] == [
        ("width", "samples"),
        ("time", "samples"),
        ("time", "width"),
        ("samples", "samples_noisy_ridgeless"),
        ("samples", "samples_noisy_optimal_penalty"),
    ]
    for crossing in found:
        other = 12_345.0
        here = crossing.coefficient * (other**crossing.exponent if crossing.of else 1.0)
        sizes = (here, other) if crossing.of else (here, here)
        first, second = (
            getattr(factors, name) * size ** getattr(slopes, name)
            for name, size in zip(crossing.between, sizes, strict=True)
        )
        np.testing.assert_allclose(first, second, rtol=1e-10)
        # Beyond it the second limits.
        beyond = sizes[0] * 2.0, sizes[1] * (1.0 if crossing.of else 2.0)
        faster, slower = (
            getattr(factors, name) * size ** getattr(slopes, name)
            for name, size in zip(crossing.between, beyond, strict=True)
        )
        assert faster < slower


def test_the_compute_exponents_of_the_notes() -> None:
    flow = [compute_optimal_flow(law_of(*point)) for point in ((1.5, 0.3), (2.0, 0.75))]
    np.testing.assert_allclose([(one.error, one.width) for one in flow], [(-0.36, 0.4), (-0.75, 0.5)], rtol=1e-14)
    points = [(1.5, 0.3), (1.5, 0.75), (2.5, 0.75), (2.0, 0.75), (2.5, 0.4)]
    ridge = [compute_optimal_ridge(law_of(*point)) for point in points]
    np.testing.assert_allclose([one.error for one in ridge], [-0.45, -9 / 11, -1.25, -1.0, -1.0], rtol=1e-14)
    np.testing.assert_allclose([one.width for one in ridge], [0.5, 7 / 11, 0.5, 0.5, 0.5], rtol=1e-14)
    assert [one.flat for one in ridge] == [False, False, False, True, False]


def program(law: PowerLaw) -> tuple[float, float]:
    """Minimise the largest of the powers that make up the error, by linear programming between logarithms."""
    alpha, r = law.exponent, law.source_exponent
    # Unknowns: log N and -log k over log C, and the error's exponent; rows a . x <= b.
    rows = [
        ([0.0, -2.0 * min(r, 1.0), -1.0], 0.0),
        ([-1.0, -(min(2.0 * r, 1.0) - 1.0 / alpha), -1.0], 0.0),
        ([-alpha, 1.0, 0.0], 0.0),
        ([alpha, 1.0, 0.0], alpha),
    ]
    if law.noise_variance > 0.0:
        rows.append(([1.0, 1.0 / alpha, -1.0], 1.0))
    found = linprog(
        [0.0, 0.0, 1.0],
        A_ub=[row for row, _ in rows],
        b_ub=[bound for _, bound in rows],
        bounds=[(0.0, 1.0), (0.0, None), (None, None)],
    )
    return float(found.fun), float(found.x[0])


def test_the_compute_exponents_solve_their_linear_program() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        law = law_of(rng.uniform(1.05, 4.0), rng.uniform(0.05, 2.0), noise=float(rng.integers(2)))
        found = compute_optimal_ridge(law)
        np.testing.assert_allclose((found.error, found.width), program(law), atol=1e-7)


@pytest.mark.parametrize(
    ("point", "noise"),
    [
        ((1.5, 0.3), 0.0),
        ((1.5, 0.75), 0.0),
        ((2.5, 0.75), 0.0),
        ((2.5, 0.4), 0.0),
        ((1.5, 0.3), 0.1),
        ((2.5, 0.75), 0.1),
    ],
)
def test_best_splits_of_large_budgets_follow_the_exponents(point: tuple[float, float], noise: float) -> None:
    law = law_of(*point, noise=noise)
    modes, budgets = infinite_power_law(law), (1e13, 1e16)
    decades = np.log(budgets[1] / budgets[0])
    ridge, expected = [allocate_ridge(modes, budget) for budget in budgets], compute_optimal_ridge(law)
    np.testing.assert_allclose(np.log(ridge[1].excess_risk / ridge[0].excess_risk) / decades, expected.error, atol=2e-3)
    np.testing.assert_allclose(np.log(ridge[1].width / ridge[0].width) / decades, expected.width, atol=5e-3)
    if noise == 0.0:
        flow, expected_flow = [allocate_flow(modes, budget) for budget in budgets], compute_optimal_flow(law)
        assert all(one.converged for one in flow)
        slope = np.log(flow[1].excess_risk / flow[0].excess_risk) / decades
        np.testing.assert_allclose(slope, expected_flow.error, atol=2e-3)
        np.testing.assert_allclose(np.log(flow[1].width / flow[0].width) / decades, expected_flow.width, atol=2e-3)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("point", NOTES)
def test_a_ridge_allocation_is_the_minimum_of_predictions(point: tuple[float, float], noise: float) -> None:
    law, budget = law_of(*point, noise=noise), 1e6
    modes = infinite_power_law(law)
    found = allocate_ridge(modes, budget)
    np.testing.assert_allclose(found.width * found.n_samples, budget, rtol=1e-12)
    there = theory.predict_ridge(modes, found.n_samples, found.penalty, width=found.width)
    np.testing.assert_allclose((there.test_error, there.excess_risk), (found.test_error, found.excess_risk), rtol=1e-9)

    def error(logs: np.ndarray) -> float:
        width, penalty = np.exp(logs)
        return float(theory.predict_ridge(modes, budget / width, penalty, width=width).excess_risk) / found.excess_risk

    start = np.log([1.3 * found.width, 0.7 * (found.penalty or 1e-9)])
    searched = minimize(error, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13})
    np.testing.assert_allclose(searched.fun, 1.0, rtol=1e-9)
    # Nothing on a coarse grid over everything is better.
    for width in np.geomspace(1.0, budget, 25):
        for penalty in (0.0, *np.geomspace(1e-14, 1e2, 17)):
            assert error(np.log([width, max(penalty, 1e-300)])) >= 1.0 - 1e-9


def test_a_flow_allocation_is_the_minimum_of_predictions() -> None:
    modes, budget = infinite_power_law(law_of(1.5, 0.3, noise=0.1)), 1e5
    found = allocate_flow(modes, budget)
    np.testing.assert_allclose(found.width * found.time, budget, rtol=1e-12)

    def error(width: float) -> float:
        equivalent = theory.ModalEquivalent(modes=modes, width=width)
        return float(theory.predict_gradient_flow(equivalent, 1e15, budget / width).test_error)

    np.testing.assert_allclose(error(found.width), found.test_error, rtol=1e-8)
    assert all(error(found.width * factor) > found.test_error for factor in (0.01, 0.5, 0.9, 1.1, 2.0, 100.0))


@pytest.mark.parametrize("width", [30.0, 1e4])
@pytest.mark.parametrize("time", [0.1, 100.0, 1e5])
def test_flow_with_samples_to_spare_is_the_limit_of_flow(width: float, time: float) -> None:
    modes = infinite_power_law(law_of(1.8, 0.6))
    found, difference = flow_excess(modes, width, time)
    equivalent = theory.ModalEquivalent(modes=modes, width=width)
    expected = theory.predict_gradient_flow(equivalent, 1e16, time)
    np.testing.assert_allclose(found, expected.excess_risk, rtol=1e-6, atol=1e-10)
    assert difference < 1e-9


def test_the_infinite_table_is_that_of_the_notes() -> None:
    # alpha = 1.5, r = .4, noise .05: energies i^-2.2.
    law = PowerLaw(exponent=1.5, source_exponent=0.4, noise_variance=0.05)
    modes = infinite_power_law(law)
    found = theory.predict_ridge(modes, 150.0, 0.0)
    np.testing.assert_allclose((found.effective_ridge, found.test_error), (0.00203698, 0.08224400), rtol=5e-6)
    found = theory.predict_ridge(modes, 1000.0, 1e-3)
    expected = (0.00126062, 0.05734725, 0.03608648)
    np.testing.assert_allclose((found.effective_ridge, found.test_error, found.train_error), expected, rtol=5e-6)
    found = theory.predict_ridge(modes, 1000.0, 1e-4, width=500.0)
    np.testing.assert_allclose((found.test_error, found.train_error), (0.07566515, 0.03110939), rtol=5e-6)
    total = float(modes.energies.sum() + modes.unlearnable_variance)
    np.testing.assert_allclose(total, law.signal_variance, rtol=1e-12)


def test_a_finite_spectrum_that_a_budget_exhausts() -> None:
    modes = theory.Modes(eigenvalues=[3.0, 1.0], multiplicities=[10.0, 20.0], energies=[1.0, 1.0])
    found = allocate_ridge(modes, 1000.0)
    assert (found.test_error, found.penalty) == (0.0, 0.0)
    np.testing.assert_allclose(found.width * found.n_samples, 1000.0)
    noisy = allocate_ridge(replace(modes, noise_variance=0.5), 1000.0)
    assert noisy.excess_risk > 0.0
    assert allocate_ridge(modes, 1.0).n_samples == 1.0


@pytest.mark.parametrize(
    ("field", "value"), [("exponent", 1.0), ("source_exponent", 0.0), ("scale", 0.0), ("noise_variance", -1.0)]
)
def test_laws_that_do_not_exist_are_refused(field: str, value: float) -> None:
    with pytest.raises(theory.InadmissibleProblem, match=field) as refusal:
        replace(law_of(1.5, 0.3), **{field: value})
    assert refusal.value.argument == field
