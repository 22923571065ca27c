"""The equations: pure functions from a problem to its asymptotic performance, usable from a notebook.

>>> import theory
>>> spectrum = theory.covariance.isotropic(400)
>>> modes = theory.linear_modes(spectrum, theory.target.isotropic(spectrum, signal_variance=1.0), noise_variance=0.25)
>>> round(theory.predict_ridge(modes, n_samples=800, penalty=0.1).test_error, 10)
0.4267837257

* Spectra: :mod:`theory.covariance`; targets on them: :mod:`theory.target`.
* Activations and their Gaussian averages: :mod:`theory.activations`.
* Equivalents, from features and regime to what square loss sees: :mod:`theory.equivalents`.
* Learners, from an equivalent to errors: :mod:`theory.learners`; convex losses on classes: :mod:`theory.classification`.
* Functionals, quantities read off either: :mod:`theory.functionals`.
* Solvers, shared by all of them: :mod:`theory.solvers`.
"""

from theory import activations, covariance, target
from theory.covariance import InadmissibleProblem, Spectrum
from theory.equivalents.kernels import (
    Exponential,
    Kernel,
    Laplace,
    LinearCoefficients,
    Polynomial,
    Rbf,
    kernel_features,
)
from theory.equivalents.linear import linear_modes
from theory.equivalents.modal import ModalEquivalent
from theory.equivalents.point import Equivalent, Point
from theory.equivalents.random_features import RandomLayer, random_features
from theory.equivalents.random_fourier import random_fourier
from theory.equivalents.sphere import sphere_modes
from theory.equivalents.wide_networks import ConjugateKernel, NeuralTangentKernel
from theory.functionals.optimal_penalty import OptimalPenalty, optimal_penalty
from theory.learners.committee import CommitteePrediction, predict_committee
from theory.learners.gradient_methods import (
    GradientPrediction,
    largest_step_size,
    predict_gradient_descent,
    predict_gradient_flow,
)
from theory.learners.networks import TeacherNetwork, TwoLayerStudent
from theory.learners.ridge import RidgePrediction, predict_ridge
from theory.learners.sgd import SgdPrediction, predict_sgd
from theory.learners.single_index import SingleIndexPrediction, predict_single_index
from theory.modes import Modes
from theory.solvers.effective_ridge import EffectiveRidge, solve_effective_ridge

SOLVER_VERSION = "6"
"""Changes whenever any answer may change in its digits; part of every prediction's key."""

__all__ = [
    "SOLVER_VERSION",
    "CommitteePrediction",
    "ConjugateKernel",
    "EffectiveRidge",
    "Equivalent",
    "Exponential",
    "GradientPrediction",
    "InadmissibleProblem",
    "Kernel",
    "Laplace",
    "LinearCoefficients",
    "ModalEquivalent",
    "Modes",
    "NeuralTangentKernel",
    "OptimalPenalty",
    "Point",
    "Polynomial",
    "RandomLayer",
    "Rbf",
    "RidgePrediction",
    "SgdPrediction",
    "SingleIndexPrediction",
    "Spectrum",
    "TeacherNetwork",
    "TwoLayerStudent",
    "activations",
    "covariance",
    "kernel_features",
    "largest_step_size",
    "linear_modes",
    "optimal_penalty",
    "predict_committee",
    "predict_gradient_descent",
    "predict_gradient_flow",
    "predict_ridge",
    "predict_sgd",
    "predict_single_index",
    "random_features",
    "random_fourier",
    "solve_effective_ridge",
    "sphere_modes",
    "target",
]
