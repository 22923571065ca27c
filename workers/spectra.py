"""From a spectrum request to its answer: build the law, read it, and say what a careful reader should know."""

from collections.abc import Callable
from typing import Any

import numpy as np

import theory
from api_schemas.canonical import content_address
from api_schemas.features import RandomFeatures
from api_schemas.prediction import PredictionWarning
from api_schemas.spectra import (
    Atom,
    Density,
    EffectiveDimensionStatistic,
    ExpressionStatistic,
    LogDetStatistic,
    MomentStatistic,
    Spectrum,
    SpectrumOutlier,
    SpectrumRequest,
    StatisticValue,
)
from theory import InadmissibleProblem, spectra
from workers.deadlines import check_time
from workers.matrices import Prepared, prepare
from workers.publications import BAI_SILVERSTEIN
from workers.refusals import Refused
from workers.spectrum_warnings import of_sizes, of_uncertified

KEY_PREFIX = f"foretell/spectra/{theory.SOLVER_VERSION}"

MAX_TERMS = 20_000_000
"""Points times population eigenvalues; a term takes some tens of nanoseconds."""
MAX_LAYERED_POINTS = 40_000
"""Points times layers of random features; each takes some tens of microseconds."""
UNKNOWN_FLUCTUATIONS = (
    "mean correction and standard deviation are known for Gaussian data: for a sample_covariance, and for the kernel_matrix of"
    " linear features"
)
NO_LIMIT = "the function has a pole on the spectrum, or is not finite there"


def key_of(request: SpectrumRequest) -> str:
    """Return the content address of a request's answer."""
    return content_address(request, solver_version=KEY_PREFIX)


def spectrum(
    request: SpectrumRequest, *, key: str | None = None, progress: Callable[[float], object] = lambda _: None
) -> Spectrum:
    """Answer a request.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.
        progress: called with the share that is done.

    Raises:
        Refused: the theory's assumptions do not hold for it, or it asks for too much.
    """
    # Before anything is worked out, so that a slip in an expression costs nothing.
    functions = _functions(request)
    prepared = prepare(request)
    law = prepared.law
    _bound_work(request, prepared)
    steps = 3 + len(functions)
    progress(1 / steps)
    with np.errstate(all="ignore"):
        check_time()
        x, y = spectra.density(law, request.grid.num)
        progress(2 / steps)
        statistics = []
        for asked, function in zip(request.statistics, functions, strict=True):
            check_time()
            statistics.append(_statistic(prepared, asked, function))
            progress((2 + len(statistics)) / steps)
        check_time()
        transform = _transform(request, law)
        progress(1.0)
    missing = int(np.isnan(y).sum())
    caveats = [*of_uncertified(missing, y.size), *of_sizes(request.regime.n_samples), *prepared.caveats]
    sources = [*prepared.sources, *((BAI_SILVERSTEIN,) if prepared.gaussian and request.statistics else ())]
    return Spectrum(
        key=key or key_of(request),
        status="not_converged" if missing else "converged",
        dimension=law.dimension,
        support=law.support.tolist(),
        atoms=[Atom(at=at, mass=mass) for at, mass in law.atoms],
        density=Density(x=x.tolist(), y=[_finite(value) for value in y.tolist()]),
        outliers=[_outlier(outlier) for outlier in prepared.outliers],
        stieltjes=transform,
        statistics=statistics,
        warnings=[PredictionWarning(code=code, detail=detail) for code, detail in caveats],
        sources=list({source.reference: source for source in sources}.values()),
    )


def check(request: SpectrumRequest) -> None:
    """Make sure that a request can be answered, short of answering it.

    Raises:
        Refused: the theory's assumptions do not hold for it, or it asks for too much.
    """
    _functions(request)
    _bound_work(request, prepare(request))


def _functions(request: SpectrumRequest) -> list[Callable[[Any], Any]]:
    """Return each statistic as a function of arrays of eigenvalues."""
    found = []
    for position, asked in enumerate(request.statistics):
        try:
            found.append(_function(asked))
        except InadmissibleProblem as problem:
            raise Refused(f"/statistics/{position}/{problem.argument}", str(problem)) from None
    return found


def _function(asked: Any) -> Callable[[Any], Any]:
    if isinstance(asked, ExpressionStatistic):
        return spectra.Expression(asked.expression)
    if isinstance(asked, LogDetStatistic):
        return lambda x: np.log(x + asked.shift)
    if isinstance(asked, MomentStatistic):
        return lambda x: x**asked.order
    if isinstance(asked, EffectiveDimensionStatistic):
        return lambda x: x / (x + asked.ridge) if asked.ridge else np.not_equal(x, 0.0).astype(float)
    return lambda x: 1.0 / (x + asked.shift)


def _statistic(prepared: Prepared, asked: Any, function: Callable[[Any], Any]) -> StatisticValue:
    model = prepared.gaussian
    if model is None:
        limit = spectra.average(prepared.law, function)
        value = spectra.LinearStatistic(
            per_dimension=limit,
            mean_correction=None,
            standard_deviation=None,
            reason=UNKNOWN_FLUCTUATIONS if limit is not None else NO_LIMIT,
        )
    else:
        value = _gaussian_statistic(model, asked, function, gram=prepared.gram)
    return StatisticValue(
        name=getattr(asked, "name", None),
        expression=getattr(asked, "expression", None),
        per_dimension=_finite(value.per_dimension),
        mean_correction=_finite(value.mean_correction),
        standard_deviation=_finite(value.standard_deviation),
        detail=value.reason,
    )


def _gaussian_statistic(
    model: spectra.SampleCovariance, asked: Any, function: Callable[[Any], Any], *, gram: bool
) -> spectra.LinearStatistic:
    try:
        if isinstance(asked, ExpressionStatistic):
            return spectra.linear_statistic(model, function, gram=gram)
        if isinstance(asked, LogDetStatistic):
            return spectra.log_det(model, shift=asked.shift, gram=gram)
        if isinstance(asked, MomentStatistic):
            return spectra.moment(model, order=asked.order, gram=gram)
        if isinstance(asked, EffectiveDimensionStatistic):
            return spectra.effective_dimension(model, ridge=asked.ridge, gram=gram)
        return spectra.trace_inverse(model, shift=asked.shift, gram=gram)
    except InadmissibleProblem as problem:
        return spectra.LinearStatistic(
            per_dimension=None, mean_correction=None, standard_deviation=None, reason=str(problem)
        )


def _transform(request: SpectrumRequest, law: spectra.Law) -> list[list[float]]:
    if not request.stieltjes:
        return []
    points = np.array(request.stieltjes)
    try:
        values = spectra.stieltjes_transform(law, points[:, 0] + 1j * points[:, 1])
    except InadmissibleProblem as problem:
        raise Refused(f"/stieltjes/{problem.argument}", str(problem)) from None
    for position, value in enumerate(values):
        if not np.isfinite(value):
            raise Refused(
                f"/stieltjes/{position}", "the transform could not be found here in double precision; move the point"
            )
    return np.stack([values.real, values.imag], axis=1).tolist()  # type: ignore[no-any-return]


def _bound_work(request: SpectrumRequest, prepared: Prepared) -> None:
    features = request.model.features
    if isinstance(features, RandomFeatures) and request.grid.num * len(features.layers) > MAX_LAYERED_POINTS:
        raise Refused(
            "/grid/num",
            f"{request.grid.num} points through {len(features.layers)} layers are more than one request may ask for;"
            f" {MAX_LAYERED_POINTS // len(features.layers)} points are not",
        )
    model = prepared.gaussian
    if model is None:
        return
    terms = model.law.atoms.size * max(request.grid.num, len(request.stieltjes))
    if terms > MAX_TERMS:
        raise Refused(
            "/grid/num",
            f"{request.grid.num} points of a spectrum with {model.law.atoms.size} distinct eigenvalues are more than one"
            f" request may ask for; {MAX_TERMS // model.law.atoms.size} points are not",
        )


def _outlier(outlier: spectra.Outlier) -> SpectrumOutlier:
    return SpectrumOutlier(
        origin=outlier.origin,
        population=_finite(outlier.population),
        at=_finite(outlier.at),
        alignment=_finite(outlier.alignment),
        visible=outlier.visible,
        misclassification=_finite(outlier.misclassification),
        threshold=_finite(outlier.threshold),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and -np.inf < value < np.inf else None
