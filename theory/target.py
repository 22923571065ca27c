"""How the energy of a linear target is spread over the modes of a covariance.

The energy of a mode is ``c_i = E[(P_i f)^2]``, its share of ``signal_variance = E[(w.x)^2]``.
"""

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Spectrum

Vector = npt.NDArray[np.float64]


def isotropic(spectrum: Spectrum, *, signal_variance: float) -> Vector:
    """The weight vector has the same expected square in every direction, so energies follow the eigenvalues."""
    return _normalised(spectrum.eigenvalues * spectrum.multiplicities, signal_variance)


def source(spectrum: Spectrum, *, signal_variance: float, exponent: float, covariance_exponent: float) -> Vector:
    """Energy of mode i is proportional to ``i**-(1 + 2 * covariance_exponent * exponent)``: the source condition.

    Args:
        spectrum: of :func:`theory.covariance.power_law`.
        signal_variance: E[(w.x)^2].
        exponent: r of the source condition, at least 0.
        covariance_exponent: alpha of the power law.

    Source: Caponnetto and De Vito (2007); the exponents of Cui, Loureiro, Krzakala, Zdeborova, arXiv:2105.15004.
    """
    if spectrum.index is None:
        raise InadmissibleProblem(
            "a source alignment needs a power_law covariance; use alignment.kind = 'energies'", argument="kind"
        )
    decay = spectrum.index ** -(1.0 + 2.0 * covariance_exponent * exponent)
    return _normalised(decay * spectrum.multiplicities, signal_variance)


def energies(spectrum: Spectrum, *, signal_variance: float, values: npt.ArrayLike) -> Vector:
    """Energies proportional to ``values``, one for each eigenvalue in the order given.

    Where an eigenvalue was listed more than once, either one value per entry or one per distinct eigenvalue (in order
    of first appearance) is understood; the latter is shared out over the entries by their multiplicities.

    Raises:
        InadmissibleProblem: the count fits neither, or energy falls on a direction without variance.
    """
    shares = np.asarray(values, float)
    if shares.size != spectrum.eigenvalues.size:
        distinct, first, inverse = np.unique(spectrum.eigenvalues, return_index=True, return_inverse=True)
        if shares.size != distinct.size:
            expected = (
                f"{spectrum.groups}" if distinct.size == spectrum.groups else f"{spectrum.groups} (or {distinct.size})"
            )
            raise InadmissibleProblem(
                f"alignment.values needs one energy per distinct eigenvalue: {expected} of them, got {shares.size}",
                argument="values",
            )
        by_appearance = np.empty(distinct.size, dtype=int)
        by_appearance[np.argsort(first)] = np.arange(distinct.size)
        group = by_appearance[inverse]
        total = np.bincount(group, weights=spectrum.multiplicities)
        shares = shares[group] * spectrum.multiplicities / np.where(total > 0, total, 1.0)[group]
    if signal_variance > 0.0:
        _refuse_stray(spectrum, shares)
    return _normalised(shares, signal_variance)


def _normalised(proportions: Vector, signal_variance: float) -> Vector:
    """Scale energies so that they sum to the signal's variance."""
    if signal_variance == 0.0:
        return np.zeros_like(proportions)
    total = float(proportions.sum())
    if total == 0.0:
        raise InadmissibleProblem(
            "signal_variance is positive but every energy is 0: set it to 0, or raise an eigenvalue or an energy"
        )
    scaled: Vector = proportions / total * signal_variance
    return scaled


def _refuse_stray(spectrum: Spectrum, proportions: Vector) -> None:
    if np.any((proportions > 0) & ((spectrum.eigenvalues == 0) | (spectrum.multiplicities == 0))):
        raise InadmissibleProblem(
            "a linear target has no energy where the inputs have no variance: give the zero eigenvalues the energy 0,"
            " or count that part as target.nonlinear_variance"
        )
