"""The largest eigenvalue of the features' second moments on a sample: what bounds the step of gradient descent."""

import numpy as np
import numpy.typing as npt

from theory.covariance import Spectrum
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent
from theory.equivalents.population import trace_of
from theory.spectra.sample_covariance import covariance_law, sample_covariance

ABOVE = 1e-9
"""How far off the real axis the spectrum is looked at, relative to where."""
VISIBLE = 3e-5
"""Share of an imaginary part inside the spectrum; outside it is about ``ABOVE``."""
GROWTH = 1.25
"""Steps of the search for the edge."""
PIECES = 16
NARROWINGS = 9


def largest_eigenvalue(equivalent: Equivalent, n_samples: float) -> float:
    """Return the limit of the largest eigenvalue of ``Phi' Phi / n``.

    It is the upper edge of the bulk, to 1e-9 of itself, or the outlier of features with a mean,
    ``constant + trace / n`` up to terms of relative order ``(bulk / constant)^2``. A direction of its own in the covariance
    counts as bulk, whose edge lies two standard deviations above its outlier.

    Args:
        equivalent: of the features.
        n_samples: n > 0, without an unpenalised constant.

    Source: Bai and Silverstein, doi:10.1214/aop/1022855421, for the edge; Baik and Silverstein, arXiv:math/0408165, for
        outliers.
    """
    bulk, constant = equivalent.without_constant(), float(equivalent.constant)
    edge = _of_modes(bulk, n_samples) if _wide(bulk) else _upper_edge(bulk, n_samples)
    # Of the constant's own direction there is one: fluctuations of a random direction do not widen it.
    return max(edge, constant + trace_of(bulk) / n_samples if constant > 0.0 else 0.0)


def _wide(equivalent: Equivalent) -> bool:
    return isinstance(equivalent, ModalEquivalent) and bool(np.isinf(equivalent.width))


def _of_modes(equivalent: Equivalent, n_samples: float) -> float:
    """The upper edge of a sample covariance; a tail adds to every eigenvalue."""
    assert isinstance(equivalent, ModalEquivalent)
    modes = equivalent.modes
    tail, present = float(modes.tail_trace) / n_samples, modes.multiplicities > 0.0
    if not np.any(present):
        return tail
    table = Spectrum(eigenvalues=modes.eigenvalues[present], multiplicities=modes.multiplicities[present])
    return float(covariance_law(sample_covariance(table, n_samples)).support.max()) + tail


def _upper_edge(equivalent: Equivalent, n_samples: float) -> float:
    """Find where the imaginary part of ``1 / kappa`` ends: the trace bounds it, and what is inside is seen."""

    def inside(x: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        found = equivalent.continued(n_samples, np.asarray(-x * (1.0 + 1j * ABOVE), complex))
        values = 1.0 / found.ridge
        return np.asarray((np.abs(values.imag) > VISIBLE * np.abs(values)) | ~found.converged)

    # No eigenvalue exceeds the sum of all, of which there are as many as samples at most.
    most = trace_of(equivalent) * 2.0
    least = trace_of(equivalent) / (n_samples * most) * most
    x = np.geomspace(least, most, max(8, int(np.ceil(np.log(most / least) / np.log(GROWTH)))))
    seen = np.flatnonzero(inside(x))
    last = int(seen[-1]) if seen.size else 0
    low, high = float(x[last]), float(x[min(last + 1, x.size - 1)])
    for _ in range(NARROWINGS):
        cuts = np.linspace(low, high, PIECES + 1)
        within = np.flatnonzero(inside(cuts[1:-1]))
        position = int(within[-1]) + 1 if within.size else 0
        low, high = float(cuts[position]), float(cuts[position + 1])
    return high
