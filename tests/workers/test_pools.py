"""Estimates on data sets: made once, kept, found again, forgotten with the rows; and what there is no time or memory for."""

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulation
from api_schemas.features import KernelFeatures, LinearFeatures
from tests.datasets import DIABETES, DIGITS, MISSING, codes, diabetes, digits, keep
from theory.activations import activation
from workers import estimation, pools
from workers.data_store import DataStore, open_store, store
from workers.estimation import kernel_matrix
from workers.features import PoolFeatures
from workers.pools import EstimateTakesLong, estimates_within, pool_name, pool_of, source_of
from workers.refusals import DatasetNotReady, TooLarge, UnknownDataset
from workers.stored_rows import described, rows_of

LINEAR = LinearFeatures()
RBF = KernelFeatures.model_validate({"kind": "kernel", "kernel": {"kind": "rbf"}})
LAYER = simulation.InfiniteLayer(activation=activation("relu"), bias_variance=0.1)


@pytest.fixture
def own(tmp_path: Path, stored: DataStore) -> Iterator[DataStore]:
    """A store of the test's own, where estimates are yet to be made."""
    keep(tmp_path, DIABETES, *diabetes())
    rows, labels = digits(200, (3, 5))
    keep(tmp_path, DIGITS, rows, codes(labels), labels)
    pools.forget_all()
    try:
        yield open_store(tmp_path)
    finally:
        pools.forget_all()
        open_store(stored.folder)


class Counted:
    """Counts the estimates that are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        make = pools._estimated

        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            return make(*arguments, **options)

        monkeypatch.setattr(pools, "_estimated", counted)


def test_an_estimate_is_made_once_and_found_in_the_store_by_others(
    own: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Counted(monkeypatch)
    first = pool_of(DIABETES, RBF, fit_intercept=True)
    assert pool_of(DIABETES, RBF, fit_intercept=True) is first
    assert own.pool_names(DIABETES) == [pool_name(RBF, fit_intercept=True)]
    pools.forget_all()  # as another process, or this one after a restart
    found = pool_of(DIABETES, RBF, fit_intercept=True).arrays()
    assert made.count == 1
    assert found.keys() == first.arrays().keys()
    for name, values in first.arrays().items():
        np.testing.assert_array_equal(values, found[name], err_msg=name)


def test_many_who_need_an_estimate_at_once_have_it_made_once(own: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Counted(monkeypatch)
    together = threading.Barrier(6)
    found: list[Any] = []

    def ask() -> None:
        together.wait()
        found.append(pool_of(DIABETES, RBF, fit_intercept=False))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.count == 1
    assert all(one is found[0] for one in found)
    assert not pools._locks


def test_what_another_process_makes_meanwhile_is_waited_for(own: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Counted(monkeypatch)
    others = pool_of(DIABETES, RBF, fit_intercept=False)
    key = (DIABETES, pool_name(RBF, fit_intercept=False))
    (own.folder / DIABETES / "pools" / f"{key[1]}.npz").unlink()
    pools.forget_all()
    found: list[Any] = []
    with pools._alone(key):  # a lock of its own, as another process has it
        thread = threading.Thread(target=lambda: found.append(pool_of(DIABETES, RBF, fit_intercept=False)))
        thread.start()
        own.keep_pool(*key, others)
    thread.join()
    assert made.count == 1
    assert len(found) == 1
    assert not list((own.folder / DIABETES / "pools").glob(".*"))


def test_names_tell_features_and_intercepts_apart() -> None:
    other = KernelFeatures.model_validate({"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 2.0}})
    names = {pool_name(one, fit_intercept=constant) for one in (LINEAR, RBF, other) for constant in (False, True)}
    assert len(names) == 6
    assert pool_name(RBF, fit_intercept=True).startswith("rbf-intercept-")


def test_what_is_deleted_is_forgotten_at_once(own: DataStore) -> None:
    pool_of(DIABETES, LINEAR, fit_intercept=False)
    own.delete(DIABETES)
    with pytest.raises(UnknownDataset) as refusal:
        described(DIABETES)
    assert refusal.value.pointer == "/regime/dataset_id"
    assert not [key for key in pools._kept if key[0] == DIABETES]
    for ask in (
        lambda: source_of(DIABETES, PoolFeatures(infinite=LINEAR), fit_intercept=False),
        lambda: rows_of(DIABETES),
        lambda: pool_of(DIABETES, LINEAR, fit_intercept=False),
    ):
        with pytest.raises(UnknownDataset):
            ask()


def test_rows_that_vanish_while_they_are_estimated(own: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    make = pools._estimated

    def vanishing(*arguments: Any, **options: Any) -> Any:
        found = make(*arguments, **options)
        own.delete(DIABETES)
        return found

    monkeypatch.setattr(pools, "_estimated", vanishing)
    with pytest.raises(UnknownDataset):
        pool_of(DIABETES, LINEAR, fit_intercept=False)
    assert not pools._kept


def test_what_a_full_disk_does_not_keep_is_used_all_the_same(own: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(own, "keep_pool", full)
    assert pool_of(DIABETES, LINEAR, fit_intercept=False) is pool_of(DIABETES, LINEAR, fit_intercept=False)


def test_unknown_and_unread_data_sets_are_refused(own: DataStore) -> None:
    with pytest.raises(UnknownDataset):
        described(MISSING)
    own.keep_upload(own.new_upload(), MISSING)
    with pytest.raises(DatasetNotReady) as refusal:
        described(MISSING)
    assert refusal.value.code == "dataset_not_ready"


def test_estimates_that_there_is_no_time_for_are_refused_unless_they_are_there(own: DataStore) -> None:
    with estimates_within(0.0), pytest.raises(EstimateTakesLong) as refusal:
        pool_of(DIGITS, RBF, fit_intercept=False)
    assert refusal.value.seconds > 0.0
    pool_of(DIGITS, RBF, fit_intercept=False)
    pools.forget_all()
    with estimates_within(0.0):
        pool_of(DIGITS, RBF, fit_intercept=False)


def test_estimates_that_no_job_has_time_for_are_refused(own: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MOST_SECONDS", 0.01)
    with pytest.raises(TooLarge) as refusal:
        pool_of(DIGITS, RBF, fit_intercept=False)
    assert "FORETELL_POOL_MEMORY" in refusal.value.detail


def test_time_is_shared_by_all_estimates_inside(own: DataStore) -> None:
    expected = pools.seconds_to_estimate(DIGITS, RBF)
    with estimates_within(1.5 * expected):
        pool_of(DIGITS, RBF, fit_intercept=False)
        with pytest.raises(EstimateTakesLong):
            pool_of(DIGITS, RBF, fit_intercept=True)


def test_kernels_beyond_the_memory_use_some_of_the_rows(own: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool_of(DIGITS, RBF, fit_intercept=False).n_rows == 200
    monkeypatch.setattr(pools, "_memory", int(estimation.COPIES * 8 * 120**2))
    assert pool_of(DIGITS, RBF, fit_intercept=False).n_rows == 120
    # Of linear features the matrix of the 64 columns is decomposed.
    assert pool_of(DIGITS, LINEAR, fit_intercept=False).n_rows == 200


@pytest.mark.parametrize(
    "kernel",
    [
        simulation.Rbf(length_scale=0.5),
        simulation.Laplace(length_scale=0.5),
        simulation.Polynomial(degree=3),
        simulation.ConjugateKernel(layers=[LAYER]),
        simulation.TangentKernel(layers=[LAYER, LAYER]),
    ],
    ids=lambda kernel: type(kernel).__name__,
)
def test_a_matrix_by_blocks_is_the_matrix(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimation, "BLOCK", 37)
    rows = digits(120)[0]
    found = kernel_matrix(kernel, rows)
    np.testing.assert_allclose(found, kernel.matrix(rows), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found, found.T)


def test_a_process_without_a_store_knows_no_data_sets(stored: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.data_store._opened", [])
    with pytest.raises(UnknownDataset):
        described(DIABETES)
    monkeypatch.undo()
    assert store() is not None
