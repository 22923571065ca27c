"""Modes seen as they are, or through finitely many random combinations of them: linear models, kernels, shallow features."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from theory.equivalents.point import Complex, Continued, Point, Share, joined, phase_of
from theory.modes import Modes
from theory.namespace import batch, namespace_of
from theory.solvers.continuation import follow
from theory.solvers.effective_ridge import THRESHOLD_TOLERANCE, EffectiveRidge, solve_effective_ridge

CHUNK_ENTRIES = 2_000_000
"""A batch is worked off in pieces of about this many matrix entries (16 MB an array)."""


@dataclass(frozen=True, kw_only=True)
class ModalEquivalent:
    """A mode table, and how many random features of it the learner sees.

    Attributes:
        modes: see :class:`theory.modes.Modes`.
        width: number N > 0 of random features over the modes, scalar or ``(batch,)``; infinite for linear models and
            kernels.
        constant: eigenvalue of the constant among the modes, 0 if the features form none.

    Source: Hastie et al., arXiv:1903.08560, for infinite width; for finite width Simon et al., arXiv:2311.14646, and
        Atanasov et al., arXiv:2405.00592.
    """

    modes: Modes
    width: Any = np.inf
    constant: float = 0.0

    @property
    def tables(self) -> tuple[Modes, ...]:
        """The mode table."""
        return (self.modes,)

    @property
    def n_unpenalised(self) -> int:
        """Constants fitted beside the features."""
        return self.modes.n_unpenalised

    @property
    def rank(self) -> float:
        """How many samples the features can interpolate at most; of one problem."""
        return float(min(self.width, self.modes.rank))

    def is_single(self, *sizes: object) -> bool:
        """Whether this and the sizes beside it describe one problem rather than a batch."""
        return self.modes.is_single(*sizes, self.width)

    def without_constant(self) -> "ModalEquivalent":
        """Return the features less their mean."""
        if self.constant == 0.0:
            return self
        others = self.modes.eigenvalues != self.constant
        multiplicities = self.modes.multiplicities * others
        count = self.modes.count
        if count is not None:
            count -= float(np.sum(self.modes.multiplicities) - np.sum(multiplicities))
        modes = replace(self.modes, multiplicities=multiplicities, energies=self.modes.energies * others, count=count)
        return replace(self, modes=modes, constant=0.0)

    def solve(self, n_samples: Any, penalty: Any) -> Point:
        """Return the point at real sizes and penalties; see :class:`theory.equivalents.point.Equivalent`."""
        modes, width = self.modes, self.width
        if self.is_single(n_samples, penalty):
            with np.errstate(all="ignore"):
                root = solve_effective_ridge(modes, n_samples, penalty, width=width)
                return _point(namespace_of(modes), modes, root, float(n_samples), float(width))
        sizes = (n_samples, penalty, width)
        shape = np.broadcast_shapes(modes.eigenvalues.shape[:-1], *(np.shape(value) for value in sizes))
        samples, penalties, widths = (np.array(np.broadcast_to(value, shape), float) for value in sizes)
        per_chunk = max(1, CHUNK_ENTRIES // modes.eigenvalues.shape[-1])
        pieces = []
        with np.errstate(all="ignore"):
            for start in range(0, shape[0], per_chunk):
                piece = slice(start, start + per_chunk)
                rows = modes.rows(piece)
                root = solve_effective_ridge(rows, samples[piece], penalties[piece], width=widths[piece])
                pieces.append(_point(batch, rows, root, samples[piece], widths[piece]))
        return joined(pieces)

    def continued(self, n_samples: float, penalty: Complex) -> Continued:
        """Continue to complex penalties; see :class:`theory.equivalents.point.Equivalent`."""
        modes, width = self.modes, float(self.width)
        xi, m = modes.eigenvalues, modes.multiplicities
        penalty = np.asarray(penalty, complex)
        flat = penalty.ravel()
        # From the positive penalty of the same size only the phase is left to turn.
        reference = np.abs(flat)
        penalised = replace(modes, n_unpenalised=0) if modes.n_unpenalised else modes
        start = np.asarray(solve_effective_ridge(penalised, n_samples, reference, width=width).ridge, complex)

        def equation(ridge: Complex) -> tuple[Complex, Complex]:
            """Return the penalty at an inner ridge, and its logarithmic derivative."""
            resolvent = 1.0 / (xi + ridge[:, None])
            kept = xi * resolvent
            tail = modes.tail_trace / ridge
            df1 = kept @ m + tail
            spread = (kept * (ridge[:, None] * resolvent)) @ m + tail
            sample_margin, width_margin = 1.0 - df1 / n_samples, 1.0 - df1 / width
            growth = 1.0 + spread / n_samples / sample_margin + spread / width / width_margin
            return ridge * sample_margin * width_margin, growth

        ridge, converged = follow(equation, start, reference, flat)
        df1 = (xi / (xi + ridge[:, None])) @ m + modes.tail_trace / ridge
        outer = ridge * (1.0 - df1 / width)
        return Continued(
            ridge=outer.reshape(penalty.shape),
            df1=df1.reshape(penalty.shape),
            shares=(Share(ridge.reshape(penalty.shape), xi, modes.energies),),
            unlearnable_variance=float(modes.unlearnable_variance),
            noise_variance=float(modes.noise_variance),
            converged=converged.reshape(penalty.shape),
        )


def point_at(modes: Modes, root: EffectiveRidge, n_samples: float) -> Point:
    """Return the point of one problem of infinite width at a ridge that was found by other means.

    Args:
        modes: one mode table.
        root: the ridge and its margins.
        n_samples: n.
    """
    with np.errstate(all="ignore"):
        return _point(namespace_of(modes), modes, root, float(n_samples), np.inf)


def _point(xp: Any, modes: Modes, root: EffectiveRidge, n: Any, width: Any) -> Point:
    ridge, width_margin = root.ridge, root.width_margin
    starved = xp.isinf(ridge)
    k = xp.where(starved, 1.0, ridge)
    xi, m, c = xp.modes(modes.eigenvalues), xp.modes(modes.multiplicities), xp.modes(modes.energies)
    column = xp.column(k)
    resolvent = 1.0 / (xi + column)
    kept, shrunk = xi * resolvent, column * resolvent
    safe_ridge = xp.where(k > 0.0, k, 1.0)
    tail_per_ridge = modes.tail_trace / safe_ridge

    kept_resolvent = kept * resolvent
    df1 = xp.sum_modes(m, kept) + tail_per_ridge
    df2 = xp.sum_modes(m, kept * kept)
    # (df1 - df2) / k and (T - B) / k, from sums that stay exact at k = 0.
    spread_per_ridge = xp.sum_modes(m, kept_resolvent) + tail_per_ridge / safe_ridge
    mixed_per_ridge = xp.sum_modes(c, kept_resolvent)
    # df1 - df2 and T - B; not k times the sums above, which overflow for eigenvalues of 1e-300.
    kept_shrunk = kept * shrunk
    spread = xp.sum_modes(m, kept_shrunk) + tail_per_ridge
    mixed = xp.sum_modes(c, kept_shrunk)
    bias = xp.sum_modes(c, shrunk * shrunk) + modes.unlearnable_variance

    # rho = (N - df1) / (N - df2) = d log k / d log outer ridge, 1 for infinite width.
    width_left = width_margin + spread / width
    no_width_left = width_left == 0.0
    safe_width_left = xp.where(no_width_left, 1.0, width_left)
    rho = xp.where(no_width_left, 0.0, width_margin / safe_width_left)
    one_minus_rho = xp.where(no_width_left, 1.0, spread / width / safe_width_left)

    # Without noise the interpolator recovers the target exactly at the threshold: sum c / xi, for infinite width.
    square = (width_margin <= 0.0) & (mixed_per_ridge > 0.0)
    recovered = mixed_per_ridge / xp.where(width_margin > 0.0, width_margin, 1.0)
    return Point(
        outer_ridge=ridge * xp.where(starved, 1.0, width_margin),
        target_ridge=ridge,
        sample_margin=root.sample_margin,
        df1=xp.where(starved, 0.0, df1),
        df2=xp.where(starved, 0.0, df2 + one_minus_rho * spread),
        spread=rho * spread,
        spread_per_ridge=spread_per_ridge / safe_width_left,
        bias=bias,
        noise_variance=modes.noise_variance,
        feature_variance=one_minus_rho * mixed,
        total=bias + modes.noise_variance + mixed,
        # No width left: features as many as the modes are too often nearly singular, and their weights have no mean square.
        mixed_per_ridge=xp.where(
            no_width_left & (bias + mixed_per_ridge + modes.noise_variance > 0.0),
            np.inf,
            mixed_per_ridge / safe_width_left,
        ),
        learned=xp.sum_modes(c, kept),
        learned_twice=xp.sum_modes(c, kept * kept),
        n_unpenalised=modes.n_unpenalised,
        recovered=xp.where(square, np.inf, recovered),
        starved=starved,
        phase=phase_of(xp, n - modes.n_unpenalised, xp.minimum(modes.rank, width), THRESHOLD_TOLERANCE),
        converged=root.converged,
        residual=root.residual,
        iterations=root.iterations,
    )
