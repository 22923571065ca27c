"""From a regime to its inputs: the spectrum of their covariance, and what is to be learned on it."""

from typing import Any

import numpy as np

import theory
from api_schemas.regime import (
    EigenspectrumRegime,
    MixtureRegime,
    RegressionRegime,
    TeacherClassificationRegime,
    TeacherNetworkRegime,
)
from theory import InadmissibleProblem, Modes, Spectrum
from theory.covariance import Vector
from workers.refusals import Refused
from workers.registry import ALIGNMENTS, COVARIANCES


def modes_of(regime: EigenspectrumRegime, *, fit_intercept: bool) -> Modes:
    """Return the mode table that a regime lists."""
    n_groups = len(regime.eigenvalues)
    multiplicities = regime.multiplicities
    for name, values in (("multiplicities", multiplicities), ("energies", regime.energies)):
        if values is not None and len(values) != n_groups:
            raise Refused(f"/regime/{name}", f"needs one entry per eigenvalue: {n_groups} of them, got {len(values)}")
    return Modes(
        eigenvalues=np.array(regime.eigenvalues),
        multiplicities=np.ones(n_groups) if multiplicities is None else np.array(multiplicities),
        energies=np.array(regime.energies),
        tail_trace=regime.tail_trace,
        noise_variance=regime.noise_variance,
        n_unpenalised=int(fit_intercept),
    )


def inputs_of(regime: RegressionRegime | TeacherClassificationRegime) -> tuple[Spectrum, Vector]:
    """Return the spectrum of a regime's inputs and the energies of the target's linear part on it.

    Raises:
        Refused: the parts do not fit together.
    """
    covariance, target = regime.covariance, regime.target
    alignment, place = target.alignment, "/regime/target/alignment"
    spectrum = _spectrum(regime, alignment, place)
    parameters = parameters_of(alignment)
    if alignment.kind == "source" and covariance.kind == "power_law":
        parameters["covariance_exponent"] = covariance.exponent
    elif alignment.kind == "source":
        raise Refused(
            f"{place}/kind",
            f"a source alignment needs covariance.kind = 'power_law', got '{covariance.kind}'; use alignment.kind = 'energies'",
        )
    try:
        energies = ALIGNMENTS[alignment.kind].evaluate(spectrum, signal_variance=target.signal_variance, **parameters)
    except InadmissibleProblem as problem:
        raise Refused(pointer_to(place, problem.argument), str(problem)) from None
    return spectrum, energies


def means_of(regime: MixtureRegime) -> tuple[Spectrum, Vector]:
    """Return the spectrum of a mixture's inputs within a class, and the square of a class mean on each eigenvalue.

    Raises:
        Refused: the parts do not fit together.
    """
    alignment, place = regime.mean_alignment, "/regime/mean_alignment"
    spectrum = _spectrum(regime, alignment, place)
    return spectrum, mean_squares(regime, spectrum)


def mean_squares(regime: MixtureRegime, spectrum: Spectrum) -> Vector:
    """Return the square of a class mean on each entry of a spectrum.

    Raises:
        Refused: the shares do not fit to the spectrum.
    """
    alignment, place = regime.mean_alignment, "/regime/mean_alignment"
    energy = regime.mean_norm**2
    if alignment.kind == "isotropic":
        shares: Vector = spectrum.multiplicities / np.sum(spectrum.multiplicities) * energy
        return shares
    try:
        return theory.target.energies(spectrum, signal_variance=energy, values=alignment.values)
    except InadmissibleProblem as problem:
        if problem.argument:
            raise Refused(pointer_to(place, problem.argument), str(problem)) from None
        raise Refused(
            f"{place}/values",
            "must give some eigenvalue a positive share of ||mu||^2, and none to those where the inputs do not vary",
        ) from None


def plain_spectrum(regime: Any) -> Spectrum:
    """Return the spectrum of the inputs that an answered request was solved for."""
    if isinstance(regime, TeacherNetworkRegime):
        return spectrum_of(regime)
    alignment = getattr(regime, "mean_alignment", None) or regime.target.alignment
    return _spectrum(regime, alignment, "/regime")


def spectrum_of(regime: TeacherNetworkRegime) -> Spectrum:
    """Return the spectrum of a regime's inputs.

    Raises:
        Refused: the parts do not fit together.
    """
    return _spectrum(regime, None, "/regime")


def _spectrum(
    regime: RegressionRegime | TeacherClassificationRegime | MixtureRegime | TeacherNetworkRegime,
    alignment: Any,
    place: str,
) -> Spectrum:
    """Return the spectrum of a regime's covariance; mode by mode where energies are given for each."""
    covariance = regime.covariance
    parameters = parameters_of(covariance)
    if alignment is not None and alignment.kind == "energies" and covariance.kind in ("power_law", "ar1"):
        # Check the count before building a large family.
        if len(alignment.values) != regime.n_features:
            count = len(alignment.values)
            raise Refused(
                f"{place}/values",
                f"needs one energy for each of the n_features = {regime.n_features:g} eigenvalues, got {count}",
            )
        parameters["every_mode"] = True
    try:
        found: Spectrum = COVARIANCES[covariance.kind].evaluate(regime.n_features, **parameters)
    except InadmissibleProblem as problem:
        where = "/regime" if problem.argument == "n_features" else "/regime/covariance"
        raise Refused(pointer_to(where, problem.argument), str(problem)) from None
    return found


def parameters_of(part: Any) -> dict[str, Any]:
    """Return the fields of a kind but for its name."""
    return {name: value for name, value in part.__dict__.items() if name != "kind"}


def pointer_to(place: str, argument: str | None) -> str:
    """Return the JSON pointer to an argument of a place, or to the place."""
    return f"{place}/{argument}" if argument else place
