"""From a scaling-laws request to its answer: the laws, how to spend each budget, and what they rest on."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

import numpy as np

import theory
from api_schemas.canonical import content_address
from api_schemas.prediction import PredictionWarning
from api_schemas.scaling import (
    Amplitudes,
    ComputeOptimal,
    ExplicitSpectrum,
    Exponents,
    FittedExponent,
    FlowAllocation,
    FlowComputeLaw,
    RidgeAllocation,
    RidgeComputeLaw,
    ScalingCrossover,
    ScalingFit,
    ScalingLaws,
    ScalingLawsRequest,
)
from theory import InadmissibleProblem, Modes
from theory.functionals import allocation, scaling_laws
from theory.functionals.power_law_fit import PowerLawFit, fit_power_law
from theory.functionals.scaling_laws import PowerLaw
from workers import scaling_warnings
from workers.deadlines import check_time
from workers.publications import (
    BORDELON,
    CAPONNETTO_DE_VITO,
    CUI,
    DEFILIPPIS,
    SIMON_WIDTH,
)
from workers.refusals import Refused, TooLarge

KEY_PREFIX = f"foretell/scaling-laws/{theory.SOLVER_VERSION}"

MOST_TERMS = 20_000
"""Listed modes times budgets; each costs about half a millisecond."""
SCALES = (1e-100, 1e100)
SOURCES = (CAPONNETTO_DE_VITO, BORDELON, CUI, SIMON_WIDTH, DEFILIPPIS)


def key_of(request: ScalingLawsRequest) -> str:
    """Return the content address of a request's answer."""
    return content_address(request, solver_version=KEY_PREFIX)


def check(request: ScalingLawsRequest) -> None:
    """Make sure that a request can be answered, short of answering it.

    Raises:
        Refused: the spectrum cannot be fitted, or it asks for too much.
    """
    _prepare(request)


def scaling_laws_of(
    request: ScalingLawsRequest, *, key: str | None = None, progress: Callable[[float], object] = lambda _: None
) -> ScalingLaws:
    """Answer a request.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.
        progress: called with the share that is done.

    Raises:
        Refused: the spectrum cannot be fitted, or it asks for too much.
    """
    with np.errstate(all="ignore"):
        law, fit, modes = _prepare(request)
        different = dict.fromkeys(request.budgets)
        ridge_of, flow_of = {}, {}
        for done, budget in enumerate(different):
            check_time()
            ridge_of[budget] = allocation.allocate_ridge(modes, budget)
            progress((done + 0.5) / len(different))
            check_time()
            flow_of[budget] = allocation.allocate_flow(modes, budget)
            progress((done + 1.0) / len(different))
        ridge = [ridge_of[budget] for budget in request.budgets]
        flow = [flow_of[budget] for budget in request.budgets]
        amplitudes = _amplitudes(law)
    caveats = [
        *scaling_warnings.of_allocations(request.budgets, modes, flow),
        *scaling_warnings.of_fit(fit, law),
        *scaling_warnings.of_law(law),
    ]
    return ScalingLaws(
        key=key or key_of(request),
        status="converged" if all(one.converged for one in flow) else "not_converged",
        exponents=_exponents(law),
        amplitudes=amplitudes,
        standard_errors=_standard_errors(law, fit),
        compute_optimal=_compute_optimal(law),
        crossovers=[] if law is None else [_crossover(one) for one in scaling_laws.crossovers(law)],
        allocations=[
            RidgeAllocation(budget=budget, **asdict(one)) for budget, one in zip(request.budgets, ridge, strict=True)
        ],
        flow_allocations=[
            FlowAllocation(
                budget=budget,
                width=one.width,
                time=one.time,
                test_error=one.test_error,
                excess_risk=one.excess_risk,
            )
            for budget, one in zip(request.budgets, flow, strict=True)
        ],
        fit=None if fit is None else _fit(fit),
        assumptions=list(_assumptions(request, law)),
        warnings=[PredictionWarning(code=code, detail=detail) for code, detail in caveats],
        sources=list(SOURCES),
    )


def _prepare(request: ScalingLawsRequest) -> tuple[PowerLaw | None, PowerLawFit | None, Modes]:
    """Return the law, None where the fitted one has none; the fit, None where nothing was fitted; and the mode table."""
    spectrum = request.spectrum
    if not isinstance(spectrum, ExplicitSpectrum):
        law = PowerLaw(
            exponent=spectrum.exponent,
            source_exponent=spectrum.source_exponent,
            scale=spectrum.scale,
            noise_variance=request.noise_variance,
        )
        energy = spectrum.signal_variance / law.signal_variance
        if energy == 0.0:
            raise Refused(
                "/spectrum/source_exponent",
                f"is so small, {spectrum.source_exponent:g}, that energies do not decay in double precision; choose at least"
                " 1e-15",
            )
        law = replace(law, energy=energy)
        return law, None, allocation.infinite_power_law(law)
    modes = _modes(spectrum, request.noise_variance)
    _bound_work(request, spectrum)
    try:
        fit = fit_power_law(
            spectrum.eigenvalues,
            spectrum.energies,
            multiplicities=spectrum.multiplicities,
            first=spectrum.first,
            last=np.inf if spectrum.last is None else spectrum.last,
        )
    except InadmissibleProblem as problem:
        raise Refused(f"/spectrum/{problem.argument}", str(problem)) from None
    return _fitted(fit, fit.exponent, fit.energy_exponent, request.noise_variance), fit, modes


def _fitted(fit: PowerLawFit, exponent: float, energy_exponent: float, noise_variance: float) -> PowerLaw | None:
    """Return the law with these slopes; None where the trace or the target's variance would be infinite."""
    try:
        return PowerLaw(
            exponent=exponent,
            source_exponent=(energy_exponent - 1.0) / (2.0 * exponent),
            scale=fit.scale,
            energy=fit.energy,
            noise_variance=noise_variance,
        )
    except InadmissibleProblem:
        return None


def _modes(spectrum: ExplicitSpectrum, noise_variance: float) -> Modes:
    count, place = len(spectrum.eigenvalues), "/spectrum"
    for name in ("energies", "multiplicities"):
        values = getattr(spectrum, name)
        if values is not None and len(values) != count:
            raise Refused(f"{place}/{name}", f"needs one entry per eigenvalue: {count} of them, got {len(values)}")
    if spectrum.last is not None and spectrum.last < spectrum.first:
        raise Refused(f"{place}/last", f"must be at least first = {spectrum.first}, got {spectrum.last}")
    try:
        modes = Modes(
            eigenvalues=np.array(spectrum.eigenvalues),
            multiplicities=np.ones(count) if spectrum.multiplicities is None else np.array(spectrum.multiplicities),
            energies=np.array(spectrum.energies),
            noise_variance=noise_variance,
        )
    except InadmissibleProblem as problem:
        raise Refused(place, str(problem)) from None
    least, most = SCALES
    positive = [value for value in spectrum.eigenvalues if value > 0.0]
    for value in (min(positive, default=1.0), float(modes.trace) or 1.0):
        if not least <= value <= most:
            raise Refused(
                f"{place}/eigenvalues",
                f"must be 0 or lie between {least:g} and {most:g}, as must their sum, got {value:.3g}; choose other units",
            )
    return modes


def _bound_work(request: ScalingLawsRequest, spectrum: ExplicitSpectrum) -> None:
    count = len(spectrum.eigenvalues)
    if count * len(request.budgets) > MOST_TERMS:
        raise TooLarge(
            "/budgets",
            f"{len(request.budgets)} budgets of a spectrum with {count} eigenvalues are more than one request may ask for;"
            f" {MOST_TERMS // count} budgets are not",
        )


def _exponents(law: PowerLaw | None) -> Exponents:
    if law is None:
        return Exponents(**dict.fromkeys(Exponents.model_fields))
    return Exponents(**asdict(scaling_laws.exponents(law)))


def _amplitudes(law: PowerLaw | None) -> Amplitudes:
    if law is None:
        return Amplitudes(**dict.fromkeys(Amplitudes.model_fields))
    found = asdict(scaling_laws.amplitudes(law))
    return Amplitudes(**{name: value if np.isfinite(value) else None for name, value in found.items()})


def _compute_optimal(law: PowerLaw | None) -> ComputeOptimal | None:
    if law is None:
        return None
    return ComputeOptimal(
        ridge=RidgeComputeLaw(cost="n_samples * width", **asdict(scaling_laws.compute_optimal_ridge(law))),
        gradient_flow=FlowComputeLaw(cost="width * time", **asdict(scaling_laws.compute_optimal_flow(law))),
    )


def _crossover(found: scaling_laws.Crossover) -> ScalingCrossover:
    return ScalingCrossover(**{**asdict(found), "between": list(found.between)})


def _named_exponents(law: PowerLaw) -> dict[str, float]:
    """Return every exponent of the answer by its dotted path."""
    ridge, flow = scaling_laws.compute_optimal_ridge(law), scaling_laws.compute_optimal_flow(law)
    found = {f"exponents.{name}": value for name, value in asdict(scaling_laws.exponents(law)).items()}
    found |= {f"compute_optimal.ridge.{name}": getattr(ridge, name) for name in ("error", "width", "n_samples")}
    found |= {f"compute_optimal.gradient_flow.{name}": getattr(flow, name) for name in ("error", "width", "time")}
    return found


def _standard_errors(law: PowerLaw | None, fit: PowerLawFit | None) -> dict[str, float] | None:
    if law is None or fit is None:
        return None

    def exponent(path: str) -> Callable[[float, float], float]:
        def value(slope: float, energy_slope: float) -> float:
            moved = _fitted(fit, slope, energy_slope, law.noise_variance)
            return _named_exponents(moved or law)[path]

        return value

    return {path: fit.standard_error(exponent(path)) for path in _named_exponents(law)}


def _fit(fit: PowerLawFit) -> ScalingFit:
    exponent_error, energy_error = (float(np.sqrt(variance)) for variance in fit.variances)
    source_error = fit.standard_error(lambda slope, energy_slope: (energy_slope - 1.0) / (2.0 * slope))
    return ScalingFit(
        exponent=FittedExponent(value=fit.exponent, standard_error=exponent_error),
        energy_exponent=FittedExponent(value=fit.energy_exponent, standard_error=energy_error),
        source_exponent=FittedExponent(value=fit.source_exponent, standard_error=source_error),
        scale=fit.scale,
        energy=fit.energy,
        first=fit.first,
        last=fit.last,
        groups=fit.n_groups,
    )


def _assumptions(request: ScalingLawsRequest, law: PowerLaw | None) -> Iterator[str]:
    if isinstance(request.spectrum, ExplicitSpectrum):
        yield (
            "Exponents, amplitudes and crossovers suppose that the fitted power laws go on for ever; allocations are of the"
            " spectrum as given."
        )
        yield (
            "Standard errors take the scatter about the fitted laws for independent: from group to group of the eigenvalues,"
            " from mode to mode of the energies."
        )
    else:
        yield "The power laws go on for ever: there are infinitely many modes."
    yield (
        "Features of finite width are independent Gaussian combinations of the modes (random_projection); inputs act as"
        " Gaussian ones would."
    )
    yield "Exponents and amplitudes are leading orders as sizes grow; allocations minimise the equations at the budget itself."
    yield (
        "ridge: the penalty is at its best and not negative; gradient_flow: from 0, with samples to spare, so that noise has no"
        " bearing on it."
    )
    if law is not None and law.noise_variance > 0.0:
        yield (
            "compute_optimal.ridge counts the noise, which dominates in the end; set noise_variance to 0 for the law before"
            " that."
        )
