"""One layer of random features: what takes the ridge and the degrees of freedom of all that lies below it to its own.

With ``a(b) = weight_variance m1(b)^2`` and ``c(b) = mu_*^2(b)`` of a neuron whose frozen bias is b, and
``g = kappa_{l-1} df_{l-1} / k_{l-1}``,

    E_b[a / (c + kappa_l + a g)] = k_{l-1} / (k_l kappa_{l-1}),      df_l = k_l E_b[(c + a g) / (c + kappa_l + a g)].

Derivatives are propagated beside the values, as sums of positive terms.

Sources: as for :mod:`theory.equivalents.layered`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from theory.covariance import Vector

MAX_INNER = 100
INNER_TOLERANCE = 1e-8
SMALLEST_NOISE = 1e-300
SMALLEST_SLOPE = 1e-250


@dataclass(frozen=True, kw_only=True)
class LayerLaw:
    """A layer as its neurons see it.

    Attributes:
        width: k > 0.
        weights: shape ``(b,)``, positive with sum 1: of a quadrature over the neurons' frozen biases.
        slopes: shape ``(b,)``, a >= 0, not all 0.
        nonlinear_variances: shape ``(b,)``, c >= 0.
        biased: whether the neurons' biases differ.
    """

    width: float
    weights: Vector
    slopes: Vector
    nonlinear_variances: Vector
    biased: bool = False

    @cached_property
    def floored(self) -> Vector:
        """The nonlinear variances, of dead neurons a number whose inverse is still one."""
        dead = (self.slopes == 0.0) & (self.nonlinear_variances < SMALLEST_NOISE)
        return np.where(dead, SMALLEST_NOISE, self.nonlinear_variances)

    @cached_property
    def responding(self) -> tuple[Vector, Vector, Vector]:
        """``1 / a``, ``c / a`` and the weights of the neurons whose slope is more than rounding."""
        alive = self.slopes > SMALLEST_SLOPE * np.max(self.slopes)
        slopes = self.slopes[alive]
        return 1.0 / slopes, self.nonlinear_variances[alive] / slopes, self.weights[alive]

    @property
    def noisy_share(self) -> float:
        """The share of neurons that add noise of their own, each of them a direction."""
        return float(self.weights @ (self.nonlinear_variances > 0.0))


class Link(NamedTuple):
    """One layer's state, each of the shape of the ridges.

    ``elasticity`` is d log kappa_{l-1} / d log kappa_l and ``rest`` one minus it; ``per_ridge`` values are divided by kappa_l.
    """

    ridge: Any
    df1: Any
    df2: Any
    spread_per_ridge: Any
    elasticity_per_ridge: Any
    rest: Any


def next_link(layer: LayerLaw, below: Link, width_below: float, memory: list[Any], position: int) -> Link:
    """Take the ridge and the degrees of freedom of what lies below a layer to its own.

    Args:
        layer: the next one.
        below: of real or complex ridges, numbers or of shape ``(p,)``.
        width_below: of the layer below, or the number of inputs.
        memory: the roots of all layers, None where there are none yet: where they start, and what is replaced.
        position: of the layer in it.

    Returns:
        Its link, with a negative ridge where the one below is too small for any.
    """
    a, c, w, k = layer.slopes, layer.floored, layer.weights, layer.width
    column = _column if np.ndim(below.ridge) else _same
    per_width = below.ridge / width_below
    g = per_width * below.df1
    previous = memory[position][0] if memory[position] is not None else None
    ridge = _layer_ridge(layer, g, 1.0 / (k * per_width), previous)
    memory[position] = (ridge, g)
    over = 1.0 / (c + a * column(g) + column(ridge))
    # Products of these stay finite for neurons that hardly respond, whose noise and slope are as good as 0.
    slope, noise = a * over, c * over
    q0 = (slope * over) @ w
    # d log kappa_{l-1} / d log kappa_l = kappa_l q0 / (kappa_l q0 + held), everything positive.
    spread_below = below.spread_per_ridge * below.ridge
    held = (slope * noise) @ w + ((slope * slope) @ w) * per_width * spread_below
    scale = ridge * q0 + held
    per_ridge, rest = q0 / scale, held / scale
    elasticity = per_ridge * ridge
    # g less its derivative by log kappa_l, (g - e per_width df2_below) = per_width (spread_below + (1 - e) df2_below).
    steady = per_width * (spread_below + rest * below.df2)
    moving = per_width * elasticity * below.df2
    kept = noise + slope * column(g)
    return Link(
        ridge=ridge,
        df1=k * (kept @ w),
        df2=k * ((kept * kept + slope * (over * column(ridge * moving))) @ w),
        spread_per_ridge=k * ((over * (noise + slope * column(steady))) @ w),
        elasticity_per_ridge=per_ridge,
        rest=rest,
    )


def _layer_ridge(layer: LayerLaw, g: Any, ratio: Any, previous: Any) -> Any:
    """Solve ``E[a / (c + kappa + a g)] = ratio`` for kappa; negative where even 0 is too large.

    The inverse of the left side is concave in kappa, a harmonic mean of affine functions, and affine where all neurons
    are alike: Newton's method on it approaches from the left from any start.
    """
    if layer.slopes.size == 1:
        return layer.slopes[0] * (1.0 / ratio - g) - layer.floored[0]
    batched = np.ndim(g) > 0
    column = _column if batched else _same
    inverse_slopes, noise_per_slope, w = layer.responding
    kappa = np.zeros_like(ratio) if previous is None or np.shape(previous) != np.shape(ratio) else previous
    if not np.iscomplexobj(kappa):
        kappa = np.maximum(kappa, 0.0)
    for _ in range(MAX_INNER):
        kept = 1.0 / (noise_per_slope + column(g) + column(kappa) * inverse_slopes)
        mean, slope = kept @ w, (kept * kept * inverse_slopes) @ w
        # Newton on 1 / mean - 1 / ratio, of which the derivative is slope / mean^2.
        change = mean * (mean / ratio - 1.0) / slope
        if not batched and kappa + change < 0.0:
            if kappa == 0.0:
                return change
            change = -kappa  # from the right of the root the step may pass 0; from there it cannot pass the root
        kappa = kappa + change
        if np.all(~(np.abs(change) > INNER_TOLERANCE * np.abs(kappa))):  # and the next would be its square
            break
    return kappa


def _column(value: Any) -> Any:
    """Make an array broadcast against neurons."""
    return value[..., None]


def _same(value: Any) -> Any:
    return value
