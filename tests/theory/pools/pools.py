"""Problems that the tests of pools share: Gaussian rows of a known population, and ridge regression spelled out densely."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from theory.modes import Modes
from theory.pools import Pool

Array = NDArray[np.float64]


class Population:
    """Gaussian rows with a power-law covariance, a linear target and noise."""

    def __init__(self, n_features: int = 60, *, exponent: float = 1.3, noise_variance: float = 0.09) -> None:
        self.eigenvalues = np.arange(1.0, n_features + 1.0) ** -exponent
        self.weights = np.random.default_rng(1).standard_normal(n_features) * self.eigenvalues**0.2
        self.noise_variance = noise_variance

    def draw(self, n_rows: int, rng: np.random.Generator, *, mean: float = 0.0) -> tuple[Array, Array]:
        rows = rng.standard_normal((n_rows, self.eigenvalues.size)) * np.sqrt(self.eigenvalues)
        noise = np.sqrt(self.noise_variance) * rng.standard_normal(n_rows)
        return rows, rows @ self.weights + noise + mean

    def modes(self, *, fit_intercept: bool) -> Modes:
        return Modes(
            eigenvalues=self.eigenvalues,
            multiplicities=np.ones_like(self.eigenvalues),
            energies=self.weights**2 * self.eigenvalues,
            noise_variance=self.noise_variance,
            n_unpenalised=int(fit_intercept),
        )


def scores(kernel: Array, targets: Array, cross: Array, ridge: float, *, fit_intercept: bool) -> Array:
    """Train on n rows with ``||y - f||^2 + ridge ||theta||^2`` and return the scores of others: (m, C)."""
    n = kernel.shape[0]
    level = targets.mean(axis=0) if fit_intercept else np.zeros(targets.shape[1])
    if fit_intercept:
        means = kernel.mean(axis=0)
        cross = cross - cross.mean(axis=1, keepdims=True) - means + means.mean()
        kernel = kernel - means - means[:, None] + means.mean()
    return np.asarray(level + cross @ np.linalg.solve(kernel + ridge * np.eye(n), targets - level))


def uncorrected(pool: Pool) -> Pool:
    """Return a pool that transports only, without what trials on its rows found."""
    names = ("corrections", "correction_errors", "rate_corrections", "rate_correction_errors", "trial_luck")
    return replace(pool, **{name: np.zeros_like(getattr(pool, name)) for name in names})
