"""From the spectrum of a covariance, where a group may weigh any real number of directions, to whole directions."""

import numpy as np
import numpy.typing as npt

from theory.covariance import InadmissibleProblem, Spectrum

Vector = npt.NDArray[np.float64]


def directions(spectrum: Spectrum, energies: npt.ArrayLike) -> tuple[Vector, Vector]:
    """List the eigenvalue and the target's energy of every direction.

    A group of fractional multiplicity is rounded by largest remainder, so that the directions add up to the number of
    features; its energy is shared out evenly over what it gets.

    Args:
        spectrum: of :mod:`theory.covariance`, every mode listed (``every_mode=True`` where the family has that choice).
        energies: of :mod:`theory.target`, one an entry of the spectrum, in squared units of the label.

    Returns:
        ``(eigenvalues, energies)``, both of shape ``(n_features,)``.

    Raises:
        InadmissibleProblem: the spectrum is a weighted stand-in for a longer one, or a group that carries energy is too
            small to get a direction.
    """
    multiplicities, shares = spectrum.multiplicities, np.asarray(energies, float)
    if spectrum.index is not None and np.any(multiplicities != 1.0):
        raise InadmissibleProblem(
            f"{multiplicities.size} weighted modes stand for {multiplicities.sum():.0f};"
            " build the spectrum with every_mode=True"
        )
    counts = np.floor(multiplicities)
    missing = round(float(multiplicities.sum())) - int(counts.sum())
    counts[np.argsort(counts - multiplicities, kind="stable")[:missing]] += 1.0
    lost = np.flatnonzero((counts == 0.0) & (shares > 0.0))
    if lost.size:
        raise InadmissibleProblem(
            f"group {lost[0]} has energy but only {multiplicities[lost[0]]:g} of a direction; use more features"
        )
    whole = counts.astype(int)
    return np.repeat(spectrum.eigenvalues, whole), np.repeat(shares / np.where(whole > 0, whole, 1), whole)
