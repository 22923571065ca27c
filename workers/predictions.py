"""From a prediction request to its answer: build the equivalent, solve, and say what a careful reader should know."""

from typing import Any

import numpy as np

import theory
from api_schemas.canonical import content_address
from api_schemas.features import KernelFeatures
from api_schemas.prediction import Effective, Numerics, Prediction, PredictionRequest, Source
from api_schemas.regime import EigenspectrumRegime, RegressionRegime, SphereRegime
from theory import Equivalent, InadmissibleProblem, Modes, Spectrum
from theory.covariance import Vector
from workers.refusals import Refused, Unsupported
from workers.registry import ALIGNMENTS, COVARIANCES, FEATURES, KERNELS, LEARNERS, REGIMES, Kind
from workers.warnings import warnings_for

KEY_PREFIX = f"foretell/{theory.SOLVER_VERSION}"

SCALES = (1e-100, 1e100)
"""Within this range products of three quantities stay within double precision; the equations' answers are then finite."""


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
    equivalent, spectrum = _built(request)
    learner = request.model.learner
    try:
        risks = LEARNERS[learner.kind].evaluate(equivalent, request.regime.n_samples, learner.penalty)
    except ArithmeticError:
        raise _too_far_apart("/model") from None
    if not np.isfinite(risks.df1 + risks.df2 + risks.residual):
        raise _too_far_apart("/model")
    effective = Effective(
        ridge=_finite(risks.outer_ridge), target_ridge=_finite(risks.effective_ridge), df1=risks.df1, df2=risks.df2
    )
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
        warnings=warnings_for(request, equivalent, risks, spectrum),
        sources=sources_of(request),
    )


def equivalent_of(request: PredictionRequest) -> Equivalent:
    """Build the equivalent of a request's features in its regime.

    Raises:
        Refused: the parts do not fit together, or their numbers lie too far apart.
    """
    return _built(request)[0]


def _built(request: PredictionRequest) -> tuple[Equivalent, Spectrum | None]:
    """Build the equivalent; with it the inputs' spectrum where nonlinear features were built on them."""
    regime, model = request.regime, request.model
    row = FEATURES[model.features.kind]
    build = getattr(row, regime.kind)
    if build is None:
        raise _unsupported(model.features.kind, regime.kind)
    spectrum = None
    try:
        # What leaves double precision here raises an error or is refused below.
        with np.errstate(all="ignore"):
            if isinstance(regime, EigenspectrumRegime):
                equivalent = build(model.features, _modes_of(regime, fit_intercept=model.fit_intercept))
            elif isinstance(regime, SphereRegime):
                equivalent = build(model.features, fit_intercept=model.fit_intercept, **_parameters(regime))
            else:
                spectrum, energies = inputs_of(regime)
                equivalent = build(
                    model.features,
                    spectrum,
                    energies,
                    noise_variance=regime.noise_variance,
                    nonlinear_variance=regime.target.nonlinear_variance,
                    mean=regime.target.mean,
                    fit_intercept=model.fit_intercept,
                )
    except ArithmeticError:
        raise _too_far_apart("/regime") from None
    except InadmissibleProblem as problem:
        raise _inadmissible(request, problem) from None
    _check_scales(request, equivalent)
    return equivalent, spectrum if row.nonlinear else None


def sources_of(request: PredictionRequest) -> list[Source]:
    """Collect the publications behind every kind that a request names."""
    kinds: list[Kind] = [
        LEARNERS[request.model.learner.kind],
        FEATURES[request.model.features.kind],
        REGIMES[request.regime.kind],
    ]
    if isinstance(request.model.features, KernelFeatures):
        kinds.append(KERNELS[request.model.features.kernel.kind])
    if isinstance(request.regime, RegressionRegime):
        kinds += [COVARIANCES[request.regime.covariance.kind], ALIGNMENTS[request.regime.target.alignment.kind]]
    return list({source.reference: source for kind in kinds for source in kind.sources}.values())


def _check_scales(request: PredictionRequest, equivalent: Equivalent) -> None:
    """Refuse quantities so small or large, for their unit, that double precision cannot work with their products."""
    regime, least, most = request.regime, *SCALES
    spectrum, multiplicity = "/regime", "/regime/n_features"
    if isinstance(regime, EigenspectrumRegime):
        spectrum, multiplicity = "/regime/eigenvalues", "/regime/multiplicities"
    elif isinstance(regime, RegressionRegime):
        spectrum = "/regime/covariance"
    quantities = [
        ("/regime/n_samples", "n_samples", regime.n_samples),
        ("/model/learner/penalty", "the penalty", request.model.learner.penalty),
    ]
    for modes in tables(equivalent):
        quantities += [
            ("/regime/tail_trace", "the trace of the tail", float(modes.tail_trace)),
            (spectrum, "the smallest eigenvalue", float(modes.eigenvalues.min())),
            (spectrum, "the sum of the eigenvalues", float(modes.trace)),
            (multiplicity, "the number of modes", float(modes.n_modes)),
        ]
    for pointer, name, value in quantities:
        if value != 0.0 and not least <= value <= most:
            raise Refused(
                pointer,
                f"{name}, {value:.3g}, must be 0 or lie between {least:g} and {most:g}, where double precision suffices;"
                " choose other units",
            )


def tables(equivalent: Equivalent) -> tuple[Modes, ...]:
    """Return the mode tables that an equivalent is made of."""
    families = getattr(equivalent, "families", None)
    return families if families is not None else (equivalent.modes,)  # type: ignore[attr-defined]


def _too_far_apart(pointer: str) -> Refused:
    return Refused(pointer, "its numbers lie too far apart for double precision; choose other units or sizes")


def _unsupported(features: str, regime: str) -> Unsupported:
    """Say which features the regime takes, and which regimes the features."""
    takes = [name for name, row in FEATURES.items() if getattr(row, regime) is not None]
    stands = [name for name in REGIMES if getattr(FEATURES[features], name) is not None]
    return Unsupported(
        "/model/features/kind",
        f"features.kind = '{features}' has no theory with regime.kind = '{regime}'; that regime takes {', '.join(takes)}, and"
        f" these features the regimes {', '.join(stands)}",
    )


def _inadmissible(request: PredictionRequest, problem: InadmissibleProblem) -> Refused:
    """Say where in the request the argument is that a function of the theory refused."""
    argument = problem.argument or ""
    if argument.startswith("layers"):
        place = "/model/features/kernel" if request.model.features.kind == "kernel" else "/model/features"
    elif argument == "kernel":
        place = "/model/features"
    else:
        place = "/regime"
    return Refused(_at(place, problem.argument), str(problem))


def _modes_of(regime: EigenspectrumRegime, *, fit_intercept: bool) -> Modes:
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


def inputs_of(regime: RegressionRegime) -> tuple[Spectrum, Vector]:
    """Return the spectrum of a regime's inputs and the energies of the target's linear part on it.

    Raises:
        Refused: the parts do not fit together.
    """
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
    return spectrum, energies


def _parameters(part: Any) -> dict[str, Any]:
    return {name: value for name, value in part.__dict__.items() if name != "kind"}


def _at(place: str, argument: str | None) -> str:
    return f"{place}/{argument}" if argument else place


def _finite(value: float) -> float | None:
    return value if -np.inf < value < np.inf else None
