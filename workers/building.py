"""From a request to what is solved: the equivalent of its features in its regime."""

from dataclasses import replace
from typing import Any

import numpy as np

from api_schemas.prediction import PredictionRequest
from api_schemas.regime import (
    DatasetRegime,
    EigenspectrumRegime,
    MixtureRegime,
    RegressionRegime,
    SphereRegime,
    TeacherClassificationRegime,
    TeacherNetworkRegime,
)
from theory import Equivalent, InadmissibleProblem, ModalEquivalent, Modes
from theory.classification.gradient import MixtureRates, TeacherRates
from theory.classification.labels import MixtureLabels
from theory.classification.teacher import TeacherLabels
from theory.equivalents.blocks import BlockEquivalent
from theory.equivalents.mixture import MixtureEquivalent, mean_energies
from theory.equivalents.population import EquivalentPopulation, Population, SpectralPopulation
from workers.answers import Built, Classes
from workers.clusters import LEARNERS as CLUSTER_LEARNERS
from workers.clusters import clusters_in
from workers.deadlines import check_time
from workers.inputs import inputs_of, means_of, modes_of, parameters_of, pointer_to, spectrum_of
from workers.networks import in_words_of_the_wire
from workers.networks import pointer_of as network_pointer
from workers.pools import source_of
from workers.refusals import Refused, UnstableStep, Unsupported
from workers.registry import FEATURES, LEARNERS, REGIMES, builder, goes_together

SCALES = (1e-100, 1e100)
"""Within this range products of three quantities stay within double precision; the equations' answers are then finite."""

SPECK = 1e-60
"""Of a tail's trace: 10^12 samples learn of such an eigenvalue less than rounding by far."""


def build(request: PredictionRequest) -> Built:
    """Build the equivalent of a request's features in its regime.

    Raises:
        Refused: the parts do not fit together, or their numbers lie too far apart.
    """
    check_time()
    regime, model = request.regime, request.model
    if not goes_together(model.features.kind, model.learner.kind, regime.kind):
        raise _unsupported(request)
    try:
        # What leaves double precision here raises an error or is refused below.
        with np.errstate(all="ignore"):
            built = _built(request)
    except ArithmeticError:
        raise too_far_apart("/regime") from None
    except InadmissibleProblem as problem:
        raise inadmissible(request, problem) from None
    check_sizes(request)
    _check_scales(request, built.equivalent)
    return built


def _built(request: PredictionRequest) -> Built:
    regime, model = request.regime, request.model
    form: Any = builder(model.features.kind, regime.kind)
    if isinstance(regime, EigenspectrumRegime):
        return Built(equivalent=form(model.features, modes_of(regime, fit_intercept=model.fit_intercept)))
    if isinstance(regime, SphereRegime):
        return Built(equivalent=form(model.features, fit_intercept=model.fit_intercept, **parameters_of(regime)))
    if isinstance(regime, TeacherNetworkRegime | DatasetRegime):
        return _without_equivalent(request, regime, form)
    if isinstance(regime, MixtureRegime):
        return _mixture(request, regime, form)
    if isinstance(regime, TeacherClassificationRegime):
        return _teacher(request, regime, form)
    assert isinstance(regime, RegressionRegime)
    spectrum, energies = inputs_of(regime)
    equivalent = form(
        model.features,
        spectrum,
        energies,
        noise_variance=regime.noise_variance,
        nonlinear_variance=regime.target.nonlinear_variance,
        mean=regime.target.mean,
        fit_intercept=model.fit_intercept,
    )
    row = FEATURES[model.features.kind]
    return Built(
        equivalent=_without_traces(equivalent) if row.nonlinear else equivalent,
        spectrum=spectrum if row.nonlinear else None,
    )


def _without_traces(equivalent: Equivalent) -> Equivalent:
    """Take what a short length scale leaves of a response, far below what any number of samples makes out, for nothing.

    Where the error is squared that changes none of its digits. Signs do not depend on how small scores are: classes keep them.
    """
    if isinstance(equivalent, ModalEquivalent):
        modes = _without_specks(equivalent.modes)
        return replace(equivalent, modes=modes, constant=_unless_speck(equivalent.constant, modes.tail_trace))
    if isinstance(equivalent, BlockEquivalent):
        families = tuple(_without_specks(modes) for modes in equivalent.families)
        constant = _unless_speck(equivalent.constant, families[-1].tail_trace)
        return replace(equivalent, families=families, constant=constant)
    return equivalent


def _without_specks(modes: Modes) -> Modes:
    eigenvalues = _unless_speck(modes.eigenvalues, modes.tail_trace)
    return (
        modes if np.array_equal(eigenvalues, modes.eigenvalues) else replace(modes, eigenvalues=eigenvalues, count=None)
    )


def _unless_speck(eigenvalue: Any, tail: Any) -> Any:
    speck = (eigenvalue < SCALES[0]) & (eigenvalue < SPECK * tail)
    return np.where(speck, 0.0, eigenvalue) if np.ndim(eigenvalue) else eigenvalue * (not speck)


def _without_equivalent(request: PredictionRequest, regime: TeacherNetworkRegime | DatasetRegime, form: Any) -> Built:
    """What is solved is not known yet: features are trained with their learner, or estimated when they are needed."""
    if isinstance(regime, TeacherNetworkRegime):
        return Built(spectrum=spectrum_of(regime))
    model, kind = request.model, request.model.learner.kind
    if request.include and kind != "ridge":
        # Said before an estimate is made for it.
        raise Unsupported(
            "/include",
            f"'gradient' is not available for learner.kind = '{kind}' and regime.kind = 'dataset': averages over clusters of"
            " the rows have no exact derivatives; leave it out, or sweep over the number",
        )
    source = source_of(regime.dataset_id, form(model.features), fit_intercept=model.fit_intercept)
    return Built(pool=source, clusters=clusters_in(source, learner=kind) if kind in CLUSTER_LEARNERS else None)


def _mixture(request: PredictionRequest, regime: MixtureRegime, form: Any) -> Built:
    features, model = request.model.features, request.model
    spectrum, shares = means_of(regime)
    row = FEATURES[features.kind]
    base: Equivalent = form(features, spectrum, mean_energies(spectrum, shares), fit_intercept=False)
    fraction = regime.positive_fraction
    # An intercept takes the place of the features' mean. Without one the mean is a direction like others: also where the
    # classes are of one size and there is nothing for it to learn, it fits noise.
    seen = base.without_constant() if model.fit_intercept else base
    rates = MixtureRates(
        positive_fraction=fraction,
        fit_intercept=model.fit_intercept,
        has_constant=base.constant > 0.0 and not model.fit_intercept,
    )
    return Built(
        equivalent=MixtureEquivalent(
            base=seen,
            mean_label=rates.mean_label,
            fit_intercept=model.fit_intercept,
        ),
        spectrum=spectrum if row.nonlinear else None,
        classes=Classes(
            population=_population(seen),
            labels=MixtureLabels(positive_fraction=fraction, fit_intercept=model.fit_intercept),
            rates=rates,
        ),
    )


def _teacher(request: PredictionRequest, regime: TeacherClassificationRegime, form: Any) -> Built:
    features, target = request.model.features, regime.target
    for name in ("nonlinear_variance", "mean"):
        value = getattr(target, name)
        if value != 0.0:
            raise Refused(
                f"/regime/target/{name}", f"must be 0 where a linear latent decides on the class, got {value:g}"
            )
    spectrum, energies = inputs_of(regime)
    labels = TeacherLabels(
        link=regime.link, signal_variance=target.signal_variance, noise_variance=regime.noise_variance
    )
    base: Equivalent = form(features, spectrum, energies, fit_intercept=False)
    explained = labels.pull**2
    equivalent: Equivalent = form(
        features,
        spectrum,
        explained * energies,
        noise_variance=max(1.0 - explained * target.signal_variance, 0.0),
        fit_intercept=False,
    )
    if request.model.fit_intercept:
        # As for a mixture: the intercept takes the place of the features' mean.
        base, equivalent = base.without_constant(), equivalent.without_constant()
    return Built(
        equivalent=equivalent,
        spectrum=spectrum if FEATURES[features.kind].nonlinear else None,
        classes=Classes(population=_population(base), labels=labels, rates=TeacherRates(labels=labels)),
    )


def _population(base: Equivalent) -> Population:
    """Return the population problem: of linear features without a fixed point."""
    if isinstance(base, ModalEquivalent) and np.isinf(base.width) and base.modes.tail_trace == 0.0:
        modes = base.modes
        return SpectralPopulation(
            eigenvalues=modes.eigenvalues,
            multiplicities=modes.multiplicities,
            couplings=modes.energies * modes.eigenvalues,
        )
    return EquivalentPopulation(equivalent=base)


def check_sizes(request: PredictionRequest) -> None:
    """Refuse samples and parameters of the learner that are so few, small or large that double precision does not suffice.

    Raises:
        Refused: one of them is.
    """
    for name, value in (("n_samples", request.regime.n_samples), *parameters_of(request.model.learner).items()):
        if value != 0.0 and not SCALES[0] <= value <= SCALES[1]:
            place = "/regime" if name == "n_samples" else "/model/learner"
            raise out_of_scale(f"{place}/{name}", name if name == "n_samples" else name.replace("_", " "), value)


def _check_scales(request: PredictionRequest, equivalent: Equivalent | None) -> None:
    """Refuse quantities so small or large, for their unit, that double precision cannot work with their products."""
    regime = request.regime
    spectrum, multiplicity = "/regime", "/regime/n_features"
    if isinstance(regime, EigenspectrumRegime):
        spectrum, multiplicity = "/regime/eigenvalues", "/regime/multiplicities"
    elif isinstance(regime, RegressionRegime | MixtureRegime | TeacherClassificationRegime):
        spectrum = "/regime/covariance"
    quantities: list[tuple[str, str, float]] = []
    for modes in equivalent.tables if equivalent is not None else ():
        quantities += [
            ("/regime/tail_trace", "the trace of the tail", float(modes.tail_trace)),
            (spectrum, "the smallest eigenvalue", float(modes.eigenvalues.min())),
            (spectrum, "the sum of the eigenvalues", float(modes.trace)),
            (multiplicity, "the number of modes", float(modes.n_modes)),
        ]
    for pointer, name, value in quantities:
        if value != 0.0 and not SCALES[0] <= value <= SCALES[1]:
            raise out_of_scale(pointer, name, value)


def out_of_scale(pointer: str, name: str, value: float) -> Refused:
    """Say that a quantity is too small or large for double precision."""
    least, most = SCALES
    return Refused(
        pointer,
        f"{name}, {value:.3g}, must be 0 or lie between {least:g} and {most:g}, where double precision suffices;"
        " choose other units",
    )


def too_far_apart(pointer: str) -> Refused:
    """Say that double precision cannot work with these numbers together."""
    return Refused(pointer, "its numbers lie too far apart for double precision; choose other units or sizes")


def _unsupported(request: PredictionRequest) -> Unsupported:
    """Say what each of the three would go together with."""
    features, learner, regime = request.model.features.kind, request.model.learner.kind, request.regime.kind
    with_regime = [name for name in FEATURES if builder(name, regime) is not None]
    if builder(features, regime) is None:
        stands = [name for name in REGIMES if builder(features, name) is not None]
        return Unsupported(
            "/model/features/kind",
            f"features.kind = '{features}' has no theory with regime.kind = '{regime}'; that regime takes"
            f" {', '.join(with_regime)}, and these features the regimes {', '.join(stands)}",
        )
    others = [name for name in LEARNERS if goes_together(features, name, regime)]
    takes = [name for name in FEATURES if goes_together(name, learner, regime)]
    stands = [name for name in REGIMES if goes_together(features, learner, name)]
    clauses = [
        f"those two take the learners {', '.join(others)}" if others else "",
        f"in this regime this learner takes the features {', '.join(takes)}" if takes else "",
        f"with these features it takes the regimes {', '.join(stands)}" if stands else "",
    ]
    return Unsupported(
        "/model/learner/kind",
        f"learner.kind = '{learner}' has no theory with features.kind = '{features}' and regime.kind = '{regime}'; "
        + "; ".join(clause for clause in clauses if clause),
    )


def inadmissible(request: PredictionRequest, problem: InadmissibleProblem) -> Refused:
    """Say where in the request the argument is that a function of the theory refused."""
    argument = problem.argument or ""
    if isinstance(request.regime, TeacherNetworkRegime):
        return Refused(network_pointer(argument), in_words_of_the_wire(str(problem)))
    if argument == "step_size":
        return UnstableStep("/model/learner/step_size", str(problem))
    if argument == "penalty":
        return Refused(f"/model/learner/{argument}", str(problem))
    if argument.startswith("layers"):
        place = "/model/features/kernel" if request.model.features.kind == "kernel" else "/model/features"
    elif argument == "kernel":
        place = "/model/features"
    else:
        place = "/regime"
    return Refused(pointer_to(place, problem.argument), str(problem))
