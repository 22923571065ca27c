"""Committee machines trained by one-pass SGD: printed numbers, sampled averages, other integrators, limits, symmetries."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.special import erf

import theory
from tests.theory.oracles import assert_printed
from tests.theory.strategies import REPRODUCIBLE, magnitudes, or_zero
from theory.activations import activation
from theory.learners.committee import CommitteePrediction, predict_committee
from theory.learners.committee_averages import gradients, half_square
from theory.learners.networks import TeacherNetwork, TwoLayerStudent, typical_overlaps
from theory.learners.sgd import predict_sgd
from theory.learners.single_index import predict_single_index

D = 400.0
ISOTROPIC = theory.covariance.isotropic(D)
TWO_LEVELS = theory.covariance.discrete(D, eigenvalues=[0.3, 1.7], weights=[0.5, 0.5])
QUARTERS = {"initial_overlaps": np.diag([0.1, 0.05]), "initial_self_overlaps": 0.25 * np.eye(2)}


def run(
    alpha: object, units: tuple[int, int] = (2, 2), spectrum: theory.Spectrum = ISOTROPIC, **fields: object
) -> CommitteePrediction:
    """Predict at ``alpha`` samples per input; fields that begin with ``teacher_`` are the teacher's."""
    of_teacher = {name.removeprefix("teacher_"): value for name, value in fields.items() if name.startswith("teacher_")}
    own = {name: value for name, value in fields.items() if not name.startswith("teacher_")}
    student = TwoLayerStudent(hidden_units=units[0], **({"step_size": 0.5} | own))
    teacher = TeacherNetwork(hidden_units=units[1], spectrum=spectrum, **of_teacher)
    return predict_committee(student, teacher, D * np.asarray(alpha, float))


# Printed numbers.


def test_reference_numbers() -> None:
    prediction = run([1.0, 10.0, 50.0], **QUARTERS)
    half = prediction.excess_risk / 2.0
    # The first was printed from an integration to 1e-7.
    np.testing.assert_allclose(half[0], 0.20003414, atol=1e-8)
    assert_printed(half[1], ".01568635")
    assert_printed(half[2], ".01328304")
    np.testing.assert_array_equal(prediction.test_error, prediction.excess_risk)


def classical(state: np.ndarray, eta: float, noise: float) -> np.ndarray:
    """The equations of one student and one teacher in Q and R, T = 2, in the closed form of Biehl and Schwarze (1995)."""
    q, r = state
    t = 2.0
    root = np.sqrt((1.0 + q) * (1.0 + t) - r * r)
    dr = 2.0 * eta / np.pi / (1.0 + q) * ((1.0 + q) * t - r * r) / root
    dr -= 2.0 * eta / np.pi * r / (1.0 + q) / np.sqrt(1.0 + 2.0 * q)
    dq = 4.0 * eta / np.pi / (1.0 + q) * (r / root - q / np.sqrt(1.0 + 2.0 * q))
    wide = 1.0 + 2.0 * q
    inner = 1.0 + 2.0 * q + 2.0 * (q * t - r * r) + t
    angles = np.arcsin(q / (1.0 + 3.0 * q)) + np.arcsin((t * wide - 2.0 * r * r) / inner)
    angles -= 2.0 * np.arcsin(r / np.sqrt(1.0 + 3.0 * q) / np.sqrt(inner))
    dq += 4.0 * eta**2 / np.pi**2 / np.sqrt(wide) * angles + eta**2 * noise * 2.0 / np.pi / np.sqrt(wide)
    return np.array([dq, dr])


def test_one_unit_each_is_the_single_index_model() -> None:
    # Three ways: LSODA on overlaps, LSODA on quadratures over erf, and another integrator on equations of Q and R alone.
    # In erf(u) pre-activations are fields over sqrt(2), and a step of eta in fields is eta / (2 d).
    alpha = np.array([1.0, 4.0, 16.0])
    start = {"initial_overlaps": [[0.0]], "initial_self_overlaps": [[0.5]], "teacher_overlaps": [[2.0]]}
    committee = run(alpha, (1, 1), step_size=1.0, teacher_noise_variance=0.01, **start)
    modes = theory.Modes(eigenvalues=[1.0], multiplicities=[D], energies=[1.0], noise_variance=0.01)
    neuron = predict_single_index(modes, D * alpha, 0.5 / D, activation=activation("erf"), initial_norm_squared=0.25)
    np.testing.assert_allclose(committee.excess_risk, neuron.excess_risk, rtol=1e-7)
    np.testing.assert_allclose(committee.self_overlaps[:, 0, 0] / 2.0, neuron.norm_squared, rtol=1e-7)
    path = solve_ivp(
        lambda _, state: classical(state, 1.0, 0.01),
        (0.0, 16.0),
        [0.5, 0.0],
        t_eval=alpha,
        method="DOP853",
        rtol=1e-12,
        atol=1e-14,
    )
    q, r = path.y
    expected = np.arcsin(q / (1.0 + q)) + np.arcsin(2.0 / 3.0) - 2.0 * np.arcsin(r / np.sqrt(3.0 * (1.0 + q)))
    np.testing.assert_allclose(committee.excess_risk, 2.0 / np.pi * expected, rtol=1e-7)
    np.testing.assert_allclose(neuron.excess_risk, 2.0 / np.pi * expected, rtol=1e-7)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_one_unit_each_on_two_levels(noise: float) -> None:
    alpha = np.array([0.0, 1.0, 4.0, 30.0])
    start = {"initial_overlaps": [[0.1]], "initial_self_overlaps": [[0.5]]}
    committee = run(alpha, (1, 1), TWO_LEVELS, step_size=1.2, teacher_noise_variance=noise, **start)
    # Overlaps of 0.1 with a teacher of norm 1 and a student of norm sqrt(0.5); both spread as the directions are.
    modes = theory.Modes(
        eigenvalues=[0.3, 1.7], multiplicities=[D / 2, D / 2], energies=[0.075, 0.425], noise_variance=noise
    )
    neuron = predict_single_index(
        modes,
        D * alpha,
        0.6 / D,
        activation=activation("erf"),
        initial_norm_squared=0.25,
        initial_overlap=0.1 / np.sqrt(0.5),
    )
    np.testing.assert_allclose(committee.excess_risk, neuron.excess_risk, rtol=1e-6)
    correlation = committee.overlaps[:, 0, 0] / np.sqrt(committee.self_overlaps[:, 0, 0])
    np.testing.assert_allclose(correlation, neuron.overlap, rtol=1e-6)


# Averages.


def test_averages_against_samples() -> None:
    # A million fields, seed 0; differences in standard errors.
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 4))
    covariance, signs = mixing @ mixing.T / 3.0, np.array([1.0, 0.7, -1.0, -1.3])
    fields = rng.standard_normal((1_000_000, 4)) @ mixing.T / np.sqrt(3.0)
    hidden, slopes = erf(fields / np.sqrt(2.0)), np.sqrt(2.0 / np.pi) * np.exp(-0.5 * fields**2)
    gap = hidden @ signs
    found = gradients(covariance, signs, 2)

    def assert_mean(values: np.ndarray, expected: float) -> None:
        error = values.std(ddof=1) / np.sqrt(values.size)
        assert abs(values.mean() - expected) < 4.0 * error

    assert_mean(0.5 * gap**2, half_square(covariance, signs))
    for k in range(2):
        assert_mean(hidden[:, k] * gap, found.residuals[k])
        for b in range(4):
            assert_mean(slopes[:, k] * gap * fields[:, b], float(found.drift[k] @ covariance[:, b]))
        for other in range(2):
            pair = slopes[:, k] * slopes[:, other]
            assert_mean(pair, found.slopes[k, other])
            assert_mean(pair * gap**2, found.kicks[k, other])


def test_the_drift_is_the_gradient_of_the_error() -> None:
    # With one step's drift on weights u: d(E Delta^2 / 2) / dC contracted with dC; by differences of the closed form.
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((3, 6))
    readout, signs = np.array([0.8, -0.4]), np.array([0.8, -0.4, -1.1])
    found = gradients(weights @ weights.T, signs, 2)
    for k in range(2):
        gradient = readout[k] * found.drift[k] @ weights
        for j in range(6):
            shift = np.zeros_like(weights)
            shift[k, j] = 1e-6
            up, down = weights + shift, weights - shift
            slope = (half_square(up @ up.T, signs) - half_square(down @ down.T, signs)) / 2e-6
            np.testing.assert_allclose(gradient[j], slope, atol=1e-9)


# Limits.


def test_before_the_first_sample() -> None:
    prediction = run(0.0, (3, 2), TWO_LEVELS, teacher_noise_variance=0.3)
    np.testing.assert_allclose(prediction.self_overlaps, 0.25 * np.eye(3), atol=1e-14)
    np.testing.assert_allclose(prediction.overlaps, np.sqrt(0.25 / D) * typical_overlaps(3, 2), rtol=1e-12)
    np.testing.assert_allclose(prediction.test_error - prediction.excess_risk, 0.3, rtol=1e-12)
    np.testing.assert_array_equal(prediction.readout, np.ones(3))
    # Units without overlap: 2 asin(1/2) / pi a teacher, 2 asin(1/5) / pi a student.
    alone = run(0.0, (1, 2), initial_overlaps=[[0.0, 0.0]])
    np.testing.assert_allclose(alone.excess_risk, 2.0 / 3.0 + 2.0 / np.pi * np.arcsin(0.2), rtol=1e-12)


def test_students_specialise_and_become_their_teachers() -> None:
    prediction = run([20.0, 400.0, 3000.0])
    assert prediction.specialisation[0] < 0.1
    np.testing.assert_allclose(prediction.specialisation[2], 1.0, atol=1e-6)
    assert prediction.excess_risk[2] < 1e-12
    # Each has the weights of one teacher, and not the same.
    matched = [
        np.allclose(prediction.overlaps[2], np.eye(2)[list(order)], atol=1e-6) for order in permutations(range(2))
    ]
    assert sum(matched) == 1


def test_a_linear_regime_is_least_squares() -> None:
    # Weak fields: erf(u / sqrt 2) = sqrt(2 / pi) u, and the student is linear in its weights.
    size, alpha = 1e-4, np.array([0.0, 1.0, 5.0])
    committee = run(
        alpha, (1, 1), step_size=0.6, initial_overlaps=[[0.0]], initial_variance=0.0, teacher_overlaps=[[size]]
    )
    modes = theory.Modes(eigenvalues=[1.0], multiplicities=[D], energies=[2.0 / np.pi * size])
    linear = predict_sgd(modes, D * alpha, 0.6 * 2.0 / np.pi / D)
    np.testing.assert_allclose(committee.excess_risk, linear.excess_risk, rtol=10.0 * size)


def test_a_fast_readout_is_fitted_to_frozen_units() -> None:
    # With steps of the weights of next to nothing only the read-out moves: a linear ODE towards its least squares.
    fields = {"readout": [0.5, 0.2], "readout_step_size": 1.0, "step_size": 1e-11, **QUARTERS}
    prediction = run([0.0, 3.0, 500.0], **fields)
    own = 2.0 / np.pi * np.arcsin(np.array([[0.2, 0.0], [0.0, 0.2]]))
    shared = 2.0 / np.pi * np.arcsin(np.diag([0.1, 0.05]) / np.sqrt(1.25 * 2.0)) @ np.ones(2)
    best = np.linalg.solve(own, shared)
    np.testing.assert_allclose(prediction.readout[2], best, rtol=1e-6)
    left = (np.array([0.5, 0.2]) - best) * np.exp(-3.0 * np.diagonal(own))
    np.testing.assert_allclose(prediction.readout[1], best + left, rtol=1e-6)


def test_trained_readouts_find_those_of_the_teacher() -> None:
    prediction = run(
        [2e4], (2, 2), readout=[0.5, 0.8], readout_step_size=0.5, teacher_readout=[1.5, 0.7], step_size=0.4
    )
    assert prediction.excess_risk[0] < 1e-12
    np.testing.assert_allclose(np.sort(prediction.readout[0]), [0.7, 1.5], rtol=1e-5)


def test_small_steps_only_depend_on_time_times_step() -> None:
    one, other = (
        run(np.array([0.0, 2.0, 20.0]) / step, step_size=step, teacher_noise_variance=0.5, **QUARTERS)
        for step in (1e-6, 1e-7)
    )
    np.testing.assert_allclose(one.excess_risk, other.excess_risk, rtol=1e-5)


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_noise_leaves_an_error_proportional_to_the_step(noise: float) -> None:
    # Beside perfect overlaps, one unit each, Q = 1 + dq and R = 1 + dr: a linear problem in dq and dr.
    steps = np.array([0.02, 0.01])
    errors = [
        run([3e5], (1, 1), step_size=step, initial_overlaps=[[0.5]], teacher_noise_variance=noise).excess_risk[0]
        for step in steps
    ]
    # d(excess) = drift 2 eta J2 / tau ... balanced by eta^2 noise J2 E g'^2 over all directions: eta noise / 2 E g'^2.
    slope_square = 2.0 / np.pi / np.sqrt(3.0)
    np.testing.assert_allclose(errors, steps * noise / 2.0 * slope_square, rtol=0.03)
    np.testing.assert_allclose(errors[0] / errors[1], 2.0, rtol=0.02)


# Symmetries.


def test_the_order_of_units_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    overlaps, own, taught = rng.uniform(-0.1, 0.1, (3, 2)), np.diag([0.2, 0.3, 0.4]), np.array([[1.0, 0.2], [0.2, 0.7]])
    readout = np.array([1.0, 0.5, -0.3])
    order, back = [2, 0, 1], [1, 0]
    one = run([1.0, 20.0], (3, 2), TWO_LEVELS, initial_overlaps=overlaps, initial_self_overlaps=own, readout=readout,
              teacher_overlaps=taught, teacher_readout=[1.0, -0.6])  # fmt: skip
    other = run([1.0, 20.0], (3, 2), TWO_LEVELS, initial_overlaps=overlaps[np.ix_(order, back)],
                initial_self_overlaps=own[np.ix_(order, order)], readout=readout[order],
                teacher_overlaps=taught[np.ix_(back, back)], teacher_readout=[-0.6, 1.0])  # fmt: skip
    np.testing.assert_allclose(one.excess_risk, other.excess_risk, rtol=1e-7)
    np.testing.assert_allclose(one.overlaps[:, order][:, :, back], other.overlaps, rtol=1e-6, atol=1e-9)


def test_a_unit_of_opposite_signs_is_the_same_unit() -> None:
    flip = np.array([1.0, -1.0])
    one = run([1.0, 20.0], **QUARTERS)
    other = run(
        [1.0, 20.0],
        initial_overlaps=flip[:, None] * QUARTERS["initial_overlaps"],
        initial_self_overlaps=0.25 * np.eye(2),
        readout=flip,
    )
    np.testing.assert_allclose(one.excess_risk, other.excess_risk, rtol=1e-8)


def test_splitting_eigenvalues_changes_nothing() -> None:
    split = theory.covariance.discrete(D, eigenvalues=[0.3, 1.7, 0.3], weights=[0.2, 0.5, 0.3])
    one, other = (run([1.0, 20.0], (3, 2), spectrum) for spectrum in (TWO_LEVELS, split))
    np.testing.assert_allclose(one.excess_risk, other.excess_risk, rtol=1e-8)


def test_units_of_the_inputs() -> None:
    # x -> 3 x leaves the fields alone where weights are a third, and steps a ninth.
    larger = theory.covariance.discrete(D, eigenvalues=[2.7, 15.3], weights=[0.5, 0.5])
    one = run([1.0, 20.0], (3, 2), TWO_LEVELS)
    other = run(
        [1.0, 20.0], (3, 2), larger, step_size=0.5 / 9, initial_variance=0.25 / 9, teacher_overlaps=np.eye(2) / 9
    )
    np.testing.assert_allclose(one.excess_risk, other.excess_risk, rtol=1e-7)
    np.testing.assert_allclose(one.overlaps, other.overlaps, rtol=1e-6, atol=1e-10)


def test_directions_without_variance_are_idle() -> None:
    # Half the directions have none: the others make a problem of half the size, with the same fields.
    half = theory.covariance.discrete(D, eigenvalues=[0.0, 2.0], weights=[0.5, 0.5])
    one, other = run([2.0, 20.0], spectrum=half, **QUARTERS), run([2.0, 20.0], **QUARTERS)
    smaller = predict_committee(
        TwoLayerStudent(hidden_units=2, step_size=0.5, **QUARTERS),
        TeacherNetwork(hidden_units=2, spectrum=theory.covariance.isotropic(D / 2)),
        D * np.array([2.0, 20.0]),
    )
    np.testing.assert_allclose(one.excess_risk, smaller.excess_risk, rtol=1e-7)
    assert not np.allclose(one.excess_risk, other.excess_risk, rtol=1e-3)


def test_many_eigenvalues_are_gathered() -> None:
    # 200 eigenvalues of a power law, gathered by Gauss rules, against all of them in another integrator.
    spectrum = theory.covariance.power_law(200, exponent=0.7, scale=5.0)
    student = TwoLayerStudent(hidden_units=1, step_size=0.8, initial_overlaps=[[0.1]])
    n = np.array([20.0, 200.0, 2000.0])
    prediction = predict_committee(student, TeacherNetwork(hidden_units=1, spectrum=spectrum, noise_variance=0.1), n)
    s = spectrum.eigenvalues

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        q, r = state.reshape(2, -1)
        t = np.full_like(q, 1.0 / 200)
        covariance = np.array([[s @ q, s @ r], [s @ r, s @ t]])
        found = gradients(covariance, np.array([1.0, -1.0]), 1)
        (own, other), eta = found.drift[0], 0.8
        kick = eta**2 / 200 * float(found.kicks[0, 0] + 0.1 * found.slopes[0, 0])
        return np.concatenate([s * (-2.0 * eta * (own * q + other * r) + kick), -s * eta * (own * r + other * t)])

    start = np.concatenate([np.full(200, 0.25 / 200), np.full(200, 0.1 / 200)])
    path = solve_ivp(slope, (0.0, 10.0), start, t_eval=n / 200, method="DOP853", rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(prediction.self_overlaps[:, 0, 0], s @ path.y[:200], rtol=1e-7)
    np.testing.assert_allclose(prediction.overlaps[:, 0, 0], s @ path.y[200:], rtol=1e-7)


# Starts.


def test_typical_overlaps_are_typical() -> None:
    # What counts for when students choose is the table less its rows' and columns' means.
    def statistics(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = tables.mean(axis=-1, keepdims=True), tables.mean(axis=-2, keepdims=True)
        values = np.linalg.svd(tables - rows - columns + tables.mean(axis=(-1, -2), keepdims=True), compute_uv=False)
        return np.linalg.norm(values, axis=-1), values[..., min(tables.shape[-2:]) - 2]

    rng = np.random.default_rng(0)
    for units in ((k, m) for k in range(2, 7) for m in range(2, 7)):
        random = statistics(rng.standard_normal((4000, *units)))
        chosen = statistics(typical_overlaps(*units))
        for values, value in zip(random, chosen, strict=True):
            # 0.12 and 0.88, give or take what 4000 draws scatter.
            assert 0.1 < np.mean(values < value) < 0.9
    assert len(np.unique(typical_overlaps(8, 8))) == 64


def test_default_starts_leave_the_plateau_when_random_ones_do() -> None:
    # When the excess has fallen to a third of the plateau's: 11 random starts at d = 400, seed 0.
    rng, alpha = np.random.default_rng(0), np.arange(0.0, 400.0, 4.0)

    def leaving(**start: object) -> float:
        excess = run(alpha, **start).excess_risk
        return float(alpha[np.argmax(excess < excess[5] / 3.0)])

    times = []
    for _ in range(11):
        weights = 0.5 * rng.standard_normal((2, 400))
        teachers = np.linalg.qr(rng.standard_normal((400, 2)))[0].T * np.sqrt(D)
        overlaps = {"initial_overlaps": weights @ teachers.T / D, "initial_self_overlaps": weights @ weights.T / D}
        times.append(leaving(**overlaps))
    assert np.quantile(times, 0.1) < leaving() < np.quantile(times, 0.9)


@pytest.mark.parametrize(
    ("units", "start", "message"),
    [
        ((2, 2), {"initial_overlaps": np.full((2, 2), 0.1)}, "does not distinguish the students 0 and 1"),
        ((2, 1), {"initial_overlaps": [[0.1], [0.1]]}, "does not distinguish the students 0 and 1"),
        ((2, 2), {"initial_overlaps": [[0.1, 0.1], [0.2, 0.2]]}, "does not distinguish the teachers 0 and 1"),
        ((3, 2), {"initial_overlaps": [[0.1, 0.2], [0.3, 0.0], [0.1, 0.2]]}, "the students 0 and 2"),
    ],
)
def test_symmetric_starts_are_refused_with_a_way_out(
    units: tuple[int, int], start: dict[str, object], message: str
) -> None:
    with pytest.raises(theory.InadmissibleProblem, match=message) as refusal:
        run(1.0, units, **start)
    assert refusal.value.argument == "initial_overlaps"
    assert "of the order of 0.05 = 1 / sqrt(n_features)" in str(refusal.value)


def test_what_differs_otherwise_is_no_symmetry() -> None:
    run(1.0, (2, 1), initial_overlaps=[[0.1], [0.1]], readout=[1.0, 0.9])
    run(1.0, (1, 2), initial_overlaps=[[0.1, 0.1]])
    run(1.0, (2, 2), initial_overlaps=[[0.1, 0.1], [0.2, 0.2]], teacher_readout=[1.0, 0.5])


@pytest.mark.parametrize(
    ("fields", "argument", "message"),
    [
        ({"step_size": 0.0}, "step_size", "positive"),
        ({"step_size": np.inf}, "step_size", "finite"),
        ({"readout_step_size": -1.0}, "readout_step_size", "at least 0"),
        ({"initial_variance": -1.0}, "initial_variance", "at least 0"),
        ({"teacher_noise_variance": np.nan}, "noise_variance", "at least 0"),
        ({"readout": [1.0, 2.0, 3.0]}, "readout", "for each of the 2 hidden units"),
        ({"initial_overlaps": [[0.1, 0.2]]}, "initial_overlaps", "2 x 2 table"),
        ({"initial_overlaps": [[0.9, 0.1], [0.0, 0.1]]}, "initial_overlaps", "no weights have these overlaps"),
        ({"initial_self_overlaps": [[0.3, 0.1], [0.0, 0.3]]}, "initial_self_overlaps", "symmetric"),
        ({"units": (0, 2)}, "hidden_units", "at least 1"),
        ({"units": (1.5, 2)}, "hidden_units", "whole"),
        ({"spectrum": theory.covariance.isotropic(D, variance=0.0)}, "covariance", "must vary"),
        ({"spectrum": theory.covariance.isotropic(3.0)}, "n_features", "or more features"),
        ({"alpha": -1.0}, "n_samples", "at least 0"),
    ],
)
def test_inadmissible_problems_say_which_rule_they_break(
    fields: dict[str, object], argument: str, message: str
) -> None:
    with pytest.raises(theory.InadmissibleProblem, match=message) as refusal:
        run(**({"alpha": 1.0} | fields))
    assert refusal.value.argument == argument


# Absurd problems, and properties.


def test_absurd_steps_are_answered_or_said_not_to_be() -> None:
    for step in (50.0, 1e4, 1e8):
        prediction = run([0.0, 1.0, 1000.0], step_size=step, teacher_noise_variance=0.1)
        assert set(prediction.status) <= {"converged", "not_converged"}
        assert np.all(np.isfinite(prediction.test_error))
        # Four units of modulus 1 at most.
        assert np.all(prediction.excess_risk <= 16.0)


def test_very_many_samples() -> None:
    prediction = run([1e3, 1e6, 1e9, 1e12], teacher_noise_variance=0.1)
    assert set(prediction.status) == {"converged"}
    np.testing.assert_allclose(prediction.excess_risk[1:], prediction.excess_risk[1], rtol=1e-6)


def test_trajectories_are_their_points() -> None:
    alpha = np.array([[30.0, 1.0], [0.0, 30.0]])
    together = run(alpha, (3, 2))
    assert together.overlaps.shape == (2, 2, 3, 2)
    assert together.readout.shape == (2, 2, 3)
    assert run([], (3, 2)).overlaps.shape == (0, 3, 2)
    for index in np.ndindex(2, 2):
        alone = run(alpha[index], (3, 2))
        assert isinstance(alone.test_error, float)
        np.testing.assert_allclose(together.test_error[index], alone.test_error, rtol=1e-7)
        np.testing.assert_allclose(together.overlaps[index], alone.overlaps, rtol=1e-6, atol=1e-9)


@given(
    units=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    step=magnitudes(1.0, below=2.0),
    alpha=or_zero(magnitudes(2.0)),
    noise=or_zero(magnitudes(1.0)),
    variances=st.tuples(magnitudes(1.0), magnitudes(1.0)),
    readout_step=or_zero(magnitudes(1.0)),
    initial=magnitudes(1.0),
)
@settings(REPRODUCIBLE, max_examples=30)
def test_admissible_problems_have_sensible_answers(
    units: tuple[int, int],
    step: float,
    alpha: float,
    noise: float,
    variances: tuple[float, float],
    readout_step: float,
    initial: float,
) -> None:
    spectrum = theory.covariance.discrete(D, eigenvalues=list(variances), weights=[0.4, 0.6])
    fields = {"step_size": step, "readout_step_size": readout_step, "initial_variance": initial}
    prediction = run([0.0, alpha], units, spectrum, teacher_noise_variance=noise, **fields)
    assert prediction.status[0] == "converged"
    assert np.all(np.isfinite(prediction.test_error))
    assert np.all(prediction.excess_risk >= 0.0)
    assert np.all((prediction.specialisation >= 0.0) & (prediction.specialisation <= 1.0 + 1e-9))
    if step * max(variances) < 5.0:
        assert prediction.status[1] == "converged"
