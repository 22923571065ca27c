"""What an answer should be read with: each warning has a fixed code, a condition, and a sentence with its number."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from api_schemas.features import (
    Features,
    KernelFeatures,
    RandomFeatures,
    RandomFourierFeatures,
    RandomProjection,
)
from api_schemas.model import Model
from api_schemas.prediction import PredictionRequest, PredictionWarning
from api_schemas.regime import MixtureRegime, RegressionRegime, SphereRegime, TeacherClassificationRegime
from theory import Equivalent, ModalEquivalent
from theory.covariance import Spectrum
from theory.equivalents.layered import LayeredEquivalent
from theory.pools.clusters import small_error_of_clusters
from workers.answers import Answer, Built
from workers.features import kernel_of
from workers.pools import PoolSource
from workers.registry import CLASSES

FEW_SAMPLES = 20
"""Below this many samples the limit is a caricature: its error is of relative order 1 / n_samples."""
FEW_FREE_SAMPLES = 20
"""With fewer free samples than this, the mean over finite data exceeds the limit by more than about 5 %."""
FEW_DIRECTIONS = 30
"""Below this effective rank the inputs' lengths scatter so much that nonlinear features show it."""
SHARE_OF_QUADRATIC = 0.1
"""Of d^2: with so many samples or features, what is quadratic in the inputs begins to be learned."""
NARROW = 100
"""Below this width errors were seen to be 2 to 5 % off, by an amount of order 1 / width."""
SCATTERED = 0.02
"""Relative error of a kernel's train_error that deserves to be said."""
SMALL_TRAIN_ERROR = 1e-3
"""Relative to the labels' variance: training errors below this amplify what the limit neglects."""
SHORTEST = 1e-100
"""Of the times by which a penalty is estimated."""
STRONG_MEANS = 0.05
"""Of the inputs' squared length: what class means add to it is no longer infinitesimal for a nonlinearity."""
NOISY_INTERCEPT = 0.02
"""Variance of a fitted constant relative to that of the scores: misclassification moves by about as much."""
COMMON_NOISE = 0.25
"""Share of the scores' scatter that is a shift of all of them: at 0.4 nothing was seen of it, at 0.9 up to twice the error."""
NOISY_ON_ROWS = 3.0
"""The bound on the same of rows: from about there on rates among four digits were more than 15 % off, and up to 40 % at 900."""
SMALL_ON_ROWS = 1e-2
"""Of the test error: training errors below this were up to three times what is predicted, on the 442 rows of diabetes."""
FEW_ROWS = 200
"""Below it the ten groups of rows, by which the interval is told, have fewer than twenty rows each."""
UNRELIABLE = 0.1
"""Relative difference of leave-one-out and generalised cross-validation; on digits errors beyond 10 % came with such."""
UNEVEN, UNKNOWN = 0.2, 0.2
"""Of a prediction on rows: what trials on parts of them put to it, as a logarithm, and how uncertain these leave it."""
INPUTS = (RegressionRegime, MixtureRegime, TeacherClassificationRegime)


def warnings_for(request: PredictionRequest, built: Built, answer: Answer) -> list[PredictionWarning]:
    """List what a careful reader should know of this prediction, most serious first.

    Args:
        request: as it was asked.
        built: what was solved.
        answer: what was found.
    """
    found = [*_of_the_solution(request, built.equivalent, answer), *_of_the_sizes(request, answer)]
    if built.spectrum is not None and built.equivalent is not None:
        found += _of_nonlinear_features(request, built.spectrum, answer)
    found += _of_classes(request, answer)
    if built.pool is not None:
        found += _of_rows(request, built.pool, answer)
    if built.clusters is not None:
        found += _of_clusters(answer)
    if built.equivalent is not None:
        found += _of_the_target(request, built.equivalent)
    return [PredictionWarning(code=code, detail=detail) for code, detail in found]


def _of_the_solution(
    request: PredictionRequest, equivalent: Equivalent | None, answer: Answer
) -> Iterator[tuple[str, str]]:
    n_samples, n_unpenalised = request.regime.n_samples, int(request.model.fit_intercept)
    if answer.status == "divergent" and n_samples <= n_unpenalised:
        yield (
            "no_samples_left",
            f"n_samples = {n_samples:g} leaves none beside the intercept, where the limit of large sizes diverges"
            " whatever the penalty",
        )
    elif answer.status == "divergent" and request.regime.kind == "dataset":
        yield (
            "interpolation_threshold",
            f"n_samples = {n_samples:g} equals the number of free parameters at penalty 0: the test error is unbounded. Any"
            " positive penalty makes it finite",
        )
    elif answer.status == "divergent" and equivalent is None:
        step_size = getattr(request.model.learner, "step_size", 0.0)
        yield "unstable_step", f"with a step_size of {step_size:g} the weights grow without bound; take a smaller one"
    elif answer.status == "divergent" and answer.separability is not None:
        yield (
            "separable_classes",
            f"the classes are separable from n_features / n_samples = {answer.separability.threshold:.6g} on: without a penalty"
            " the weights grow without bound, slowly towards the direction of hard margin; set a penalty, or learner.kind ="
            " 'hinge'",
        )
    elif answer.status == "divergent" and equivalent is not None:
        yield "interpolation_threshold", _divergence(equivalent, n_samples)
    elif answer.status == "not_converged":
        yield (
            "not_converged",
            f"the relative residual of the fixed point is {answer.residual:.2g}, or another of its checks failed;"
            " the numbers are the best found and may be wrong",
        )


def _of_the_sizes(request: PredictionRequest, answer: Answer) -> Iterator[tuple[str, str]]:
    n_samples = request.regime.n_samples
    free = n_samples - answer.df2 if answer.df2 is not None else np.inf
    erring = answer.test_error > 0.0
    squared = request.model.learner.kind == "ridge"
    if answer.status == "converged" and squared and erring and n_samples >= FEW_SAMPLES and free < FEW_FREE_SAMPLES:
        yield (
            "near_threshold",
            f"n_samples - df2 = {free:.3g} is small: at finite size the mean error exceeds this limit by a relative amount"
            f" of order {1 / max(free, 1.0):.2g}, and single runs scatter widely",
        )
    if n_samples < FEW_SAMPLES:
        yield (
            "few_samples",
            f"n_samples = {n_samples:g}: the prediction is the limit of large sizes, from which finite ones differ by a"
            " relative amount of order 1 / n_samples; the limit depends on sizes through their ratios alone",
        )


def _of_nonlinear_features(request: PredictionRequest, spectrum: Spectrum, answer: Answer) -> Iterator[tuple[str, str]]:
    regime: Any = request.regime
    trace = float(spectrum.multiplicities @ spectrum.eigenvalues)
    directions = trace / float(np.max(spectrum.eigenvalues))
    if directions < FEW_DIRECTIONS:
        yield (
            "low_effective_rank",
            f"the inputs have an effective rank tr Sigma / ||Sigma|| of {directions:.3g}: their lengths scatter, and the error"
            f" of nonlinear features was seen to differ from this limit by 2 to 5 % below {FEW_DIRECTIONS}",
        )
    largest = max(regime.n_samples, *_widths(request.model.features), 0.0)
    quadratic = regime.n_features**2
    if largest >= SHARE_OF_QUADRATIC * quadratic:
        yield (
            "polynomial_regime",
            f"{largest:g} samples or features are no longer few beside n_features^2 = {quadratic:g}: what is quadratic in the"
            " inputs begins to be learned, which this limit takes for noise; for kernels see regime.kind = 'sphere'",
        )
    narrowest = min(_widths(request.model.features), default=np.inf)
    if narrowest < NARROW:
        yield (
            "narrow_features",
            f"the narrowest layer has {narrowest:g} features: finite ones differ from this limit by a relative amount of order"
            f" 1 / width, which was seen to be 2 to 5 % below {NARROW}",
        )
    scatter = _diagonal_scatter(request.model, regime.n_samples, spectrum)
    train_error = answer.train_error or 0.0
    if scatter > SCATTERED and train_error > 0.0:
        yield (
            "scattered_lengths",
            "the inputs' lengths scatter, and the kernel's diagonal with them: train_error is too low by an amount of order"
            f" {100 * scatter:.2g} % at these sizes; test_error is not affected",
        )
    if isinstance(regime, MixtureRegime) and regime.mean_norm**2 > STRONG_MEANS * trace:
        yield (
            "strong_means",
            f"||mu||^2 = {regime.mean_norm**2:.3g} is not small beside tr Sigma = {trace:.3g}: the nonlinearity acts on the"
            " class means too, which this limit takes for infinitesimal",
        )
    if isinstance(regime, RegressionRegime):
        target = regime.target
        labels = target.signal_variance + target.nonlinear_variance + regime.noise_variance
        yield from _of_small_training_errors("train_error", answer, train_error, labels)


def _of_classes(request: PredictionRequest, answer: Answer) -> Iterator[tuple[str, str]]:
    if request.regime.kind not in CLASSES:
        return
    yield from _of_small_training_errors("train_loss", answer, answer.train_loss or 0.0, 1.0)
    if answer.intercept_noise > NOISY_INTERCEPT:
        yield (
            "noisy_intercept",
            f"over training sets the fitted constant varies by {100 * answer.intercept_noise**0.5:.3g} % of the scores'"
            " deviation within a class: so strong a penalty leaves scores so small that this limit, which neglects it, is too"
            " optimistic",
        )
    if answer.common_noise > COMMON_NOISE:
        yield (
            "common_noise",
            f"the features have a mean, and {100 * min(answer.common_noise, 1.0):.2g} % of the scores' scatter over training"
            " sets is a shift of all scores: which samples reach the hinge's kink then depends on it, where this limit takes"
            " their noise for independent; error rates are too low, losses hold. Fit an intercept, or centre the features",
        )
    separability = answer.separability
    if separability is not None and abs(separability.distance) < request.regime.n_samples**-0.5:
        yield (
            "near_separability",
            f"n_features / n_samples is within n_samples^-1/2 of the ratio {separability.threshold:.6g} from which the classes"
            " are separable: at these sizes some training sets are and some are not",
        )


def _of_rows(request: PredictionRequest, source: PoolSource, answer: Answer) -> Iterator[tuple[str, str]]:
    n_samples = request.regime.n_samples
    if source.n_rows < FEW_ROWS:
        yield (
            "few_rows",
            f"the data set has {source.n_rows} rows: what is estimated from so few is uncertain, and so is how uncertain it is",
        )
    if 0 < answer.n_used < source.n_rows:
        yield (
            "subsampled_pool",
            f"the estimate was made from {answer.n_used} of the {source.n_rows} rows, drawn at random: the kernel matrix of"
            " more exceeds the memory for it, FORETELL_POOL_MEMORY",
        )
    if answer.extrapolated:
        low, high = answer.interval_low, answer.interval_high
        between = f"; at 90 % the error lies between {low:.4g} and {high:.4g}" if low is not None else ""
        yield (
            "beyond_pool",
            f"n_samples = {n_samples:g} exceeds the {answer.n_used} rows of the estimate: degrees of freedom and the target's"
            f" remainder are continued by the power laws that they follow within it{between}",
        )
    if answer.reliability is not None and abs(answer.reliability) > UNRELIABLE:
        yield (
            "unreliable_pool",
            f"leave-one-out and generalised cross-validation differ by {100.0 * answer.reliability:+.2g} %: at so small a"
            " penalty these rows do not behave like Gaussian ones, of which both say the same; the interval is wider by that",
        )

    if answer.status == "converged":
        yield from _of_trials(answer)
    if answer.intercept_noise > NOISY_ON_ROWS and answer.status == "converged":
        yield (
            "noisy_intercept",
            "so strong a penalty leaves scores no larger than the scatter of the fitted constants over training sets: which"
            " class comes first then depends on their shares in the training set; rates of misclassification among several"
            " classes were seen up to 16 % off, and vary from one training set to the next; losses hold to 1 %",
        )
    name = "train_error" if answer.test_loss is None or not np.isfinite(answer.test_loss) else "train_loss"
    trained, tested = getattr(answer, name), getattr(answer, name.replace("train", "test"))
    if answer.status == "converged" and 0.0 < (trained or 0.0) < SMALL_ON_ROWS * tested:
        yield (
            "small_train_error",
            f"{name} is 10^{np.log10(trained):.2f}, below a hundredth of that at test: so small a training error depends on the"
            " smallest eigenvalues of these rows; trust its order of magnitude",
        )


def _of_trials(answer: Answer) -> Iterator[tuple[str, str]]:
    """Say where models on parts of the rows lost much more or less than transport says, or no two of them the same."""
    factor, error = answer.correction, answer.correction_error
    if factor is not None and (abs(np.log(factor)) > UNEVEN or error > UNKNOWN):
        yield (
            "uneven_rows",
            f"models trained on parts of these rows lost {factor:.3g} times what rows that differ in length alone would, known"
            f" to {100.0 * error:.2g} %: at so small a penalty few rows decide, as those with features that most training sets"
            " of this size lack; the prediction has that factor, its interval is wider, and single training sets may be far"
            " worse",
        )


def _of_clusters(answer: Answer) -> Iterator[tuple[str, str]]:
    yield (
        "gaussian_clusters",
        "the rows of each class are taken for Gaussian, with the mean and covariance that they have: on digits rates of"
        " misclassification were up to 15 % off, and training losses up to 13 %; no interval is known",
    )
    small = small_error_of_clusters(answer.test_error)
    if small is not None:
        yield "small_error_of_clusters", small


def _of_small_training_errors(name: str, answer: Answer, value: float, labels: float) -> Iterator[tuple[str, str]]:
    if answer.status == "converged" and 0.0 < value < SMALL_TRAIN_ERROR * labels:
        yield (
            "small_train_error",
            f"{name} is 10^{np.log10(value):.2f}: so small a training error depends on fluctuations that the"
            " limit neglects; trust its order of magnitude",
        )


def _of_the_target(request: PredictionRequest, equivalent: Equivalent) -> Iterator[tuple[str, str]]:
    regime, intercept = request.regime, request.model.fit_intercept
    mean = signal = 0.0
    if isinstance(regime, RegressionRegime):
        mean, signal = regime.target.mean, regime.target.signal_variance
    elif isinstance(regime, SphereRegime):
        signal = sum(regime.degree_energies)
    elif isinstance(regime, MixtureRegime):
        signal = regime.mean_norm
    elif isinstance(regime, TeacherClassificationRegime):
        signal = regime.target.signal_variance
    if mean != 0.0 and not intercept and equivalent.constant == 0.0:
        yield (
            "mean_without_intercept",
            f"the target's mean {mean:g} cannot be expressed without an intercept: its square, {mean * mean:g}, is part"
            " of bias; set model.fit_intercept to true",
        )
    # A chain keeps the constant apart from its table; elsewhere its energy is that of one of the modes.
    constant = mean * mean if equivalent.constant > 0.0 and not isinstance(equivalent, LayeredEquivalent) else 0.0
    learnable = sum(float(np.sum(modes.signal_variance)) for modes in equivalent.tables)
    if isinstance(regime, INPUTS) and signal > 0.0 and learnable <= constant:
        yield (
            "signal_blocked",
            f"none of the signal, {signal:g}, reaches the read-out: an even activation about 0, or a kernel without a"
            " linear part, has no response to a linear target at these sizes",
        )


def _diagonal_scatter(model: Model, n_samples: float, spectrum: Spectrum) -> float:
    """Variance of the kernel's diagonal over inputs, relative to the square of the ridge that it adds to."""
    if not isinstance(model.features, KernelFeatures):
        return 0.0
    kernel = kernel_of(model.features.kernel)
    m, s = spectrum.multiplicities, spectrum.eigenvalues
    d = float(m.sum())
    q = float(m @ s) / d

    def diagonal(variance: float) -> float:
        found = kernel.linearised(variance, 0.0)
        return found.constant + found.slope * variance + found.tail

    step = 1e-4 * q
    slope = (diagonal(q + step) - diagonal(q - step)) / (2.0 * step)
    ridge = kernel.linearised(q, 0.0).tail + n_samples * _penalty(model.learner)
    deviation = slope * np.sqrt(2.0 * float(m @ (s * s))) / d
    return float((deviation / ridge) ** 2) if ridge > 0.0 else 0.0


def _penalty(learner: Any) -> float:
    """Return the penalty, or what takes its place in a learner that stops early."""
    if learner.kind == "gradient_flow":
        return float(learner.penalty + 1.0 / max(learner.time, SHORTEST))
    if learner.kind == "gradient_descent":
        return float(learner.penalty + 1.0 / max(learner.steps * learner.step_size, SHORTEST))
    return float(getattr(learner, "penalty", 0.0))


def _widths(features: Features) -> list[float]:
    if isinstance(features, RandomFeatures):
        return [layer.width for layer in features.layers]
    if isinstance(features, RandomFourierFeatures):
        return [2.0 * features.frequencies]
    return [features.width] if isinstance(features, RandomProjection) else []


def _divergence(equivalent: Equivalent, n_samples: float) -> str:
    sentence = (
        f"n_samples = {n_samples:g} equals the number of free parameters at penalty 0: the test error is unbounded."
        " Any positive penalty makes it finite"
    )
    if isinstance(equivalent, ModalEquivalent) and equivalent.width == np.inf and equivalent.modes.harmonic_mean > 0.0:
        modes = equivalent.modes
        per_sample = modes.n_modes / modes.harmonic_mean / n_samples
        label = modes.noise_variance + modes.unlearnable_variance
        sentence += f"; as the penalty vanishes it grows like {0.5 * label / per_sample**0.5:.6g} / sqrt(penalty)"
    return sentence
