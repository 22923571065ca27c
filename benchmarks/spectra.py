"""A density of 1,000 points with three atoms, beside freealg's of the same law or, without it, a plain damped iteration."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

import theory
from benchmarks.report import Report, median_seconds
from theory import spectra

Array = npt.NDArray[np.float64]

EIGENVALUES, WEIGHTS, ASPECT = (1.0, 3.0, 10.0), (0.4, 0.4, 0.2), 0.1
POINTS = 1000
GOAL_SECONDS = 10e-3
TIMES_FASTER, TIMES_MORE_ACCURATE = 20.0, 100.0
ABOVE = 1e-5
"""How far above the real axis the plain iteration reads the density."""


def run(report: Report, *, quick: bool = False) -> None:
    """Measure everything from the population to the density; the baseline is given the points."""
    population = theory.covariance.discrete(200, eigenvalues=EIGENVALUES, weights=WEIGHTS)

    def ours() -> tuple[Array, Array]:
        law = spectra.covariance_law(spectra.sample_covariance(population, 200 / ASPECT))
        return spectra.density(law, POINTS)

    x, y = ours()
    reference = extended(x, y)
    inside = y > 0.0
    name, baseline = _baseline(x)
    mine = median_seconds(ours, repeats=30 if quick else 300)
    theirs = median_seconds(baseline, repeats=3 if quick else 10)
    # Largest and typical errors, relative to the largest density.
    (error, typical), (other, others_typical) = (
        (float(np.max(gap)), float(np.median(gap)))
        for gap in (np.abs(values - reference)[inside] / reference.max() for values in (y, baseline()))
    )
    report.add(
        "(f) density, 1,000 points, three atoms",
        f"{1e3 * mine:.2f} ms, error {error:.0e} (median {typical:.0e})",
        result="",
        goal=f"<= {1e3 * GOAL_SECONDS:g} ms",
        met=mine <= GOAL_SECONDS,
    )
    faster, better = theirs / mine, min(other / error, others_typical / typical)
    report.add(
        "(f) the same, against the baseline",
        f"{1e3 * mine:.2f} ms",
        baseline=f"{name} {1e3 * theirs:.0f} ms, error {other:.0e} (median {others_typical:.0e})",
        result=f"{faster:.0f} times faster, {better:.0e} times more accurate",
        goal=f">= {TIMES_FASTER:g} times faster at {TIMES_MORE_ACCURATE:g} times the accuracy",
        met=faster >= TIMES_FASTER and better >= TIMES_MORE_ACCURATE,
    )


def _baseline(x: Array) -> tuple[str, Callable[[], Array]]:
    try:
        from freealg.distributions import DeformedMarchenkoPastur  # noqa: PLC0415 - may be absent
    except ImportError:
        return "damped iteration (freealg is not installed)", lambda: damped_iteration(x)
    law = DeformedMarchenkoPastur(list(EIGENVALUES), list(WEIGHTS), c=ASPECT)
    # At its default distance from the real axis; closer it was seen to take other roots at some points.
    return "freealg", lambda: np.asarray(law.density(x))


def damped_iteration(x: Array) -> Array:
    """Iterate v <- (v + 1 / (-z + g sum w t / (1 + t v))) / 2 at z = x + i ABOVE until it settles."""
    z = x + 1j * ABOVE
    v = -1.0 / z
    t, w = np.array(EIGENVALUES), np.array(WEIGHTS)
    for _ in range(100_000):
        following = 1.0 / (-z + ASPECT * (w * t / (1.0 + t * v[:, None])).sum(axis=1))
        if np.max(np.abs(following - v)) < 1e-9:
            break
        v = 0.5 * (v + following)
    return v.imag / (np.pi * ASPECT)


def extended(x: Array, y: Array) -> Array:
    """Solve the Silverstein equation in extended precision, by Newton's method from the solution in double precision."""
    long = np.longdouble
    t, w, g = np.array(EIGENVALUES, long), np.array(WEIGHTS, long), long(ASPECT)
    law = spectra.sample_covariance(
        theory.covariance.discrete(200, eigenvalues=EIGENVALUES, weights=WEIGHTS), 200 / ASPECT
    )
    which = np.searchsorted(law.edges[:, 0] * law.unit, x, side="right") - 1
    u = (law.solve(x / law.unit, which) * law.unit).astype(np.clongdouble)
    for _ in range(4):
        value = u + g * (w * t * u[:, None] / (u[:, None] - t)).sum(axis=1) - x.astype(long)
        slope = 1 - g * (w * t * t / (u[:, None] - t) ** 2).sum(axis=1)
        u = np.where(y > 0.0, u - value / np.where(slope == 0, 1, slope), u)
    return np.where(y > 0.0, (u.imag / np.abs(u) ** 2 / (np.pi * g)), 0.0).astype(float)
