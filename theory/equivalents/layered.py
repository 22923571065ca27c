"""Deep random features: a chain of ridges from the inputs to the last layer, explicit from the innermost outwards.

Each layer of width k_l takes the ridge ``kappa_{l-1}`` and the degrees of freedom ``df_{l-1}`` of what lies below it to its
own (:mod:`theory.equivalents.layers`), and ``width_L * penalty = kappa_L (1 - df_L / n)``. T passes through unchanged: that of
the last layer at kappa_L is that of the inputs at kappa_0.

Sources: Schröder, Cui, Dmitriev, Loureiro, arXiv:2302.00401; Fan and Wang, arXiv:2005.11879; for neurons that differ by
their biases Piccolo and Schröder, arXiv:2105.05115.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from theory.equivalents.layers import MAX_INNER, LayerLaw, Link, next_link
from theory.equivalents.point import Complex, Continued, Point, Share, joined, phase_of
from theory.modes import Modes
from theory.namespace import single
from theory.solvers.continuation import Equation, anchors, follow
from theory.solvers.effective_ridge import THRESHOLD_TOLERANCE
from theory.solvers.increasing import Root, solve_increasing

RESIDUAL_TOLERANCE = 1e-10
LIMIT = 1e-100
"""Innermost ridge, as a share of the mean eigenvalue, at which the limit of vanishing ridges is read."""


class ChainState(NamedTuple):
    """The whole chain at an innermost ridge: the last layer's link, and the elasticity of the innermost ridge by its."""

    last: Link
    elasticity_per_ridge: Any
    rest: Any


@dataclass(frozen=True, kw_only=True)
class LayeredEquivalent:
    """Random layers over inputs.

    Attributes:
        modes: of the inputs: eigenvalues of their covariance, energies of the target's linear part; one table, without
            a tail, its multiplicities summing to the number of inputs. What no linear function of them expresses is
            their ``unlearnable_variance``; ``n_unpenalised`` is 1 where an intercept is fitted.
        layers: first to last, at least one.
        n_inputs: their number d, those without variance included.
        constant: E of the squared mean of a feature: the eigenvalue of the constant that the features form, 0 if they have
            no mean. Where noise fills all their directions it takes the place of one.
        mean: of the target, as far as it is for that constant to learn.
    """

    modes: Modes
    layers: tuple[LayerLaw, ...]
    n_inputs: float
    constant: float = 0.0
    mean: float = 0.0

    @property
    def width(self) -> float:
        """Width of the last layer."""
        return self.layers[-1].width

    @property
    def tables(self) -> tuple[Modes, ...]:
        """That of the inputs."""
        return (self.modes,)

    @property
    def n_unpenalised(self) -> int:
        """Constants fitted beside the features."""
        return self.modes.n_unpenalised

    @property
    def rank(self) -> float:
        """How many samples the features can interpolate: the rank of their second moments, their mean included."""
        centred, total = self._ranks
        return total if self.constant > 0.0 else centred

    @property
    def _centred_rank(self) -> float:
        """The rank of the features' covariance."""
        return self._ranks[0]

    @cached_property
    def _ranks(self) -> tuple[float, float]:
        """Each layer's noise adds directions, up to the width; biases add that of a mean where noise does not fill all."""
        centred, beside = float(self.modes.n_modes), 0.0
        for layer in self.layers:
            centred = min(layer.width, layer.noisy_share * layer.width + centred)
            beside = min(layer.width - centred, 1.0 if layer.biased else beside)
        return centred, centred + beside

    def without_constant(self) -> "LayeredEquivalent":
        """Return the features less their mean."""
        return replace(self, constant=0.0, mean=0.0)

    def solve(self, n_samples: Any, penalty: Any) -> Point:
        """Return the point at real sizes and penalties; see :class:`theory.equivalents.point.Equivalent`."""
        if np.ndim(n_samples) or np.ndim(penalty):
            pairs = np.broadcast_arrays(np.asarray(n_samples, float), np.asarray(penalty, float))
            return joined([self._solve(float(n), float(lam)) for n, lam in zip(*pairs, strict=True)])
        return self._solve(float(n_samples), float(penalty))

    def continued(self, n_samples: float, penalty: Complex) -> Continued:
        """Continue to complex penalties; see :class:`theory.equivalents.point.Equivalent`."""
        penalty = np.asarray(penalty, complex)
        flat = penalty.ravel() * self.width
        reference = float(np.exp(np.mean(np.log(np.abs(flat)))))
        chosen, own = anchors(flat)
        start = np.full(chosen.shape, self._root(n_samples, reference).ridge, complex)
        memory: list[Any] = [None] * len(self.layers)
        ridge, reached = follow(self._complex_equation(n_samples, memory), start, reference, flat[chosen])
        memory = [tuple(values[own] for values in known) for known in memory]
        equation = self._complex_equation(n_samples, memory)
        inner, converged = follow(equation, ridge[own], flat[chosen][own], flat)
        state = self._state(inner, memory)
        outer = state.last.ridge / self.width
        converged &= reached[own]
        shares = [Share(inner.reshape(penalty.shape), self.modes.eigenvalues, self.modes.energies)]
        if self.constant > 0.0:
            shares.append(Share(outer.reshape(penalty.shape), np.array([self.constant]), np.array([self.mean**2])))
        return Continued(
            ridge=outer.reshape(penalty.shape),
            df1=np.asarray(state.last.df1, complex).reshape(penalty.shape),
            shares=tuple(shares),
            unlearnable_variance=float(self.modes.unlearnable_variance)
            + (0.0 if self.constant > 0.0 else self.mean**2),
            noise_variance=float(self.modes.noise_variance),
            converged=converged.reshape(penalty.shape),
        )

    def _complex_equation(self, n_samples: float, memory: list[Any]) -> Equation:
        """Return the map from innermost ridges to ``kappa_L (1 - df_L / n)`` and its logarithmic derivative."""

        def equation(inner: Complex) -> tuple[Complex, Complex]:
            last, per_ridge, _ = self._state(inner, memory)
            margin = 1.0 - last.df1 / n_samples
            spread = last.spread_per_ridge * last.ridge
            # d log penalty / d log kappa_0 = (1 + spread / (n - df)) / elasticity
            return last.ridge * margin, (1.0 + spread / n_samples / margin) / (per_ridge * last.ridge)

        return equation

    def _state(self, inner: Any, memory: list[Any]) -> ChainState:
        """Run the chain from the innermost ridge, a float or an array; ``memory`` warm-starts the layers' own roots."""
        xi, m = self.modes.eigenvalues, self.modes.multiplicities
        inner = inner if np.ndim(inner) else np.float64(inner)  # whose overflow is infinite rather than an exception
        column = inner[..., None] if np.ndim(inner) else inner
        resolvent = 1.0 / (xi + column)
        kept = xi * resolvent
        df1, df2 = kept @ m, (kept * kept) @ m
        link = Link(inner, df1, df2, (kept * resolvent) @ m, None, None)
        width, per_ridge, rest, before = self.n_inputs, None, 0.0, inner
        for position, layer in enumerate(self.layers):
            link = next_link(layer, link, width, memory, position)
            width = layer.width
            if per_ridge is None:
                per_ridge, rest = link.elasticity_per_ridge, link.rest
            else:
                # e = e_1 ... e_L, and 1 - e from the outside: (1 - e_l) + e_l (1 - e_1 ... e_{l-1}).
                rest = link.rest + link.elasticity_per_ridge * link.ridge * rest
                per_ridge = per_ridge * link.elasticity_per_ridge * before
            before = link.ridge
            below_last = position < len(self.layers) - 1
            if below_last and not np.ndim(inner) and not link.ridge > 0.0:
                return ChainState(link._replace(ridge=-1.0), 0.0, 0.0)  # the innermost ridge is too small
        if self.constant > 0.0:
            link = self._with_constant(link)
        return ChainState(link, per_ridge, rest)

    @property
    def _other_directions(self) -> float:
        """The share of the features' directions that their mean leaves: all, if it is a direction of its own."""
        return (self.rank - self._taken) / self._centred_rank

    @property
    def _taken(self) -> float:
        """How many directions the features' mean has: one, if there is one."""
        return min(1.0, self.rank) if self.constant > 0.0 else 0.0

    def _with_constant(self, last: Link) -> Link:
        """Add the constant that the features form to the degrees of freedom."""
        eigenvalue, others = self.constant * self.width, self._other_directions
        over = 1.0 / (eigenvalue + last.ridge)
        kept, taken = eigenvalue * over, self._taken
        return last._replace(
            df1=others * last.df1 + taken * kept,
            df2=others * last.df2 + taken * kept * kept,
            spread_per_ridge=others * last.spread_per_ridge + taken * kept * over,
        )

    def _root(self, n_samples: float, level: float) -> Root:
        """Find the innermost ridge at which ``kappa_L (1 - df_L / n)`` is ``level``."""
        scale = float(self.modes.trace) / float(self.modes.n_modes)
        memory: list[Any] = [None] * len(self.layers)
        at_rank = level == 0.0 and n_samples < self.rank

        def penalty(inner: float) -> tuple[float, float] | None:
            state = self._state(inner, memory)
            kappa, margin = state.last.ridge, n_samples - state.last.df1
            if not kappa > 0.0:
                return None
            spread = state.last.spread_per_ridge * kappa
            value = margin if at_rank else kappa * margin / n_samples
            slope = spread / kappa if at_rank else (margin + spread) / n_samples
            return value, slope / state.elasticity_per_ridge

        return solve_increasing(penalty, level, start=scale, vanishing=level == 0.0)

    def _solve(self, n_samples: float, penalty: float) -> Point:
        modes, width = self.modes, self.width
        available = n_samples - modes.n_unpenalised
        starved = available <= 0.0
        level = penalty * width * n_samples / available if not starved else penalty * width
        with np.errstate(all="ignore"):
            root = self._root(1.0 if starved else available, level)
            # A ridge of 0 stands for its limit, which all quantities have reached long before.
            inner = root.ridge or LIMIT * float(modes.trace) / float(modes.n_modes)
            inner, state, memory = self._admissible_state(inner)
            last, margin = self._polished(state.last, 1.0 if starved else available, level, memory)
        elasticity = state.elasticity_per_ridge * last.ridge
        admissible = 0.0 <= elasticity <= 1.0 + 1e-9 and margin >= 0.0 and last.df1 <= self.rank * (1.0 + 1e-9)
        xi, c = modes.eigenvalues, modes.energies
        kept, shrunk = xi / (xi + inner), inner / (xi + inner)
        mixed = float(c @ (kept * shrunk))
        outer, energy = last.ridge / width, self.mean**2
        lost = outer / (outer + self.constant) if self.constant > 0.0 else 1.0
        constant_per_ridge = (1.0 - lost) / (outer + self.constant) if self.constant > 0.0 else 0.0
        bias = float(c @ (shrunk * shrunk)) + float(modes.unlearnable_variance) + energy * lost * lost
        noise = float(modes.noise_variance)
        spread = float(last.spread_per_ridge * last.ridge)
        return Point(
            outer_ridge=np.inf if starved else outer * (root.ridge > 0.0),
            target_ridge=np.inf if starved else root.ridge,
            sample_margin=0.0 if starved else margin,
            df1=0.0 if starved else float(last.df1),
            df2=0.0 if starved else float(last.df2),
            spread=spread,
            spread_per_ridge=float(last.spread_per_ridge) * width,
            bias=bias,
            noise_variance=noise,
            feature_variance=float(state.rest) * mixed,
            total=bias + noise + mixed + energy * lost * (1.0 - lost),
            mixed_per_ridge=float(state.elasticity_per_ridge) * mixed * width + energy * constant_per_ridge,
            learned=float(c @ kept) + energy * (1.0 - lost),
            learned_twice=float(c @ (kept * kept)) + energy * (1.0 - lost) ** 2,
            n_unpenalised=modes.n_unpenalised,
            recovered=np.inf,
            starved=starved,
            phase=phase_of(single, available, self.rank, THRESHOLD_TOLERANCE),
            converged=bool(starved or (root.converged and root.residual <= RESIDUAL_TOLERANCE and admissible)),
            residual=root.residual if np.isfinite(root.residual) else 1.0,
            iterations=root.iterations,
        )

    def _admissible_state(self, inner: float) -> tuple[float, ChainState, list[Any]]:
        """Run the chain at a solved ridge; where a layer's ridge vanishes there, rounding must not make it negative."""
        nudge = float(np.finfo(float).eps)
        while True:
            memory: list[Any] = [None] * len(self.layers)
            state = self._state(inner, memory)
            if state.last.ridge > 0.0 or nudge > RESIDUAL_TOLERANCE:
                return inner, state, memory
            inner, nudge = inner * (1.0 + nudge), 2.0 * nudge

    def _polished(self, last: Link, n_samples: float, level: float, memory: list[Any]) -> tuple[Link, float]:
        """Return the last link and ``n - df_L``, both without the cancellation of a ridge much smaller than the noise.

        With more samples than neurons ``kappa (n - k + k kappa E[1 / (c + kappa + a g)]) = n level`` is a sum of
        positive terms for kappa; otherwise the ridge is no small difference, and the margin follows from it.
        """
        layer = self.layers[-1]
        surplus = n_samples - layer.width
        if surplus < -THRESHOLD_TOLERANCE * n_samples or self._centred_rank < layer.width * (1.0 - THRESHOLD_TOLERANCE):
            if level > 0.0:
                return last, n_samples * level / float(last.ridge)
            left = n_samples - self.rank
            if left < -THRESHOLD_TOLERANCE * n_samples:
                return last, 0.0
            return last._replace(ridge=0.0), left if left > THRESHOLD_TOLERANCE * n_samples else 0.0
        surplus = surplus if surplus > THRESHOLD_TOLERANCE * n_samples else 0.0
        noise = layer.floored + layer.slopes * memory[-1][1]
        weights = self._other_directions * layer.width * layer.weights
        if self.constant > 0.0:
            noise, weights = np.append(noise, self.constant * self.width), np.append(weights, self._taken)
        kappa = float(last.ridge) if last.ridge > 0.0 else n_samples * level / max(surplus, 1e-300)
        for _ in range(MAX_INNER if level > 0.0 else 0):
            over = 1.0 / (noise + kappa)
            filled, growth = float(weights @ over), float(weights @ (noise * over * over))
            value = kappa * (surplus + kappa * filled) - n_samples * level
            step = value / (surplus + kappa * (filled + growth))
            following = kappa - step if kappa > step else kappa * 1e-3
            done = abs(following - kappa) <= 4e-16 * kappa
            kappa = following
            if done:
                break
        kappa = kappa if level > 0.0 else 0.0
        return last._replace(ridge=kappa), surplus + kappa * float(weights @ (1.0 / (noise + kappa)))
