"""Solvers of ridge regression, against singular values: no Gram matrix, nothing in single precision."""

import numpy as np
import pytest

from simulation import linear_algebra
from simulation.linear_algebra import REFINED_SIZE, solve_ridge

SHAPES = [(REFINED_SIZE + 100, REFINED_SIZE), (REFINED_SIZE, REFINED_SIZE + 100), (REFINED_SIZE, REFINED_SIZE)]


def by_singular_values(features, shift, targets):
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    return right.T @ (singular / (singular**2 + shift) * (left.T @ targets))


def rows(shape, scales=1.0):
    rng = np.random.default_rng(0)
    return scales * rng.standard_normal(shape), rng.standard_normal(shape[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e100])
@pytest.mark.parametrize("relative", [1e3, 1e-2, 1e-4])
def test_refined_solutions_are_those_of_double_precision(shape, scale, relative):
    features, targets = rows(shape, scale)
    shift = relative * scale**2 * max(shape)
    refined = linear_algebra._refined(features, shift, targets)
    np.testing.assert_allclose(refined, by_singular_values(features, shift, targets), rtol=1e-9, atol=1e-12 / scale)
    np.testing.assert_array_equal(solve_ridge(features, shift, targets), refined)


@pytest.mark.parametrize("relative", [1e-8, 1e40])
def test_what_single_precision_cannot_hold_is_solved_in_double(relative):
    features, targets = rows(SHAPES[-1])
    shift = relative * REFINED_SIZE
    assert linear_algebra._refined(features, shift, targets) is None
    expected = by_singular_values(features, shift, targets)
    assert np.linalg.norm(solve_ridge(features, shift, targets) - expected) < 1e-6 * np.linalg.norm(expected)


def test_a_steep_spectrum():
    features, targets = rows(SHAPES[1], np.arange(1.0, REFINED_SIZE + 101) ** -1.0)
    for shift in (1e2, 1e-1, 1e-3, 1e-5):  # refined, on the edge, and not
        expected = by_singular_values(features, shift, targets)
        assert np.linalg.norm(solve_ridge(features, shift, targets) - expected) < 1e-8 * np.linalg.norm(expected)


def test_features_and_targets_of_zeros():
    features, targets = rows(SHAPES[0])
    np.testing.assert_array_equal(solve_ridge(features, 1.0, 0.0 * targets), np.zeros(features.shape[1]))
    np.testing.assert_array_equal(solve_ridge(0.0 * features, 1.0, targets), np.zeros(features.shape[1]))


def test_sets_side_by_side_come_out_as_alone():
    features, targets = rows(SHAPES[1])
    shifted = np.stack([features, features * np.arange(1.0, features.shape[1] + 1) ** -1.0, 0.0 * features])
    together = solve_ridge(shifted, 1e-2, np.stack([targets] * 3))
    for alone, solution in zip(shifted, together, strict=True):
        np.testing.assert_array_equal(solve_ridge(alone, 1e-2, targets), solution)
