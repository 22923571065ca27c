"""A contour around the whole support, in the variable u: where functions are analytic, sums over it need few points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.spectra.sample_covariance import SampleCovariance

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

OPENINGS = np.arange(0.5, 3.0, 0.25)
"""Largest angles, seen from the pivot, that a contour may open to."""
CLEARANCE = 0.9
"""The sum v / |u - t|^2 is 1 on the boundary of the map and must stay below this on a contour."""


@dataclass(frozen=True, kw_only=True)
class Contour:
    """A closed curve, counterclockwise, around all intervals of a support but not around x = 0.

    Attributes:
        u: points, shape ``(n,)``.
        steps: du of each.
    """

    u: ComplexArray
    steps: ComplexArray


def contour(model: SampleCovariance, count: int, *, tightness: float) -> Contour | None:
    """Draw an ellipse in log(u - pivot), where x(pivot) = 0.

    Args:
        model: the sample covariance.
        count: of points.
        tightness: the share of the way from the support to the pivot, in the logarithm, at which the contour passes.

    Returns:
        None where 0 is so close to the support that no contour fits between.
    """
    if model.square:
        return None
    low, high = float(model.critical[0, 0]), float(model.critical[-1, 1])
    pivot = 0.0 if low > 0.0 else float(model.solve_outside(np.zeros(1))[0])
    if not low > pivot:
        return None
    factor = np.exp(tightness)
    left, right = np.log((low - pivot) / factor), np.log((high - pivot) * factor)
    centre, radius = 0.5 * (left + right), 0.5 * (right - left)
    angles = 2.0 * np.pi * (np.arange(count) + 0.5) / count
    for opening in OPENINGS:
        # Counterclockwise in the logarithm is counterclockwise in u.
        exponential = np.exp(centre + radius * np.cos(angles) + 1j * opening * np.sin(angles))
        u = pivot + exponential
        if np.all(model.law.pull(u) < CLEARANCE):
            derivative = exponential * (-radius * np.sin(angles) + 1j * opening * np.cos(angles))
            return Contour(u=u, steps=derivative * (2.0 * np.pi / count))
    return None


def sums_over(
    model: SampleCovariance, around: Contour, function: Callable[[Any], Any]
) -> tuple[float, float, float, float]:
    """Return the mean over the intervals of the support, the mean correction and the variance, and the largest |f|.

    Args:
        model: the sample covariance.
        around: the contour.
        function: of complex arrays.
    """
    u, steps = around.u, around.steps
    image, slope = model.law.image_and_slope(u)
    values = np.broadcast_to(np.asarray(function(image * model.unit), dtype=complex), u.shape)
    # With the companion transform -1 / u, whose measure is g times ours but for zeros.
    limit = np.sum(values * slope / u * steps) / (2j * np.pi * model.aspect)
    mean = np.sum(values * model.law.curvature(u) / slope * steps) / (4j * np.pi)
    gaps = u[:, None] - u
    np.fill_diagonal(gaps, 1.0)
    quotients = (values[:, None] - values) / gaps
    derivative = np.fft.ifft(1j * np.fft.fftfreq(u.size, 1.0 / u.size) * np.fft.fft(values))
    variance = steps @ (quotients * quotients) @ steps + np.sum(derivative**2) * (2.0 * np.pi / u.size) ** 2
    largest = float(np.max(np.abs(values)))
    return float(limit.real), float(mean.real), float(variance.real) / (4.0 * np.pi**2), largest
