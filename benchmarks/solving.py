"""One solve of the effective ridge, beside a plain damped iteration of the same equation to the same accuracy."""

import numpy as np

import theory
from benchmarks.report import Report, median_seconds
from theory import Modes

ACCURACY = 1e-13
"""Of the baseline, relative: its rounding errors add up and keep it from reaching 1e-14; the solver reaches 1e-16."""
DAMPING = 0.5


def run(report: Report, *, quick: bool = False) -> None:
    """Measure isotropic, 400 and 10^4 atoms at n = d, penalty 1e-4."""
    repeats = 200 if quick else 2000
    generator = np.random.default_rng(0)
    for name, n_atoms, goal in (("isotropic", 1, 150e-6), ("400 atoms", 400, 150e-6), ("10^4 atoms", 10_000, 1e-3)):
        eigenvalues = np.ones(1) if n_atoms == 1 else generator.gamma(2.0, 0.5, size=n_atoms)
        counts = np.full(n_atoms, 400.0 if n_atoms == 1 else 1.0)
        modes = Modes(
            eigenvalues=eigenvalues,
            multiplicities=counts,
            energies=counts * eigenvalues / counts.sum(),
            noise_variance=0.25,
        )
        n_samples = float(counts.sum())
        predict = median_seconds(lambda: theory.predict_ridge(modes, n_samples, 1e-4), repeats=repeats)  # noqa: B023
        solve = median_seconds(lambda: theory.solve_effective_ridge(modes, n_samples, 1e-4), repeats=repeats)  # noqa: B023
        ridge = theory.solve_effective_ridge(modes, n_samples, 1e-4).ridge
        iterated, n_iterations = damped_iteration(eigenvalues, counts, n_samples, 1e-4, reference=ridge)
        assert abs(iterated / ridge - 1.0) <= ACCURACY
        plain = median_seconds(
            lambda: damped_iteration(eigenvalues, counts, n_samples, 1e-4, reference=ridge),  # noqa: B023
            repeats=3 if quick else 7,
        )
        report.add(
            f"(c) effective ridge, {name}, n = d, penalty 1e-4",
            f"{1e6 * solve:.0f} us",
            baseline=f"damped iteration {1e3 * plain:.2f} ms ({n_iterations} steps)",
            result=f"{plain / solve:.0f} times faster",
            goal=">= 100 times faster" if n_atoms <= 400 else "",
            met=plain / solve >= 100 if n_atoms <= 400 else None,
        )
        report.add(
            f"(c) whole prediction, {name}",
            f"{1e6 * predict:.0f} us",
            goal=f"<= {1e6 * goal:.0f} us",
            met=predict <= goal,
        )


def damped_iteration(
    eigenvalues: np.ndarray, counts: np.ndarray, n_samples: float, penalty: float, *, reference: float
) -> tuple[float, int]:
    """Iterate k <- penalty + k df1(k) / n, damped by a half, until k is as accurate as asked.

    The stopping rule compares with the root itself, which favours the baseline: it could not know when to stop.
    """
    ridge = penalty + float(counts @ eigenvalues) / n_samples
    for iteration in range(1, 10_000_000):
        df1 = float(counts @ (eigenvalues / (eigenvalues + ridge)))
        ridge = (1.0 - DAMPING) * ridge + DAMPING * (penalty + ridge * df1 / n_samples)
        if abs(ridge - reference) <= ACCURACY * reference:
            return ridge, iteration
    raise RuntimeError("the baseline did not converge")
