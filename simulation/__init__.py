"""The problems of the theory, drawn and trained at finite size; knows nothing of the equations it is there to test.

>>> from simulation import LinearRidgeProblem, Moments, simulate_ridge
>>> problem = LinearRidgeProblem(
...     eigenvalues=[1.0] * 40, energies=[0.025] * 40, n_samples=80, penalty=0.1, noise_variance=0.25
... )
>>> test_error = Moments.of(simulate_ridge(problem, replicates=50, seed=0).test_error)
>>> 0.4 < test_error.mean < 0.5
True
"""

from simulation.directions import directions
from simulation.linear_ridge import LinearRidgeProblem, RidgeSamples, draw_training_set, fit_ridge, simulate_ridge
from simulation.statistics import Moments

__all__ = [
    "LinearRidgeProblem",
    "Moments",
    "RidgeSamples",
    "directions",
    "draw_training_set",
    "fit_ridge",
    "simulate_ridge",
]
