"""One-pass SGD at finite size: against plain loops, exact finite-size formulas and other namespaces."""

import array_api_strict
import numpy as np
import pytest

from simulation import (
    GaussianRegime,
    Layer,
    LinearFeatures,
    Moments,
    RandomFeatures,
    RandomProjection,
    SphereRegime,
)
from simulation.devices import HOST, stream
from simulation.online import OnlineRegression, OnlineSamples, simulate_online
from simulation.online_networks import OnlineNetwork, draw_weights, simulate_online_network
from simulation.slopes import SLOPES, slope
from tests.simulation.namespaces import STRICT
from theory import InadmissibleProblem
from theory.activations import ACTIVATIONS, Activation, activation

INDEX = np.arange(1.0, 21.0)
RELU = Layer(activation=activation("relu"), width=15, bias_variance=0.1)
FEATURES = {
    "linear": LinearFeatures(),
    "projection": RandomProjection(width=12),
    "random features": RandomFeatures(layers=[RELU, Layer(activation=activation("erf"), width=25)]),
}
SPREAD = np.concatenate([np.linspace(-30.0, 30.0, 1501), np.geomspace(1e-9, 20.0, 200), -np.geomspace(1e-9, 20.0, 200)])


def gaussian(**others: float) -> GaussianRegime:
    fields = {"noise_variance": 0.1, "nonlinear_variance": 0.2, "mean": 0.5} | others
    return GaussianRegime(eigenvalues=INDEX**-0.5, energies=0.1 * INDEX**-1.0, **fields)


def problem(name: str = "linear", regime: object = None, **others: object) -> OnlineRegression:
    fields = {"n_samples": [0, 100, 300], "step_size": 0.05} | others
    return OnlineRegression(regime=regime or gaussian(), features=FEATURES[name], **fields)


def network(**others: object) -> OnlineNetwork:
    fields = {
        "eigenvalues": INDEX**-0.5,
        "activation": activation("erf"),
        "teacher_activation": activation("erf"),
        "n_samples": [0, 100, 300],
        "step_size": 0.3,
        "self_overlaps": 5.0 * np.eye(3) + 0.5,
        "overlaps": [[1.0, 0.0], [0.5, 2.0], [-1.0, 1.0]],
        "teacher_overlaps": [[20.0, 3.0], [3.0, 15.0]],
        "input_scale": 1.0 / np.sqrt(40.0),
        "noise_variance": 0.1,
        "readout_step_size": 0.02,
    }
    return OnlineNetwork(**(fields | others))


def columns(samples: object) -> dict[str, np.ndarray]:
    names = samples.__dataclass_fields__
    return {name: getattr(samples, name) for name in names}


def runs(which: str, **options: object) -> object:
    if which == "network":
        return simulate_online_network(network(), n_test=50, **options)
    return simulate_online(problem(which), n_test=50, **options)


@pytest.mark.parametrize("which", [*FEATURES, "network"])
def test_every_namespace_measures_the_same(which: str) -> None:
    plain, strict = (columns(runs(which, replicates=2, seed=5, device=device)) for device in (HOST, STRICT))
    for name, values in plain.items():
        np.testing.assert_allclose(strict[name], values, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("which", [*FEATURES, "network"])
def test_a_replicate_is_the_same_alone_or_among_others(which: str) -> None:
    together = columns(runs(which, replicates=4, seed=3))
    alone = [columns(runs(which, replicates=1, seed=3, first_replicate=number)) for number in range(4)]
    for name, values in together.items():
        np.testing.assert_array_equal(values, np.concatenate([one[name] for one in alone]))
    assert len(set(together["test_error"][:, 2].tolist())) == 4
    other = columns(runs(which, replicates=4, seed=4))
    assert not np.isin(other["test_error"][:, 1:], together["test_error"]).any()
    empty = runs(which, replicates=0, seed=0)
    assert empty.test_error.shape == (0, 3)


@pytest.mark.parametrize("which", ["linear", "random features", "network"])
def test_a_run_is_the_same_whether_or_not_it_goes_on(which: str) -> None:
    if which == "network":
        whole = simulate_online_network(network(), replicates=2, seed=1, n_test=20)
        part = simulate_online_network(network(n_samples=100), replicates=2, seed=1, n_test=20)
    else:
        whole = simulate_online(problem(which), replicates=2, seed=1, n_test=20)
        part = simulate_online(problem(which, n_samples=100), replicates=2, seed=1, n_test=20)
    for name, values in columns(part).items():
        np.testing.assert_array_equal(values, columns(whole)[name][:, 1])


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_plain_loop(name: str, batch_size: int) -> None:
    trained = problem(name, n_samples=200, batch_size=batch_size)
    generator = stream(7, 2)
    target = trained.regime.target(generator)
    weights = trained.features.draw(generator, 20)
    drawn = 256 // batch_size * batch_size
    inputs, values = target.draw(generator, drawn)
    labels = values + np.sqrt(0.1) * generator.standard_normal(drawn)
    mapped = trained.features.apply(weights, inputs)
    theta = np.zeros(mapped.shape[1])
    for start in range(0, 200, batch_size):
        batch = slice(start, start + batch_size)
        theta += 0.05 * np.mean((labels[batch] - mapped[batch] @ theta)[:, None] * mapped[batch], axis=0)
    samples = simulate_online(trained, replicates=1, seed=7, first_replicate=2)
    np.testing.assert_allclose(samples.estimator_norm_squared, theta @ theta, rtol=1e-10)
    np.testing.assert_allclose(samples.test_error - samples.excess_risk, 0.1, rtol=1e-12)
    if name != "random features":
        missed = trained.features.pull_back(weights, theta) - target.weights
        np.testing.assert_allclose(samples.excess_risk, INDEX**-0.5 @ missed**2 + 0.25 + 0.2, rtol=1e-10)


def test_steps_are_gradients_of_the_loss() -> None:
    # One step, against differences of the loss of that sample by every weight and read-out.
    trained = network(n_samples=1)
    drawn = simulate_online_network(trained, replicates=1, seed=2, n_test=10)
    generator = stream(2, 0)
    w, teacher = draw_weights(trained, generator)
    x = generator.standard_normal((256, 20))[0] * INDEX**-0.25
    noise = np.sqrt(0.1) * generator.standard_normal(256)[0]
    phi, scale = activation("erf"), 1.0 / np.sqrt(40.0)
    label = phi.value(scale * teacher @ x).sum() + noise

    def loss(weights: np.ndarray, readout: np.ndarray) -> float:
        return 0.5 * float(readout @ phi.value(scale * weights @ x) - label) ** 2

    h = 1e-6
    by_weight = np.zeros_like(w)
    for index in np.ndindex(w.shape):
        shift = np.zeros_like(w)
        shift[index] = h
        by_weight[index] = (loss(w + shift, np.ones(3)) - loss(w - shift, np.ones(3))) / (2.0 * h)
    by_readout = [(loss(w, np.ones(3) + e) - loss(w, np.ones(3) - e)) / (2.0 * h) for e in h * np.eye(3)]
    np.testing.assert_allclose(drawn.readout[0], np.ones(3) - 0.02 * np.array(by_readout), atol=1e-9)
    moved = w - 0.3 * by_weight
    np.testing.assert_allclose(drawn.norms_squared[0], np.sum(moved**2, axis=1), rtol=1e-8)


def test_weights_start_with_the_overlaps_asked_for() -> None:
    flat = network(eigenvalues=np.ones(20), n_samples=0, input_scale=1.0)
    samples = simulate_online_network(flat, replicates=3, seed=0, n_test=10)
    np.testing.assert_allclose(samples.self_overlaps, np.tile(5.0 * np.eye(3) + 0.5, (3, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(samples.overlaps, np.tile(flat.overlaps, (3, 1, 1)), atol=1e-12)
    weights = np.random.default_rng(0).standard_normal((2, 20))
    fixed = network(
        eigenvalues=np.ones(20), n_samples=0, input_scale=1.0, teacher_overlaps=None, teacher_weights=weights
    )
    samples = simulate_online_network(fixed, replicates=2, seed=0, n_test=10)
    np.testing.assert_allclose(samples.overlaps, np.tile(flat.overlaps, (2, 1, 1)), atol=1e-12)


def test_errors_of_networks_are_those_of_fresh_inputs() -> None:
    # A linear student and teacher: the excess risk is a quadratic form of the overlaps.
    linear = activation("linear")
    trained = network(activation=linear, teacher_activation=linear, n_samples=[0, 50], step_size=0.05)
    samples = simulate_online_network(trained, replicates=40, seed=0, n_test=2000)
    readout, ones = samples.readout, np.ones(2)
    own = np.einsum("rti,rtij,rtj->rt", readout, samples.self_overlaps, readout)
    cross = np.einsum("rti,rtij,j->rt", readout, samples.overlaps, ones)
    ratio = samples.excess_risk - own + 2.0 * cross
    for time in range(2):
        # What is left is E (teacher)^2 of each replicate, whose mean over directions is tr(covariance) / d * sum of T.
        moments = Moments.of(ratio[:, time])
        assert abs(moments.mean - np.mean(INDEX**-0.5) * 41.0 / 40.0) < 4.0 * moments.standard_error


def test_least_squares_at_finite_size_is_exact() -> None:
    # For Gaussian inputs the recursion of second moments is exact; what is left is the scatter of 200 replicates, seed 0.
    regime = gaussian(nonlinear_variance=0.0, mean=0.0)
    xi, left, step = INDEX**-0.5, 0.1 * INDEX**-1.0, 0.1
    samples = simulate_online(
        OnlineRegression(regime=regime, n_samples=[10, 60], step_size=step), replicates=200, seed=0
    )
    expected = {}
    for n in range(1, 61):
        left = left * (1.0 - 2.0 * step * xi + 2.0 * (step * xi) ** 2) + (step * xi) ** 2 * (left.sum() + 0.1)
        expected[n] = left.sum()
    for column, n in enumerate((10, 60)):
        moments = Moments.of(samples.excess_risk[:, column])
        assert abs(moments.mean - expected[n]) < 4.0 * moments.standard_error


def test_a_tail_is_many_small_directions() -> None:
    # 2000 directions without any of the target share the tail's trace, which is what the tail is the limit of; seeds 0 and 1.
    plain = {"nonlinear_variance": 0.0, "mean": 0.0, "noise_variance": 0.1}
    tail = GaussianRegime(eigenvalues=INDEX**-0.5, energies=0.1 * INDEX**-1.0, tail_trace=4.0, **plain)
    listed = GaussianRegime(
        eigenvalues=np.concatenate([INDEX**-0.5, np.full(2000, 4.0 / 2000)]),
        energies=np.concatenate([0.1 * INDEX**-1.0, np.zeros(2000)]),
        **plain,
    )
    one, other = (
        simulate_online(OnlineRegression(regime=regime, n_samples=60, step_size=0.1), replicates=60, seed=seed)
        for seed, regime in enumerate((tail, listed))
    )
    for name in ("excess_risk", "estimator_norm_squared"):
        left, right = (Moments.of(getattr(samples, name)) for samples in (one, other))
        assert abs(left.mean - right.mean) < 4.0 * np.hypot(left.standard_error, right.standard_error)


def test_other_regimes_train_too() -> None:
    sphere = SphereRegime(n_features=10, degree_energies=[0.0, 1.0], noise_variance=0.1)
    samples = simulate_online(problem("linear", sphere, n_samples=[0, 400]), replicates=3, seed=0)
    assert isinstance(samples, OnlineSamples)
    assert np.all(samples.test_error[:, 1] < 0.5 * samples.test_error[:, 0])


@pytest.mark.parametrize("phi", [*map(activation, SLOPES), activation("leaky_relu", negative_slope=0.3)], ids=str)
@pytest.mark.parametrize("xp", [np, array_api_strict])
def test_every_slope_is_the_theorys(phi: Activation, xp: object) -> None:
    values = np.asarray(slope(phi, xp.asarray(SPREAD)))
    np.testing.assert_allclose(values, phi.slope(SPREAD), rtol=1e-10, atol=1e-13)


def test_what_has_a_gradient_can_be_trained() -> None:
    assert set(SLOPES) == {kind for kind in ACTIVATIONS if activation(kind).is_continuous}
    with pytest.raises(InadmissibleProblem, match="no gradient passes through activation 'sign'"):
        slope(activation("sign"), SPREAD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_samples": 2.5}, r"n_samples must be a whole number, at least 0, got 2\.5"),
        ({"n_samples": [5, 5]}, "n_samples must ascend"),
        ({"n_samples": 7, "batch_size": 2}, "a multiple of batch_size = 2, got 7"),
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"features": RandomProjection(width=3), "regime": gaussian(tail_trace=1.0)}, "seen by linear features only"),
    ],
)
def test_inadmissible_regressions(change: dict[str, object], message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        OnlineRegression(**({"regime": gaussian(), "n_samples": 4, "step_size": 0.1} | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"self_overlaps": np.eye(2)}, r"self_overlaps must have shape \(3, 3\)"),
        ({"overlaps": [1.0, 2.0]}, "K x M table"),
        ({"overlaps": np.full((3, 2), 30.0)}, "no weights have these overlaps"),
        ({"teacher_weights": np.ones((2, 20))}, "one of teacher_overlaps and teacher_weights"),
        ({"eigenvalues": np.ones(4)}, "need as many inputs, got 4"),
        ({"readout": [1.0]}, r"readout must have shape \(3,\)"),
        ({"noise_variance": -1.0}, "noise_variance must be finite and at least 0"),
    ],
)
def test_inadmissible_networks(change: dict[str, object], message: str) -> None:
    with pytest.raises(InadmissibleProblem, match=message):
        network(**change)
