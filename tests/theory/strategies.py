"""Hypothesis strategies: admissible problems over very wide ranges."""

from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import theory

REPRODUCIBLE = settings(derandomize=True, database=None, deadline=None, max_examples=100)
"""The same examples every run; a search for new ones is made by raising max_examples and dropping derandomize."""


class Problem(NamedTuple):
    """One call of :func:`theory.predict_ridge`."""

    modes: theory.Modes
    n_samples: float
    penalty: float
    width: float

    def predict(self) -> theory.RidgePrediction:
        """Solve it."""
        return theory.predict_ridge(self.modes, self.n_samples, self.penalty, width=self.width)


def magnitudes(decades: float, *, below: float | None = None) -> st.SearchStrategy[float]:
    """Positive numbers, log-uniform over ``decades`` above 1 and as many, or ``below``, under it."""
    return st.floats(-decades if below is None else -below, decades).map(lambda exponent: 10.0**exponent)


def or_zero(strategy: st.SearchStrategy[float]) -> st.SearchStrategy[float]:
    """The same, or 0."""
    return st.one_of(strategy, st.just(0.0))


@st.composite
def tables(
    draw: st.DrawFn, *, decades: float = 4.0, below: float | None = None, unpenalised: bool = True
) -> theory.Modes:
    """A mode table with whole multiplicities."""
    count = draw(st.integers(1, 5))
    size = magnitudes(decades, below=below)

    def several(strategy: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(strategy, min_size=count, max_size=count)))

    return theory.Modes(
        eigenvalues=several(size),
        multiplicities=several(st.integers(1, 1000).map(float)),
        energies=several(or_zero(size)),
        noise_variance=draw(or_zero(size)),
        unlearnable_variance=draw(or_zero(size)),
        tail_trace=draw(st.one_of(st.just(0.0), st.just(0.0), size)),
        n_unpenalised=draw(st.integers(0, 1)) if unpenalised else 0,
    )


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    decades: float = 4.0,
    below: float | None = None,
    unpenalised: bool = True,
    finite_width: bool = True,
) -> Problem:
    """A mode table with sizes, on thresholds and off them, and a penalty."""
    modes = draw(tables(decades=decades, below=below, unpenalised=unpenalised))
    rank = float(modes.n_modes)
    whole = st.integers(2, 3000).map(float)
    edges = [rank, rank + 1.0, rank - 1.0, float(modes.multiplicities[0])]
    sizes = st.one_of(whole, st.sampled_from([max(edge, 2.0) for edge in edges]))
    n_samples = draw(sizes)
    width = draw(st.one_of(st.just(np.inf), sizes, st.just(n_samples))) if finite_width else np.inf
    return Problem(modes, n_samples, draw(or_zero(magnitudes(decades, below=below))), width)


def replaced(modes: theory.Modes, **changes: object) -> theory.Modes:
    """The same table with some fields changed; derived ones follow."""
    names = (
        "eigenvalues",
        "multiplicities",
        "energies",
        "tail_trace",
        "unlearnable_variance",
        "noise_variance",
        "n_unpenalised",
    )
    return theory.Modes(**({name: getattr(modes, name) for name in names} | changes))
