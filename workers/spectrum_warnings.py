"""What a spectrum should be read with: each warning has a fixed code, a condition, and a sentence with its number."""

from collections.abc import Iterator

import numpy as np

from theory.covariance import Spectrum
from workers.warnings import FEW_DIRECTIONS, FEW_SAMPLES, SHARE_OF_QUADRATIC, STRONG_MEANS

MANY_SPIKES = 0.02
"""Share of the dimension from which spikes are no longer few."""

Caveats = Iterator[tuple[str, str]]


def of_uncertified(missing: int, total: int) -> Caveats:
    """Say how many values of the density are null."""
    if missing:
        yield "not_converged", f"{missing} of {total} values of the density could not be certified and are null"


def of_sizes(n_samples: float) -> Caveats:
    """Say that few samples are far from the limit."""
    if n_samples < FEW_SAMPLES:
        yield (
            "few_samples",
            f"n_samples = {n_samples:g}: the spectrum is the limit of large sizes, which depends on them through their ratios"
            " alone; that of so few samples scatters about it",
        )


def of_spikes(n_spikes: int, dimension: float) -> Caveats:
    """Say that many spikes are no longer outliers beside an unchanged bulk."""
    share = n_spikes / dimension
    if share > MANY_SPIKES:
        yield (
            "many_spikes",
            f"{n_spikes} spikes are {share:.2g} of the dimension: taken as outliers they leave the bulk as it is, which holds"
            " for few; with covariance.kind = 'explicit' they are part of it",
        )


def of_nonlinear_features(spectrum: Spectrum, n_samples: float) -> Caveats:
    """Say that inputs have too few directions, or samples are too many, for nonlinear features to act as linear ones."""
    largest = float(np.max(spectrum.eigenvalues))
    directions = float(spectrum.multiplicities @ spectrum.eigenvalues) / largest if largest > 0.0 else 0.0
    if directions < FEW_DIRECTIONS:
        yield (
            "low_effective_rank",
            f"the inputs have an effective rank tr Sigma / ||Sigma|| of {directions:.3g}: their lengths scatter, and the"
            f" spectrum of nonlinear features differs from this limit by some percent below {FEW_DIRECTIONS}",
        )
    n_features = float(np.sum(spectrum.multiplicities))
    if n_samples >= SHARE_OF_QUADRATIC * n_features**2:
        yield (
            "polynomial_regime",
            f"{n_samples:g} samples are no longer few beside n_features^2 = {n_features**2:g}: what is quadratic in the inputs"
            " begins to show in the spectrum, which this limit takes for noise",
        )


def of_strong_means(mean_norm: float, spectrum: Spectrum) -> Caveats:
    """Say that the nonlinearity acts on class means too."""
    trace = float(spectrum.multiplicities @ spectrum.eigenvalues)
    if mean_norm**2 > STRONG_MEANS * trace:
        yield (
            "strong_means",
            f"||mu||^2 = {mean_norm**2:.3g} is not small beside tr Sigma = {trace:.3g}: the nonlinearity acts on the class"
            " means too, which this limit takes for infinitesimal",
        )


def of_activation(mean: float, n_samples: float, n_features: float) -> Caveats:
    """Say that the mean of an activation was taken out of its matrix."""
    if mean != 0.0:
        root = np.sqrt(n_features)
        yield (
            "activation_centred",
            f"the activation has mean {mean:.6g}, and this is the spectrum without it; with it all eigenvalues move by"
            f" {-mean / root:.3g}, and one to about {mean * n_samples / root:.6g}",
        )
