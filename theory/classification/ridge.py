"""The ridge that acts on the population, for square loss: ``penalty = kappa (1 - df1 / n)``, through any features."""

from dataclasses import dataclass
from math import inf

from theory.equivalents.population import Population, Traces
from theory.solvers.increasing import Root, solve_increasing

THRESHOLD_TOLERANCE = 1e-12
"""Sizes that agree to this relative accuracy are the same size: counts such as d * weight carry rounding."""


@dataclass(frozen=True, kw_only=True)
class OuterRidge:
    """The solved equation.

    Attributes:
        ridge: kappa.
        traces: of the population there.
        curvature: ``penalty / kappa = 1 - df1 / n``; 0 where all samples are interpolated.
        free: ``1 - df2 / n``, not formed as a difference; 0 at the interpolation threshold without a penalty.
        residual, iterations, converged: see :class:`theory.solvers.increasing.Root`.
    """

    ridge: float
    traces: Traces
    curvature: float
    free: float
    residual: float
    iterations: int
    converged: bool


def ridge_of(population: Population, n_samples: float, penalty: float) -> OuterRidge:
    """Solve for kappa.

    Args:
        population: of the features.
        n_samples: n > 0.
        penalty: nonnegative; 0 is the limit of small ones: kappa = 0 with more samples than the rank, else df1 = n.
    """
    surplus = n_samples - population.rank
    if abs(surplus) <= THRESHOLD_TOLERANCE * n_samples:
        surplus = 0.0

    def function(ridge: float) -> tuple[float, float]:
        traces = population.traces(ridge)
        left, falling = 1.0 - traces.df1 / n_samples, ridge * traces.df_norm / n_samples
        return (left, falling) if penalty == 0.0 else (ridge * left, ridge * (left + falling))

    if penalty == 0.0 and surplus >= 0.0:
        root = Root(0.0, 0.0, 0, converged=True)
    else:
        start = penalty + population.trace / n_samples
        root = solve_increasing(function, penalty, start=start, vanishing=False)
    if penalty > 0.0 and root.ridge == 0.0:
        # A penalty so small that the ridge underflows.
        root = Root(penalty, inf, root.iterations, converged=False)
    traces = population.traces(root.ridge)
    curvature = penalty / root.ridge if penalty > 0.0 else max(surplus, 0.0) / n_samples
    return OuterRidge(
        ridge=root.ridge,
        traces=traces,
        curvature=curvature,
        free=curvature + root.ridge * traces.df_norm / n_samples,
        residual=root.residual,
        iterations=root.iterations,
        converged=root.converged,
    )
