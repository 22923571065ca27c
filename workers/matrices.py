"""From a request to the law of its matrix: one function a matrix, and the table of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

import theory
from api_schemas.features import Features, KernelFeatures, LinearFeatures, RandomFeatures
from api_schemas.kernel import CkKernel, NtkKernel
from api_schemas.prediction import Source
from api_schemas.regime import DatasetRegime, EigenspectrumRegime, MixtureRegime, SphereRegime
from api_schemas.spectra import SpectrumRequest
from theory import Equivalent, InadmissibleProblem, ModalEquivalent, Modes, spectra
from theory.covariance import Spectrum
from workers.features import random_layers
from workers.inputs import mean_squares
from workers.populations import Population, mode_table, population_of
from workers.publications import (
    BAIK_SILVERSTEIN,
    BENAYCH_NADAKUDITI,
    CHENG_SINGER,
    COUILLET_LIAO,
    EL_KAROUI,
    FAN_WANG,
    LIAO_COUILLET,
    SILVERSTEIN,
)
from workers.refusals import Refused, Unsupported
from workers.registry import FEATURES, KERNELS, builder
from workers.spectrum_warnings import Caveats, of_activation, of_nonlinear_features, of_spikes, of_strong_means

WIDEST = 1e8
"""Of a width over ``n_samples``: beyond, the noise of neurons is below what a spectrum resolves."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A matrix, ready to be read.

    Attributes:
        law: of its eigenvalues.
        outliers: that may leave the bulk.
        gaussian: the sample covariance behind it, where its fluctuations are known.
        gram: whether the matrix is the n x n side of that.
        caveats: codes of warnings, and their sentences.
        sources: publications.
    """

    law: spectra.Law
    outliers: list[spectra.Outlier] = field(default_factory=list)
    gaussian: spectra.SampleCovariance | None = None
    gram: bool = False
    caveats: list[tuple[str, str]] = field(default_factory=list)
    sources: tuple[Source, ...] = ()


def prepare(request: SpectrumRequest) -> Prepared:
    """Build the law of a request's matrix.

    Raises:
        Refused: the parts do not fit together, or their numbers lie too far apart.
    """
    try:
        with np.errstate(all="ignore"):
            return MATRICES[request.matrix](request)
    except ArithmeticError:
        raise Refused(
            "/regime", "its numbers lie too far apart for double precision; choose other units or sizes"
        ) from None
    except InadmissibleProblem as problem:
        raise Refused(_place(request, problem.argument), str(problem)) from None


def sample_covariance(request: SpectrumRequest) -> Prepared:
    """X'X/n of the inputs."""
    if not isinstance(request.model.features, LinearFeatures):
        raise Refused(
            "/model/features",
            f"a sample_covariance is one of the inputs, got features.kind = '{request.model.features.kind}'; leave the model"
            " out, or ask for matrix = 'kernel_matrix', which has the same eigenvalues but for zeros",
        )
    regime = request.regime
    if isinstance(regime, EigenspectrumRegime) and regime.tail_trace > 0.0:
        raise Refused(
            "/regime/tail_trace",
            f"X'X/n has no finite dimension with a tail, got {regime.tail_trace:g}; ask for matrix = 'kernel_matrix'",
        )
    population = population_of(regime)
    n_samples = regime.n_samples
    bulk = spectra.sample_covariance(population.bulk, n_samples)
    whole = spectra.sample_covariance(population.whole, n_samples) if population.spikes else bulk
    classes = _class_means(regime, population, spectra.covariance_passage(bulk), side="inputs")
    return Prepared(
        law=spectra.covariance_law(bulk),
        outliers=[*(spectra.spike(bulk, value) for value in _own_spikes(regime, population)), *classes],
        gaussian=None if classes else whole,
        caveats=list(_many_spikes(population)),
        sources=(SILVERSTEIN, *_outlier_sources(population, classes), *population.sources),
    )


def kernel_matrix(request: SpectrumRequest) -> Prepared:
    """Inner products of the features of all pairs of samples."""
    features, regime = request.model.features, request.regime
    row = FEATURES[features.kind]
    build = builder(features.kind, regime.kind)
    if build is None:
        takes = [name for name in FEATURES if builder(name, regime.kind) is not None]
        raise Unsupported(
            "/model/features/kind",
            f"features.kind = '{features.kind}' has no theory with regime.kind = '{regime.kind}'; that regime takes"
            f" {', '.join(takes)}",
        )
    if isinstance(features, LinearFeatures) and not isinstance(regime, SphereRegime):
        return _linear_gram(regime)
    population = population_of(regime)
    n_samples = regime.n_samples

    def built(*, fit_intercept: bool) -> Equivalent:
        # The constant that features form is an outlier, not part of the bulk: an intercept takes it out.
        if isinstance(regime, SphereRegime):
            fields = {name: value for name, value in regime.__dict__.items() if name != "kind"}
            equivalent = build(features, fit_intercept=fit_intercept, **fields)
        elif isinstance(regime, EigenspectrumRegime):
            equivalent = build(features, mode_table(regime))
        else:
            # What a linear target would see of the inputs tells where their directions went.
            energies = np.where(population.whole.eigenvalues > 0.0, 1.0, 0.0)
            equivalent = build(features, population.whole, energies, fit_intercept=fit_intercept)
        return equivalent  # type: ignore[no-any-return]

    equivalent, constant = built(fit_intercept=True), _constant(built(fit_intercept=False))
    with_inputs = not isinstance(regime, EigenspectrumRegime | SphereRegime)
    caveats = [*_of_nonlinearity(regime, population, nonlinear=row.nonlinear), *_many_spikes(population)]
    count = len(population.spikes)
    mean: list[spectra.Outlier] = []
    if isinstance(equivalent, ModalEquivalent) and np.isinf(equivalent.width):
        modes = equivalent.modes
        ratio = _ratio(modes, population.whole) if with_inputs else 1.0
        multiplicities = modes.multiplicities.copy()
        multiplicities[1 : 1 + count] = 0.0
        present = multiplicities > 0.0
        table = Spectrum(eigenvalues=modes.eigenvalues * present, multiplicities=multiplicities)
        law = spectra.wide_kernel_law(table, tail=float(modes.tail_trace), n_samples=n_samples)
        passage = spectra.wide_passage(table, tail=float(modes.tail_trace), n_samples=n_samples, ratio=ratio)
        if constant > 0.0:
            mean = [spectra.rank_one(law, n_samples * constant)]
    else:
        _bound_widths(features, n_samples)
        prepared = spectra.finite_features(
            equivalent,
            n_samples=n_samples,
            rank=spectra.finite_rank(equivalent),
            inputs=population.whole if with_inputs else None,
            spikes=range(1, 1 + count),
        )
        law, passage = spectra.features_law(prepared), spectra.features_passage(prepared)
        if constant > 0.0:
            mean = [spectra.feature_mean(prepared, constant)]
    spikes = [spectra.gram_spike(passage, value) for value in _own_spikes(regime, population)]
    classes = _class_means(regime, population, passage, constant=constant)
    kernel = (KERNELS[features.kernel.kind].sources) if isinstance(features, KernelFeatures) else ()
    found = _outlier_sources(population, classes)
    sources = (*row.sources, *kernel, EL_KAROUI, FAN_WANG, *found, *((BENAYCH_NADAKUDITI,) if constant > 0.0 else ()))
    outliers = [*spikes, *classes, *mean]
    return Prepared(law=law, outliers=outliers, caveats=caveats, sources=(*sources, *population.sources))


def inner_product_kernel(request: SpectrumRequest) -> Prepared:
    """f(x_i.x_j / sqrt(d)) / sqrt(d) off the diagonal, 0 on it."""
    layer = _only_layer(request.model.features)
    regime = request.regime
    if isinstance(regime, EigenspectrumRegime | DatasetRegime):
        raise Unsupported(
            "/regime/kind", "an inner_product_kernel is of inputs; regime.kind must be 'regression' or 'sphere'"
        )
    variance = 1.0
    if not isinstance(regime, SphereRegime):
        if regime.covariance.kind != "isotropic":
            raise Unsupported(
                "/regime/covariance/kind",
                f"an inner_product_kernel has a theory for isotropic inputs alone, got '{regime.covariance.kind}';"
                " for others ask for matrix = 'kernel_matrix'",
            )
        variance = regime.covariance.variance
    kernel = spectra.inner_product_kernel(
        layer.activation, n_samples=regime.n_samples, n_features=regime.n_features, variance=variance
    )
    isotropic = theory.covariance.isotropic(regime.n_features, variance=variance)
    caveats = [
        *of_nonlinear_features(isotropic, regime.n_samples),
        *of_activation(kernel.mean, regime.n_samples, regime.n_features),
    ]
    # On the sphere all lengths are equal.
    outliers = [] if isinstance(regime, SphereRegime) else spectra.norm_outliers(kernel)
    if isinstance(regime, MixtureRegime) and regime.mean_norm > 0.0:
        outliers = [spectra.class_mean_outlier(kernel, regime.mean_norm**2 / variance), *outliers]
    return Prepared(
        law=spectra.inner_product_law(kernel),
        outliers=outliers,
        caveats=caveats,
        sources=(CHENG_SINGER, LIAO_COUILLET),
    )


MATRICES: dict[str, Callable[[SpectrumRequest], Prepared]] = {
    "sample_covariance": sample_covariance,
    "kernel_matrix": kernel_matrix,
    "inner_product_kernel": inner_product_kernel,
}
"""Every matrix whose spectrum can be asked for."""


def _linear_gram(regime: Any) -> Prepared:
    """XX', whose eigenvalues are n times those of X'X/n but for zeros."""
    population, n_samples = population_of(regime), regime.n_samples
    tail = regime.tail_trace if isinstance(regime, EigenspectrumRegime) else 0.0
    scaled = [replace(part, eigenvalues=part.eigenvalues * n_samples) for part in (population.bulk, population.whole)]
    if tail > 0.0:
        law = spectra.wide_kernel_law(population.whole, tail=tail, n_samples=n_samples)
        return Prepared(law=law, sources=(SILVERSTEIN, *population.sources))
    bulk, whole = (spectra.sample_covariance(part, n_samples) for part in scaled)
    passage = spectra.covariance_passage(spectra.sample_covariance(population.bulk, n_samples), scale=n_samples)
    classes = _class_means(regime, population, passage)
    return Prepared(
        law=spectra.gram_law(bulk),
        outliers=[*(spectra.gram_spike(passage, value) for value in _own_spikes(regime, population)), *classes],
        gaussian=None if classes else whole,
        gram=True,
        caveats=list(_many_spikes(population)),
        sources=(SILVERSTEIN, *_outlier_sources(population, classes), *population.sources),
    )


def _class_means(
    regime: Any,
    population: Population,
    passage: spectra.Passage,
    *,
    side: Literal["samples", "inputs"] = "samples",
    constant: float = 0.0,
) -> list[spectra.Outlier]:
    """Return what the means of two classes make, where there are classes; of features with a mean, ``constant``."""
    if not isinstance(regime, MixtureRegime) or regime.mean_norm == 0.0:
        return []
    if constant > 0.0 and regime.positive_fraction != 0.5:
        raise Unsupported(
            "/regime/positive_fraction",
            f"must be 0.5 for features that have a mean, got {regime.positive_fraction:g}: that mean and the labels of"
            " classes of different sizes are not orthogonal, and where their outliers are then has no theory here",
        )
    squares = mean_squares(regime, population.whole)
    return spectra.class_means(passage, eigenvalues=population.whole.eigenvalues, squares=squares, side=side)


def _own_spikes(regime: Any, population: Population) -> list[float]:
    """Return the spikes that the class means have no part of; others are no eigenvalues beside them."""
    if not isinstance(regime, MixtureRegime):
        return list(population.spikes)
    parts = mean_squares(regime, population.whole)[1 : 1 + len(population.spikes)]
    return [value for value, part in zip(population.spikes, parts, strict=True) if part == 0.0]


def _bound_widths(features: Features, n_samples: float) -> None:
    """Refuse widths at which the noise of neurons is a point to double precision, but not to the equations."""
    widths = [layer.width for layer in features.layers] if isinstance(features, RandomFeatures) else []
    for position, width in enumerate(widths):
        if width > WIDEST * n_samples:
            raise Refused(
                f"/model/features/layers/{position}/width",
                f"must not exceed {WIDEST:g} n_samples = {WIDEST * n_samples:g} for a spectrum, got {width:g}; the limit of"
                " infinite width is features.kind = 'kernel' with kernel.kind = 'ck'",
            )


def _of_nonlinearity(regime: Any, population: Population, *, nonlinear: bool) -> Caveats:
    """Say where nonlinear features of inputs are no longer linear ones with noise."""
    if nonlinear and not isinstance(regime, EigenspectrumRegime | SphereRegime):
        yield from of_nonlinear_features(population.whole, regime.n_samples)
        if isinstance(regime, MixtureRegime):
            yield from of_strong_means(regime.mean_norm, population.whole)


def _outlier_sources(population: Population, classes: list[spectra.Outlier]) -> tuple[Source, ...]:
    return (*((BAIK_SILVERSTEIN,) if population.spikes else ()), *((COUILLET_LIAO,) if classes else ()))


def _ratio(modes: Modes, inputs: Spectrum) -> float:
    """Return the modes' eigenvalues over those of the inputs' covariance; any number where no linear signal arrives."""
    largest = int(np.argmax(inputs.eigenvalues))
    arrived = modes.eigenvalues.size == inputs.eigenvalues.size and modes.multiplicities[largest] > 0.0
    return float(modes.eigenvalues[largest] / inputs.eigenvalues[largest]) if arrived else 1.0


def _constant(equivalent: Equivalent) -> float:
    return float(equivalent.constant)


def _only_layer(features: Features) -> theory.RandomLayer:
    """Return the one layer whose activation is the function f of an inner-product kernel."""
    layers: Any = None
    place = "/model/features"
    if isinstance(features, RandomFeatures):
        layers = features.layers
    elif isinstance(features, KernelFeatures) and isinstance(features.kernel, CkKernel | NtkKernel):
        layers, place = features.kernel.layers, "/model/features/kernel"
    if layers is None:
        raise Unsupported(
            "/model/features/kind",
            f"an inner_product_kernel takes its function from the activation of random_features of one layer, got"
            f" features.kind = '{features.kind}'",
        )
    if len(layers) != 1:
        raise Refused(f"{place}/layers", f"an inner_product_kernel has one activation, got {len(layers)} layers")
    if layers[0].weight_variance != 1.0 or layers[0].bias_variance != 0.0:
        raise Refused(
            f"{place}/layers/0",
            "an inner_product_kernel has no weights or biases; leave weight_variance and bias_variance out, and scale the"
            " inputs by regime.covariance.variance",
        )
    return random_layers(layers)[0]


def _many_spikes(population: Population) -> Caveats:
    return of_spikes(len(population.spikes), float(np.sum(population.bulk.multiplicities)))


def _place(request: SpectrumRequest, argument: str | None) -> str:
    """Say where in the request the argument is that a function of the theory refused."""
    if argument is None:
        return "/regime"
    if argument.startswith("layers"):
        return (
            f"/model/features/kernel/{argument}"
            if request.model.features.kind == "kernel"
            else f"/model/features/{argument}"
        )
    return f"/model/features/{argument}" if argument == "kernel" else f"/regime/{argument}"
