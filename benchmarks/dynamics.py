"""A trajectory of gradient flow, beside adaptive integrals over the spectrum and beside one training run.

The integrals need the density in closed form, which isotropic inputs have; contours need nothing of the kind.
"""

import numpy as np
import numpy.typing as npt
from scipy.integrate import quad

import theory
from benchmarks.report import Report, median_seconds

Array = npt.NDArray[np.float64]

TIMES = np.geomspace(1e-2, 1e4, 50)
N_SAMPLES, N_FEATURES, NOISE = 500, 400, 0.25
GOAL_SECONDS = 0.1
MODES = theory.Modes(
    eigenvalues=np.array([1.0]),
    multiplicities=np.array([float(N_FEATURES)]),
    energies=np.array([1.0]),
    noise_variance=NOISE,
)


def run(report: Report, *, quick: bool = False) -> None:
    """Measure 50 times of linear features."""

    def ours() -> Array:
        return np.asarray(theory.predict_gradient_flow(MODES, float(N_SAMPLES), TIMES).test_error)

    mine = median_seconds(ours, repeats=5 if quick else 30)
    integrals = median_seconds(by_integrals, repeats=1 if quick else 5)
    trained = median_seconds(by_training, repeats=1 if quick else 5)
    gap = float(np.max(np.abs(ours() / by_integrals() - 1.0)))
    report.add(
        "(h) gradient flow, 50 times, linear features",
        f"{1e3 * mine:.1f} ms",
        baseline=f"adaptive integrals over the density {1e3 * integrals:.0f} ms; one training set {1e3 * trained:.0f} ms",
        result=f"{integrals / mine:.1f} times faster than the first, which agree to {gap:.0e};"
        f" {trained / mine:.1f} times than the second",
        goal=f"<= {1e3 * GOAL_SECONDS:g} ms",
        met=mine <= GOAL_SECONDS,
    )


def by_integrals() -> Array:
    """Average what the flow leaves over the Marchenko-Pastur density: test error alone."""
    ratio = N_FEATURES / N_SAMPLES
    low, high = (1.0 - ratio**0.5) ** 2, (1.0 + ratio**0.5) ** 2
    half = (high - low) / 2.0

    def at(time: float) -> float:
        def integrand(t: float) -> float:
            s = low + 2.0 * half * np.sin(t / 2.0) ** 2
            left = np.exp(-time * s)
            error = left * left + NOISE * ratio * (1.0 - left) ** 2 / s
            return float(error * (half * np.sin(t)) ** 2 / (2.0 * np.pi * ratio * s))

        return NOISE + float(quad(integrand, 0.0, np.pi, epsabs=1e-12, epsrel=1e-10, limit=200)[0])

    return np.array([at(time) for time in TIMES])


def by_training() -> Array:
    """Draw one training set and follow its flow in its eigenvectors: one noisy sample of the same curve."""
    generator = np.random.default_rng(0)
    weights = generator.standard_normal(N_FEATURES) / N_FEATURES**0.5
    inputs = generator.standard_normal((N_SAMPLES, N_FEATURES))
    labels = inputs @ weights + NOISE**0.5 * generator.standard_normal(N_SAMPLES)
    left, singular, right = np.linalg.svd(inputs, full_matrices=False)
    rates = singular**2 / N_SAMPLES
    learned = -np.expm1(-np.outer(TIMES, rates)) / singular * (left.T @ labels)
    return NOISE + np.sum((learned @ right - weights) ** 2, axis=1)
