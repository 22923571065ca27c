"""From a regime to the population spectrum of its inputs, as laws of random matrices take it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import theory
from api_schemas.prediction import Source
from api_schemas.regime import DatasetRegime, EigenspectrumRegime, SphereRegime
from theory import InadmissibleProblem, Modes
from theory.covariance import Spectrum
from workers.refusals import Refused, Unsupported
from workers.registry import COVARIANCES

MAX_EIGENVALUES = 10_000
"""Distinct population eigenvalues; each is a term of every sum."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """The inputs' covariance: a bulk, the spikes beside it, and both as one table."""

    bulk: Spectrum
    spikes: tuple[float, ...]
    whole: Spectrum
    sources: tuple[Source, ...] = ()


def population_of(regime: Any) -> Population:
    """Return the population spectrum of a regime's inputs.

    Raises:
        Refused: it has too many distinct eigenvalues, or its parts do not fit together.
    """
    if isinstance(regime, SphereRegime):
        whole = theory.covariance.isotropic(regime.n_features)
        return Population(bulk=whole, spikes=(), whole=whole)
    if isinstance(regime, DatasetRegime):
        raise Unsupported(
            "/regime/kind",
            "a data set is rows, not a population: GET /v1/datasets/{id} estimates an eigenspectrum, to be sent as"
            " regime.kind = 'eigenspectrum'",
        )
    if isinstance(regime, EigenspectrumRegime):
        modes = mode_table(regime)
        whole = Spectrum(eigenvalues=modes.eigenvalues, multiplicities=modes.multiplicities)
        _bound_eigenvalues(whole, "/regime/eigenvalues")
        return Population(bulk=whole, spikes=(), whole=whole)
    covariance = regime.covariance
    parameters = {name: value for name, value in covariance.__dict__.items() if name != "kind"}
    if covariance.kind in ("power_law", "ar1"):
        if regime.n_features > MAX_EIGENVALUES:
            raise Refused(
                "/regime/n_features",
                f"the spectrum of a {covariance.kind} covariance is worked out for {MAX_EIGENVALUES} features at most, got"
                f" {regime.n_features:g}; describe it by a few eigenvalues with covariance.kind = 'discrete'",
            )
        parameters["every_mode"] = True
    row = COVARIANCES[covariance.kind]
    try:
        whole = row.evaluate(regime.n_features, **parameters)
    except InadmissibleProblem as problem:
        place = "/regime" if problem.argument == "n_features" else "/regime/covariance"
        raise Refused(f"{place}/{problem.argument}" if problem.argument else place, str(problem)) from None
    _bound_eigenvalues(whole, "/regime/covariance")
    if covariance.kind == "spiked" and covariance.bulk_variance > 0.0:
        bulk = theory.covariance.isotropic(regime.n_features, variance=covariance.bulk_variance)
        return Population(bulk=bulk, spikes=tuple(covariance.spikes), whole=whole, sources=row.sources)
    return Population(bulk=whole, spikes=(), whole=whole, sources=row.sources)


def _bound_eigenvalues(spectrum: Spectrum, place: str) -> None:
    distinct = np.unique(spectrum.eigenvalues).size
    if distinct > MAX_EIGENVALUES:
        raise Refused(
            place, f"a spectrum may have {MAX_EIGENVALUES} distinct eigenvalues, got {distinct}; round or group them"
        )


def mode_table(regime: EigenspectrumRegime) -> Modes:
    """Return the modes that a regime lists, without a target.

    Raises:
        Refused: its parts do not fit together.
    """
    count = len(regime.eigenvalues)
    multiplicities = regime.multiplicities
    if multiplicities is not None and len(multiplicities) != count:
        raise Refused(
            "/regime/multiplicities", f"needs one entry per eigenvalue: {count} of them, got {len(multiplicities)}"
        )
    return Modes(
        eigenvalues=np.array(regime.eigenvalues),
        multiplicities=np.ones(count) if multiplicities is None else np.array(multiplicities),
        energies=np.zeros(count),
        tail_trace=regime.tail_trace,
    )
