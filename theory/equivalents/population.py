"""The population problem of features: what any loss sees of them at a ridge, whatever the number of samples.

With Omega the covariance of the features (of each class, where there are classes) and Phi their coupling to what is to be
learned (a class mean, or E[h nu] with nu the latent of a teacher), every convex loss reads the same six traces of
``(Omega + ridge)^-1``.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from theory.covariance import Vector
from theory.equivalents.point import Equivalent

ABUNDANT = 1e60
"""Samples enough for a penalty to be the ridge itself."""
FAR = 1e8
MAX_RESCALINGS = 20


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


@dataclass(frozen=True, kw_only=True)
class EquivalentPopulation:
    """Any equivalent, its energies standing for couplings: ``Phi' (Omega + ridge)^-1 Phi = sum c xi / (xi + ridge)``.

    Attributes:
        equivalent: without an unpenalised constant. The energy of an eigenvalue is the squared coupling over it.
    """

    equivalent: Equivalent

    @property
    def rank(self) -> float:
        """Number of directions with variance."""
        return self.equivalent.rank

    @cached_property
    def trace(self) -> float:
        """``tr Omega``, the limit of ``ridge df1`` for large ridges."""
        return trace_of(self.equivalent)

    def traces(self, ridge: float) -> Traces:
        """Return the traces at a ridge: what is left of the equivalent where samples abound."""
        point = self.equivalent.solve(ABUNDANT, ridge)
        return Traces(
            df1=float(point.df1),
            df2=float(point.df2),
            df_norm=float(point.spread_per_ridge),
            coupling=float(point.learned),
            coupling_variance=float(point.learned_twice + point.feature_variance),
            coupling_norm=float(point.mixed_per_ridge),
        )


def trace_of(equivalent: Equivalent) -> float:
    """Return the trace of the features' second moments."""
    scale = 1.0
    for _ in range(MAX_RESCALINGS):
        far = FAR * scale
        # df1 = trace / ridge - tr Omega^2 / ridge^2 + ...
        found = far * float(equivalent.solve(ABUNDANT, far).df1)
        if 0.1 * scale <= found <= 10.0 * scale:
            return found
        scale = found
    return scale
