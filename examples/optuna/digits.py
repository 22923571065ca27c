"""Two tuning tasks on scikit-learn's digits, and what foretell is told of them.

* kernel: ridge regression with an RBF kernel, over the penalty;
* features: ridge regression on random Fourier features of that kernel, over penalty and width.

300 images train, 600 others validate; inputs are pixels from 0 to 1, targets the one-hot digits, the error the squared
one summed over the ten columns, on the validation rows. The kernel's width is fixed by a rule: 1 over twice the
variance of the pixels together. A seed draws the rows and the features.

What the service is told is an ``eigenspectrum``, estimated on the 900 rows, all of which a tuner has: the leading third
of the centred kernel matrix's eigenvalues as modes, the rest as a tail; as noise the residual variance of the targets
beyond the modes, and as energies their squared projections less the noise that falls on each. What is left below 0 is 0.
Random features are to the theory ``width`` random projections of these modes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel

Array = npt.NDArray[np.float64]

NAMES = ("kernel", "features")
N_TRAIN, N_VALIDATION = 300, 600
PENALTY = {"path": "model.learner.penalty", "lower": 1e-9, "upper": 10.0, "scale": "log"}
WIDTH = {"path": "model.features.width", "lower": 16, "upper": 1024, "scale": "log"}
# What "best" means in the comparison: the least error on this grid, ends of the ranges included.
GRID = {"kernel": (401, 1), "features": (81, 49)}


@dataclass(frozen=True)
class Task:
    """One of ``NAMES`` on the rows, and with the features, that a seed draws."""

    name: str
    seed: int

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"name must be one of {', '.join(NAMES)}, got {self.name!r}")

    @cached_property
    def rows(self) -> tuple[Array, Array]:
        """Pixels (900, 64) and one-hot targets (900, 10), the training rows first."""
        data = load_digits()
        drawn = np.random.default_rng(self.seed).permutation(len(data.target))[: N_TRAIN + N_VALIDATION]
        return data.data[drawn] / 16.0, np.eye(10)[data.target[drawn]]

    @cached_property
    def gamma(self) -> float:
        """The kernel is exp(-gamma |x - x'|^2)."""
        return float(0.5 / self.rows[0].var(0).sum())

    @cached_property
    def kernel(self) -> Array:
        """Of all 900 rows with each other."""
        return np.asarray(rbf_kernel(self.rows[0], gamma=self.gamma))

    @cached_property
    def features(self) -> Array:
        """Fourier features (900, 1024) of unit length on average; the first ``width`` of them are a narrower model's."""
        sampler = RBFSampler(gamma=self.gamma, n_components=WIDTH["upper"], random_state=self.seed)
        return np.asarray(sampler.fit_transform(self.rows[0])) * np.sqrt(WIDTH["upper"])

    @cached_property
    def regime(self) -> dict[str, Any]:
        """The ``eigenspectrum`` of the task, see the top of this file."""
        targets = self.rows[1] - self.rows[1].mean(0)
        freedom = len(targets) - 1
        centred = self.kernel - self.kernel.mean(0) - self.kernel.mean(1)[:, None] + self.kernel.mean()
        values, vectors = eigh(centred)
        values, vectors = np.maximum(values[::-1], 0.0) / freedom, vectors[:, ::-1]
        n_modes = len(targets) // 3
        explained = ((vectors[:, :n_modes].T @ targets) ** 2).sum(1)
        noise = float(((targets**2).sum() - explained.sum()) / (freedom - n_modes))
        return {
            "kind": "eigenspectrum",
            "n_samples": N_TRAIN,
            "eigenvalues": values[:n_modes].tolist(),
            "multiplicities": [1.0] * n_modes,
            "energies": np.maximum((explained - noise) / freedom, 0.0).tolist(),
            "tail_trace": float(values[n_modes:].sum()),
            "noise_variance": noise,
        }

    @property
    def over(self) -> list[dict[str, Any]]:
        """What is searched, as ``POST /v1/optima`` takes it."""
        return [PENALTY] if self.name == "kernel" else [PENALTY, WIDTH]

    def request(self, penalty: float, width: int = WIDTH["upper"]) -> dict[str, Any]:
        """The prediction request for these values; scikit-learn's ``alpha`` is ``300 * penalty``."""
        linear = {"kind": "linear"}
        features = linear if self.name == "kernel" else {"kind": "random_projection", "width": width}
        learner = {"kind": "ridge", "penalty": penalty}
        return {"model": {"features": features, "fit_intercept": True, "learner": learner}, "regime": self.regime}

    def train(self, penalty: float, width: int = WIDTH["upper"]) -> float:
        """Train with scikit-learn and return the validation error."""
        targets = self.rows[1]
        if self.name == "features":
            inputs = self.features[:, :width] / np.sqrt(width)
            fit = Ridge(alpha=N_TRAIN * penalty, solver="svd").fit(inputs[:N_TRAIN], targets[:N_TRAIN])
            return _error(fit.predict(inputs[N_TRAIN:]), targets[N_TRAIN:])
        seen, held_out, mean = _centred(self.kernel), _centred(self.kernel, validation=True), targets[:N_TRAIN].mean(0)
        fit = KernelRidge(alpha=N_TRAIN * penalty, kernel="precomputed").fit(seen, targets[:N_TRAIN] - mean)
        return _error(fit.predict(held_out) + mean, targets[N_TRAIN:])

    @cached_property
    def grid(self) -> Array:
        """Validation errors (penalties, widths) on ``GRID``, from one eigendecomposition a width."""
        n_penalties, n_widths = GRID[self.name]
        penalties = np.geomspace(PENALTY["lower"], PENALTY["upper"], n_penalties)
        if self.name == "kernel":
            return self.errors(self.kernel, penalties)[:, None]
        widths = np.unique(np.geomspace(WIDTH["lower"], WIDTH["upper"], n_widths).round().astype(int))
        kernels = (self.features[:, :width] @ self.features[:N_TRAIN, :width].T / width for width in widths)
        return np.stack([self.errors(kernel, penalties) for kernel in kernels], axis=1)

    def errors(self, kernel: Array, penalties: Array) -> Array:
        """Validation errors of kernel ridge regression with an intercept, at each of the penalties."""
        targets = self.rows[1]
        mean = targets[:N_TRAIN].mean(0)
        values, vectors = eigh(_centred(kernel))
        values = np.maximum(values, 0.0)
        weights, left = vectors.T @ (targets[:N_TRAIN] - mean), _centred(kernel, validation=True) @ vectors
        fits = (left @ (weights / (values + N_TRAIN * penalty)[:, None]) + mean for penalty in penalties)
        return np.array([_error(fit, targets[N_TRAIN:]) for fit in fits])


def _centred(kernel: Array, *, validation: bool = False) -> Array:
    """Kernel of training, or validation, rows with training rows, as the features less their mean over the latter."""
    seen = kernel[:N_TRAIN, :N_TRAIN]
    rows = kernel[N_TRAIN:, :N_TRAIN] if validation else seen
    return np.asarray(rows - rows.mean(1)[:, None] - seen.mean(0) + seen.mean())


def _error(predicted: Array, targets: Array) -> float:
    return float(((predicted - targets) ** 2).sum(1).mean())
