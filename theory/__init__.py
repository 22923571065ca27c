"""The equations: pure functions from a problem to its asymptotic performance, usable from a notebook.

>>> import theory
>>> spectrum = theory.covariance.isotropic(400)
>>> modes = theory.linear_modes(spectrum, theory.target.isotropic(spectrum, signal_variance=1.0), noise_variance=0.25)
>>> round(theory.predict_ridge(modes, n_samples=800, penalty=0.1).test_error, 10)
0.4267837257

* Spectra: :mod:`theory.covariance`; targets on them: :mod:`theory.target`.
* Equivalents, from features and regime to a mode table: :mod:`theory.equivalents`.
* Learners, from a mode table to errors: :mod:`theory.learners`.
* Functionals, quantities read off either: :mod:`theory.functionals`.
* Solvers, shared by all of them: :mod:`theory.solvers`.
"""

from theory import covariance, target
from theory.covariance import InadmissibleProblem, Spectrum
from theory.equivalents.linear import linear_modes
from theory.functionals.optimal_penalty import OptimalPenalty, optimal_penalty
from theory.learners.ridge import RidgePrediction, predict_ridge
from theory.modes import Modes
from theory.solvers.effective_ridge import EffectiveRidge, solve_effective_ridge

SOLVER_VERSION = "1"
"""Changes whenever any answer may change in its digits; part of every prediction's key."""

__all__ = [
    "SOLVER_VERSION",
    "EffectiveRidge",
    "InadmissibleProblem",
    "Modes",
    "OptimalPenalty",
    "RidgePrediction",
    "Spectrum",
    "covariance",
    "linear_modes",
    "optimal_penalty",
    "predict_ridge",
    "solve_effective_ridge",
    "target",
]
