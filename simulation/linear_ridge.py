"""Linear ridge regression at finite size: draw a training set, train, and measure the errors exactly."""

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem

Vector = npt.NDArray[np.float64]

GRAM_CONDITION = 1e8
"""Up to this condition number the Gram matrix is solved; beyond it the singular values of the inputs are used."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearRidgeProblem:
    """A linear target on Gaussian inputs, in the eigenbasis of their covariance, and the ridge that learns it.

    Labels are ``y = mean + w . x + g(x) + noise`` with ``x_i = sqrt(eigenvalue_i) z_i``, z standard normal. The weights
    are ``w_i = sqrt(energy_i / eigenvalue_i)``; by the symmetry of z, neither their signs nor how a group's energy is
    turned within its eigenspace changes the law of any result. The nonlinear part is the quadratic
    ``g = sqrt(nonlinear_variance / (2 d)) sum_i (-1)^i (z_i^2 - 1)``, uncorrelated with constants and linear functions.

    Attributes:
        eigenvalues: shape ``(d,)``, nonnegative: variance of each direction.
        energies: shape ``(d,)``, nonnegative: E[(w_i x_i)^2], in squared units of the label; 0 where the variance is.
        n_samples: whole, at least 1.
        penalty: nonnegative, of ``(1/n) ||y - X theta||^2 + penalty ||theta||^2``; 0 is least squares of least norm.
        noise_variance: of the labels, in training and at test.
        nonlinear_variance: E[g^2].
        mean: E[y].
        fit_intercept: fit an unpenalised constant.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    eigenvalues: npt.ArrayLike
    energies: npt.ArrayLike
    n_samples: int
    penalty: float
    noise_variance: float = 0.0
    nonlinear_variance: float = 0.0
    mean: float = 0.0
    fit_intercept: bool = False

    def __post_init__(self) -> None:
        eigenvalues, energies = np.asarray(self.eigenvalues, float), np.asarray(self.energies, float)
        if eigenvalues.ndim != 1 or eigenvalues.size == 0 or eigenvalues.shape != energies.shape:
            raise InadmissibleProblem(
                f"eigenvalues and energies need one shape (d,), got {eigenvalues.shape} and {energies.shape}"
            )
        if self.n_samples != int(self.n_samples) or self.n_samples < 1:
            raise InadmissibleProblem(f"n_samples must be a whole number, at least 1, got {self.n_samples!r}")
        scalars = {name: getattr(self, name) for name in ("penalty", "noise_variance", "nonlinear_variance")}
        for name, value in {"eigenvalues": eigenvalues, "energies": energies, **scalars}.items():
            if not (np.min(value) >= 0.0 and np.max(value) < np.inf):
                raise InadmissibleProblem(f"{name} must be finite and at least 0")
        if not np.isfinite(self.mean):
            raise InadmissibleProblem(f"mean must be finite, got {self.mean!r}")
        if np.any(energies[eigenvalues == 0.0] > 0.0):
            raise InadmissibleProblem("a linear target has no energy where the inputs have no variance")
        object.__setattr__(self, "eigenvalues", eigenvalues)
        object.__setattr__(self, "energies", energies)

    @property
    def weights(self) -> Vector:
        """The target's weight vector w, shape ``(d,)``."""
        eigenvalues, energies = np.asarray(self.eigenvalues), np.asarray(self.energies)
        return np.sqrt(energies / np.where(eigenvalues > 0.0, eigenvalues, 1.0))


@dataclass(frozen=True, kw_only=True)
class RidgeSamples:
    """What each replicate measured; arrays of shape ``(replicates,)`` in the order of the replicates.

    Attributes:
        test_error: mean squared error against a fresh noisy label, exact for the trained weights.
        excess_risk: ``test_error - noise_variance``.
        train_error: mean squared error on the training set, without the penalty.
        estimator_norm_squared: ``||theta||^2``, the intercept left out.
    """

    test_error: Vector
    excess_risk: Vector
    train_error: Vector
    estimator_norm_squared: Vector


def simulate_ridge(
    problem: LinearRidgeProblem, *, replicates: int, seed: int, first_replicate: int = 0, xp: Any = np
) -> RidgeSamples:
    """Draw, train and measure ``replicates`` independent training sets.

    Replicate r has its own random stream, keyed by ``(seed, r)`` and drawn by NumPy whatever the namespace: it comes
    out the same alone or among others, here or on another machine.

    Args:
        problem: what to draw and how to train.
        replicates: how many.
        seed: nonnegative.
        first_replicate: number of the first one, to carry on where an earlier call stopped.
        xp: array namespace that does the linear algebra: NumPy, CuPy, or another that follows the array API standard.
    """
    rows = [_measured(problem, seed, first_replicate + offset, xp) for offset in range(replicates)]
    test, train, norm = np.asarray(rows, float).reshape(replicates, 3).T
    return RidgeSamples(
        test_error=test + problem.noise_variance, excess_risk=test, train_error=train, estimator_norm_squared=norm
    )


def draw_training_set(problem: LinearRidgeProblem, *, seed: int, replicate: int) -> tuple[Vector, Vector]:
    """Draw the inputs, shape ``(n, d)``, and the labels, shape ``(n,)``, of one replicate."""
    stream = np.random.SeedSequence(seed, spawn_key=(replicate,))
    generator = np.random.Generator(np.random.Philox(stream))
    eigenvalues = np.asarray(problem.eigenvalues)
    standard = generator.standard_normal((int(problem.n_samples), eigenvalues.size))
    noise = np.sqrt(problem.noise_variance) * generator.standard_normal(int(problem.n_samples))
    inputs = standard * np.sqrt(eigenvalues)
    labels = problem.mean + inputs @ problem.weights + noise
    if problem.nonlinear_variance > 0.0:
        signs = 1.0 - 2.0 * (np.arange(eigenvalues.size) % 2)
        labels += np.sqrt(problem.nonlinear_variance / (2.0 * eigenvalues.size)) * ((standard**2 - 1.0) @ signs)
    return inputs, labels


def fit_ridge(inputs: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
    """Minimise ``(1/n) ||y - intercept - X theta||^2 + penalty ||theta||^2``; return theta and the intercept.

    The smaller of the primal and the dual system is solved as it is where the penalty keeps it well conditioned, and
    otherwise the filtered singular values of the inputs; penalty 0 drops those at rounding level and gives the solution
    of least norm. (The standard has a Cholesky factor but no triangular solve, so the system goes to ``solve``.)

    Args:
        inputs: shape ``(n, d)``, of any array API namespace.
        labels: shape ``(n,)``.
        penalty: nonnegative.
        fit_intercept: whether an unpenalised constant is fitted; otherwise the intercept returned is 0.
    """
    xp = array_api_compat.array_namespace(inputs, labels)
    n_samples, n_features = inputs.shape
    centre, level = xp.zeros_like(inputs[0, :]), xp.zeros_like(labels[0])
    if fit_intercept:
        centre, level = xp.mean(inputs, axis=0), xp.mean(labels)
        inputs, labels = inputs - centre, labels - level
    transposed = xp.matrix_transpose(inputs)
    scale = n_samples * penalty
    if scale * GRAM_CONDITION > float(xp.sum(inputs * inputs)):
        if n_features <= n_samples:
            gram = transposed @ inputs + scale * xp.eye(n_features, dtype=inputs.dtype)
            weights = xp.linalg.solve(gram, (transposed @ labels)[:, None])[:, 0]
        else:
            gram = inputs @ transposed + scale * xp.eye(n_samples, dtype=inputs.dtype)
            weights = transposed @ xp.linalg.solve(gram, labels[:, None])[:, 0]
    else:
        left, singular, right = xp.linalg.svd(inputs, full_matrices=False)
        kept = singular > singular[0] * max(n_samples, n_features) * float(xp.finfo(inputs.dtype).eps)
        power = singular * singular + scale
        shrinkage = xp.where(kept, singular, 0.0 * singular) / xp.where(kept, power, xp.ones_like(power))
        weights = xp.matrix_transpose(right) @ (shrinkage * (xp.matrix_transpose(left) @ labels))
    return weights, level - centre @ weights


def _measured(problem: LinearRidgeProblem, seed: int, replicate: int, xp: Any) -> tuple[float, float, float]:
    """Train on one replicate; return excess risk, train error and squared norm."""
    inputs, labels = (xp.asarray(array) for array in draw_training_set(problem, seed=seed, replicate=replicate))
    weights, intercept = fit_ridge(inputs, labels, penalty=problem.penalty, fit_intercept=problem.fit_intercept)
    missed = weights - xp.asarray(problem.weights)
    # Constants, linear functions and g are uncorrelated under the inputs' law, so their errors add up.
    excess = (
        float(xp.asarray(np.asarray(problem.eigenvalues)) @ (missed * missed))
        + (float(intercept) - problem.mean) ** 2
        + problem.nonlinear_variance
    )
    residuals = labels - inputs @ weights - intercept
    return excess, float(residuals @ residuals) / labels.shape[0], float(weights @ weights)
