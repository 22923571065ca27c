"""Feature families side by side, each with modes and neurons of its own: random Fourier features.

With shares ``p_b = N_b / N`` of the features, the families' kernels being K_b and that of all ``sum p_b K_b``, the outer ridge
kappa and the families' own ridges k_b solve

    kappa (1 - sum_b df_b(k_b) / n) = penalty,      k_b (1 - df_b(k_b) / N_b) = kappa / p_b.

Source: the equivalent of a single family is that of Simon et al., arXiv:2311.14646; that families need ridges of their own
is the finding of Liao, Couillet, Mahoney, arXiv:2006.05013, for cosines and sines.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from theory.equivalents.point import Complex, Continued, Point, Share, joined, phase_of
from theory.modes import Modes
from theory.namespace import single
from theory.solvers.continuation import follow
from theory.solvers.effective_ridge import THRESHOLD_TOLERANCE, solve_effective_ridge
from theory.solvers.increasing import Root, solve_increasing

RESIDUAL_TOLERANCE = 1e-10


class _Sums(NamedTuple):
    """Sums over the families at an outer ridge; those per ridge are divided by it."""

    margin: float
    df1: float
    df2: float
    spread_per_ridge: float
    mixed_per_ridge: float
    mixed: float
    feature_variance: float
    bias: float
    learned: float
    learned_twice: float
    solved: bool


@dataclass(frozen=True, kw_only=True)
class BlockEquivalent:
    """Several families of random features.

    Attributes:
        families: the mode table of each family's kernel; no mode belongs to two. Noise, and what no family expresses, is in the
            first; the others have none of either.
        widths: number of features of each family.
        constant: eigenvalue of the constant among a family's modes, 0 if there is none.
        n_unpenalised: 0, or 1 when an intercept is fitted beside the features; that of the families is 0.
    """

    families: tuple[Modes, ...]
    widths: tuple[float, ...]
    constant: float = 0.0
    n_unpenalised: int = 0

    @property
    def tables(self) -> tuple[Modes, ...]:
        """Those of the families."""
        return self.families

    @property
    def rank(self) -> float:
        """Most samples that the features can interpolate."""
        return sum(min(width, float(modes.rank)) for modes, width in zip(self.families, self.widths, strict=True))

    def without_constant(self) -> "BlockEquivalent":
        """Return the features less their mean."""
        families = []
        for modes in self.families:
            others = modes.eigenvalues != self.constant
            families.append(
                replace(modes, multiplicities=modes.multiplicities * others, energies=modes.energies * others)
            )
        return replace(self, families=tuple(families), constant=0.0)

    def solve(self, n_samples: Any, penalty: Any) -> Point:
        """Return the point at real sizes and penalties; see :class:`theory.equivalents.point.Equivalent`."""
        if np.ndim(n_samples) or np.ndim(penalty):
            pairs = np.broadcast_arrays(np.asarray(n_samples, float), np.asarray(penalty, float))
            return joined([self._solve(float(n), float(lam)) for n, lam in zip(*pairs, strict=True)])
        return self._solve(float(n_samples), float(penalty))

    def continued(self, n_samples: float, penalty: Complex) -> Continued:
        """Continue to complex penalties; see :class:`theory.equivalents.point.Equivalent`.

        The families' ridges follow that of the outer one along the same turn of the phase.
        """
        penalty = np.asarray(penalty, complex)
        flat = penalty.ravel()
        reference = float(np.exp(np.mean(np.log(np.abs(flat)))))
        start = self._root(n_samples, reference).ridge
        memory = [
            np.full(flat.shape, solve_effective_ridge(modes, width, self._inner(start, width)).ridge, complex)
            for modes, width in zip(self.families, self.widths, strict=True)
        ]

        def equation(outer: Complex) -> tuple[Complex, Complex]:
            df1, spread = np.zeros_like(outer), np.zeros_like(outer)
            for position, (modes, width) in enumerate(zip(self.families, self.widths, strict=True)):
                ridge = memory[position] = _followed(modes, width, self._inner(outer, width), memory[position])
                family_df1, family_spread = _complex_sums(modes, ridge)
                margin = 1.0 - family_df1 / width
                df1 += family_df1
                spread += family_spread * margin / (margin + family_spread / width)
            margin = 1.0 - df1 / n_samples
            return outer * margin, 1.0 + spread / n_samples / margin

        outer, converged = follow(equation, np.full(flat.shape, start, complex), reference, flat)
        equation(outer)
        df1 = np.zeros_like(outer)
        for modes, ridge in zip(self.families, memory, strict=True):
            df1 += _complex_sums(modes, ridge)[0]
        return Continued(
            ridge=outer.reshape(penalty.shape),
            df1=df1.reshape(penalty.shape),
            shares=tuple(
                Share(ridge.reshape(penalty.shape), modes.eigenvalues, modes.energies)
                for modes, ridge in zip(self.families, memory, strict=True)
            ),
            unlearnable_variance=sum(float(modes.unlearnable_variance) for modes in self.families),
            noise_variance=sum(float(modes.noise_variance) for modes in self.families),
            converged=converged.reshape(penalty.shape),
        )

    def _inner(self, outer: Any, width: float) -> Any:
        """The penalty that a family sees: ``kappa / p_b``."""
        return outer * (sum(self.widths) / width)

    def inner_ridges(self, outer: float) -> tuple[float, ...]:
        """Return the families' own ridges at an outer one."""
        return tuple(
            float(solve_effective_ridge(modes, width, self._inner(outer, width)).ridge)
            for modes, width in zip(self.families, self.widths, strict=True)
        )

    def _sums(self, outer: float, n_samples: float) -> _Sums:
        margins, solved = [], True
        df1, df2, spread_per, mixed_per, mixed, feature_variance, bias, learned, learned_twice = (0.0,) * 9
        for modes, width in zip(self.families, self.widths, strict=True):
            root = solve_effective_ridge(modes, width, self._inner(outer, width))
            ridge, left = root.ridge, root.sample_margin / width
            xi, m, c = modes.eigenvalues, modes.multiplicities, modes.energies
            over = 1.0 / (xi + ridge)
            kept, shrunk = xi * over, ridge * over
            tail = float(modes.tail_trace) / ridge if modes.tail_trace else 0.0
            spread, family_mixed = float(m @ (kept * shrunk)) + tail, float(c @ (kept * shrunk))
            # The elasticity d log k_b / d log kappa = left / (left + spread / N); with left = kappa / (p_b k_b) it is
            # finite per kappa, and so are the sums per k_b, where both ridges vanish.
            total_left = left + spread / width
            steady = spread / width / total_left
            per_ridge = sum(self.widths) / width / total_left
            margins.append(root.sample_margin)
            df1 += float(m @ kept) + tail
            df2 += float(m @ (kept * kept)) + steady * spread
            spread_per += per_ridge * (float(m @ (kept * over)) + (tail / ridge if tail else 0.0))
            mixed_per += per_ridge * float(c @ (kept * over))
            mixed += family_mixed
            learned += float(c @ kept)
            learned_twice += float(c @ (kept * kept))
            feature_variance += steady * family_mixed
            bias += float(c @ (shrunk * shrunk)) + float(modes.unlearnable_variance)
            solved = solved and bool(root.converged)
        # Few samples: their number less df1. Many: what they exceed the features by, and what the features leave.
        surplus = n_samples - sum(self.widths)
        margin = surplus + sum(margins) if surplus >= 0.0 else n_samples - df1
        return _Sums(
            margin, df1, df2, spread_per, mixed_per, mixed, feature_variance, bias, learned, learned_twice, solved
        )

    def _root(self, n_samples: float, penalty: float) -> Root:
        """Find the outer ridge."""
        at_rank = penalty == 0.0 and n_samples < self.rank
        if penalty == 0.0 and not at_rank:
            return Root(0.0, 0.0, 1, converged=True)

        def equation(outer: float) -> tuple[float, float]:
            sums = self._sums(outer, n_samples)
            spread = sums.spread_per_ridge * outer
            if at_rank:
                return sums.margin, spread
            return outer * sums.margin / n_samples, outer * (sums.margin + spread) / n_samples

        start = sum(float(modes.trace) for modes in self.families) / max(n_samples, self.rank) + penalty
        return solve_increasing(equation, penalty, start=start, vanishing=False)

    def _solve(self, n_samples: float, penalty: float) -> Point:
        available = n_samples - self.n_unpenalised
        starved = available <= 0.0
        level = penalty if starved else penalty * n_samples / available
        samples = 1.0 if starved else available
        with np.errstate(all="ignore"):
            root = self._root(samples, level)
            sums = self._sums(root.ridge, samples)
        ridge = root.ridge
        threshold = abs(samples - self.rank) <= THRESHOLD_TOLERANCE * samples
        margin = samples * level / ridge if level > 0.0 else 0.0 if samples <= self.rank or threshold else sums.margin
        noise = sum(float(modes.noise_variance) for modes in self.families)
        return Point(
            outer_ridge=np.inf if starved else ridge,
            target_ridge=np.inf if starved else ridge,
            sample_margin=0.0 if starved else margin,
            df1=0.0 if starved else sums.df1,
            df2=0.0 if starved else sums.df2,
            spread=sums.spread_per_ridge * ridge,
            spread_per_ridge=sums.spread_per_ridge,
            bias=sums.bias,
            noise_variance=noise,
            feature_variance=sums.feature_variance,
            total=sums.bias + noise + sums.mixed,
            mixed_per_ridge=sums.mixed_per_ridge,
            learned=sums.learned,
            learned_twice=sums.learned_twice,
            n_unpenalised=self.n_unpenalised,
            recovered=np.inf,
            starved=starved,
            phase=phase_of(single, available, self.rank, THRESHOLD_TOLERANCE),
            converged=bool(starved or (root.converged and sums.solved and root.residual <= RESIDUAL_TOLERANCE)),
            residual=root.residual if np.isfinite(root.residual) else 1.0,
            iterations=root.iterations,
        )


def _complex_sums(modes: Modes, ridge: Complex) -> tuple[Complex, Complex]:
    """Return df1 and ``-d df1 / d log ridge``."""
    over = 1.0 / (modes.eigenvalues + ridge[:, None])
    kept, tail = modes.eigenvalues * over, modes.tail_trace / ridge
    return kept @ modes.multiplicities + tail, (kept * (ridge[:, None] * over)) @ modes.multiplicities + tail


def _followed(modes: Modes, width: float, wanted: Complex, ridge: Complex) -> Complex:
    """Newton's method for ``ridge (1 - df1 / width) = wanted`` from where it was solved before."""
    for _ in range(50):
        df1, spread = _complex_sums(modes, ridge)
        margin = 1.0 - df1 / width
        change = np.log(wanted / (ridge * margin)) / (1.0 + spread / width / margin)
        change = change / np.maximum(np.abs(change) / 0.5, 1.0)
        ridge = ridge * np.exp(change)
        if np.all(~(np.abs(change) > 1e-14)):
            break
    return ridge
