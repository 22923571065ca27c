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
    ``constant + trace / n`` up to terms of relative order ``(bulk / constant)^2``.

    Args:
        equivalent: of the features.
        n_samples: n > 0, without an unpenalised constant.

    Source: Bai and Silverstein, doi:10.1214/aop/1022855421, for the edge; Baik and Silverstein, arXiv:math/0408165, for
        outliers.
    """
    if isinstance(equivalent, ModalEquivalent) and np.isinf(equivalent.width):
        modes = equivalent.modes
        tail = float(modes.tail_trace) / n_samples
        present = modes.multiplicities > 0.0
        if not np.any(present):
            return tail
        table = Spectrum(eigenvalues=modes.eigenvalues[present], multiplicities=modes.multiplicities[present])
        return float(covariance_law(sample_covariance(table, n_samples)).support.max()) + tail
    edge = _upper_edge(equivalent, n_samples)
    constant = float(equivalent.constant)
    return max(edge, constant + trace_of(equivalent) / n_samples if constant > 0.0 else 0.0)


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
