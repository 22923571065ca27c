"""Random Fourier features: two families, sines with the linear modes and cosines with the constant."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from theory.covariance import Spectrum
from theory.equivalents.blocks import BlockEquivalent
from theory.equivalents.linear import linear_modes
from theory.modes import Modes


def random_fourier(
    spectrum: Spectrum,
    energies: npt.ArrayLike,
    *,
    frequencies: float,
    length_scale: float = 1.0,
    noise_variance: float = 0.0,
    nonlinear_variance: float = 0.0,
    mean: float = 0.0,
    fit_intercept: bool = False,
) -> BlockEquivalent:
    """Build the equivalent of ``cos(w_j . x)`` and ``sin(w_j . x)``, all divided by the square root of their number.

    Args:
        spectrum: of the inputs, its multiplicities counts.
        energies: of the target's linear part, one an entry of the spectrum.
        frequencies: number N of the w_j ~ N(0, I / (length_scale^2 d)); there are 2N features, whose kernel tends to half
            of ``exp(-||x - x'||^2 / (2 length_scale^2 d))``.
        length_scale: positive.
        noise_variance: of the labels.
        nonlinear_variance: energy of the target orthogonal to constants and linear functions; acts as noise.
        mean: of the target, learned by the constant that the cosines form.
        fit_intercept: whether an unpenalised constant is fitted, instead of that.

    Source: Liao, Couillet, Mahoney, arXiv:2006.05013.
    """
    n_inputs = float(np.sum(spectrum.multiplicities)) if spectrum.count is None else spectrum.count
    base = linear_modes(
        spectrum,
        energies,
        noise_variance=noise_variance,
        nonlinear_variance=nonlinear_variance,
    )
    q = float(base.trace) / n_inputs / length_scale**2
    decay = np.exp(-q)
    sines = replace(
        base,
        eigenvalues=decay * base.eigenvalues / (n_inputs * length_scale**2),
        tail_trace=sine_tail(q),
    )
    constant = 0.0 if fit_intercept else decay
    cosines = Modes(
        eigenvalues=np.array([constant]),
        multiplicities=np.ones(1),
        energies=np.array([0.0 if fit_intercept else mean * mean]),
        tail_trace=0.5 * np.expm1(-q) ** 2,
    )
    return BlockEquivalent(
        families=(sines, cosines),
        widths=(frequencies, frequencies),
        constant=constant,
        n_unpenalised=int(fit_intercept),
    )


def sine_tail(q: float) -> float:
    """Return ``exp(-q) (sinh q - q)``, the variance of a sine that its linear part leaves, without cancellation."""
    if q > 1.0:
        return float(-0.5 * np.expm1(-2.0 * q) - q * np.exp(-q))
    powers = np.arange(3, 23, 2)
    return float(np.exp(-q) * np.sum(q**powers / np.cumprod((powers - 1.0) * powers)))
