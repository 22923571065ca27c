"""From a prediction request to its answer: build the mode table, solve, and say what a careful reader should know."""

from typing import Any

import numpy as np

import theory
from api_schemas.canonical import content_address
from api_schemas.prediction import Effective, Numerics, Prediction, PredictionRequest, Source
from api_schemas.regime import EigenspectrumRegime, RegressionRegime
from theory import InadmissibleProblem, Modes
from workers.registry import ALIGNMENTS, COVARIANCES, FEATURES, LEARNERS, REGIMES, Kind
from workers.warnings import warnings_for

KEY_PREFIX = f"foretell/{theory.SOLVER_VERSION}"

SCALES = (1e-100, 1e100)
"""Within this range products of three quantities stay within double precision; the equations' answers are then finite."""


class Refused(ValueError):
    """The request fits the schema but not the theory's assumptions.

    Attributes:
        pointer: JSON pointer to the part of the request at fault.
        detail: the value, the rule and the way out.
    """

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


def key_of(request: PredictionRequest) -> str:
    """Return the content address of a request's answer."""
    return content_address(request, solver_version=KEY_PREFIX)


def predict(request: PredictionRequest, *, key: str | None = None) -> Prediction:
    """Answer a request.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.

    Raises:
        Refused: the theory's assumptions do not hold for it.
    """
    modes = mode_table(request)
    learner = request.model.learner
    risks = LEARNERS[learner.kind].evaluate(modes, request.regime.n_samples, learner.penalty)
    effective = Effective(ridge=_finite(risks.effective_ridge), df1=risks.df1, df2=risks.df2)
    return Prediction(
        key=key or key_of(request),
        status=risks.status,
        metric="squared_error",
        test_error=_finite(risks.test_error),
        excess_risk=_finite(risks.excess_risk),
        train_error=_finite(risks.train_error),
        bias=_finite(risks.bias),
        variance=_finite(risks.variance),
        estimator_norm_squared=_finite(risks.estimator_norm_squared),
        effective=effective,
        phase=risks.phase,
        numerics=Numerics(residual=risks.residual, iterations=risks.iterations),
        warnings=warnings_for(request, modes, risks),
        sources=sources_of(request),
    )


def mode_table(request: PredictionRequest) -> Modes:
    """Build the mode table of a request's features in its regime.

    Raises:
        Refused: the parts do not fit together, or their numbers lie too far apart.
    """
    regime, model = request.regime, request.model
    try:
        # What leaves double precision here raises an error or is refused below.
        with np.errstate(all="ignore"):
            if isinstance(regime, EigenspectrumRegime):
                modes = _from_eigenspectrum(regime, fit_intercept=model.fit_intercept)
            else:
                modes = _from_regression(regime, features=model.features.kind, fit_intercept=model.fit_intercept)
    except ArithmeticError:
        raise Refused(
            "/regime", "its numbers lie too far apart for double precision; choose other units or sizes"
        ) from None
    _check_scales(request, modes)
    return modes


def sources_of(request: PredictionRequest) -> list[Source]:
    """Collect the publications behind every kind that a request names."""
    kinds: list[Kind] = [
        LEARNERS[request.model.learner.kind],
        FEATURES[request.model.features.kind],
        REGIMES[request.regime.kind],
    ]
    if isinstance(request.regime, RegressionRegime):
        kinds += [COVARIANCES[request.regime.covariance.kind], ALIGNMENTS[request.regime.target.alignment.kind]]
    return list({source.reference: source for kind in kinds for source in kind.sources}.values())


def _check_scales(request: PredictionRequest, modes: Modes) -> None:
    """Refuse quantities so small or large, for their unit, that double precision cannot work with their products."""
    regime, least, most = request.regime, *SCALES
    spectrum = "/regime/eigenvalues" if isinstance(regime, EigenspectrumRegime) else "/regime/covariance"
    multiplicity = "/regime/multiplicities" if isinstance(regime, EigenspectrumRegime) else "/regime/n_features"
    for pointer, name, value in (
        ("/regime/n_samples", "n_samples", regime.n_samples),
        ("/model/learner/penalty", "the penalty", request.model.learner.penalty),
        ("/regime/tail_trace", "the trace of the tail", modes.tail_trace),
        (spectrum, "the smallest eigenvalue", float(modes.eigenvalues.min())),
        (spectrum, "the sum of the eigenvalues", modes.trace),
        (multiplicity, "the number of modes", modes.n_modes),
    ):
        if value != 0.0 and not least <= value <= most:
            raise Refused(
                pointer,
                f"{name}, {value:.3g}, must be 0 or lie between {least:g} and {most:g}, where double precision suffices;"
                " choose other units",
            )


def _from_eigenspectrum(regime: EigenspectrumRegime, *, fit_intercept: bool) -> Modes:
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


def _from_regression(regime: RegressionRegime, *, features: str, fit_intercept: bool) -> Modes:
    covariance, target = regime.covariance, regime.target
    alignment = target.alignment
    parameters = _parameters(covariance)
    if alignment.kind == "energies" and covariance.kind in ("power_law", "ar1"):
        # Energies are given mode by mode, so every mode must be there; check the count before building a large family.
        if len(alignment.values) != regime.n_features:
            count = len(alignment.values)
            raise Refused(
                "/regime/target/alignment/values",
                f"needs one energy for each of the n_features = {regime.n_features:g} eigenvalues, got {count}",
            )
        parameters["every_mode"] = True
    try:
        spectrum = COVARIANCES[covariance.kind].evaluate(regime.n_features, **parameters)
    except InadmissibleProblem as problem:
        place = "/regime" if problem.argument == "n_features" else "/regime/covariance"
        raise Refused(_at(place, problem.argument), str(problem)) from None
    alignment_parameters = _parameters(alignment)
    if alignment.kind == "source" and covariance.kind == "power_law":
        alignment_parameters["covariance_exponent"] = covariance.exponent
    elif alignment.kind == "source":
        raise Refused(
            "/regime/target/alignment/kind",
            f"a source alignment needs covariance.kind = 'power_law', got '{covariance.kind}'; use alignment.kind = 'energies'",
        )
    try:
        energies = ALIGNMENTS[alignment.kind].evaluate(
            spectrum, signal_variance=target.signal_variance, **alignment_parameters
        )
    except InadmissibleProblem as problem:
        raise Refused(_at("/regime/target/alignment", problem.argument), str(problem)) from None
    modes: Modes = FEATURES[features].evaluate(
        spectrum,
        energies,
        noise_variance=regime.noise_variance,
        nonlinear_variance=target.nonlinear_variance,
        mean=target.mean,
        fit_intercept=fit_intercept,
    )
    return modes


def _parameters(part: Any) -> dict[str, Any]:
    return {name: value for name, value in part.__dict__.items() if name != "kind"}


def _at(place: str, argument: str | None) -> str:
    return f"{place}/{argument}" if argument else place


def _finite(value: float) -> float | None:
    return value if -np.inf < value < np.inf else None
