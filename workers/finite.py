"""From a prediction request to the same problem at finite size: what :mod:`simulation` draws and trains."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

import simulation
from api_schemas.prediction import PredictionRequest
from api_schemas.regime import (
    DatasetRegime,
    EigenspectrumRegime,
    MixtureRegime,
    SphereRegime,
    TeacherClassificationRegime,
    TeacherNetworkRegime,
)
from simulation.devices import HOST_BUDGET, Device
from simulation.online import OnlineRegression, simulate_online
from simulation.online_networks import OnlineNetwork, simulate_online_network
from simulation.pools import MOST_TESTED, PoolProblem, simulate_pool
from theory import InadmissibleProblem, Spectrum
from theory.learners.networks import typical_overlaps
from workers.features import activation_of
from workers.finite_features import features_of
from workers.inputs import inputs_of, means_of, parameters_of, spectrum_of
from workers.refusals import Refused
from workers.stored_rows import Described, described, rows_of

Array = npt.NDArray[np.float64]

MOST_NUMBERS = 100_000_000
"""Entries of the matrices of one replicate: 0.8 GB."""
DRAW, FAST_ACTIVATION, SLOW_ACTIVATION, KERNEL_ENTRY = 240.0, 150.0, 1500.0, 100.0
SLOW_ACTIVATIONS = ("erf", "gelu")
SOLVES = {"ridge": 0.4, "lda": 4.0, "logistic": 25.0, "hinge": 200.0}
OTHER_SOLVE = 15.0
STEP, STEP_OF_UNIT = 3e5, 5e5
"""What a random number, a value of an activation or a kernel, a solution per cube of the smaller side, and a step of online
training, for a batch of replicates or for each hidden unit, take, in operations of a matrix product."""
LEAST_HELD_OUT = 0.1
"""Of the rows of a data set, where it is trained on."""
QUANTITIES = (
    "test_error",
    "excess_risk",
    "train_error",
    "test_loss",
    "train_loss",
    "estimator_norm_squared",
)
"""What a prediction and a simulation both report."""

LEARNERS: dict[str, Callable[..., Any]] = {
    "ridge": simulation.Ridge,
    "gradient_flow": simulation.GradientFlow,
    "gradient_descent": simulation.GradientDescent,
    "logistic": simulation.Logistic,
    "hinge": simulation.Hinge,
    "lda": simulation.DiscriminantAnalysis,
}


@dataclass(frozen=True, kw_only=True)
class FiniteProblem:
    """A problem of finite size.

    Attributes:
        run: takes ``replicates``, ``seed``, ``first_replicate`` and ``device`` by name; returns samples.
    """

    run: Callable[..., Any]

    def measured(self, *, first: int, count: int, seed: int, device: Device) -> dict[str, list[float | None]]:
        """Return each quantity of replicates ``first`` to ``first + count - 1``, in their order.

        None stands for what has no finite value, as the weights of maximum likelihood on separable classes.
        """
        samples = self.run(replicates=count, seed=seed, first_replicate=first, device=device)
        found = {name: getattr(samples, name, None) for name in QUANTITIES}
        return {
            name: [float(value) if np.isfinite(value) else None for value in np.asarray(values, float)]
            for name, values in found.items()
            if values is not None
        }


def finite_problem(request: PredictionRequest) -> FiniteProblem:
    """Build a request's problem at its own sizes.

    Raises:
        Refused: a size is no whole number, or one replicate does not fit into memory.
    """
    sizes = _sizes(request)
    _check_whole(sizes)
    if isinstance(request.regime, DatasetRegime):
        _check_held_out(request.regime)
    numbers, _ = cost(request)
    if numbers > MOST_NUMBERS:
        raise Refused(
            max(sizes, key=lambda pointer: sizes[pointer]),
            f"one replicate would need {numbers:.2g} numbers, more than the {MOST_NUMBERS:.0e} that a simulation may; choose"
            " smaller sizes in the same ratios",
        )
    try:
        return FiniteProblem(run=_run_of(request))
    except InadmissibleProblem as problem:
        raise Refused("/regime", f"cannot be simulated at these sizes: {problem}") from None


def _run_of(request: PredictionRequest) -> Callable[..., Any]:
    regime, model = request.regime, request.model
    learner: Any = model.learner
    n_samples = int(regime.n_samples)
    if isinstance(regime, DatasetRegime):
        stored = rows_of(regime.dataset_id)
        split = PoolProblem(
            rows=stored.rows,
            targets=stored.targets,
            classes=stored.labels is not None,
            features=features_of(model.features),
            learner=LEARNERS[learner.kind](**parameters_of(learner)),
            n_samples=n_samples,
            fit_intercept=model.fit_intercept,
        )
        return lambda **options: simulate_pool(split, **options)
    if isinstance(regime, TeacherNetworkRegime):
        network = _network(request, regime)
        return lambda **options: simulate_online_network(network, **options)
    if learner.kind == "sgd":
        online = OnlineRegression(
            regime=regime_of(regime),
            n_samples=n_samples,
            step_size=learner.step_size,
            features=features_of(model.features),
        )
        return lambda **options: simulate_online(online, **options)
    problem = simulation.Problem(
        regime=regime_of(regime),
        features=features_of(model.features),
        learner=LEARNERS[learner.kind](**parameters_of(learner)),
        n_samples=n_samples,
        fit_intercept=model.fit_intercept,
    )
    return lambda **options: simulation.simulate(problem, **options)


def regime_of(regime: Any) -> Any:
    """Return the regime that a request names; its sizes are whole."""
    if isinstance(regime, SphereRegime):
        return simulation.SphereRegime(
            n_features=int(regime.n_features),
            degree_energies=regime.degree_energies,
            noise_variance=regime.noise_variance,
        )
    if isinstance(regime, EigenspectrumRegime):
        counts = np.ones(len(regime.eigenvalues), int)
        if regime.multiplicities is not None:
            counts = np.asarray(regime.multiplicities, float).astype(int)
        return simulation.GaussianRegime(
            eigenvalues=np.repeat(regime.eigenvalues, counts),
            energies=np.repeat(np.asarray(regime.energies) / counts, counts),
            noise_variance=regime.noise_variance,
            tail_trace=regime.tail_trace,
        )
    if isinstance(regime, MixtureRegime):
        eigenvalues, shares = simulation.directions(*means_of(regime))
        return simulation.MixtureRegime(
            eigenvalues=eigenvalues, mean_shares=shares, positive_fraction=regime.positive_fraction
        )
    eigenvalues, energies = simulation.directions(*inputs_of(regime))
    drawn = {"eigenvalues": eigenvalues, "energies": energies, "noise_variance": regime.noise_variance}
    if isinstance(regime, TeacherClassificationRegime):
        return simulation.TeacherRegime(link=regime.link, **drawn)
    return simulation.GaussianRegime(
        nonlinear_variance=regime.target.nonlinear_variance, mean=regime.target.mean, **drawn
    )


def _network(request: PredictionRequest, regime: TeacherNetworkRegime) -> OnlineNetwork:
    """Spell out a network with its start; ``w . w*`` is d times the overlaps on the wire."""
    features: Any = request.model.features
    learner: Any = request.model.learner
    spectrum: Spectrum = spectrum_of(regime)
    eigenvalues, _ = simulation.directions(spectrum, np.zeros(spectrum.eigenvalues.size))
    d, count, taught = float(regime.n_features), features.hidden_units, regime.hidden_units
    teacher = np.eye(taught) if regime.overlaps is None else np.array(regime.overlaps)
    own = (
        features.initial_variance * np.eye(count)
        if features.initial_self_overlaps is None
        else np.array(features.initial_self_overlaps)
    )
    shared = (
        np.sqrt(np.outer(np.diagonal(own), np.diagonal(teacher)) / d) * typical_overlaps(count, taught)
        if features.initial_overlaps is None
        else np.array(features.initial_overlaps)
    )
    # sqrt(a) w . x / sqrt(d) of student and teacher; one scale for both, the teacher's weights in its units.
    scale = (features.weight_variance / d) ** 0.5
    ratio = (regime.weight_variance / features.weight_variance) ** 0.5
    return OnlineNetwork(
        eigenvalues=eigenvalues,
        activation=activation_of(features.activation),
        teacher_activation=activation_of(regime.activation),
        n_samples=int(regime.n_samples),
        step_size=learner.step_size,
        self_overlaps=d * own,
        overlaps=d * ratio * shared,
        teacher_overlaps=d * ratio**2 * teacher,
        readout=features.readout,
        teacher_readout=regime.readout,
        readout_step_size=features.readout_step_size / d,
        input_scale=scale,
        noise_variance=regime.noise_variance,
    )


def _sizes(request: PredictionRequest) -> dict[str, float]:
    """Return how many of everything are drawn, by pointers."""
    regime: Any = request.regime
    features: Any = request.model.features
    sizes = [("/regime/n_samples", regime.n_samples)]
    if hasattr(regime, "n_features"):
        sizes.append(("/regime/n_features", regime.n_features))
    for index, value in enumerate(getattr(regime, "multiplicities", None) or []):
        sizes.append((f"/regime/multiplicities/{index}", value))
    sizes += [
        (f"/model/features/{name}", getattr(features, name))
        for name in ("width", "frequencies")
        if hasattr(features, name)
    ]
    if features.kind == "random_features":
        sizes += [(f"/model/features/layers/{index}/width", layer.width) for index, layer in enumerate(features.layers)]
    return {pointer: float(value) for pointer, value in sizes}


def _check_whole(sizes: Mapping[str, float]) -> None:
    """Refuse fractions of samples and features, which have limits but cannot be drawn."""
    for pointer, value in sizes.items():
        if value != round(value):
            raise Refused(pointer, f"must be a whole number where it is drawn, got {value:g}")


def most_trained(n_rows: int) -> int:
    """Return how many of the rows of a data set can be trained on, where the others are to test on."""
    return n_rows - ceil(n_rows * LEAST_HELD_OUT)


def _check_held_out(regime: DatasetRegime) -> None:
    """Refuse training sets that leave less than a tenth of the rows to test on.

    Raises:
        Refused: this one does.
    """
    n_rows = described(regime.dataset_id).n_rows
    most = most_trained(n_rows)
    if regime.n_samples > most:
        raise Refused(
            "/regime/n_samples",
            f"must be at most {most} where it is trained, got {regime.n_samples:g}: a tenth of the {n_rows} rows is held out to"
            " test on",
        )


def cost(request: PredictionRequest) -> tuple[float, float]:
    """Return the numbers that the matrices of one replicate hold, and what it takes.

    The latter in floating-point operations of a matrix product, of which a core does some 3e10 a second; what is not a matrix
    product counts for as many as are done in its time, as measured on a core with NumPy.
    """
    regime: Any = request.regime
    features: Any = request.model.features
    learner: Any = request.model.learner
    n = float(regime.n_samples)
    if isinstance(regime, DatasetRegime):
        return _cost_of_split(request, described(regime.dataset_id))
    d = float(getattr(regime, "n_features", 0.0) or sum(regime.multiplicities or [1.0] * len(regime.eigenvalues)))
    if isinstance(regime, TeacherNetworkRegime):
        units = features.hidden_units + regime.hidden_units
        return d * units * 256.0, n * units * (10.0 * d + STEP_OF_UNIT)
    widths = [d]
    if features.kind == "random_features":
        widths += [float(layer.width) for layer in features.layers]
    elif features.kind == "random_fourier":
        widths += [2.0 * float(features.frequencies)]
    elif features.kind == "random_projection":
        widths += [float(features.width)]
    rows = n + simulation.replicates.N_TEST
    weights = sum(below * above for below, above in pairwise(widths))
    mapped = 2.0 * rows * weights
    if features.kind == "random_features":
        slow = [activation_of(layer.activation).kind in SLOW_ACTIVATIONS for layer in features.layers]
        each = np.where(slow, SLOW_ACTIVATION, FAST_ACTIVATION)
        mapped += rows * float(each @ widths[1:])
    elif features.kind == "random_fourier":
        mapped += FAST_ACTIVATION * rows * widths[1]
    drawn = DRAW * ((n if features.kind == "linear" else rows) * d + weights)
    held = rows * max(widths) + weights
    if learner.kind == "sgd":
        together = max(HOST_BUDGET / (8.0 * held), 1.0)
        return held, n * (10.0 * widths[-1] + STEP / together) + mapped + drawn
    last = n if features.kind == "kernel" else widths[-1]
    smaller = min(n, last)
    solve = SOLVES.get(learner.kind, OTHER_SOLVE) if getattr(learner, "penalty", 0.0) else OTHER_SOLVE
    if features.kind == "kernel":
        held, mapped = held + n * rows, mapped + KERNEL_ENTRY * n * rows + 2.0 * n * rows * d
    return held + smaller**2, mapped + n * last * smaller + solve * smaller**3 + drawn


def _cost_of_split(request: PredictionRequest, data: Described) -> tuple[float, float]:
    features: Any = request.model.features
    n, d = float(request.regime.n_samples), float(data.n_features)
    rows = n + min(data.n_rows - n, MOST_TESTED)
    last = n
    mapped = 20.0 * n * rows + n * rows * d
    if features.kind != "kernel":
        layers = getattr(features, "layers", None)
        last = float(layers[-1].width if layers else getattr(features, "width", d))
        mapped = 0.0 if features.kind == "linear" else rows * d * last
    smaller = min(n, last)
    held = data.n_rows * d + rows * max(last, d) + smaller**2 + (0.0 if features.kind == "kernel" else last * d)
    solve = {"logistic": 60.0, "hinge": 200.0}.get(
        request.model.learner.kind, 0.5
    ) * smaller**3 + 2.0 * smaller**2 * data.n_targets
    return held, 2.0 * mapped + 2.0 * n * last * smaller + solve + 2.0 * data.n_rows * d
