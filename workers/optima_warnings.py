"""What an optimum should be read with: each warning has a fixed code, a condition, and a sentence with its number."""

from collections.abc import Iterator

import numpy as np

from api_schemas.optima import Optimum
from theory.functionals.optimal_penalty import OptimalPenalty
from theory.solvers.box_search import Found, Minimum
from workers.objective import Objective


def of_optimum(optimum: Optimum) -> Iterator[tuple[str, str]]:
    """Say where the optimum is held by a range, and where its own prediction is to be read with care."""
    for path, end in optimum.at_bounds.items():
        yield (
            "at_bound",
            f"{path} is at the {end} end of its range, {optimum.values[path]:g}: the least test error may lie beyond",
        )
    codes = sorted({warning.code for warning in optimum.prediction.warnings})
    if codes:
        yield (
            "prediction_warnings",
            f"the prediction at the optimum has warnings of its own: {', '.join(codes)}",
        )


def of_search(found: Found | None, objective: Objective) -> Iterator[tuple[str, str]]:
    """Say what the search left out."""
    if found is None:
        return
    if found.n_basins > found.n_descended:
        yield (
            "many_basins",
            f"of {found.n_basins} basins on the grid the best {found.n_descended} were descended into: others may be deeper"
            " than the grid shows; search smaller ranges",
        )
    if objective.n_refused and objective.refusal is not None:
        yield (
            "refused_points",
            f"{objective.n_refused} of {objective.evaluations} points have no answer and were left out; the first because"
            f" {objective.refusal.detail}",
        )


def of_penalty(
    best: Minimum, unconstrained: OptimalPenalty | None, *, implicit_ridge: float
) -> Iterator[tuple[str, str]]:
    """Say where a negative penalty would do better, and where it cannot be trusted.

    Args:
        best: the optimum.
        unconstrained: the best of all penalties, where it is known.
        implicit_ridge: what a kernel's tail adds to every penalty, over n_samples; 0 where there is no tail.
    """
    if unconstrained is None or not np.isfinite(unconstrained.test_error):
        return
    if unconstrained.penalty < 0.0 < implicit_ridge:
        yield (
            "implicit_ridge",
            f"the best penalty, {unconstrained.penalty:.6g}, takes away {-unconstrained.penalty / implicit_ridge:.4g} of the"
            f" ridge that the tail of the kernel adds of itself, {implicit_ridge:.6g}: at finite size that ridge scatters with"
            " the inputs' lengths; trust it the less, the closer the share is to 1",
        )
    if unconstrained.penalty < 0.0 <= best.point[0] and unconstrained.test_error < best.value:
        yield (
            "negative_penalty",
            f"the best penalty is negative, {unconstrained.penalty:.6g}, with a test error of {unconstrained.test_error:.6g}"
            f" against {best.value:.6g}; a lower end below 0 admits it",
        )
