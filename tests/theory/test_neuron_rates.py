"""Derivatives of the averages that trained networks follow, against differences of high order of the averages themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from theory.activations import ACTIVATIONS, Activation, activation
from theory.derivatives.committee_averages import gradients_pulled, half_square_pulled
from theory.derivatives.dual import Space, Vector
from theory.derivatives.gathered import gathered
from theory.derivatives.neuron_averages import neuron_rates
from theory.learners.committee_averages import Gradients, gradients, half_square
from theory.learners.neuron_averages import neuron_averages
from theory.learners.trajectories import gathered as plainly_gathered

CENTRAL = np.array([4.0 / 5.0, -1.0 / 5.0, 4.0 / 105.0, -1.0 / 280.0])
FIELDS = ("risk", "gradient_square", "slope_square", "restoring", "mismatch")


def difference(function: Callable[[float], Any], step: float) -> Any:
    """Return the derivative at 0."""
    pairs = (function(k * step) - function(-k * step) for k in range(1, 5))
    return sum(weight * pair for weight, pair in zip(CENTRAL, pairs, strict=True)) / step


def averages(student: Activation, teacher: Activation, place: Any) -> np.ndarray:
    found = neuron_averages(student, teacher, signal=place[0], apart=place[1], short=place[2])
    return np.array([getattr(found, name) for name in FIELDS])


STUDENTS = [kind for kind in ACTIVATIONS if activation(kind).is_continuous]
PAIRS = [
    *zip(STUDENTS, STUDENTS[1:] + STUDENTS[:1], strict=True),
    *(("erf", kind) for kind in ("sign", "ternary", "leaky_relu", "erf")),
    *(("leaky_relu", kind) for kind in ("sign", "ternary", "leaky_relu", "tanh")),
]
"""Each activation as a student, and as a teacher."""


@pytest.mark.parametrize(("student", "teacher"), PAIRS)
def test_averages_of_a_neuron_are_differentiated(student: str, teacher: str) -> None:
    one, other = activation(student), activation(teacher)
    turns = [
        lambda change, here, name=name: averages(
            activation(student, **{name: getattr(one, name) + change}), other, here
        )
        for name in one.parameters()
    ] + [
        lambda change, here, name=name: averages(
            one, activation(teacher, **{name: getattr(other, name) + change}), here
        )
        for name in other.parameters()
    ]
    for place, step in (([1.0, 0.8, 0.5], 5e-3), ([1.2, 0.05, 0.04], 5e-4)):
        here = np.array(place)
        found = neuron_rates(one, other, signal=here[0], apart=here[1], short=here[2])
        np.testing.assert_allclose(found.values, averages(one, other, here), rtol=1e-9, atol=1e-12)
        columns = [
            difference(lambda change, d=d, here=here: averages(one, other, here + change * np.eye(3)[d]), step)
            for d in range(3)
        ]
        columns += [difference(lambda change, turn=turn, here=here: turn(change, here), 2e-3) for turn in turns]
        assert found.rates.shape == (5, len(columns))
        np.testing.assert_allclose(found.rates, np.array(columns).T, rtol=1e-7, atol=1e-8)


def test_a_student_at_zero_is_read_beside_it() -> None:
    tanh = activation("tanh")
    at, near = (neuron_rates(tanh, tanh, signal=1.0, apart=1.0 + square, short=1.0) for square in (0.0, 1e-8))
    np.testing.assert_allclose(at.rates, near.rates, atol=1e-6)


@pytest.mark.parametrize(("students", "teachers"), [(1, 1), (2, 2), (3, 2), (2, 4)])
def test_averages_of_a_committee_are_pulled_back(students: int, teachers: int) -> None:
    rng, size = np.random.default_rng(0), students + teachers
    root = rng.normal(size=(size, size + 2))
    covariance, signs = root @ root.T / size, rng.normal(size=size)
    weights = Gradients(
        rng.normal(size=(students, size)), *rng.normal(size=(2, students, students)), rng.normal(size=students)
    )
    turn, flip = rng.normal(size=(size, size)), rng.normal(size=size)
    turn = turn + turn.T

    def weighted(change: float) -> float:
        found = gradients(covariance + change * turn, signs + change * flip, students)
        return sum(float(np.sum(w * value)) for w, value in zip(weights, found, strict=True))

    found, pull = gradients_pulled(covariance, signs, students)
    for value, expected in zip(found, gradients(covariance, signs, students), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12)
    on_covariance, on_signs = pull(weights)
    pulled = float(np.sum(on_covariance * turn) + on_signs @ flip)
    assert pulled == pytest.approx(difference(weighted, 1e-3), rel=1e-10)
    on_covariance, on_signs = half_square_pulled(covariance, signs)
    expected = difference(lambda change: half_square(covariance + change * turn, signs + change * flip), 1e-3)
    assert float(np.sum(on_covariance * turn) + on_signs @ flip) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("count", [5, 400])
def test_gauss_rules_move_so_that_they_keep_sums(count: int) -> None:
    # Sums of a smooth function over power laws, by the exponent and by the weights' own.
    index = np.arange(1.0, count + 1.0)
    function = lambda x: np.exp(-3.0 * x) * x  # noqa: E731
    space = Space(2, 0)

    def laws(change: float, other: float) -> tuple[np.ndarray, np.ndarray]:
        return index ** -(1.2 + change), index ** (0.3 + other)

    eigenvalues, weights = laws(0.0, 0.0)
    log = np.log(index)
    moving = [
        Vector(eigenvalues, (-log * eigenvalues)[None], np.array([[1.0, 0.0]])),
        Vector(weights, (log * weights)[None], np.array([[0.0, 1.0]])),
    ]
    nodes, loads = gathered(space, *moving)
    for plain, one in zip(plainly_gathered(eigenvalues, weights), (nodes, loads), strict=True):
        np.testing.assert_array_equal(plain, one.value)
    slope = np.exp(-3.0 * nodes.value) * (1.0 - 3.0 * nodes.value)
    found = nodes.weighted(loads.value * slope) + loads.weighted(function(nodes.value))

    def total(change: float, other: float) -> float:
        places, masses = laws(change, other)
        return float(masses @ function(places))

    expected = [
        difference(lambda change: total(change, 0.0), 1e-2),
        difference(lambda change: total(0.0, change), 1e-2),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_equal_eigenvalues_move_by_their_mean() -> None:
    space = Space(2, 0)
    eigenvalues = space.vector(np.array([2.0, 2.0]), 0)
    nodes, loads = gathered(space, eigenvalues, space.constants(np.array([1.0, 3.0])))
    np.testing.assert_array_equal(loads.value, [4.0])
    np.testing.assert_allclose(nodes.weighted(np.ones(1)), [0.25, 0.75])
