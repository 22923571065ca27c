"""A neuron trained by one-pass SGD: printed numbers, closed forms, independent averages, limits, invariances, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import theory
from tests.theory.strategies import REPRODUCIBLE, magnitudes, or_zero, replaced
from theory.activations import ACTIVATIONS, Activation, activation, moments
from theory.learners.neuron_averages import neuron_averages
from theory.learners.sgd import predict_sgd
from theory.learners.single_index import predict_single_index

TRAINABLE = [kind for kind in ACTIVATIONS if activation(kind).is_continuous]
ERF = activation("erf")


def isotropic(n_features: float = 300.0, **others: float) -> theory.Modes:
    fields = {"energies": [1.0], "noise_variance": 0.01} | others
    return theory.Modes(eigenvalues=[1.0], multiplicities=[n_features], **fields)


def two_levels(n_features: float = 400.0, **others: float) -> theory.Modes:
    fields = {"energies": [0.15, 0.85], "noise_variance": 0.05} | others
    return theory.Modes(eigenvalues=[0.3, 1.7], multiplicities=[n_features / 2, n_features / 2], **fields)


def run(modes: theory.Modes, times: list[float], step: float, kind: str, teacher: str | None = None, **start: float):
    """Predict at ``times`` samples per feature with the step ``step`` over the number of features."""
    d = float(modes.n_modes)
    return predict_single_index(
        modes,
        d * np.array(times),
        step / d,
        activation=activation(kind),
        teacher_activation=activation(teacher) if teacher else None,
        **start,
    )


# Printed numbers.


def test_reference_numbers() -> None:
    prediction = run(isotropic(), [1.0, 4.0, 16.0], 0.5, "erf", initial_norm_squared=0.25)
    # The digits printed are those of an integration to about 1e-7; test_committee.py has them all.
    np.testing.assert_allclose(prediction.excess_risk, [0.38677751, 0.07900510, 0.00467313], atol=1e-7)
    assert set(prediction.status) == {"converged"}


# Averages, by an independent quadrature.

PAIRS = [
    ("erf", "erf"),
    ("gelu", "tanh"),
    ("relu", "sign"),
    ("leaky_relu", "softplus"),
    ("abs", "ternary"),
    ("sin", "cos"),
    ("quadratic", "sigmoid"),
    ("softplus", "relu"),
    ("linear", "quadratic"),
    ("cos", "leaky_relu"),
]


def spacing(student: Activation, teacher: Activation) -> float:
    return 0.004 if teacher.discontinuities or student.kinks else 0.01


def plane(student: Activation, teacher: Activation, own: float, theirs: float, shared: float) -> dict[str, float]:
    """Average over the plane by fine midpoints, which know no kinks; H1 and H2 by Stein's lemma, without derivatives of l'."""
    h = spacing(student, teacher)
    z = np.arange(-8.0, 8.0, h) + 0.5 * h
    weight = h * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    # r* = sqrt(theirs) z1, r = (shared / sqrt(theirs)) z1 + rest z2
    rest = np.sqrt(own - shared**2 / theirs)
    totals = dict.fromkeys(("risk", "gradient_square", "slope_square", "first", "second"), 0.0)
    target = teacher.value(np.sqrt(theirs) * z)
    for one, mass, label in zip(z, weight, target, strict=True):
        r = shared / np.sqrt(theirs) * one + rest * z
        gap, slope = student.value(r) - label, student.slope(r)
        totals["risk"] += mass * float(weight @ gap**2)
        totals["gradient_square"] += mass * float(weight @ (gap * slope) ** 2)
        totals["slope_square"] += mass * float(weight @ slope**2)
        totals["first"] += mass * one * float(weight @ (gap * slope))
        totals["second"] += mass * float(weight @ (gap * slope * z))
    restoring = totals["second"] / rest
    mismatch = restoring + (totals["first"] - restoring * shared / np.sqrt(theirs)) / np.sqrt(theirs)
    return totals | {"restoring": restoring, "mismatch": mismatch}


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
def test_averages_over_the_plane(student: str, teacher: str) -> None:
    phi, other = activation(student), activation(teacher)
    own, theirs, shared = 0.8, 1.3, -0.5
    found = neuron_averages(phi, other, signal=theirs, apart=own + theirs - 2.0 * shared, short=theirs - shared)
    expected = plane(phi, other, own, theirs, shared)
    # Midpoints miss a jump, as l' has at a kink of phi, by the first power of their distance, and a kink by its square.
    h = spacing(phi, other)
    rtol = h if other.discontinuities or phi.kinks else h * h if other.kinks else 1e-9
    for quantity in ("risk", "gradient_square", "slope_square", "restoring", "mismatch"):
        np.testing.assert_allclose(getattr(found, quantity), expected[quantity], rtol=rtol, atol=rtol, err_msg=quantity)
    np.testing.assert_allclose(found.correlation, shared / np.sqrt(own * theirs), rtol=1e-12)


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
@pytest.mark.parametrize("signal", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("apart", [1e-12, 0.3, 1.0, 30.0])
def test_a_finer_quadrature_says_the_same(student: str, teacher: str, signal: float, apart: float) -> None:
    phi, other = activation(student), activation(teacher)
    arguments = {"signal": signal, "apart": apart * signal, "short": 0.4 * signal * min(apart, 1.0)}
    coarse, fine = (neuron_averages(phi, other, finer=finer, **arguments) for finer in (False, True))
    scale = fine.slope_square + 1e-300
    np.testing.assert_allclose(coarse.risk, fine.risk, rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(coarse.gradient_square, fine.gradient_square, rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(coarse.slope_square, fine.slope_square, rtol=1e-9)
    np.testing.assert_allclose(coarse.restoring / scale, fine.restoring / scale, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(coarse.mismatch / scale, fine.mismatch / scale, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_a_student_that_is_its_teacher_has_nothing_to_learn(kind: str) -> None:
    found = neuron_averages(activation(kind), activation(kind), signal=0.7, apart=0.0, short=0.0)
    slope_square = float(moments(activation(kind), 0.7).square_slope)
    assert found.risk <= 1e-25
    np.testing.assert_allclose(found.slope_square, slope_square, rtol=1e-12)
    np.testing.assert_allclose(found.restoring, slope_square, rtol=1e-12)
    assert abs(found.mismatch) <= 1e-12 * slope_square


@pytest.mark.parametrize("kind", TRAINABLE)
def test_an_error_keeps_its_digits_as_it_vanishes(kind: str) -> None:
    # (r - r*)^2 E phi'^2 to leading order.
    phi, apart = activation(kind), 1e-16
    found = neuron_averages(phi, phi, signal=0.7, apart=apart, short=0.0)
    np.testing.assert_allclose(found.risk, apart * float(moments(phi, 0.7).square_slope), rtol=1e-6)


# Closed forms and independent methods.


@pytest.mark.parametrize("teacher", ["linear", "sin", "relu", "sign"])
def test_a_linear_student_is_least_squares(teacher: str) -> None:
    # Of the teacher's label a linear student sees the linear part; mean and rest act as noise.
    modes, n, step = two_levels(), np.array([0.0, 10.0, 500.0, 8000.0]), 0.6 / 400
    found = moments(activation(teacher), 1.0)
    rest = float(found.nonlinear_variance + found.mean**2)
    seen = replaced(modes, energies=modes.energies * float(found.slope) ** 2, unlearnable_variance=rest)
    neuron = predict_single_index(
        modes, n, step, activation=activation("linear"), teacher_activation=activation(teacher)
    )
    linear = predict_sgd(seen, n, step)
    np.testing.assert_allclose(neuron.excess_risk, linear.excess_risk, rtol=1e-7)
    np.testing.assert_allclose(neuron.norm_squared, linear.estimator_norm_squared, rtol=1e-7, atol=1e-15)


def test_phase_retrieval_in_closed_form() -> None:
    # Quadratic student and teacher: every average is a moment of two Gaussians, written out by Wick's theorem.
    modes, step = isotropic(noise_variance=0.2), 0.04 / 300
    d, n = 300.0, 300.0 * np.array([0.5, 2.0, 8.0])

    def slope(_: float, state: np.ndarray) -> list[float]:
        a, b = state
        # l' = 2 (r^2 - s^2) r, so H1 = E(6 r^2 - 2 s^2), H2 = -4 E r s.
        h1, h2 = 6.0 * a - 2.0, -4.0 * b
        r2s4 = 3.0 * a + 12.0 * b**2
        r4s2 = 3.0 * a**2 + 12.0 * a * b**2
        square = 4.0 * (15.0 * a**3 - 2.0 * r4s2 + r2s4) + 0.2 * 4.0 * a
        return [-2.0 * step * (h1 * a + h2 * b) + step**2 * d * square, -step * (h1 * b + h2)]

    norm, overlap = 0.5, 0.3
    path = solve_ivp(
        slope, (0.0, n[-1]), [norm, overlap * np.sqrt(norm)], t_eval=n, method="DOP853", rtol=1e-12, atol=1e-14
    )
    a, b = path.y
    prediction = run(modes, [0.5, 2.0, 8.0], 0.04, "quadratic", initial_norm_squared=norm, initial_overlap=overlap)
    np.testing.assert_allclose(prediction.norm_squared, a, rtol=1e-7)
    np.testing.assert_allclose(prediction.excess_risk, 3.0 * a**2 + 3.0 - 2.0 * (a + 2.0 * b**2), rtol=1e-7)
    np.testing.assert_allclose(prediction.overlap, b / np.sqrt(a), rtol=1e-7)


@pytest.mark.parametrize("kind", ["erf", "tanh", "relu", "sin"])
def test_the_critical_step_is_where_the_teacher_becomes_unstable(kind: str) -> None:
    modes = two_levels(noise_variance=0.0)
    phi, d = activation(kind), 400.0
    critical = predict_single_index(modes, 0.0, 1e-3, activation=phi, initial_norm_squared=1.0).critical_step_size
    # Beside the teacher's weights, 1e-6 of their norm away.
    near = {"initial_norm_squared": 1.0, "initial_overlap": 1.0 - 0.5e-6}
    for share, grows in ((0.97, False), (1.03, True)):
        errors = predict_single_index(modes, d * np.array([5.0, 60.0]), share * critical, activation=phi, **near)
        assert (errors.excess_risk[1] > errors.excess_risk[0]) == grows


def test_the_critical_step_of_error_functions_is_the_classical_one() -> None:
    # pi sqrt(5/3) for erf(u / sqrt 2) and unit variance: in erf(u) the variance is 1/2, and steps are half as long.
    modes = isotropic(energies=[0.5])
    prediction = predict_single_index(modes, 0.0, 1e-3, activation=ERF)
    np.testing.assert_allclose(2.0 * 300.0 * prediction.critical_step_size, np.pi * np.sqrt(5.0 / 3.0), rtol=1e-12)
    other = predict_single_index(modes, 0.0, 1e-3, activation=ERF, teacher_activation=activation("tanh"))
    assert other.critical_step_size is None


# Limits.


def test_small_steps_are_gradient_flow_on_the_population() -> None:
    # Isotropic inputs: a flow in the plane of w and w*, with the risk by the arc sine law.
    def risk(weights: np.ndarray) -> float:
        own = float(weights @ weights)
        both = np.arcsin(2.0 * own / (1.0 + 2.0 * own)) + np.arcsin(2.0 / 3.0)
        return float(both / np.pi - 2.0 / np.pi * np.arcsin(2.0 * weights[0] / np.sqrt(3.0 * (1.0 + 2.0 * own))))

    def slope(_: float, weights: np.ndarray) -> list[float]:
        h = 1e-5
        return [-(risk(weights + h * e) - risk(weights - h * e)) / (2.0 * h) for e in np.eye(2)]

    path = solve_ivp(slope, (0.0, 4.0), [0.1, 0.5], rtol=1e-9, atol=1e-12)
    overlap = 0.1 / np.sqrt(0.26)
    prediction = run(
        isotropic(noise_variance=0.3), [4e7], 1e-7, "erf", initial_norm_squared=0.26, initial_overlap=overlap
    )
    np.testing.assert_allclose(prediction.excess_risk, 2.0 * risk(path.y[:, -1]), rtol=1e-6)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_before_the_first_sample(kind: str) -> None:
    phi, sign = activation(kind), activation("sign")
    prediction = predict_single_index(
        isotropic(), 0, 1e-4, activation=phi, teacher_activation=sign, initial_norm_squared=0.6, initial_overlap=0.25
    )
    # E phi(r) sign(s) = E phi(r) (mean of the sign given r).
    shared = 0.25
    z = np.linspace(-9.0, 9.0, 20001)
    weight = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) * (z[1] - z[0])
    given_r = sign.mean(np.full_like(z, 1.0 - shared**2), shared * z)
    cross = float(weight @ (phi.value(np.sqrt(0.6) * z) * given_r))
    expected = float(moments(phi, 0.6).square) + 1.0 - 2.0 * cross
    np.testing.assert_allclose(prediction.excess_risk, expected, rtol=1e-7)
    np.testing.assert_allclose([prediction.norm_squared, prediction.overlap], [0.6, 0.25], rtol=1e-12)


@pytest.mark.parametrize("kind", ["erf", "gelu", "softplus", "sin", "tanh", "sigmoid", "linear"])
def test_a_start_at_zero_is_the_limit_of_small_starts(kind: str) -> None:
    at_zero = run(two_levels(), [0.0, 0.5, 3.0], 0.5, kind)
    near = run(two_levels(), [0.0, 0.5, 3.0], 0.5, kind, initial_norm_squared=1e-12)
    np.testing.assert_allclose(at_zero.excess_risk, near.excess_risk, rtol=1e-5)
    assert set(at_zero.status) == {"converged"}
    assert at_zero.norm_squared[0] == at_zero.overlap[0] == 0.0


@pytest.mark.parametrize("kind", ["erf", "relu", "tanh"])
def test_without_noise_students_become_their_teacher(kind: str) -> None:
    prediction = run(isotropic(noise_variance=0.0), [50.0, 2000.0], 0.5, kind, initial_norm_squared=0.5)
    assert prediction.excess_risk[1] < 1e-12 < prediction.excess_risk[0]
    np.testing.assert_allclose([prediction.overlap[1], prediction.norm_squared[1]], 1.0, rtol=1e-6)


def test_unbounded_growth_is_divergence() -> None:
    prediction = run(isotropic(), [0.0, 10.0], 5.0, "quadratic", initial_norm_squared=1.0, initial_overlap=0.5)
    assert prediction.status.tolist() == ["converged", "divergent"]
    assert prediction.test_error[1] == prediction.excess_risk[1] == prediction.norm_squared[1] == np.inf


def test_bounded_activations_survive_long_steps() -> None:
    prediction = run(isotropic(), [1.0, 100.0], 500.0, "erf", initial_norm_squared=1.0)
    assert set(prediction.status) == {"converged"}
    # Beside a teacher of square 1/3 + ... the student is a coin at worst.
    assert np.all((prediction.excess_risk > 0.3) & (prediction.excess_risk < 4.0))


# Invariances.


def test_splitting_modes_changes_nothing() -> None:
    modes = two_levels()
    split = replaced(
        modes,
        eigenvalues=np.tile(modes.eigenvalues, 2),
        multiplicities=np.concatenate([0.3 * modes.multiplicities, 0.7 * modes.multiplicities]),
        energies=np.concatenate([0.9 * modes.energies, 0.1 * modes.energies]),
    )
    one, other = (
        run(table, [1.0, 5.0], 0.7, "gelu", "tanh", initial_norm_squared=0.3, initial_overlap=0.2)
        for table in (modes, split)
    )
    np.testing.assert_allclose(one.excess_risk, other.excess_risk, rtol=1e-8)
    np.testing.assert_allclose(one.norm_squared, other.norm_squared, rtol=1e-8)


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_units_of_the_inputs(scale: float) -> None:
    # x -> c x leaves the pre-activations alone where weights and the square root of the step are divided by c.
    modes, n = two_levels(), 400.0 * np.array([1.0, 5.0])
    scaled = replaced(modes, eigenvalues=scale**2 * modes.eigenvalues)
    start = {"activation": ERF, "initial_overlap": 0.1}
    one = predict_single_index(modes, n, 1.0 / 400, initial_norm_squared=0.3, **start)
    other = predict_single_index(scaled, n, 1.0 / 400 / scale**2, initial_norm_squared=0.3 / scale**2, **start)
    np.testing.assert_allclose(one.excess_risk, other.excess_risk, rtol=1e-8)
    np.testing.assert_allclose(one.norm_squared, scale**2 * other.norm_squared, rtol=1e-8)


def test_an_odd_student_of_the_opposite_teacher() -> None:
    # The negative of an odd teacher is the teacher of the negative weights: an overlap of the other sign.
    one = run(two_levels(), [1.0, 5.0], 0.7, "tanh", "sin", initial_norm_squared=0.3, initial_overlap=0.2)
    same = predict_single_index(
        two_levels(),
        400.0 * np.array([5.0, 1.0]),
        0.7 / 400,
        activation=activation("tanh"),
        teacher_activation=activation("sin"),
        initial_norm_squared=0.3,
        initial_overlap=0.2,
    )
    np.testing.assert_allclose(one.excess_risk, same.excess_risk[::-1], rtol=1e-9)
    assert run(two_levels(), [], 0.7, "tanh").test_error.shape == (0,)
    away = run(two_levels(), [1.0], 0.7, "tanh", "sin", initial_norm_squared=0.3, initial_overlap=-0.2)
    assert away.excess_risk[0] > one.excess_risk[0]


def test_what_cannot_be_learned_is_noise() -> None:
    noisy = run(two_levels(noise_variance=0.3), [1.0, 5.0], 0.7, "erf", initial_norm_squared=0.3)
    mixed = run(
        two_levels(noise_variance=0.1, unlearnable_variance=0.2), [1.0, 5.0], 0.7, "erf", initial_norm_squared=0.3
    )
    np.testing.assert_allclose(noisy.test_error, mixed.test_error, rtol=1e-12)
    np.testing.assert_allclose(mixed.excess_risk, noisy.excess_risk + 0.2, rtol=1e-12)


# Many eigenvalues.


def test_gathered_modes_predict_what_all_of_them_do() -> None:
    spectrum = theory.covariance.power_law(1000, exponent=1.1)
    energies = theory.target.source(spectrum, signal_variance=1.0, exponent=0.4, covariance_exponent=1.1)
    modes = theory.linear_modes(spectrum, energies, noise_variance=0.1)
    n, step = np.array([0.0, 3.0, 100.0, 2000.0]), 0.5 / float(modes.trace)
    neuron = predict_single_index(modes, n, step, activation=activation("linear"))
    linear = predict_sgd(modes, n, step)
    np.testing.assert_allclose(neuron.excess_risk, linear.excess_risk, rtol=1e-7)
    np.testing.assert_allclose(neuron.norm_squared, linear.estimator_norm_squared, rtol=1e-6, atol=1e-12)


# Refusals.


@pytest.mark.parametrize(
    ("fields", "argument", "message"),
    [
        ({"activation": activation("sign")}, "activation", "no slope almost everywhere"),
        ({"activation": activation("ternary")}, "activation", "no slope almost everywhere"),
        ({"activation": activation("relu")}, "initial_norm_squared", "no slope at 0"),
        ({"activation": activation("quadratic")}, "initial_norm_squared", "no slope at 0"),
        (
            {"activation": activation("quadratic"), "initial_norm_squared": 1.0},
            "initial_overlap",
            r"set initial_overlap, for example to the 0\.05 = 1 / sqrt\(n_features\)",
        ),
        (
            {
                "activation": activation("relu"),
                "teacher_activation": activation("abs"),
                "initial_norm_squared": 1.0,
            },
            "initial_overlap",
            "stays without it",
        ),
        ({"activation": ERF, "initial_overlap": 0.3}, "initial_overlap", "a start at 0 has no direction"),
        ({"activation": ERF, "initial_overlap": 1.1, "initial_norm_squared": 1.0}, "initial_overlap", "a cosine"),
        ({"activation": ERF, "initial_norm_squared": -1.0}, "initial_norm_squared", "at least 0"),
        ({"activation": ERF, "step_size": 0.0}, "step_size", "positive"),
        ({"activation": ERF, "n_samples": -1.0}, "n_samples", "at least 0"),
        ({"activation": ERF, "modes": two_levels(energies=[0.0, 0.0])}, "signal_variance", "must vary"),
        ({"activation": ERF, "modes": two_levels(energies=[1e3, 0.0])}, "signal_variance", "scale it down"),
        ({"activation": activation("sin"), "modes": two_levels(energies=[1e6, 0.0])}, "signal_variance", "noise"),
        ({"activation": activation("sin"), "initial_norm_squared": 1e9}, "initial_norm_squared", "all but noise"),
        ({"activation": ERF, "modes": two_levels(tail_trace=1.0)}, "tail_trace", "infinitesimal"),
        ({"activation": ERF, "modes": two_levels(n_unpenalised=1)}, "fit_intercept", "a constant"),
    ],
)
def test_inadmissible_problems_say_which_rule_they_break(
    fields: dict[str, object], argument: str, message: str
) -> None:
    with pytest.raises(theory.InadmissibleProblem, match=message) as refusal:
        predict_single_index(**({"modes": two_levels(), "n_samples": 10.0, "step_size": 1e-3} | fields))
    assert refusal.value.argument == argument


def test_parities_that_never_meet_are_no_symmetry_to_break() -> None:
    # No odd function explains an even one, from any start.
    prediction = run(two_levels(), [0.0, 20.0], 0.3, "erf", "abs", initial_norm_squared=0.5)
    np.testing.assert_allclose(prediction.overlap, 0.0, atol=1e-12)


# Properties.


@given(
    kinds=st.tuples(st.sampled_from(TRAINABLE), st.sampled_from(list(ACTIVATIONS))),
    step=magnitudes(2.0, below=4.0),
    time=or_zero(magnitudes(3.0)),
    signal=magnitudes(2.0),
    noise=or_zero(magnitudes(2.0)),
    start=st.tuples(magnitudes(2.0), st.floats(-1.0, 1.0).filter(bool)),
)
@settings(REPRODUCIBLE, max_examples=25)
def test_admissible_problems_have_sensible_answers(
    kinds: tuple[str, str], step: float, time: float, signal: float, noise: float, start: tuple[float, float]
) -> None:
    modes = theory.Modes(
        eigenvalues=[0.1, 2.0],
        multiplicities=[50.0, 50.0],
        energies=[0.3 * signal, 0.7 * signal],
        noise_variance=noise,
    )
    norm, overlap = start
    prediction = run(modes, [0.0, time], step, *kinds, initial_norm_squared=norm, initial_overlap=overlap)
    assert set(prediction.status) <= {"converged", "divergent", "not_converged"}
    assert prediction.status[0] == "converged"
    assert np.all((prediction.excess_risk >= 0.0) & (prediction.test_error >= noise))
    assert np.all(np.isinf(prediction.test_error) == (prediction.status == "divergent"))
    if step < 0.1:
        assert "not_converged" not in prediction.status
