"""Search on a box: known minima, several of them, budgets, whole numbers, poles, and the curvature where it ends."""

import numpy as np
import pytest

from theory.solvers.basins import basins
from theory.solvers.box import Axis
from theory.solvers.box_search import search
from theory.solvers.curvature import Rise, gaussian_about, rise_at

Vector = np.ndarray
LOG = Axis(lower=1e-3, upper=1e3, log=True)
UNIT = Axis(lower=-1.0, upper=1.0)
MATRIX = np.array([[2.0, 0.7], [0.7, 1.0]])


def bowl(points: Vector) -> Vector:
    """A tilted bowl about (2, 0.3), in log and plain coordinates, of depth 1."""
    u = np.stack([np.log(points[:, 0] / 2.0), points[:, 1] - 0.3], axis=1)
    return 1.0 + np.einsum("ni,ij,nj->n", u, MATRIX, u)


def test_the_bottom_of_a_bowl() -> None:
    found = search(bowl, [LOG, UNIT], sizes=[17, 17])
    [minimum] = found.minima
    np.testing.assert_allclose(minimum.point, [2.0, 0.3], rtol=1e-6)
    np.testing.assert_allclose(minimum.value, 1.0, rtol=1e-12)
    assert not minimum.at_lower.any()
    assert not minimum.at_upper.any()
    assert (found.shape, found.n_basins, found.n_descended) == ((17, 17), 1, 1)
    assert found.evaluations >= 17 * 17


def test_every_one_of_several_minima() -> None:
    # cos has the minima pi, 3 pi, 5 pi, 7 pi; the slope orders them.
    axis = Axis(lower=1.0, upper=24.0)
    found = search(lambda points: np.cos(points[:, 0]) + 0.01 * points[:, 0], [axis], sizes=[40])
    places = [minimum.point[0] for minimum in found.minima]
    # sin x = 0.01 there.
    np.testing.assert_allclose(places, np.pi * np.array([1, 3, 5, 7]) - np.arcsin(0.01), rtol=1e-7)
    assert found.n_basins == 4


def test_only_the_best_basins_are_descended_into() -> None:
    axis = Axis(lower=1.0, upper=24.0)
    found = search(lambda points: np.cos(points[:, 0]) + 0.01 * points[:, 0], [axis], sizes=[40], most_basins=2)
    assert (len(found.minima), found.n_basins, found.n_descended) == (2, 4, 2)
    assert found.minima[0].point[0] == pytest.approx(np.pi, rel=1e-2)


def test_poles_and_places_without_a_value_are_walked_around() -> None:
    def function(points: Vector) -> Vector:
        x = points[:, 0]
        with np.errstate(all="ignore"):
            values = 1.0 / np.abs(x - 3.0) + (x - 3.0) ** 2
        return np.where(x < 1.0, np.nan, np.where(x == 3.0, np.inf, values))

    found = search(function, [Axis(lower=0.0, upper=6.0)], sizes=[61])
    # Each side of the pole has its minimum at distance (1/2)^(1/3).
    places = sorted(minimum.point[0] for minimum in found.minima)
    np.testing.assert_allclose(places, [3.0 - 0.5 ** (1 / 3), 3.0 + 0.5 ** (1 / 3)], rtol=1e-7)


def test_nowhere_finite() -> None:
    assert search(lambda points: np.full(len(points), np.nan), [UNIT], sizes=[5]).minima == []


@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_ends_of_the_box(slope: float) -> None:
    [minimum] = search(lambda points: slope * points[:, 0], [UNIT], sizes=[7]).minima
    assert minimum.point[0] == -slope
    assert (minimum.at_lower[0], minimum.at_upper[0]) == (slope > 0.0, slope < 0.0)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (1.0, 1.5), (2.0, 0.5)])
def test_a_budget_that_is_spent(a: float, b: float) -> None:
    # At y = C / x the slope of x^-a + y^-b vanishes for x^(a + b) = (a / b) C^b.
    axis, budget = Axis(lower=1.0, upper=1e8, log=True), 1e6
    found = search(
        lambda points: points[:, 0] ** -a + points[:, 1] ** -b,
        [axis, axis],
        sizes=[33, 33],
        room=lambda points: np.log(budget / (points[:, 0] * points[:, 1])),
    )
    [minimum] = found.minima
    x = budget ** (b / (a + b)) * (a / b) ** (1.0 / (a + b))
    np.testing.assert_allclose(minimum.point, [x, budget / x], rtol=1e-3)
    np.testing.assert_allclose(minimum.value, x**-a + (budget / x) ** -b, rtol=1e-7)
    assert minimum.on_budget
    assert np.prod(minimum.point) <= budget * (1.0 + 1e-9)


def test_a_budget_that_leaves_the_minimum_alone() -> None:
    [minimum] = search(bowl, [LOG, UNIT], sizes=[17, 17], room=lambda points: 5.0 - points[:, 0]).minima
    np.testing.assert_allclose(minimum.point, [2.0, 0.3], rtol=1e-5)
    assert not minimum.on_budget


def test_a_budget_out_of_reach() -> None:
    with pytest.raises(ValueError, match="within the budget"):
        search(bowl, [LOG, UNIT], sizes=[5, 5], room=lambda points: np.full(len(points), -1.0))


def test_whole_numbers() -> None:
    axis = Axis(lower=1.0, upper=1e6, log=True, whole=True)
    [minimum] = search(lambda points: (points[:, 0] - 1234.3) ** 2, [axis], sizes=[33]).minima
    assert minimum.point[0] == 1234.0
    [held] = search(
        lambda points: (points[:, 0] - 1234.3) ** 2, [axis], sizes=[33], room=lambda points: 1000.5 - points[:, 0]
    ).minima
    assert held.point[0] == 1000.0
    assert held.on_budget


def test_whole_numbers_along_a_valley() -> None:
    # The other coordinate has to follow: 20 steps of size 0.05 come to 1, and more steps are better.
    axes = [Axis(lower=1.0, upper=20.0, log=True, whole=True), Axis(lower=1e-3, upper=10.0, log=True)]
    [minimum] = search(
        lambda points: 1.0 + np.log(points[:, 0] * points[:, 1]) ** 2 + 0.01 * points[:, 1], axes, sizes=[9, 9]
    ).minima
    assert minimum.point[0] == 20.0
    np.testing.assert_allclose(minimum.point[1], 0.05, rtol=1e-3)


def test_ripples_are_no_basins() -> None:
    x = np.arange(100.0)
    rng = np.random.default_rng(0)
    values = 1.0 + 1e-12 * rng.standard_normal(100) + np.maximum(x - 50.0, 0.0)
    assert len(basins(x[:, None], values)) == 1
    values[20] = 0.5
    values[80] = 0.7
    values[90] = np.inf
    # What infinity separates never met.
    assert basins(x[:, None], values) == [20, 80, 91]
    assert basins(x[:, None], np.full(100, np.inf)) == []


def test_the_curvature_of_a_bowl() -> None:
    point = np.array([2.0, 0.3])
    found = rise_at(bowl, [LOG, UNIT], point, 1.0, scale=1.0)
    np.testing.assert_allclose(found.curvature, 2.0 * MATRIX, rtol=1e-9)
    np.testing.assert_allclose(found.gradient, 0.0, atol=1e-9)
    covariance = gaussian_about([LOG, UNIT], found, tolerance=1e-6)
    # One standard deviation along any direction costs the tolerance.
    for direction in np.linalg.cholesky(covariance).T:
        np.testing.assert_allclose(direction @ MATRIX @ direction, 1e-6, rtol=1e-3)


@pytest.mark.parametrize("place", [-1.0, 1.0])
def test_derivatives_at_an_end(place: float) -> None:
    found = rise_at(
        lambda points: 5.0 + 2.0 * points[:, 0] + 3.0 * points[:, 0] ** 2,
        [UNIT],
        np.array([place]),
        8.0 + 2.0 * place,
        scale=1.0,
    )
    np.testing.assert_allclose(found.gradient, [2.0 + 6.0 * place], rtol=1e-6)
    np.testing.assert_allclose(found.curvature, [[6.0]], rtol=1e-6)


def test_derivatives_by_whole_numbers() -> None:
    axis = Axis(lower=1.0, upper=1000.0, whole=True)
    found = rise_at(lambda points: 10.0 + (points[:, 0] - 400.0) ** 2, [axis], np.array([400.0]), 10.0, scale=1e3)
    np.testing.assert_allclose(found.curvature, [[2.0]], rtol=1e-9)


def test_a_gaussian_is_no_wider_than_the_box() -> None:
    flat = Rise(gradient=np.zeros(2), curvature=np.diag([0.0, -5.0]), evaluations=0)
    covariance = gaussian_about([LOG, UNIT], flat, tolerance=0.1)
    np.testing.assert_allclose(covariance, np.diag([np.log(1e6) ** 2 / 12.0, 4.0 / 12.0]), rtol=1e-12)


def test_a_gaussian_at_a_slope() -> None:
    steep = Rise(gradient=np.array([50.0]), curvature=np.zeros((1, 1)), evaluations=0)
    [[variance]] = gaussian_about([UNIT], steep, tolerance=0.01)
    np.testing.assert_allclose(np.sqrt(variance) * 50.0, 0.01, rtol=1e-3)
