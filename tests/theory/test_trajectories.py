"""Integration of order parameters: exact solutions, endings of every kind, threads; Gauss rules for many eigenvalues."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import theory
from theory.activations import activation
from theory.learners.committee import predict_committee
from theory.learners.networks import TeacherNetwork, TwoLayerStudent
from theory.learners.single_index import predict_single_index
from theory.learners.trajectories import MOST_EVALUATIONS, RELATIVE, Trajectory, gathered, integrate

RATES = np.array([1e-3, 1.0, 1e3])


def decaying(times: list[float]) -> Trajectory:
    start = np.ones(3)
    return integrate(
        lambda y: -RATES * y, start, np.array(times), jacobian=lambda _: -np.diag(RATES), scale=1.0, bound=1e3
    )


def test_rates_six_orders_apart() -> None:
    times = [1e5, 0.0, 3.0, 1e-3, 3.0, 1e3]
    path = decaying(times)
    assert set(path.status) == {"converged"}
    # Local errors of a thousand steps at most add up.
    np.testing.assert_allclose(path.states, np.exp(-np.outer(times, RATES)), atol=1e3 * RELATIVE)
    assert path.evaluations < 3000


def test_nothing_to_integrate() -> None:
    for times in ([], [0.0], [0.0, 0.0]):
        path = decaying(times)
        assert path.evaluations == 0
        np.testing.assert_array_equal(path.states, np.ones((len(times), 3)))
        assert path.status.tolist() == ["converged"] * len(times)


def test_a_pole_in_finite_time_is_divergence() -> None:
    # y' = y^2 from 1 has its pole at 1.
    path = integrate(
        lambda y: y * y,
        np.ones(1),
        np.array([0.5, 0.9, 1.1]),
        jacobian=lambda y: np.diag(2.0 * y),
        scale=1.0,
        bound=1e6,
    )
    assert path.status.tolist() == ["converged", "converged", "divergent"]
    np.testing.assert_allclose(path.states[:2, 0], [2.0, 10.0], rtol=1e-6)


def test_a_slope_that_is_no_number_is_divergence() -> None:
    path = integrate(
        lambda y: np.where(y < 2.0, y, np.nan),
        np.ones(1),
        np.array([0.5, 1.0]),
        jacobian=lambda _: np.eye(1),
        scale=1.0,
        bound=1e6,
    )
    assert path.status.tolist() == ["converged", "divergent"]


def test_a_slope_without_any_smoothness_is_given_up() -> None:
    path = integrate(
        lambda y: 1e6 * np.sin(1e18 * y),
        np.array([0.3]),
        np.array([0.0, 1.0]),
        jacobian=lambda _: np.zeros((1, 1)),
        scale=1.0,
        bound=1e6,
    )
    assert path.status.tolist() == ["converged", "not_converged"]
    assert MOST_EVALUATIONS <= path.evaluations < 2 * MOST_EVALUATIONS
    assert np.all(np.isfinite(path.states))


def test_growth_over_many_scales() -> None:
    # What is small beside the largest entry keeps the digits that rounding leaves it.
    matrix = np.array([[1.0, 0.0], [1e-6, -1.0]])
    path = integrate(
        lambda y: matrix @ y, np.array([1.0, 0.0]), np.array([20.0]), jacobian=lambda _: matrix, scale=1.0, bound=1e12
    )
    grown = np.exp(20.0)
    np.testing.assert_allclose(path.states[0], [grown, 0.5e-6 * (grown - 1.0 / grown)], rtol=1e-6)


def test_threads_do_not_meet() -> None:
    modes = theory.Modes(eigenvalues=[0.3, 1.7], multiplicities=[50.0, 50.0], energies=[0.2, 0.8], noise_variance=0.1)
    teacher = TeacherNetwork(hidden_units=2, spectrum=theory.covariance.isotropic(100.0))

    def solved(step: float) -> tuple[float, float]:
        neuron = predict_single_index(modes, 500.0, step / 100.0, activation=activation("tanh"))
        committee = predict_committee(TwoLayerStudent(hidden_units=2, step_size=step), teacher, 2000.0)
        return neuron.test_error, committee.test_error

    steps = [0.2, 0.5, 1.0, 2.0] * 3
    alone = [solved(step) for step in steps[:4]] * 3
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(solved, steps)) == alone


def test_gauss_rules_keep_the_moments_of_every_octave() -> None:
    rng = np.random.default_rng(0)
    eigenvalues, weights = 10.0 ** rng.uniform(-3, 1, 2000), rng.uniform(0.0, 2.0, 2000)
    nodes, masses = gathered(eigenvalues, weights)
    assert nodes.size < 200
    np.testing.assert_allclose(masses.sum(), weights.sum(), rtol=1e-13)
    for time in (1e-2, 1.0, 1e2, 1e4):
        exact = float(weights @ np.exp(-eigenvalues * time))
        np.testing.assert_allclose(masses @ np.exp(-nodes * time), exact, rtol=1e-7, atol=1e-12 * float(weights.sum()))
    few = np.array([3.0, 1.0, 3.0, 2.0]), np.array([1.0, 2.0, 4.0, 0.0])
    np.testing.assert_array_equal(gathered(*few), ([1.0, 3.0], [2.0, 5.0]))
