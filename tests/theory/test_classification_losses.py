"""Proximal operators and Gaussian averages of the losses, and what goes wrong when they are computed as printed."""

import math
from collections.abc import Callable
from itertools import pairwise
from math import exp, pi, sqrt

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, ndtr

from theory.activations.normal import rectified
from theory.classification.half_lines import half_line
from theory.classification.hinge import clipped
from theory.classification.loss import Averages
from theory.classification.losses import HardMargin, Hinge, Logistic, Loss, Square
from theory.classification.nodes import Focus, gaussian_nodes
from theory.classification.rates import logistic_noise

LOSSES = [Square(), Hinge(), HardMargin(), Logistic()]
NARROW_AND_WIDE = [(0.3, 0.9, 1.7), (2.0, 3.0, 30.0), (-1.5, 0.4, 0.05), (0.9, 0.02, 0.01), (0.0, 5.0, 168.0)]
"""Mean margin, deviation and V."""


def name(loss: Loss) -> str:
    return type(loss).__name__


def density(z: float) -> float:
    return exp(-0.5 * z * z) / sqrt(2.0 * pi)


def integral(function: Callable[[float], float], mean: float, deviation: float, kinks: tuple[float, ...]) -> float:
    """Average over a normal variable by adaptive quadrature between the kinks."""
    inside = sorted((kink - mean) / deviation for kink in kinks)
    ends = [-13.0, *(end for end in inside if -13.0 < end < 13.0), 13.0]
    return math.fsum(
        quad(
            lambda z: density(z) * function(mean + deviation * z),
            low,
            high,
            epsabs=0.0,
            epsrel=1e-13,
            limit=400,
        )[0]
        for low, high in pairwise(ends)
    )


def test_half_lines_keep_their_digits_in_both_tails() -> None:
    x = np.concatenate([-np.logspace(-3, np.log10(30), 200), np.linspace(-2.2, -1.8, 41), np.linspace(0.0, 40.0, 50)])
    found = np.array([half_line(value) for value in x]).T
    for order, expected in enumerate(rectified(x)):
        # exp(-x^2 / 2) itself loses x^2 units in the last place.
        np.testing.assert_allclose(found[order], expected, rtol=2e-13)


@pytest.mark.parametrize("proximal", 10.0 ** np.arange(-8.0, 13.0, 2.0))
def test_logistic_prox_solves_its_equation(proximal: float) -> None:
    u = np.concatenate([np.linspace(-60.0, 60.0, 401), np.linspace(-2.0 * proximal - 10.0, proximal + 10.0, 401)])
    p = Logistic().prox(u, proximal)
    pull = proximal * expit(-p)
    # To the last places of the largest of the three terms.
    assert np.all(np.abs(p - u - pull) <= 1e-14 * np.maximum(np.abs(p), np.maximum(np.abs(u), pull)))
    assert Logistic().prox_error(60.0, proximal) <= 1e-10
    assert np.all(np.diff(p[:401]) > 0.0)


def plain_newton(u: np.ndarray, proximal: float) -> np.ndarray:
    """Newton's method from p = u, as long as anyone would let it run."""
    p = u.copy()
    for _ in range(60):
        s = expit(-p)
        p = p - (p - u - proximal * s) / (1.0 + proximal * s * (1.0 - s))
    return p


def test_plain_newton_cycles_where_ours_converges() -> None:
    for proximal in (60.0, 168.0, 1000.0):
        u = np.linspace(-proximal, 10.0, 2001)
        p = plain_newton(u, proximal)
        wrong = np.abs(p - u - proximal * expit(-p)) > 0.1 * proximal
        assert np.mean(wrong) > 0.4
        assert Logistic().prox_error(2.0 * proximal, proximal) <= 1e-10


@pytest.mark.parametrize("loss", LOSSES, ids=name)
@pytest.mark.parametrize("state", NARROW_AND_WIDE)
def test_averages_by_adaptive_quadrature(loss: Loss, state: tuple[float, float, float]) -> None:
    mean, deviation, proximal = state
    found = loss.averages(loss.anchor - mean, deviation, proximal)

    def at(u: float, entry: str) -> float:
        return float(getattr(loss.pointwise(np.array([u]), proximal), entry)[0])

    kinks = loss.kinks(proximal)
    expected = {
        "dual": integral(lambda u: at(u, "dual"), mean, deviation, kinks),
        "dual_squared": integral(lambda u: at(u, "dual") ** 2, mean, deviation, kinks),
        "curvature": integral(lambda u: at(u, "curvature"), mean, deviation, kinks),
    }
    for entry, value in expected.items():
        np.testing.assert_allclose(getattr(found, entry), value, rtol=1e-11, atol=1e-30, err_msg=entry)
    offset = loss.anchor - mean
    losses = integral(lambda u: float(loss.value(np.array([at(u, "prox")]))[0]), mean, deviation, kinks)
    np.testing.assert_allclose(loss.train_loss(offset, deviation, proximal), losses, rtol=1e-10, atol=1e-16)
    energy = integral(lambda u: at(u, "dual") * at(u, "prox"), mean, deviation, kinks)
    np.testing.assert_allclose(loss.energy(offset, deviation, proximal), energy, rtol=1e-9, atol=1e-14)
    if not isinstance(loss, HardMargin):
        fresh = integral(lambda u: float(loss.value(np.array([u]))[0]), mean, deviation, loss.kinks(0.0))
        np.testing.assert_allclose(loss.test_loss(offset, deviation), fresh, rtol=1e-11)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
@pytest.mark.parametrize("state", NARROW_AND_WIDE)
def test_slopes_of_averages(loss: Loss, state: tuple[float, float, float]) -> None:
    offset, deviation, proximal = loss.anchor - state[0], state[1], state[2]
    found = loss.averages(offset, deviation, proximal)
    step = 1e-6
    moves: list[tuple[float, Callable[[float], Averages]]] = [
        (step * deviation, lambda h: loss.averages(offset + h, deviation, proximal)),
        (step, lambda h: loss.averages(offset, deviation * exp(h), proximal)),
        (step, lambda h: loss.averages(offset, deviation, proximal * exp(h))),
    ]
    for column, (size, moved) in enumerate(moves):
        for entry in ("dual", "dual_squared", "curvature"):
            central = (getattr(moved(size), entry) - getattr(moved(-size), entry)) / (2.0 * size)
            scale = max(abs(slope) for slope in getattr(found, f"{entry}_slopes"))
            # Central differences: what is left is of order step^2 and rounding / step.
            rounding = 1e-15 * getattr(found, entry) / size
            slope = getattr(found, f"{entry}_slopes")[column]
            np.testing.assert_allclose(slope, central, rtol=1e-6, atol=1e-8 * scale + rounding)


@pytest.mark.parametrize("loss", LOSSES, ids=name)
@pytest.mark.parametrize("state", NARROW_AND_WIDE)
def test_integration_by_parts(loss: Loss, state: tuple[float, float, float]) -> None:
    # E gamma p = E gamma (u + V gamma), and E gamma (u - a) = -q E h.
    mean, deviation, proximal = state
    found = loss.averages(loss.anchor - mean, deviation, proximal)
    parts = mean * found.dual, -(deviation**2) * found.curvature, proximal * found.dual_squared
    energy = loss.energy(loss.anchor - mean, deviation, proximal)
    np.testing.assert_allclose(energy, sum(parts), rtol=0.0, atol=2e-13 * max(map(abs, parts)))


SEPARATED = [(5.57, 25.6, 168.0), (15.0, 192.0, 1.4e5), (50.0, 1e6, 1e2), (300.0, 1e2, 1e5), (50.0, 1e8, 1e7)]
"""Mean, variance and V of nearly separable data."""


@pytest.mark.parametrize(("mean", "variance", "proximal"), SEPARATED)
def test_gauss_hermite_fails_on_nearly_separable_data(mean: float, variance: float, proximal: float) -> None:
    loss, deviation = Logistic(), sqrt(variance)
    once = loss.averages(-mean, deviation, proximal)
    twice = loss.averages(-mean, deviation, proximal, refinement=2)
    fine = np.linspace(-40.0, 40.0, 800_001)
    weights = np.exp(-0.5 * fine * fine) / np.sqrt(2.0 * np.pi) * 1e-4
    at = loss.pointwise(mean + deviation * fine, proximal)
    exact = weights @ at.dual, weights @ at.dual**2, weights @ at.curvature
    np.testing.assert_allclose(once[:3], exact, rtol=1e-12)
    np.testing.assert_allclose(twice[:3], once[:3], rtol=1e-13)
    z, w = np.polynomial.hermite_e.hermegauss(100)
    at = loss.pointwise(mean + deviation * z, proximal)
    hermite = np.array([w @ at.dual, w @ at.dual**2, w @ at.curvature]) / np.sqrt(2.0 * np.pi)
    assert np.max(np.abs(hermite / exact - 1.0)) > 1e-6


@pytest.mark.parametrize("upper", [-8.0, -2.0, -0.3, 0.4, 3.0, 20.0, 1e8])
@pytest.mark.parametrize("width", [1e-9, 1e-3, 0.7, 1.0, 5.0, 1e4])
def test_hinge_forms_do_not_cancel(upper: float, width: float) -> None:
    # By panels over the distance from x = upper to where the normal distribution function is 0 in doubles; nearer than
    # `certain` it is 1.
    certain, end = (min(max(upper + sign * 45.0, 0.0), width) for sign in (-1.0, 1.0))
    edges = np.linspace(certain, end, 402)
    points, weights = np.polynomial.legendre.leggauss(16)
    half_widths = 0.5 * np.diff(edges)[:, None]
    distance = (edges[:-1, None] + half_widths * (1.0 + points)).ravel()
    share = (half_widths * weights).ravel() / width
    g, x = distance / width, upper - distance
    dual, squared, flat = clipped(upper, width)[:3]
    np.testing.assert_allclose(dual, certain / width + share @ ndtr(x), rtol=1e-12)
    np.testing.assert_allclose(squared, (certain / width) ** 2 + share @ (2.0 * g * ndtr(x)), rtol=1e-12)
    np.testing.assert_allclose(flat, share @ np.exp(-0.5 * x * x) / sqrt(2.0 * pi), rtol=1e-12, atol=1e-300)


def test_hinge_forms_as_printed_cancel() -> None:
    # (s / V) [B N(B) + f(B) - A N(A) - f(A)] and its like for the square, at the small V of large penalties.
    upper, width = 0.4, 1e-7
    lower = upper - width
    inside = ndtr(upper) - ndtr(lower)
    dual = (upper * ndtr(upper) + density(upper) - lower * ndtr(lower) - density(lower)) / width
    moments = upper**2 * inside - 2.0 * upper * (density(lower) - density(upper)) + inside
    squared = ndtr(lower) + (moments + lower * density(lower) - upper * density(upper)) / width**2
    assert abs(dual / ndtr(upper) - 1.0) > 1e-10
    assert abs(squared / ndtr(upper) - 1.0) > 1e-9
    found = clipped(upper, width)
    # One and two thirds of the width below B.
    np.testing.assert_allclose(found[0], ndtr(upper - 0.5 * width), rtol=1e-14)
    np.testing.assert_allclose(found[1], ndtr(upper - 2.0 / 3.0 * width), rtol=1e-14)


def test_logistic_noise_is_a_mixture_of_normals() -> None:
    noise = logistic_noise()
    x = np.linspace(-40.0, 40.0, 801)
    cumulative = ndtr(x[:, None] / np.sqrt(noise.variances)) @ noise.shares
    np.testing.assert_allclose(cumulative, expit(x), rtol=0.0, atol=1e-15)
    # The logistic distribution has the variance pi^2 / 3.
    np.testing.assert_allclose(noise.variances @ noise.shares, np.pi**2 / 3.0, rtol=1e-14)


@pytest.mark.parametrize("off", [3.0, 0.3, 1e-3])
def test_nodes_resolve_singularities_near_the_axis(off: float) -> None:
    # 1 / (1 + (z - at)^2 / off^2), whose poles are where the rule is told they are.
    at = 0.7
    nodes = gaussian_nodes((Focus(at, off),))
    found = float(nodes.weights @ (1.0 / (1.0 + ((nodes.t - at) / off) ** 2)))
    marks = [-12.0, at - 30 * off, at - off, at, at + off, at + 30 * off, 12.0]
    expected = sum(
        quad(lambda z: density(z) / (1.0 + ((z - at) / off) ** 2), low, high, epsabs=0.0, epsrel=1e-13, limit=200)[0]
        for low, high in pairwise(sorted(marks))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)
