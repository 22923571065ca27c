"""What scaling laws should be read with: each warning has a fixed code, a condition, and a sentence with its number."""

from collections.abc import Iterator, Sequence

import numpy as np

from theory import Modes
from theory.functionals.allocation import FlowAllocation
from theory.functionals.power_law_fit import PowerLawFit
from theory.functionals.scaling_laws import PowerLaw

BENDING = 0.2
"""Change of a slope over the fitted modes, relative to the slope, that deserves to be said."""
SIGNIFICANT = 3.0
"""Standard errors that it has to exceed."""
NEAR_LOGARITHM = 0.05
"""Distance of the source exponent from 1/2 or 1 within which powers are slow to show."""


def of_allocations(budgets: Sequence[float], modes: Modes, flow: Sequence[FlowAllocation]) -> Iterator[tuple[str, str]]:
    """Say which allocations were not certified, or have more than enough to spend."""
    missed = [budget for budget, found in zip(budgets, flow, strict=True) if not found.converged]
    if missed:
        yield (
            "not_converged",
            f"two contours disagree on gradient flow at {len(missed)} of the budgets, first {missed[0]:g}: those numbers are"
            " the best found and may be wrong",
        )
    rank = float(modes.rank)
    largest = max(budgets, default=0.0)
    if np.isfinite(rank) and largest >= rank * rank:
        yield (
            "budget_exceeds_spectrum",
            f"a budget of {largest:g} buys as many samples and features as there are modes, {rank:g}: the spectrum as given"
            " sets no limit there; list more modes",
        )


def of_fit(fit: PowerLawFit | None, law: PowerLaw | None) -> Iterator[tuple[str, str]]:
    """Say whether what was fitted is a power law, and one that has scaling laws."""
    if fit is None:
        return
    slopes = (("eigenvalues", fit.exponent), ("energies", fit.energy_exponent))
    for (name, slope), (bend, error) in zip(slopes, fit.bends, strict=True):
        if abs(bend) > BENDING * abs(slope) and abs(bend) > SIGNIFICANT * error:
            yield (
                "no_power_law",
                f"the {name} bend: their exponent goes from about {slope - bend / 2:.3g} to {slope + bend / 2:.3g} over the"
                f" modes {fit.first:g} to {fit.last:g}, so that the fitted {slope:.3g} holds for neither end; choose first"
                " and last",
            )
    if law is None and fit.exponent <= 1.0:
        yield (
            "slow_decay",
            f"the eigenvalues decay like i^-{fit.exponent:.3g}: with an exponent of at most 1 their sum would be infinite, and"
            " there are no scaling laws",
        )
    elif law is None:
        yield (
            "slow_decay",
            f"the energies decay like i^-{fit.energy_exponent:.3g}: with an exponent of at most 1 the target's variance would"
            " be infinite, and there are no scaling laws",
        )


def of_law(law: PowerLaw | None) -> Iterator[tuple[str, str]]:
    """Say where powers are slow to show."""
    if law is None:
        return
    for at, names in ((0.5, "width, and compute_optimal.ridge"), (1.0, "samples and samples_noisy_optimal_penalty")):
        if abs(law.source_exponent - at) < NEAR_LOGARITHM:
            yield (
                "logarithms",
                f"source_exponent = {law.source_exponent:.4g} is close to {at:g}, where two powers meet in a logarithm: the"
                f" exponents {names} show at very large sizes only",
            )
