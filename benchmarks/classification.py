"""Logistic regression on two classes, beside a plain state evolution of the same equations.

The plain one does what the equations say: it minimises for every proximal operator, integrates adaptively and iterates with
damping. It is told where to stop.
"""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from benchmarks.report import Report, median_seconds
from theory.classification.convex import ClassificationPrediction, predict_classifier
from theory.classification.labels import MixtureLabels
from theory.classification.logistic import Logistic
from theory.equivalents.population import SpectralPopulation

ACCURACY = 1e-4
"""Of the baseline, relative: its minimiser and its quadrature do not allow much more; the solver reaches 1e-12."""
DAMPING = 0.7
GOAL_SECONDS = 20e-3
TIMES_FASTER = 200.0
N_SAMPLES = 800.0
PENALTIES = (0.1, 1e-3)
ISOTROPIC = SpectralPopulation(eigenvalues=np.array([1.0]), multiplicities=np.array([400.0]), couplings=np.array([2.0]))
TWO_ATOMS = SpectralPopulation(
    eigenvalues=np.array([0.5, 2.0]), multiplicities=np.array([200.0, 200.0]), couplings=np.array([1.0, 1.0])
)


class Evolved(NamedTuple):
    """Mean margin, score variance and proximal parameter, and the iterations that they took."""

    mean_margin: float
    score_variance: float
    proximal: float
    iterations: int


def run(report: Report, *, quick: bool = False) -> None:
    """Measure isotropic inputs and two eigenvalues, at a moderate and at a small penalty."""
    for name, population in (("isotropic", ISOTROPIC), ("two eigenvalues", TWO_ATOMS)):
        for penalty in PENALTIES:
            if quick and (penalty, name) != (PENALTIES[0], "isotropic"):
                continue
            ours, plain, iterations = compare(population, penalty, repeats=50 if quick else 200)
            report.add(
                f"(g) logistic regression, {name}, penalty {penalty:g}",
                f"{1e3 * ours:.2f} ms",
                baseline=f"plain state evolution {plain:.1f} s ({iterations} steps)",
                result=f"{plain / ours:.0f} times faster",
                goal=f"<= {1e3 * GOAL_SECONDS:.0f} ms and {TIMES_FASTER:g} times faster",
                met=ours <= GOAL_SECONDS and plain >= TIMES_FASTER * ours,
            )


def compare(population: SpectralPopulation, penalty: float, *, repeats: int) -> tuple[float, float, int]:
    """Return the seconds of one prediction, those of the baseline, timed once in the same run, and its iterations."""
    labels = MixtureLabels(positive_fraction=0.5, fit_intercept=False)

    def predict() -> ClassificationPrediction:
        return predict_classifier(population, labels, Logistic(), n_samples=N_SAMPLES, penalty=penalty)

    reference = predict()
    assert reference.status == "converged"
    evolved: list[Evolved] = []

    def evolve() -> None:
        evolved.append(straightforward_state_evolution(population, N_SAMPLES, penalty, reference=reference))

    ours = median_seconds(predict, repeats=repeats)
    # One call, unwarmed: it takes seconds.
    plain = _seconds(evolve)
    return ours, plain, evolved[0].iterations


def straightforward_state_evolution(
    population: SpectralPopulation,
    n_samples: float,
    penalty: float,
    *,
    reference: ClassificationPrediction,
    accuracy: float = ACCURACY,
) -> Evolved:
    """Iterate m, q and V of two classes without an intercept, by adaptive quadrature over a scalar minimiser.

    The stopping rule compares with the solution itself, which favours the baseline: it could not know when to stop.
    """
    s, counts, t = population.eigenvalues, population.multiplicities, population.couplings
    goal = np.array([reference.mean_margin, reference.score_variance, reference.proximal])
    state = np.array([0.1, 0.1, min(1.0, population.trace / (n_samples * penalty))])
    for iteration in range(1, 10_000):
        mean, variance, proximal = state
        deviation = np.sqrt(variance)

        def average(
            function: Callable[[float, float], float],
            mean: float = mean,
            deviation: float = deviation,
            proximal: float = proximal,
        ) -> float:
            def integrand(z: float) -> float:
                p = proximal_operator(mean + deviation * z, proximal)
                return float(function(p, proximal) * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))

            return float(quad(integrand, -8.0, 8.0, epsabs=1e-10, epsrel=1e-6, limit=200)[0])

        mean_conjugate = average(lambda p, _: 1.0 / (1.0 + np.exp(p)))
        variance_conjugate = average(lambda p, _: 1.0 / (1.0 + np.exp(p)) ** 2)
        curvature = average(lambda p, v: 1.0 / (v + (1.0 + np.exp(p)) * (1.0 + np.exp(-p))))
        over = 1.0 / (penalty + curvature * s)
        following = np.array(
            [
                mean_conjugate * float(t @ over),
                mean_conjugate**2 * float(t @ (s * over**2))
                + variance_conjugate / n_samples * float(counts @ (s * over) ** 2),
                float(counts @ (s * over)) / n_samples,
            ]
        )
        state = (1.0 - DAMPING) * state + DAMPING * following
        if np.all(np.abs(state - goal) <= accuracy * goal):
            return Evolved(float(state[0]), float(state[1]), float(state[2]), iteration)
    raise RuntimeError("the baseline did not converge")


def proximal_operator(u: float, proximal: float) -> float:
    """Minimise ``log(1 + exp(-p)) + (p - u)^2 / (2 V)``."""
    return float(
        minimize_scalar(
            lambda p: np.logaddexp(0.0, -p) + (p - u) ** 2 / (2.0 * proximal),
            bounds=(u, u + proximal),
            method="bounded",
            options={"xatol": 1e-7},
        ).x
    )


def _seconds(function: Callable[[], object]) -> float:
    started = perf_counter()
    function()
    return perf_counter() - started
