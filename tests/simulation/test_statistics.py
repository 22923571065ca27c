"""Moments that arrive in pieces."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import Moments

VALUES = st.floats(-1e6, 1e6)


def test_mean_and_standard_error() -> None:
    moments = Moments.of([1.0, 2.0, 4.0, 5.0])
    assert (moments.count, moments.mean) == (4, 3.0)
    assert moments.variance == pytest.approx(10.0 / 3.0, rel=1e-15)
    assert moments.standard_error == pytest.approx(math.sqrt(10.0 / 12.0), rel=1e-15)


def test_too_few_values_know_no_error() -> None:
    assert Moments.of([]) == Moments()
    assert Moments().merge(Moments()) == Moments()
    assert Moments.of([7.0]).standard_error == Moments.of([7.0]).variance == math.inf
    assert Moments.of([7.0, 7.0]).standard_error == 0.0


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(st.lists(VALUES, max_size=20), max_size=8))
def test_pieces_merge_to_the_whole(pieces: list[list[float]]) -> None:
    merged = Moments()
    for piece in pieces:
        merged = merged.merge(Moments.of(piece))
    values = [value for piece in pieces for value in piece]
    whole = Moments.of(values)
    scale = max((abs(value) for value in values), default=0.0)
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=0, atol=1e-14 * scale)
    np.testing.assert_allclose(merged.squares, whole.squares, rtol=1e-11, atol=1e-13 * scale**2)


def test_a_small_spread_about_a_large_mean_survives() -> None:
    # A mean of 1e9 is known to 1e-7 of the spread; a sum of squares would keep no digit of it.
    rng = np.random.default_rng(0)
    values = 1e9 + rng.standard_normal(1000)
    merged = Moments()
    for start in range(0, 1000, 37):
        merged = merged.merge(Moments.of(values[start : start + 37]))
    np.testing.assert_allclose(merged.variance, np.var(values, ddof=1), rtol=1e-7)
