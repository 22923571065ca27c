"""The problems of the theory, drawn and trained at finite size; knows nothing of the equations it is there to test.

>>> from simulation import Layer, GaussianRegime, Moments, RandomFeatures, RidgeProblem, simulate
>>> from theory import activations
>>> regime = GaussianRegime(eigenvalues=[1.0] * 40, energies=[0.025] * 40, noise_variance=0.25)
>>> relu = Layer(activation=activations.activation("relu"), width=60)
>>> problem = RidgeProblem(regime=regime, features=RandomFeatures(layers=[relu]), n_samples=80, penalty=0.01)
>>> test_error = Moments.of(simulate(problem, replicates=50, seed=0).test_error)
>>> 0.25 < test_error.mean < 1.25
True

* A problem, and how it is trained and measured: :mod:`simulation.ridge`; the fit itself: :mod:`simulation.fit`.
* Regimes: :mod:`simulation.gaussian`, :mod:`simulation.sphere`.
* Features: :mod:`simulation.features`; kernels: :mod:`simulation.kernels`, :mod:`simulation.infinite_width`.
* Whole directions from the groups of a spectrum: :mod:`simulation.directions`; means and errors: :mod:`simulation.statistics`.

To add a feature map: a class with ``draw`` and ``apply``, or with ``matrix`` for a kernel.
"""

from simulation.directions import directions
from simulation.features import Layer, LinearFeatures, RandomFeatures, RandomFourier, RandomProjection
from simulation.fit import fit_ridge
from simulation.gaussian import GaussianRegime
from simulation.infinite_width import ConjugateKernel, InfiniteLayer, TangentKernel
from simulation.kernels import Exponential, Laplace, Polynomial, Rbf
from simulation.ridge import RidgeProblem, RidgeSamples, TrainingSet, draw_training_set, simulate
from simulation.sphere import SphereRegime
from simulation.statistics import Moments

__all__ = [
    "ConjugateKernel",
    "Exponential",
    "GaussianRegime",
    "InfiniteLayer",
    "Laplace",
    "Layer",
    "LinearFeatures",
    "Moments",
    "Polynomial",
    "RandomFeatures",
    "RandomFourier",
    "RandomProjection",
    "Rbf",
    "RidgeProblem",
    "RidgeSamples",
    "SphereRegime",
    "TangentKernel",
    "TrainingSet",
    "directions",
    "draw_training_set",
    "fit_ridge",
    "simulate",
]
