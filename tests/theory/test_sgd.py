"""One-pass SGD of least squares: printed numbers, closed forms, high precision, independent methods, limits, invariances."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import theory
from tests.theory.oracles import assert_printed
from tests.theory.strategies import REPRODUCIBLE, magnitudes, or_zero, replaced, tables
from theory.learners.gradient_methods import predict_gradient_flow
from theory.learners.sgd import SgdPrediction, predict_sgd

ERRORS = ("test_error", "excess_risk", "bias", "variance", "estimator_norm_squared")


def two_levels(n_features: float = 200.0, **others: float) -> theory.Modes:
    """Half the directions have variance 0.3, half 1.7; the target's weights have the same variance in all of them."""
    fields = {"energies": [0.15, 0.85], "noise_variance": 0.25} | others
    return theory.Modes(eigenvalues=[0.3, 1.7], multiplicities=[n_features / 2, n_features / 2], **fields)


def isotropic(n_features: float = 200.0, **others: float) -> theory.Modes:
    fields = {"energies": [1.0], "noise_variance": 0.25} | others
    return theory.Modes(eigenvalues=[1.0], multiplicities=[n_features], **fields)


def power_law(count: int = 300) -> theory.Modes:
    spectrum = theory.covariance.power_law(count, exponent=1.2)
    energies = theory.target.source(spectrum, signal_variance=1.0, exponent=0.3, covariance_exponent=1.2)
    return theory.linear_modes(spectrum, energies, noise_variance=0.1)


PROBLEMS = {
    "isotropic": isotropic(),
    "two levels": two_levels(),
    "nonlinear part": two_levels(unlearnable_variance=0.4),
    "no noise": two_levels(noise_variance=0.0),
    "power law": power_law(),
    "a slow mode": theory.Modes(
        eigenvalues=[1e-4, 1.0], multiplicities=[100.0, 50.0], energies=[0.5, 0.5], noise_variance=0.01
    ),
}


def step_of(modes: theory.Modes, share: float = 0.4) -> float:
    """A share of the critical step size."""
    return share * 2.0 / float(modes.trace)


# Printed numbers.


def test_reference_numbers() -> None:
    prediction = predict_sgd(two_levels(), np.array([200.0, 800.0, 3200.0]), 0.5 / 200)
    for value, printed in zip(prediction.test_error, (".66850854", ".39910977", ".33537784"), strict=True):
        assert_printed(value, printed)


def test_tabulated_isotropic_problem() -> None:
    # The norm of the teacher was that of a draw: it follows from the first value, and the others follow from it.
    n, printed = 400 * np.array([0.5, 2.0, 6.0, 15.0]), ("1.33407", "1.43647", "1.49509", "1.49998")
    without, unit = (
        predict_sgd(isotropic(400.0, energies=[c], noise_variance=0.3), n, 1.6 / 400).test_error for c in (0.0, 1.0)
    )
    norm = (float(printed[0]) - without[0]) / (unit[0] - without[0])
    for value, digits in zip(without + norm * (unit - without), printed, strict=True):
        assert_printed(value, digits)


def test_tabulated_two_levels() -> None:
    n, printed = 400 * np.array([0.5, 2.0, 6.0, 15.0]), np.array([0.92338, 0.55772, 0.45336, 0.42977])
    without, *units = (
        predict_sgd(two_levels(400.0, energies=list(c), noise_variance=0.3), n, 0.6 / 400).test_error
        for c in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    )
    response = np.stack([unit - without for unit in units], axis=1)
    energies = np.linalg.solve(response[:2], (printed - without)[:2])
    # Half a unit in the fifth place of the two values used moves the others by about as much.
    np.testing.assert_allclose(without + response @ energies, printed, atol=1.5e-5)


# Closed forms and high precision.


@pytest.mark.parametrize("share", [1e-6, 0.3, 0.999999])
def test_isotropic_inputs_in_closed_form(share: float) -> None:
    d, signal, noise = 200.0, 1.3, 0.25
    modes = isotropic(d, energies=[signal])
    step = share * 2.0 / d
    n = np.concatenate([[0.0], np.geomspace(1e-3, 1e7, 30)])
    prediction = predict_sgd(modes, n, step)
    # P' = -(2 step - step^2 d) (P - noise / (1 - step d / 2)).
    floor, rate = noise / (1.0 - step * d / 2.0), 2.0 * step - step**2 * d
    expected = floor + (signal + noise - floor) * np.exp(-rate * n)
    np.testing.assert_allclose(prediction.test_error, expected, rtol=1e-10)
    np.testing.assert_allclose(prediction.bias, signal * np.exp(-2.0 * step * n), rtol=1e-12)
    np.testing.assert_allclose(prediction.steady_error, floor, rtol=1e-9)


def matrix_exponential(modes: theory.Modes, n: float, step: float) -> tuple[float, float, float, float]:
    """Excess risk, bias, variance and squared norm by the exponential of the matrix of the ODE, to 60 digits."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**6), 10**6
        xi, m, c = (
            [Decimal(float(value)) for value in values]
            for values in (modes.eigenvalues, modes.multiplicities, modes.energies)
        )
        eta, count = Decimal(step), len(xi)
        floor = Decimal(float(modes.noise_variance)) + Decimal(float(modes.unlearnable_variance))
        rows = [
            [eta**2 * m[i] * xi[i] ** 2 - (2 * eta * xi[i] if i == j else 0) for j in range(count)]
            + [eta**2 * m[i] * xi[i] ** 2 * floor]
            for i in range(count)
        ]
        rows.append([Decimal(0)] * (count + 1))
        halvings = 10 + max(0, int(np.ceil(np.log2(n * 2.0 * step * float(max(xi)) + 1e-300))))
        small = [[entry * Decimal(n) / 2**halvings for entry in row] for row in rows]
        result = [[Decimal(int(i == j)) for j in range(count + 1)] for i in range(count + 1)]
        power = result
        for order in range(1, 30):
            power = [[entry / order for entry in row] for row in _product(power, small)]
            result = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(result, power, strict=True)]
        for _ in range(halvings):
            result = _product(result, result)
        start = [*c, Decimal(1)]
        left = [sum(a * b for a, b in zip(row, start, strict=True)) for row in result[:count]]
        kept = [(-2 * eta * value * Decimal(n)).exp() for value in xi]
        half = [(-eta * value * Decimal(n)).exp() for value in xi]
        unlearnable = Decimal(float(modes.unlearnable_variance))
        bias = sum(a * b for a, b in zip(c, kept, strict=True)) + unlearnable
        # E theta^2 = (E theta)^2 + variance, the latter what the mode's error exceeds that of its mean by.
        norm = sum(
            e / x * (1 - h) ** 2 + (now - e * k) / x for e, x, h, now, k in zip(c, xi, half, left, kept, strict=True)
        )
        excess = sum(left) + unlearnable
        return float(excess), float(bias), float(excess - bias), float(norm)


def _product(left: list[list[Decimal]], right: list[list[Decimal]]) -> list[list[Decimal]]:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


@pytest.mark.parametrize("name", ["two levels", "nonlinear part", "no noise", "a slow mode"])
@pytest.mark.parametrize("share", [1e-9, 0.05, 0.5, 0.99])
def test_high_precision(name: str, share: float) -> None:
    modes = PROBLEMS[name]
    step = step_of(modes, share)
    for n in (0.5, 30.0, 1e3, 2e4):
        excess, bias, variance, norm = matrix_exponential(modes, n, step)
        prediction = predict_sgd(modes, n, step)
        np.testing.assert_allclose(prediction.excess_risk, excess, rtol=1e-10)
        np.testing.assert_allclose(prediction.bias, bias, rtol=1e-12)
        np.testing.assert_allclose(prediction.estimator_norm_squared, norm, rtol=1e-10)
        # The variance has its own digits: it is not what is left of the excess.
        np.testing.assert_allclose(prediction.variance, variance, rtol=1e-10)


def test_the_signal_is_followed_to_nothing() -> None:
    modes = two_levels(noise_variance=0.0)
    for n in (1e5, 3e5):
        excess, *_ = matrix_exponential(modes, n, step_of(modes))
        assert 0.0 < excess < 1e-40
        np.testing.assert_allclose(predict_sgd(modes, n, step_of(modes)).excess_risk, excess, rtol=1e-9)


# Independent methods.


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_the_differential_equation(name: str, share: float) -> None:
    modes = PROBLEMS[name]
    xi, m, c = modes.eigenvalues, modes.multiplicities, modes.energies
    step = step_of(modes, share)
    n = np.array([1.0, 10.0, 100.0, 3000.0])

    def slope(_: float, left: np.ndarray) -> np.ndarray:
        return -2.0 * step * xi * left + step**2 * m * xi**2 * (left.sum() + modes.unlearnable_variance + noise)

    noise = float(modes.noise_variance)
    path = solve_ivp(slope, (0.0, n[-1]), c, t_eval=n, method="LSODA", rtol=1e-11, atol=1e-15)
    prediction = predict_sgd(modes, n, step)
    np.testing.assert_allclose(prediction.excess_risk, path.y.sum(0) + modes.unlearnable_variance, rtol=1e-8)
    kept = np.exp(-2.0 * step * xi * n[:, None])
    norm = np.sum(c / xi * np.expm1(-step * xi * n[:, None]) ** 2 + (path.y.T - c * kept) / xi, axis=1)
    # The integration is good to some 1e-10 of each energy, and the norm has the energies over the eigenvalues.
    np.testing.assert_allclose(prediction.estimator_norm_squared, norm, rtol=1e-8, atol=1e-10 * float(np.sum(c / xi)))


def test_the_volterra_equation() -> None:
    modes = two_levels()
    xi, m, c = modes.eigenvalues, modes.multiplicities, modes.energies
    step, count = 0.8 / 200, 4000
    n = np.linspace(0.0, 800.0, count + 1)
    memory = step**2 * np.sum(m * xi**2 * np.exp(-2.0 * step * xi * n[:, None]), axis=1)
    forced = 0.25 + np.sum(c * np.exp(-2.0 * step * xi * n[:, None]), axis=1)

    def solved(every: int) -> float:
        """Solve by the trapezoidal rule on every so-manieth point."""
        kernel, source, width = memory[::every], forced[::every], n[every]
        values = np.empty_like(source)
        for k in range(source.size):
            history = width * (kernel[k:0:-1] @ values[:k] - 0.5 * kernel[k] * values[0]) if k else 0.0
            values[k] = (source[k] + history) / (1.0 - 0.5 * width * kernel[0] * (k > 0))
        return float(values[-1])

    fine, coarse = solved(1), solved(2)
    extrapolated = fine + (fine - coarse) / 3.0
    np.testing.assert_allclose(predict_sgd(modes, 800.0, step).test_error, extrapolated, rtol=1e-8)


def discrete_risk(modes: theory.Modes, n: int, step: float) -> float:
    """Excess risk of Gaussian inputs at finite size, exactly: the recursion of second moments."""
    xi, m, left = modes.eigenvalues, modes.multiplicities, modes.energies.copy()
    floor = float(modes.noise_variance) + float(modes.unlearnable_variance)
    for _ in range(n):
        total = float(left.sum()) + floor
        left = left * (1.0 - 2.0 * step * xi + 2.0 * (step * xi) ** 2) + step**2 * m * xi**2 * total
    return float(left.sum()) + float(modes.unlearnable_variance)


def test_finite_sizes_differ_by_one_over_d() -> None:
    gaps = []
    for d in (100, 400, 1600):
        modes = two_levels(float(d))
        exact = discrete_risk(modes, 2 * d, 0.6 / d)
        gaps.append((exact / predict_sgd(modes, 2.0 * d, 0.6 / d).excess_risk - 1.0) * d)
    # d times the relative gap tends to a constant, with corrections of relative order 1 / d.
    np.testing.assert_allclose(gaps[1:], gaps[-1], rtol=0.02)
    assert 0.1 < abs(gaps[-1]) < 5.0


# Limits.


@pytest.mark.parametrize("name", PROBLEMS)
def test_before_the_first_sample(name: str) -> None:
    modes = PROBLEMS[name]
    prediction = predict_sgd(modes, 0, step_of(modes))
    null = modes.signal_variance + modes.unlearnable_variance
    np.testing.assert_allclose(prediction.excess_risk, null, rtol=1e-14)
    np.testing.assert_allclose(prediction.bias, null, rtol=1e-14)
    assert prediction.variance == prediction.estimator_norm_squared == 0.0
    assert prediction.phase == "overparameterized"


@pytest.mark.parametrize("name", PROBLEMS)
def test_small_steps_are_gradient_flow_on_the_population(name: str) -> None:
    modes = PROBLEMS[name]
    time = 3.0 / float(modes.arithmetic_mean)
    kept = np.exp(-2.0 * modes.eigenvalues * time)
    flow = float(modes.energies @ kept) + modes.unlearnable_variance
    prediction = predict_sgd(modes, time * np.array([1e6, 1e8]), np.array([1e-6, 1e-8]))
    np.testing.assert_allclose(prediction.bias, flow, rtol=1e-10)
    # What the noise of the gradients adds is proportional to the step.
    np.testing.assert_allclose(prediction.variance[0] / prediction.variance[1], 100.0, rtol=2e-3)


@pytest.mark.parametrize("name", ["isotropic", "two levels", "nonlinear part", "power law"])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_many_samples_reach_the_noise_floor(name: str, share: float) -> None:
    modes = PROBLEMS[name]
    prediction = predict_sgd(modes, 1e12, step_of(modes, share))
    expected = (modes.noise_variance + modes.unlearnable_variance) / (1.0 - share)
    np.testing.assert_allclose(prediction.test_error, expected, rtol=1e-10)
    np.testing.assert_allclose(prediction.steady_error, expected, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1.0, 4.0])
def test_the_trace_bounds_the_step(batch_size: float) -> None:
    modes = two_levels(300.0)
    bound = 2.0 * batch_size / 300.0
    # The largest eigenvalue would allow 2 / 1.7.
    assert predict_sgd(modes, 10.0, 0.999 * bound, batch_size=batch_size).critical_step_size == pytest.approx(bound)
    for share in (1.0, 1.001, 50.0):
        with pytest.raises(theory.InadmissibleProblem, match=r"below 0\.0[0-9]+ = 2 / \(trace") as refusal:
            predict_sgd(modes, 10.0, share * bound, batch_size=batch_size)
        assert refusal.value.argument == "step_size"


def test_errors_grow_without_bound_towards_the_bound() -> None:
    modes = two_levels()
    far = [predict_sgd(modes, 1e15, share / 100.0).test_error for share in (0.9, 0.99, 0.999)]
    np.testing.assert_allclose(far, [2.5, 25.0, 250.0], rtol=1e-9)


def test_phases_compare_samples_with_the_rank() -> None:
    prediction = predict_sgd(two_levels(), np.array([100.0, 200.0, 300.0]), 1e-3)
    assert prediction.phase.tolist() == ["overparameterized", "threshold", "underparameterized"]


# Invariances.


@pytest.mark.parametrize("name", PROBLEMS)
def test_splitting_modes_changes_nothing(name: str) -> None:
    modes, n = PROBLEMS[name], np.array([3.0, 300.0])
    split = replaced(
        modes,
        eigenvalues=np.tile(modes.eigenvalues, 2),
        multiplicities=np.concatenate([0.3 * modes.multiplicities, 0.7 * modes.multiplicities]),
        # Energy need not be where the directions are.
        energies=np.concatenate([np.zeros_like(modes.energies), modes.energies]),
    )
    for left, right in zip(*(predict_sgd(one, n, step_of(modes)).test_error for one in (modes, split)), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-11)


def test_energy_without_directions_is_learned_and_feeds_nothing() -> None:
    alone = theory.Modes(eigenvalues=[1.0], multiplicities=[200.0], energies=[0.0], noise_variance=0.25)
    carried = theory.Modes(
        eigenvalues=[1.0, 2.0], multiplicities=[200.0, 0.0], energies=[0.0, 0.6], noise_variance=0.25
    )
    step, n = 1e-3, 500.0
    one, other = (predict_sgd(modes, n, step) for modes in (alone, carried))
    np.testing.assert_allclose(other.bias, 0.6 * np.exp(-2.0 * step * 2.0 * n), rtol=1e-12)
    assert other.variance > one.variance


@pytest.mark.parametrize("scale", [1e-6, 3.0, 1e8])
@pytest.mark.parametrize("name", PROBLEMS)
def test_units_of_the_inputs(name: str, scale: float) -> None:
    modes, n = PROBLEMS[name], np.array([0.0, 5.0, 2000.0])
    scaled = replaced(modes, eigenvalues=scale * modes.eigenvalues)
    one, other = predict_sgd(modes, n, step_of(modes)), predict_sgd(scaled, n, step_of(scaled))
    for quantity in ERRORS:
        factor = scale if quantity == "estimator_norm_squared" else 1.0
        np.testing.assert_allclose(factor * getattr(other, quantity), getattr(one, quantity), rtol=1e-10, atol=1e-18)


def test_units_of_the_labels() -> None:
    modes, n = PROBLEMS["nonlinear part"], np.array([5.0, 2000.0])
    larger = replaced(
        modes,
        energies=1e6 * modes.energies,
        noise_variance=1e6 * modes.noise_variance,
        unlearnable_variance=1e6 * modes.unlearnable_variance,
    )
    for quantity in ERRORS:
        one, other = (getattr(predict_sgd(table, n, step_of(modes)), quantity) for table in (modes, larger))
        np.testing.assert_allclose(other, 1e6 * one, rtol=1e-12)


def test_batches_are_shorter_steps() -> None:
    modes, n = two_levels(), np.array([0.0, 50.0, 2000.0])
    batches, singles = predict_sgd(modes, n, 2.4 / 200, batch_size=4), predict_sgd(modes, n, 0.6 / 200)
    for quantity in ERRORS:
        np.testing.assert_allclose(getattr(batches, quantity), getattr(singles, quantity), rtol=1e-14)
    np.testing.assert_allclose(batches.critical_step_size, 4.0 * singles.critical_step_size)


def test_trajectories_and_batches_are_their_points() -> None:
    tables_ = [two_levels(), two_levels(energies=[0.5, 0.1], noise_variance=0.7)]
    stacked = theory.Modes(
        **{
            name: np.stack([getattr(modes, name) for modes in tables_])
            for name in ("eigenvalues", "multiplicities", "energies", "noise_variance")
        }
    )
    n, steps = np.array([[3.0], [300.0], [30000.0]]), np.array([1e-3, 4e-3])
    together = predict_sgd(stacked, n, steps)
    assert together.test_error.shape == (3, 2)
    for position, count in enumerate(n[:, 0]):
        for column, modes in enumerate(tables_):
            alone = predict_sgd(modes, float(count), float(steps[column]))
            for quantity in (*ERRORS, "steady_error", "critical_step_size"):
                found = getattr(together, quantity)[position, column]
                np.testing.assert_allclose(found, getattr(alone, quantity), rtol=1e-12)
            assert together.phase[position, column] == alone.phase
    assert isinstance(predict_sgd(two_levels(), 10, 1e-3).test_error, float)
    assert predict_sgd(two_levels(), [], 1e-3).test_error.shape == (0,)


# Tails and other features.


def test_a_tail_is_many_small_modes() -> None:
    tail = two_levels(tail_trace=100.0)
    count = 1e10
    listed = theory.Modes(
        eigenvalues=[0.3, 1.7, 100.0 / count],
        multiplicities=[100.0, 100.0, count],
        energies=[0.15, 0.85, 0.0],
        noise_variance=0.25,
    )
    n = np.array([0.0, 10.0, 1000.0])
    one, other = predict_sgd(tail, n, 1.0 / 300), predict_sgd(listed, n, 1.0 / 300)
    for quantity in ERRORS:
        np.testing.assert_allclose(getattr(one, quantity), getattr(other, quantity), rtol=1e-5, atol=1e-14)
    # It counts in the trace, although samples never come back to what they wrote there.
    np.testing.assert_allclose(one.critical_step_size, 2.0 / 300)
    np.testing.assert_allclose(one.steady_error, 0.25 / (1.0 - 200 / 600))
    assert one.estimator_norm_squared[-1] > 1.5 * predict_sgd(two_levels(), 1000.0, 1.0 / 300).estimator_norm_squared


def assert_same(left: SgdPrediction, right: SgdPrediction, rtol: float) -> None:
    for quantity in (*ERRORS, "steady_error", "critical_step_size"):
        np.testing.assert_allclose(
            getattr(left, quantity), getattr(right, quantity), rtol=rtol, atol=1e-12, err_msg=quantity
        )


def test_wide_random_features_are_the_modes_below_them() -> None:
    # Their relative gap is of the order of the number of modes over the width.
    modes, n = two_levels(), np.array([0.0, 1.0, 100.0, 3000.0])
    gaps = []
    for width in (1e6, 1e8):
        wide = predict_sgd(theory.ModalEquivalent(modes=modes, width=width), n, 2e-3)
        assert set(wide.status) == {"converged"}
        gaps.append(wide.test_error / predict_sgd(modes, n, 2e-3).test_error - 1.0)
    assert_same(wide, predict_sgd(modes, n, 2e-3), rtol=1e-5)
    np.testing.assert_allclose(gaps[0][1:], 100.0 * gaps[1][1:], rtol=0.1)
    assert_same(predict_sgd(theory.ModalEquivalent(modes=modes), n, 2e-3), predict_sgd(modes, n, 2e-3), rtol=0.0)


def test_random_projections_have_the_modes_of_their_sampled_covariance() -> None:
    # Independent: the eigenvalues of sampled projections as a mode table; mean and standard error over 40 of them, seed 0.
    d, width, step = 120, 150, 1.0 / 120
    xi = np.repeat([0.3, 1.7], d // 2)
    weights = np.full(d, 1.0 / np.sqrt(d))
    rng = np.random.default_rng(0)
    n = np.array([30.0, 200.0, 2000.0])
    found = []
    for _ in range(40):
        mixing = rng.standard_normal((d, width)) / np.sqrt(width)
        values, vectors = np.linalg.eigh(mixing.T @ (xi[:, None] * mixing))
        seen = values > 1e-9
        energies = (vectors.T @ (mixing.T @ (xi * weights)))[seen] ** 2 / values[seen]
        modes = theory.Modes(
            eigenvalues=values[seen],
            multiplicities=np.ones(int(seen.sum())),
            energies=energies,
            unlearnable_variance=max(1.0 - float(energies.sum()), 0.0),
            noise_variance=0.25,
        )
        sample = predict_sgd(modes, n, step)
        found.append([sample.test_error, sample.estimator_norm_squared])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(40)
    modes = two_levels(float(d))
    limit = predict_sgd(theory.ModalEquivalent(modes=modes, width=width), n, step)
    for measured, spread, expected in zip(mean, error, (limit.test_error, limit.estimator_norm_squared), strict=True):
        np.testing.assert_array_less(np.abs(measured - expected), 4.0 * spread + expected / d)


@pytest.mark.parametrize("layers", [1, 2])
def test_layers_are_answered(layers: int) -> None:
    spectrum = theory.covariance.isotropic(100)
    relu = theory.RandomLayer(activation=theory.activations.activation("relu"), width=150, bias_variance=0.1)
    energies = theory.target.isotropic(spectrum, signal_variance=1.0)
    features = theory.random_features(spectrum, energies, layers=[relu] * layers, noise_variance=0.1)
    critical = predict_sgd(features, 0, 1e-9).critical_step_size
    prediction = predict_sgd(features, np.array([0.0, 100.0, 1e4]), 0.3 * critical)
    assert set(prediction.status) == {"converged"}
    np.testing.assert_allclose(prediction.excess_risk[0], 1.0, rtol=1e-9)
    np.testing.assert_allclose(prediction.excess_risk, prediction.bias + prediction.variance, rtol=1e-9)
    assert prediction.test_error[-1] < prediction.steady_error[-1] * 1.01


@pytest.mark.parametrize("kind", ["projection", "layers"])
def test_features_under_small_steps_are_under_gradient_flow(kind: str) -> None:
    # Of very many samples, at the time step_size * n; the decomposition over features and the norm too.
    features = theory.ModalEquivalent(modes=two_levels(), width=150.0)
    if kind == "layers":
        spectrum = theory.covariance.isotropic(100)
        layer = theory.RandomLayer(activation=theory.activations.activation("relu"), width=150, bias_variance=0.1)
        energies = theory.target.isotropic(spectrum, signal_variance=1.0)
        features = theory.random_features(spectrum, energies, layers=[layer], noise_variance=0.1)
    trace = 2.0 / float(predict_sgd(features, 0, 1e-9).critical_step_size)
    times = np.array([1.0, 30.0, 1000.0]) / trace
    slow = predict_sgd(features, times * 1e12, 1e-12)
    flow = predict_gradient_flow(features, 1e12, times)
    for quantity in ("excess_risk", "bias", "estimator_norm_squared"):
        np.testing.assert_allclose(getattr(slow, quantity), getattr(flow, quantity), rtol=1e-5)


# Refusals.


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"n_samples": -1.0}, "n_samples"),
        ({"n_samples": np.inf}, "n_samples"),
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": np.nan}, "step_size"),
        ({"batch_size": 0.5}, "batch_size"),
    ],
)
def test_arguments_out_of_their_domain(change: dict[str, float], argument: str) -> None:
    with pytest.raises(theory.InadmissibleProblem) as refusal:
        predict_sgd(two_levels(), **({"n_samples": 10.0, "step_size": 1e-3} | change))
    assert refusal.value.argument == argument


@pytest.mark.parametrize("width", [np.inf, 100.0])
def test_an_intercept_is_refused_with_a_way_out(width: float) -> None:
    features = theory.ModalEquivalent(modes=replaced(two_levels(), n_unpenalised=1), width=width)
    with pytest.raises(theory.InadmissibleProblem, match="centre the labels") as refusal:
        predict_sgd(features, 10.0, 1e-3)
    assert refusal.value.argument == "fit_intercept"


# Properties.


@given(
    modes=tables(unpenalised=False),
    share=st.floats(1e-6, 0.999),
    times=st.lists(or_zero(magnitudes(9.0)), min_size=1, max_size=4),
)
@REPRODUCIBLE
def test_admissible_problems_have_sensible_answers(modes: theory.Modes, share: float, times: list[float]) -> None:
    prediction = predict_sgd(modes, np.array(times), step_of(modes, share))
    assert set(prediction.status) == {"converged"}
    null = modes.signal_variance + modes.unlearnable_variance + modes.noise_variance
    for quantity in ERRORS:
        assert np.all(np.isfinite(getattr(prediction, quantity)))
        assert np.all(getattr(prediction, quantity) >= 0.0)
    total = prediction.bias + prediction.variance
    np.testing.assert_allclose(prediction.excess_risk, total, rtol=1e-12, atol=1e-13 * null)
    assert np.all(prediction.bias >= modes.unlearnable_variance)
    # With more error than noise, what is lost by each step at most is made up for by the trace.
    assert np.all(prediction.test_error <= null / (1.0 - share) * (1.0 + 1e-9))


@given(modes=tables(unpenalised=False), share=st.floats(1e-3, 0.9), n=magnitudes(4.0), factor=st.floats(1.1, 3.0))
@REPRODUCIBLE
def test_more_noise_and_more_signal_do_not_help(modes: theory.Modes, share: float, n: float, factor: float) -> None:
    step = step_of(modes, share)
    before = predict_sgd(modes, n, step)
    noisier = predict_sgd(replaced(modes, noise_variance=factor * modes.noise_variance), n, step)
    stronger = predict_sgd(replaced(modes, energies=factor * modes.energies), n, step)
    slack = 1e-12 * float(modes.signal_variance + modes.noise_variance + modes.unlearnable_variance) * factor
    assert noisier.excess_risk >= before.excess_risk - slack
    assert stronger.excess_risk >= before.excess_risk - slack
