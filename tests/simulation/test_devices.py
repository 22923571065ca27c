"""Replicates side by side, the memory that they take, single precision, and devices that are not there."""

import sys
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulation import Hinge, LinearFeatures, Logistic, MixtureRegime, Problem, Ridge, simulate
from simulation.batches import in_batches
from simulation.devices import HOST, DeviceUnavailable, HostDevice, open_device
from simulation.online import OnlineRegression, simulate_online
from tests.simulation.namespaces import STRICT
from tests.simulation.test_learners import LEARNERS
from tests.simulation.test_problems import FEATURES, gaussian, problem

QUANTITIES = ("test_error", "train_error", "estimator_norm_squared")
ALONE = HostDevice(budget=1)
TOGETHER = HostDevice(budget=2**30)
CLASSES = MixtureRegime(eigenvalues=np.linspace(0.5, 2.0, 30), mean_shares=np.full(30, 0.05), positive_fraction=0.4)


def trained(features: str, learner: str) -> Problem:
    of = LEARNERS[learner]
    regime = CLASSES if of.needs_classes else gaussian()
    return Problem(regime=regime, features=FEATURES[features], learner=of, n_samples=45, fit_intercept=True)


def assert_same(left: Any, right: Any, **tolerance: float) -> None:
    for name in QUANTITIES:
        one, other = getattr(left, name), getattr(right, name)
        np.testing.assert_allclose(one, other, **({"rtol": 0.0} | tolerance), err_msg=name)


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("features", FEATURES)
def test_what_is_beside_a_replicate_leaves_no_trace_in_it(features: str, learner: str) -> None:
    # To the last bit: one after the other, and all but the first side by side.
    one, other = (
        simulate(trained(features, learner), replicates=6, seed=1, n_test=20, device=d) for d in (ALONE, TOGETHER)
    )
    assert_same(one, other)


@pytest.mark.parametrize("penalty", [0.0, 3e-9, 1e-8])
def test_each_replicate_is_solved_as_its_own_condition_asks(penalty: float) -> None:
    # About this penalty some training sets are well conditioned and others are not.
    shaky = Problem(regime=gaussian(), features=LinearFeatures(), learner=Ridge(penalty=penalty), n_samples=31)
    one, other = (simulate(shaky, replicates=40, seed=1, device=device) for device in (ALONE, TOGETHER))
    assert_same(one, other)
    kernels = replace(shaky, features=FEATURES["rbf"])
    one, other = (simulate(kernels, replicates=40, seed=1, n_test=10, device=device) for device in (ALONE, TOGETHER))
    assert_same(one, other)


def test_classes_that_are_separable_in_some_replicates() -> None:
    regime = MixtureRegime(eigenvalues=np.ones(20), mean_shares=np.full(20, 0.05))
    likelihood = Problem(regime=regime, features=LinearFeatures(), learner=Logistic(penalty=0.0), n_samples=50)
    one, other = (simulate(likelihood, replicates=40, seed=0, device=device) for device in (ALONE, TOGETHER))
    assert 0 < np.sum(np.isnan(one.test_error)) < 40
    assert_same(one, other)


def test_online_runs_too() -> None:
    learner = OnlineRegression(regime=gaussian(), n_samples=300, step_size=0.01)
    one, other = (simulate_online(learner, replicates=5, seed=0, device=device) for device in (ALONE, TOGETHER))
    np.testing.assert_array_equal(one.test_error, other.test_error)


@pytest.mark.parametrize("features", ["linear", "random features", "rbf"])
def test_the_budget_holds_for_what_is_side_by_side(features: str) -> None:
    problem_ = problem(features)
    _, alone = HOST.peak(lambda: simulate(problem_, replicates=1, seed=0, n_test=50, device=_Traced()))
    device = _Traced(budget=20 * alone)
    _, peak = HOST.peak(lambda: simulate(problem_, replicates=200, seed=0, n_test=50, device=device))
    assert 10 * alone < peak < 1.1 * device.budget


class _Traced(HostDevice):
    """A device that measures beside a measurement under way, which its own ends would end."""

    def peak(self, run: Any) -> Any:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        value = run()
        return value, tracemalloc.get_traced_memory()[1] - before


class TestBatches:
    def test_memory_that_runs_out_halves_them(self) -> None:
        sizes: list[int] = []

        def run(numbers: Sequence[int]) -> Mapping[str, Any]:
            sizes.append(len(numbers))
            if len(numbers) > 3:
                raise MemoryError
            return {"number": np.array(numbers, float)}

        found = in_batches(run, first=10, count=9, device=TOGETHER)
        np.testing.assert_array_equal(found["number"], np.arange(10.0, 19.0))
        assert sizes == [1, 8, 4, 2, 2, 2, 2]

    def test_a_replicate_that_is_too_large_is_an_error(self) -> None:
        def run(_: Sequence[int]) -> Mapping[str, Any]:
            raise MemoryError

        with pytest.raises(MemoryError):
            in_batches(run, first=0, count=3, device=HOST)

    @pytest.mark.parametrize("failing", [0, 4])
    def test_a_replicate_whose_decomposition_fails_has_no_answer(self, failing: int) -> None:
        def run(numbers: Sequence[int]) -> Mapping[str, Any]:
            if failing in numbers:
                raise np.linalg.LinAlgError("SVD did not converge")
            return {"number": np.array(numbers, float)}

        found = in_batches(run, first=0, count=6, device=TOGETHER)
        np.testing.assert_array_equal(found["number"], [np.nan if n == failing else n for n in range(6)])

    def test_none_that_succeeds_is_an_error(self) -> None:
        def run(_: Sequence[int]) -> Mapping[str, Any]:
            raise np.linalg.LinAlgError("SVD did not converge")

        with pytest.raises(np.linalg.LinAlgError):
            in_batches(run, first=0, count=3, device=HOST)


SINGLE = [name for name, learner in LEARNERS.items() if not isinstance(learner, Hinge)]


@pytest.mark.parametrize("learner", SINGLE)
@pytest.mark.parametrize("features", FEATURES)
def test_single_precision_from_the_same_draws(features: str, learner: str) -> None:
    single, double = HOST.in_precision("float32"), HOST.in_precision("float64", drawn="float32")
    one, other = (
        simulate(trained(features, learner), replicates=4, seed=1, n_test=50, device=d) for d in (single, double)
    )
    # Labels are of order 1: residuals of interpolators are rounding. Newton's method stops at a gradient of 1e-5.
    assert_same(one, other, rtol=2e-3 if learner == "logistic" else 2e-4, atol=1e-6)
    assert not np.array_equal(one.test_error, other.test_error)


@pytest.mark.parametrize("features", ["linear", "random features", "rbf"])
def test_single_precision_in_every_namespace(features: str) -> None:
    of = trained(features, "ridge")
    plain, strict = (
        simulate(of, replicates=2, seed=1, n_test=50, device=device.in_precision("float32"))
        for device in (HOST, STRICT)
    )
    assert_same(plain, strict, rtol=1e-4)


class TestDevices:
    @pytest.mark.parametrize("name", ["tpu", "cuda:x", "cuda:-1", "", "gpu:0"])
    def test_one_that_does_not_exist(self, name: str) -> None:
        with pytest.raises(DeviceUnavailable, match="choose cpu, or cuda:0"):
            open_device(name)

    def test_the_processor_is_always_there(self) -> None:
        assert open_device("cpu") is HOST

    def test_a_gpu_without_cupy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", None)  # which is how Python notes that there is none
        monkeypatch.delitem(sys.modules, "simulation.cuda", raising=False)
        with pytest.raises(DeviceUnavailable, match=r"CuPy cannot be loaded .* pip install 'foretell\[cuda13\]'"):
            open_device("cuda:0")
