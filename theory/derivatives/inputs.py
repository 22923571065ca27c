"""Covariances and targets with derivatives, and the mode table of linear features; formulas as in the modules they follow."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from theory import covariance
from theory.derivatives.dual import Space, Vector, powers, value_of
from theory.derivatives.equivalents import Table

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """See :class:`theory.covariance.Spectrum`; ``plain`` is the same without derivatives."""

    plain: covariance.Spectrum
    space: Space
    eigenvalues: Vector
    multiplicities: Vector
    n_inputs: Any


def isotropic(space: Space, plain: covariance.Spectrum, n_features: Any, *, variance: Any) -> Spectrum:
    """See :func:`theory.covariance.isotropic`."""
    return Spectrum(
        plain=plain,
        space=space,
        eigenvalues=space.stacked([variance]),
        multiplicities=space.stacked([n_features]),
        n_inputs=n_features,
    )


def discrete(
    space: Space, plain: covariance.Spectrum, n_features: Any, *, eigenvalues: Vector, weights: Vector
) -> Spectrum:
    """See :func:`theory.covariance.discrete`: only ratios of weights count."""
    return Spectrum(
        plain=plain,
        space=space,
        eigenvalues=eigenvalues,
        multiplicities=weights * (n_features / weights.total()),
        n_inputs=n_features,
    )


def power_law(space: Space, plain: covariance.Spectrum, n_features: Any, *, exponent: Any, scale: Any) -> Spectrum:
    """See :func:`theory.covariance.power_law`."""
    assert plain.index is not None
    decay = powers(log_index(plain), -exponent)
    return Spectrum(
        plain=plain,
        space=space,
        eigenvalues=(decay * scale).with_value(plain.eigenvalues),
        multiplicities=space.constants(plain.multiplicities),
        n_inputs=n_features,
    )


def spiked(
    space: Space, plain: covariance.Spectrum, n_features: Any, *, bulk_variance: Any, spikes: Vector
) -> Spectrum:
    """See :func:`theory.covariance.spiked`."""
    n_spikes = spikes.value.size
    values = [bulk_variance, *(spikes.entry(position) for position in range(n_spikes))]
    return Spectrum(
        plain=plain,
        space=space,
        eigenvalues=space.stacked(values),
        multiplicities=space.stacked([n_features - float(n_spikes), *([1.0] * n_spikes)]),
        n_inputs=n_features,
    )


def ar1(space: Space, plain: covariance.Spectrum, n_features: Any, *, correlation: Any) -> Spectrum:
    """See :func:`theory.covariance.ar1`: the angle of each mode is the root of an equation that contains the correlation."""
    assert plain.index is not None
    count, r = float(plain.count or 0.0), abs(correlation.value)
    values = plain.eigenvalues
    # From the eigenvalue s: sin^2(t / 2) = ((1 - r^2) / s - (1 - r)^2) / (4 r); at r = 0 all angles are k pi / (d + 1).
    if r > 0.0:
        half = np.clip(((1.0 - r) * (1.0 + r) / values - (1.0 - r) ** 2) / (4.0 * r), 0.0, 1.0)
        angle = 2.0 * np.arcsin(np.sqrt(half))
    else:
        angle = plain.index * np.pi / (count + 1.0)
    angle = _polished(angle, plain.index, count, r)
    sine, half = np.sin(angle), np.sin(0.5 * angle) ** 2
    power = (1.0 - r) ** 2 + 4.0 * r * half
    by_angle = (count + 1.0) + 2.0 * (r * np.cos(angle) - r * r) / power
    turned = -2.0 * sine / power / by_angle  # d angle / d r
    log_slope = -2.0 * r / ((1.0 - r) * (1.0 + r)) - (-2.0 * (1.0 - r) + 4.0 * half + 2.0 * r * sine * turned) / power
    sign = -1.0 if correlation.value < 0.0 else 1.0
    return Spectrum(
        plain=plain,
        space=space,
        eigenvalues=Vector(values, (sign * values * log_slope)[None, :], correlation.tangent[None, :]),
        multiplicities=space.constants(plain.multiplicities),
        n_inputs=n_features,
    )


def _polished(angle: Array, index: Array, count: float, r: float) -> Array:
    """Solve for the angles from nearby: what was read off eigenvalues lost digits where those are flat."""
    for _ in range(50):
        half = 2.0 * r * np.sin(angle / 2.0) ** 2
        off_axis, power = (1.0 - r) + half, (1.0 - r) ** 2 + 2.0 * half
        gap = (count + 1.0) * angle + 2.0 * np.arctan2(r * np.sin(angle), off_axis) - index * np.pi
        step = gap / ((count + 1.0) + 2.0 * (r * np.cos(angle) - r * r) / power)
        angle = angle - step
        if np.max(np.abs(step) / angle) < 1e-14:
            break
    return angle


def explicit(space: Space, plain: covariance.Spectrum, n_features: Any, *, eigenvalues: Vector) -> Spectrum:
    """See :func:`theory.covariance.explicit`."""
    return Spectrum(
        plain=plain,
        space=space,
        eigenvalues=eigenvalues,
        multiplicities=space.constants(plain.multiplicities),
        n_inputs=n_features,
    )


def log_index(plain: covariance.Spectrum) -> Array:
    """Return the logarithm of each mode's position."""
    assert plain.index is not None
    logarithm: Array = np.log(plain.index)
    return logarithm


def isotropic_target(spectrum: Spectrum, *, signal_variance: Any) -> Vector:
    """See :func:`theory.target.isotropic`."""
    return normalised(spectrum.eigenvalues * spectrum.multiplicities, signal_variance)


def source(spectrum: Spectrum, *, signal_variance: Any, exponent: Any, covariance_exponent: Any) -> Vector:
    """See :func:`theory.target.source`."""
    decay = powers(-log_index(spectrum.plain), 1.0 + 2.0 * covariance_exponent * exponent)
    return normalised(decay * spectrum.multiplicities, signal_variance)


def energies(spectrum: Spectrum, *, signal_variance: Any, values: Vector) -> Vector:
    """See :func:`theory.target.energies`."""
    plain = spectrum.plain
    if values.value.size != plain.eigenvalues.size:
        _, first, inverse = np.unique(plain.eigenvalues, return_index=True, return_inverse=True)
        by_appearance = np.empty(first.size, dtype=int)
        by_appearance[np.argsort(first)] = np.arange(first.size)
        group = by_appearance[inverse]
        members = (group == np.arange(first.size)[:, None]).astype(float)
        m = spectrum.multiplicities
        whole = Vector(members @ m.value, m.left @ members.T, m.right)
        whole = whole.with_value(np.where(whole.value > 0.0, whole.value, 1.0))
        values = values[group] * (m / whole[group])
    return normalised(values, signal_variance)


def normalised(proportions: Vector, signal_variance: Any) -> Vector:
    """Scale energies so that they sum to the signal's variance."""
    whole = proportions.total()
    if value_of(whole) == 0.0:
        return proportions * 0.0
    scaled: Vector = proportions * (signal_variance / whole)
    return scaled


def mean_energies(spectrum: Spectrum, squares: Vector) -> Vector:
    """See :func:`theory.equivalents.mixture.mean_energies`."""
    placed = squares.value > 0.0
    safe = spectrum.eigenvalues.with_value(np.where(placed, spectrum.eigenvalues.value, 1.0))
    found: Vector = squares / safe * placed.astype(float)
    return found


def linear_table(
    spectrum: Spectrum,
    energies_: Vector,
    *,
    noise_variance: Any = 0.0,
    nonlinear_variance: Any = 0.0,
    mean: Any = 0.0,
    fit_intercept: bool = False,
) -> Table:
    """See :func:`theory.equivalents.linear.linear_modes`."""
    return Table(
        space=spectrum.space,
        eigenvalues=spectrum.eigenvalues,
        multiplicities=spectrum.multiplicities,
        energies=energies_,
        unlearnable_variance=nonlinear_variance if fit_intercept else nonlinear_variance + mean * mean,
        noise_variance=noise_variance,
        n_unpenalised=int(fit_intercept),
    )
