"""What a learner reads of an equivalent at a solved fixed point, whatever the features."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from theory.modes import Modes

Complex = npt.NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """An equivalent at one sample size and penalty; floats for one problem, arrays of shape ``(batch,)`` for a batch.

    With ``kappa`` the outer ridge, ``df(kappa)`` the trace of the hat matrix, and ``T(kappa)`` the least of
    ``E (y - theta . h)^2 + kappa ||theta||^2`` over theta, everything that square loss asks for is in the values and the
    logarithmic derivatives of the two. All entries are nonnegative, and none was formed as a difference.

    Attributes:
        outer_ridge: kappa, with ``penalty = kappa (1 - df / n)``: the penalty that acts on the population problem.
        target_ridge: the ridge by which the target's modes are shrunk, in units of the equivalent's innermost
            eigenvalues; the same as ``outer_ridge`` unless random features lie between.
        sample_margin: ``n - df``, an unpenalised constant counted in df.
        df1: df(kappa) without the constant.
        df2: ``df - spread``.
        spread: ``-d df / d log kappa``.
        spread_per_ridge: ``spread / kappa``, by its limit where kappa is 0.
        bias: squared bias of the predictor averaged over data and features, with what the features cannot express.
        noise_variance: of the labels.
        feature_variance: what the randomness of the features adds; ``bias + noise_variance + feature_variance`` is
            ``T - kappa T'``.
        total: T.
        mixed_per_ridge: T', by its limit where kappa is 0.
        learned: what the population problem explains of the target, ``sum c f`` with f = xi / (xi + ridge); T is the rest.
        learned_twice: ``sum c f^2``.
        n_unpenalised: constants fitted beside the features.
        recovered: squared norm of the estimator where no sample is left over and nothing acts as noise.
        starved: an unpenalised constant leaves no sample; the ridges are infinite and nothing else is meant.
        phase: "underparameterized", "threshold" or "overparameterized".
        converged: whether the fixed point passed its checks.
        residual: relative error of the solved ridge, estimated by one more Newton step.
        iterations: evaluations that the solver made, for each problem.
    """

    outer_ridge: Any
    target_ridge: Any
    sample_margin: Any
    df1: Any
    df2: Any
    spread: Any
    spread_per_ridge: Any
    bias: Any
    noise_variance: Any
    feature_variance: Any
    total: Any
    mixed_per_ridge: Any
    learned: Any
    learned_twice: Any
    n_unpenalised: int
    recovered: Any
    starved: Any
    phase: Any
    converged: Any
    residual: Any
    iterations: Any


class Share(NamedTuple):
    """A part of the target at complex penalties: ``T = sum c_i ridge / (xi_i + ridge)`` over its modes.

    Attributes:
        ridge: of the penalties' shape.
        eigenvalues: shape ``(m,)``.
        energies: shape ``(m,)``.
    """

    ridge: Complex
    eigenvalues: npt.NDArray[np.float64]
    energies: npt.NDArray[np.float64]

    @property
    def total(self) -> Complex:
        """T of this part."""
        column = self.ridge[..., None]
        lost: Complex = (column / (self.eigenvalues + column)) @ self.energies
        return lost

    @property
    def learned(self) -> Complex:
        """The rest of its energy, ``sum c_i xi_i / (xi_i + ridge)``."""
        kept: Complex = (self.eigenvalues / (self.eigenvalues + self.ridge[..., None])) @ self.energies
        return kept


class Continued(NamedTuple):
    """The two scalar functions at complex penalties, each of their shape.

    Attributes:
        ridge: kappa; ``(1/n) tr (H H'/n + penalty)^-1 = 1 / kappa``, H the n feature vectors.
        df1: df(kappa), with ``penalty = kappa (1 - df / n)``.
        shares: of the target, by families of modes that have a ridge of their own.
        unlearnable_variance: what no family expresses.
        noise_variance: of the labels.
        converged: whether Newton's method followed the branch to the end.
    """

    ridge: Complex
    df1: Complex
    shares: tuple[Share, ...]
    unlearnable_variance: float
    noise_variance: float
    converged: npt.NDArray[np.bool_]

    @property
    def total(self) -> Complex:
        """T(kappa)."""
        total = np.full(self.ridge.shape, self.unlearnable_variance + self.noise_variance, complex)
        for share in self.shares:
            total += share.total
        return total

    @property
    def learned(self) -> Complex:
        """What the population problem explains of the target; T is the rest."""
        learned = np.zeros(self.ridge.shape, complex)
        for share in self.shares:
            learned += share.learned
        return learned


class Equivalent(Protocol):
    """Features in a regime, as square loss sees them: the map from a penalty to kappa and T.

    Attributes:
        constant: eigenvalue of the constant that the features form, 0 if they have no mean.
        rank: how many samples the features can interpolate at most; infinite with a tail.
        tables: the mode tables that it is made of.
        n_unpenalised: constants fitted beside the features, 0 or 1.
    """

    @property
    def tables(self) -> tuple[Modes, ...]:
        """Return them."""
        ...

    @property
    def n_unpenalised(self) -> int:
        """Return it."""
        ...

    @property
    def rank(self) -> float:
        """Return it."""
        ...

    @property
    def constant(self) -> float:
        """Return it."""
        ...

    def without_constant(self) -> "Equivalent":
        """Return the features less their mean."""
        ...

    def solve(self, n_samples: Any, penalty: Any) -> Point:
        """Return the point at real sizes and penalties."""
        ...

    def continued(self, n_samples: float, penalty: Complex) -> Continued:
        """Continue kappa and T from positive penalties to complex ones, off the negative real axis.

        Args:
            n_samples: n, without an unpenalised constant.
            penalty: any shape; nonzero, the phase within (-pi, pi).

        Returns:
            Values on the branch with ``Im kappa Im penalty >= 0``.
        """
        ...


def phase_of(xp: Any, available: Any, parameters: Any, tolerance: float) -> Any:
    """Name the side of the interpolation threshold.

    Args:
        xp: namespace of :mod:`theory.namespace`.
        available: samples less unpenalised constants.
        parameters: number of features that count, the rank at most.
        tolerance: relative difference below which the two are the same.
    """
    at_threshold = abs(available - parameters) <= tolerance * abs(available)
    side = xp.where(available > parameters, "underparameterized", "overparameterized")
    return xp.where(at_threshold, "threshold", side)


def joined(pieces: list[Point]) -> Point:
    """Return one batch of points that were solved one by one or piece by piece."""
    if len(pieces) == 1 and np.ndim(pieces[0].outer_ridge):
        return pieces[0]
    whole: dict[str, Any] = {"n_unpenalised": pieces[0].n_unpenalised}
    for name in Point.__slots__:
        if name not in whole:
            parts = [np.atleast_1d(getattr(piece, name)) for piece in pieces]
            sizes = [np.size(piece.outer_ridge) for piece in pieces]
            # A field that is the same for a whole piece may be a number there.
            whole[name] = np.concatenate(
                [np.broadcast_to(part, (size,)) for part, size in zip(parts, sizes, strict=True)]
            )
    return Point(**whole)
