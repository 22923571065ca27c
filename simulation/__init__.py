"""The problems of the theory, drawn and trained at finite size; knows nothing of the equations it is there to test.

>>> from simulation import Layer, GaussianRegime, Moments, Problem, RandomFeatures, Ridge, simulate
>>> from theory import activations
>>> regime = GaussianRegime(eigenvalues=[1.0] * 40, energies=[0.025] * 40, noise_variance=0.25)
>>> relu = Layer(activation=activations.activation("relu"), width=60)
>>> features, learner = RandomFeatures(layers=[relu]), Ridge(penalty=0.01)
>>> problem = Problem(regime=regime, features=features, learner=learner, n_samples=80)
>>> test_error = Moments.of(simulate(problem, replicates=50, seed=0).test_error)
>>> 0.25 < test_error.mean < 1.25
True

* A problem: :mod:`simulation.problem`; its replicates: :mod:`simulation.replicates`, by :mod:`simulation.training` and
  :mod:`simulation.measures`; means and errors: :mod:`simulation.statistics`.
* Regimes: :mod:`simulation.gaussian`, :mod:`simulation.sphere`; classes: :mod:`simulation.mixture`, :mod:`simulation.teacher`.
* Features: :mod:`simulation.features`; kernels: :mod:`simulation.kernels`, :mod:`simulation.infinite_width`.
* Learners: :mod:`simulation.learners`, on :mod:`simulation.designs`, by :mod:`simulation.logistic` and
  :mod:`simulation.hinge`; losses: :mod:`simulation.losses`.
* Whole directions from the groups of a spectrum: :mod:`simulation.directions`.

To add a feature map: a class with ``draw`` and ``apply``, or with ``matrix`` for a kernel. To add a learner: a class with
``fit``. To add a regime: a class with ``target``, whose answer has ``draw``.
"""

from simulation.directions import directions
from simulation.features import Layer, LinearFeatures, RandomFeatures, RandomFourier, RandomProjection
from simulation.gaussian import GaussianRegime
from simulation.infinite_width import ConjugateKernel, InfiniteLayer, TangentKernel
from simulation.kernels import Exponential, Laplace, Polynomial, Rbf
from simulation.learners import DiscriminantAnalysis, GradientDescent, GradientFlow, Hinge, Logistic, Ridge, fit
from simulation.mixture import MixtureRegime
from simulation.problem import Problem, TrainingSet, draw_training_set
from simulation.replicates import Samples, simulate
from simulation.sphere import SphereRegime
from simulation.statistics import Moments
from simulation.teacher import TeacherRegime

__all__ = [
    "ConjugateKernel",
    "DiscriminantAnalysis",
    "Exponential",
    "GaussianRegime",
    "GradientDescent",
    "GradientFlow",
    "Hinge",
    "InfiniteLayer",
    "Laplace",
    "Layer",
    "LinearFeatures",
    "Logistic",
    "MixtureRegime",
    "Moments",
    "Polynomial",
    "Problem",
    "RandomFeatures",
    "RandomFourier",
    "RandomProjection",
    "Rbf",
    "Ridge",
    "Samples",
    "SphereRegime",
    "TangentKernel",
    "TeacherRegime",
    "TrainingSet",
    "directions",
    "draw_training_set",
    "fit",
    "simulate",
]
