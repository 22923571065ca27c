"""Derivatives carried back along trajectories, against those of exact solutions; averages that are pulled back repeatedly."""

import numpy as np
import pytest

from theory.derivatives.committee_averages import gradients_pulled
from theory.derivatives.costates import Pull, carried_back
from theory.learners.committee_averages import Gradients
from theory.learners.trajectories import Trajectory, integrate

Vector = np.ndarray


class Decays:
    """``dy/dt = -speed rates y``; half of the square of the end, and that of the speed, is asked for."""

    def __init__(self, rates: Vector, speed: float) -> None:
        self.rates, self.speed = rates, speed
        self.linearisations = self.pulls = 0

    def slope(self, state: Vector) -> Vector:
        return -self.speed * self.rates * state

    def jacobian(self, _: Vector) -> Vector:
        return -self.speed * np.diag(self.rates)

    def linearised(self, state: Vector) -> Pull:
        self.linearisations += 1

        def pull(costate: Vector) -> Vector:
            self.pulls += 1
            return np.append(-self.speed * self.rates * costate, -costate @ (self.rates * state))

        return pull

    def end(self, state: Vector) -> Vector:
        return np.append(state, self.speed)

    def followed(self, start: Vector, time: float) -> Trajectory:
        return integrate(self.slope, start, np.array([time]), jacobian=self.jacobian, scale=1.0, bound=1e3, record=True)


@pytest.mark.parametrize("rates", [[0.3, 1.0], [1e-2, 1.0, 1e4]], ids=["smooth", "stiff"])
def test_decays(rates: list[float]) -> None:
    equations, start, time = Decays(np.array(rates), 0.7), np.linspace(1.0, 2.0, len(rates)), 5.0
    found = carried_back(equations.followed(start, time), time, equations, size=1.0)
    left = np.exp(-0.7 * time * equations.rates)
    end = start * left
    # Steps are good to 1e-9; a thousand of them at most.
    np.testing.assert_allclose(found.by_start, end * left, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.by_parameters, [0.7 - time * equations.rates @ end**2], rtol=1e-6)
    np.testing.assert_allclose(found.by_time, -0.7 * equations.rates @ end**2, rtol=1e-6)
    # A state is linearised once, however often costates are pulled back there.
    assert equations.linearisations < equations.pulls


def test_no_time() -> None:
    equations, start = Decays(np.array([1.0, 2.0]), 0.7), np.array([1.0, 3.0])
    found = carried_back(equations.followed(start, 0.0), 0.0, equations, size=1.0)
    np.testing.assert_array_equal(found.by_start, start)
    np.testing.assert_array_equal(found.by_parameters, [0.7])
    assert found.by_time == pytest.approx(-0.7 * 19.0, rel=1e-15)


def test_slopes_that_are_not_those_of_the_path_are_refused() -> None:
    equations = Decays(np.array([1.0, 2.0]), 0.7)
    followed = equations.followed(np.ones(2), 1.0)
    equations.speed = 0.71
    with pytest.raises(ArithmeticError, match="lost their digits"):
        carried_back(followed, 1.0, equations, size=1.0)


def test_what_is_pulled_back_is_linear_however_often() -> None:
    rng = np.random.default_rng(0)
    root, signs = rng.normal(size=(5, 7)), rng.normal(size=5)
    _, pull = gradients_pulled(root @ root.T / 5.0, signs, 3)

    def weights() -> Gradients:
        return Gradients(rng.normal(size=(3, 5)), *rng.normal(size=(2, 3, 3)), rng.normal(size=3))

    one, other = weights(), weights()
    both = Gradients(*(x + 2.0 * y for x, y in zip(one, other, strict=True)))
    for x, y, expected in zip(pull(one), pull(other), pull(both), strict=True):
        np.testing.assert_allclose(x + 2.0 * y, expected, rtol=1e-12, atol=1e-13)
    for again, expected in zip(pull(one), pull(one), strict=True):
        np.testing.assert_array_equal(again, expected)
