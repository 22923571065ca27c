"""The population problem of features: what any loss sees of them at a ridge, whatever the number of samples.

With Omega the covariance of the features (of each class, where there are classes) and Phi their coupling to what is to be
learned (a class mean, or E[h nu] with nu the latent of a teacher), every convex loss reads the same six traces of
``(Omega + ridge)^-1``.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from theory.covariance import Vector


class Traces(NamedTuple):
    """Traces at a ridge, each nonnegative and none formed as a difference.

    Attributes:
        df1: ``tr Omega (Omega + ridge)^-1``.
        df2: ``tr Omega^2 (Omega + ridge)^-2``.
        df_norm: ``tr Omega (Omega + ridge)^-2``.
        coupling: ``Phi' (Omega + ridge)^-1 Phi``.
        coupling_variance: ``Phi' Omega (Omega + ridge)^-2 Phi``.
        coupling_norm: ``Phi' (Omega + ridge)^-2 Phi``.
    """

    df1: float
    df2: float
    df_norm: float
    coupling: float
    coupling_variance: float
    coupling_norm: float


class Population(Protocol):
    """Features and what they are to learn.

    Attributes:
        rank: number of directions with variance; infinite where a tail has infinitely many.
        trace: ``tr Omega``.
    """

    @property
    def rank(self) -> float:
        """Return it."""
        ...

    @property
    def trace(self) -> float:
        """Return it."""
        ...

    def traces(self, ridge: float) -> Traces:
        """Return the traces at a ridge of at least 0."""
        ...


@dataclass(frozen=True, kw_only=True)
class SpectralPopulation:
    """Features known by their eigenvalues.

    Attributes:
        eigenvalues: shape ``(m,)``, nonnegative: of Omega.
        multiplicities: shape ``(m,)``, positive.
        couplings: shape ``(m,)``, nonnegative: ``Phi`` squared, summed over each eigenspace.
    """

    eigenvalues: Vector
    multiplicities: Vector
    couplings: Vector

    @property
    def rank(self) -> float:
        """Number of directions with variance."""
        return float(np.sum(self.multiplicities[self.eigenvalues > 0.0]))

    @property
    def trace(self) -> float:
        """``tr Omega``."""
        return float(self.multiplicities @ self.eigenvalues)

    def traces(self, ridge: float) -> Traces:
        """Return the traces at a ridge; at 0 directions without variance give infinite couplings."""
        s, m, t = self.eigenvalues, self.multiplicities, self.couplings
        with np.errstate(divide="ignore", invalid="ignore"):
            over = 1.0 / (s + ridge)
            kept = np.where(s > 0.0, s * over, 0.0)
            coupled = np.where(t > 0.0, t * over, 0.0)
            coupled_twice = np.where(t > 0.0, coupled * over, 0.0)
        kept_over = np.where(s > 0.0, kept * over, 0.0)
        return Traces(
            df1=float(m @ kept),
            df2=float(m @ (kept * kept)),
            df_norm=float(m @ kept_over),
            coupling=float(np.sum(coupled)),
            coupling_variance=float(np.sum(coupled * kept)),
            coupling_norm=float(np.sum(coupled_twice)),
        )
