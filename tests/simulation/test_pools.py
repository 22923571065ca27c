"""Training on splits of stored rows: what scikit-learn trains on the same split, in any namespace, alone or among others."""

from typing import Any

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge as ReferenceRidge

import simulation
from simulation import pools
from simulation.devices import HOST, Device
from simulation.pools import PoolProblem, simulate_pool
from tests.datasets import codes, diabetes, digits
from tests.simulation.namespaces import STRICT
from theory.activations import activation
from theory.covariance import InadmissibleProblem

RELU = simulation.RandomFeatures(layers=[simulation.Layer(activation=activation("relu"), width=30)])
FEATURES: dict[str, Any] = {
    "linear": simulation.LinearFeatures(),
    "narrow": simulation.RandomProjection(width=5),
    "relu": RELU,
    "rbf": simulation.Rbf(length_scale=1.0),
    "laplace": simulation.Laplace(),
}
N_SAMPLES, PENALTY = 60, 0.02


def problem(data: str = "digits", features: str = "linear", **changes: Any) -> PoolProblem:
    if data == "diabetes":
        rows, targets = diabetes()
    else:
        rows, labels = digits(300)
        targets = codes(labels if data == "digits" else (labels >= 2).astype(np.int64))
    fields = {"learner": simulation.Ridge(penalty=PENALTY), "n_samples": N_SAMPLES, **changes}
    return PoolProblem(rows=rows, targets=targets, classes=data != "diabetes", features=FEATURES[features], **fields)


def split(asked: PoolProblem, seed: int, replicate: int) -> tuple[Any, Any]:
    """Rows that are trained on, and the others, as a replicate draws them."""
    draws = HOST.streams(seed, [replicate]).random((asked.rows.shape[0],))[0]
    order = np.argsort(draws, stable=True)
    return order[: asked.n_samples], order[asked.n_samples :]


@pytest.mark.parametrize("data", ["diabetes", "digits", "binary"])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_replicate_is_what_scikit_learn_trains_on_its_split(data: str, fit_intercept: bool) -> None:
    asked = problem(data, fit_intercept=fit_intercept)
    found = simulate_pool(asked, replicates=1, seed=5, first_replicate=3)
    trained, tested = split(asked, 5, 3)
    reference = ReferenceRidge(alpha=N_SAMPLES * PENALTY, fit_intercept=fit_intercept)
    reference.fit(asked.rows[trained], asked.targets[trained])
    for name, place in (("test", tested), ("train", trained)):
        scores = np.reshape(reference.predict(asked.rows[place]), (len(place), -1))
        squares = float(np.mean(np.sum((asked.targets[place] - scores) ** 2, axis=1)))
        if data == "diabetes":
            expected = {f"{name}_error": squares}
        else:
            own = asked.targets[place]
            wrong = np.sign(scores) != own if data == "binary" else scores.argmax(1) != own.argmax(1)
            expected = {f"{name}_error": float(np.mean(wrong)), f"{name}_loss": 0.5 * squares}
        for quantity, value in expected.items():
            assert getattr(found, quantity)[0] == pytest.approx(value, rel=1e-9), quantity
    assert found.estimator_norm_squared[0] == pytest.approx(float(np.sum(reference.coef_**2)), rel=1e-9)


def test_a_kernel_is_what_scikit_learn_makes_of_it() -> None:
    asked = problem("digits", "rbf")
    found = simulate_pool(asked, replicates=1, seed=1)
    trained, tested = split(asked, 1, 0)
    d = asked.rows.shape[1]
    reference = KernelRidge(alpha=N_SAMPLES * PENALTY, kernel="rbf", gamma=1.0 / (2.0 * d))
    reference.fit(asked.rows[trained], asked.targets[trained])
    residuals = asked.targets[tested] - reference.predict(asked.rows[tested])
    assert found.test_loss is not None
    assert found.test_loss[0] == pytest.approx(0.5 * float(np.mean(np.sum(residuals**2, axis=1))), rel=1e-9)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("penalty", [PENALTY, 0.0])
def test_columns_together_are_columns_one_by_one(
    monkeypatch: pytest.MonkeyPatch, features: str, fit_intercept: bool, penalty: float
) -> None:
    asked = problem("digits", features, fit_intercept=fit_intercept, learner=simulation.Ridge(penalty=penalty))
    together = simulate_pool(asked, replicates=2, seed=0)
    monkeypatch.setattr(pools, "_together", lambda *_: None)
    alone = simulate_pool(asked, replicates=2, seed=0)
    for name in ("test_error", "train_error", "test_loss", "train_loss", "estimator_norm_squared"):
        np.testing.assert_allclose(getattr(together, name), getattr(alone, name), rtol=1e-8, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("features", FEATURES)
def test_replicates_are_the_same_alone_among_others_and_in_any_namespace(features: str) -> None:
    asked = problem("digits", features, fit_intercept=True)
    whole = simulate_pool(asked, replicates=4, seed=2)
    last = simulate_pool(asked, replicates=1, seed=2, first_replicate=3)
    strict = simulate_pool(asked, replicates=4, seed=2, device=STRICT)
    assert whole.test_loss is not None
    assert last.test_loss is not None
    assert last.test_loss[0] == whole.test_loss[3]
    assert len(set(whole.test_loss.tolist())) == 4
    np.testing.assert_allclose(strict.test_loss, whole.test_loss, rtol=1e-10)
    np.testing.assert_array_equal(strict.test_error, whole.test_error)


def test_single_precision_splits_alike() -> None:
    asked = problem("digits", "rbf")
    devices: list[Device] = [HOST.in_precision("float32"), HOST.in_precision("float64", drawn="float32")]
    single, double = (simulate_pool(asked, replicates=3, seed=0, device=device) for device in devices)
    np.testing.assert_allclose(single.test_loss, double.test_loss, rtol=1e-4)


@pytest.mark.parametrize("n_samples", [0, 300, 2.5])
def test_sizes_that_leave_nothing_to_test_on_are_refused(n_samples: float) -> None:
    with pytest.raises(InadmissibleProblem):
        problem("digits", n_samples=n_samples)
