"""Linear features ``f(x) = theta . x``: the mode table is the covariance itself."""

import numpy as np
import numpy.typing as npt

from theory.covariance import Spectrum
from theory.modes import Modes


def linear_modes(
    spectrum: Spectrum,
    energies: npt.ArrayLike,
    *,
    noise_variance: float = 0.0,
    nonlinear_variance: float = 0.0,
    mean: float = 0.0,
    fit_intercept: bool = False,
) -> Modes:
    """Build the mode table of linear features on inputs with covariance ``spectrum``.

    Args:
        spectrum: of the inputs; see :mod:`theory.covariance`.
        energies: of the target's linear part, one an entry of the spectrum; see :mod:`theory.target`.
        noise_variance: of the labels, at least 0.
        nonlinear_variance: energy of the target orthogonal to constants and linear functions; features that are linear
            cannot express it, so it acts as noise.
        mean: of the target. Without an intercept no linear function of centred inputs expresses it and its square acts as
            noise; an intercept removes it, at the price of one unpenalised degree of freedom.
        fit_intercept: whether an unpenalised constant is fitted.

    Source: Hastie, Montanari, Rosset, Tibshirani, arXiv:1903.08560, section 2. The nonlinear part as noise: Gaussian
        equivalence, Goldt et al., arXiv:2006.14709. The constant is a mode of infinite eigenvalue.
    """
    return Modes(
        eigenvalues=spectrum.eigenvalues,
        multiplicities=spectrum.multiplicities,
        energies=np.asarray(energies, float),
        unlearnable_variance=nonlinear_variance + (0.0 if fit_intercept else mean * mean),
        noise_variance=noise_variance,
        count=spectrum.count,
        n_unpenalised=int(fit_intercept),
    )
