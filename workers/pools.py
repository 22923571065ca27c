"""From a stored data set and features to the estimate that predictions on it rest on: made once, kept, and found again.

An estimate takes a decomposition of the rows' kernel, seconds or minutes; what is made of it takes microseconds. It is looked
for in this process, then in the store, and made otherwise: by one thread, on which all others that need it wait.
"""

import fcntl
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from hashlib import sha256
from math import inf
from typing import Any, Literal

import numpy as np
import structlog

import theory
from api_schemas.features import KernelFeatures
from theory.pools import Pool, predict_pool
from workers import data_store, estimation
from workers.estimation import Infinite
from workers.features import PoolFeatures
from workers.refusals import TooLarge
from workers.stored_rows import described, refused_if_gone, rows_of, when_gone

log = structlog.get_logger("foretell.worker")

MEMORY = 512 * 2**20
"""Bytes that the kernel matrix of an estimate may take with what its decomposition needs; a setting of the service."""
MOST_KEPT = 32
"""Estimates in the memory of a process."""
MOST_SECONDS = 600
"""That a job may take."""
NOTHING = 1e-6
"""Of the codes' variance: less than this is not explained."""
ERRORS = ("test_error", "low", "high", "train_error", "test_loss", "train_loss", "variance")


class EstimateTakesLong(Exception):
    """An estimate is not there yet, and would take longer than there is time for here.

    Attributes:
        seconds: that it is expected to take.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the estimate is not there yet and is expected to take {seconds:.0f} s")
        self.seconds = seconds


@dataclass(frozen=True, kw_only=True)
class PoolSource:
    """Rows and features, of which the estimate is made when it is first needed.

    Attributes:
        dataset_id: of the rows.
        n_rows: how many there are.
        n_targets: columns of numbers, or of the codes of classes.
        metric: what a test error on them measures.
        features: see there.
        fit_intercept: whether an unpenalised constant is fitted.
    """

    dataset_id: str
    n_rows: int
    n_targets: int
    metric: Literal["squared_error", "misclassification"]
    features: PoolFeatures
    fit_intercept: bool

    @property
    def pool(self) -> Pool:
        """The estimate.

        Raises:
            EstimateTakesLong: it is not there, and there is no time to make it.
        """
        return pool_of(self.dataset_id, self.features.infinite, fit_intercept=self.fit_intercept)

    @property
    def is_there(self) -> bool:
        """Whether the estimate is in the memory of this process, or in the store."""
        name = pool_name(self.features.infinite, fit_intercept=self.fit_intercept)
        return (self.dataset_id, name) in _kept or name in data_store.store().pool_names(self.dataset_id)

    @property
    def seconds(self) -> float:
        """How long the estimate is expected to take."""
        return seconds_to_estimate(self.dataset_id, self.features.infinite)

    @property
    def width(self) -> float:
        """Features that are drawn."""
        return self.features.width

    @property
    def rank(self) -> float:
        """Directions beside the constant that can be fitted; infinite where the rows show no end of them."""
        return min(self.width, self.pool.rank)

    def make_sure(self) -> None:
        """Have the estimate made.

        Raises:
            EstimateTakesLong: there is no time to make it.
        """
        pool_of(self.dataset_id, self.features.infinite, fit_intercept=self.fit_intercept)


_kept: OrderedDict[tuple[str, str], Pool] = OrderedDict()
_locks: dict[tuple[str, str], threading.Lock] = {}
_guard = threading.Lock()
_memory = MEMORY
_time_left: ContextVar[list[float]] = ContextVar("time left for estimates")


def set_memory(n_bytes: int) -> None:
    """Set how many bytes an estimate may take in this process."""
    global _memory  # noqa: PLW0603 - a setting of the process, as the store is
    _memory = n_bytes


def memory() -> int:
    """Return how many that are."""
    return _memory


@contextmanager
def estimates_within(seconds: float) -> Iterator[None]:
    """Have estimates that are expected to take longer, all of them together, refused inside: :class:`EstimateTakesLong`."""
    token = _time_left.set([seconds])
    try:
        yield
    finally:
        _time_left.reset(token)


def predict(source: PoolSource, n_samples: Any, penalty: Any, width: Any) -> dict[str, Any]:
    """Predict on an estimate.

    Args:
        source: of the estimate.
        n_samples: a number, or an array of shape ``(batch,)``; positive.
        penalty: likewise.
        width: of random features, likewise.

    Returns:
        What :class:`workers.answers.Answer` has under the same names.

    Raises:
        Refused: the data set is gone, or has no estimate with these features.
        EstimateTakesLong: there is no time to make it.
    """
    pool = source.pool
    # As elsewhere: nothing is left to learn from where the constant takes all samples, and no error is finite.
    some = np.asarray(n_samples, float) > pool.n_unpenalised
    found = predict_pool(pool, np.where(some, n_samples, pool.n_unpenalised + 1.0)[()], penalty, width=width)
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    if not np.all(some):
        for name in ERRORS:
            values[name] = np.where(some, values[name], inf)[()]
        values["status"] = np.where(some, values["status"], "divergent")[()]
    ridge = values["effective_ridge"]
    noise = 0.0
    if pool.n_classes and pool.fit_intercept:
        # Scores have a variance of at least half of what they explain, squared, over the codes' variance v; constants v / n.
        explained = np.maximum(1.0 - values["squared_error"] / pool.target_variance, NOTHING)
        noise = (4.0 / (np.asarray(n_samples, float) * explained**2))[()]
    return values | {
        "intercept_noise": noise,
        "ridge": ridge,
        "target_ridge": ridge,
        "interval_low": values["low"],
        "interval_high": values["high"],
        "n_used": pool.n_rows,
    }


def source_of(dataset_id: str, features: PoolFeatures, *, fit_intercept: bool) -> PoolSource:
    """Return rows and features; nothing is estimated yet.

    Raises:
        UnknownDataset: there is no such data set, or not any more.
        DatasetNotReady: it is being read in.
    """
    found = described(dataset_id)
    return PoolSource(
        dataset_id=dataset_id,
        n_rows=found.n_rows,
        n_targets=found.n_targets,
        metric="misclassification" if found.classes else "squared_error",
        features=features,
        fit_intercept=fit_intercept,
    )


def pool_of(dataset_id: str, features: Infinite, *, fit_intercept: bool) -> Pool:
    """Return the estimate of a data set and features: that of this process, that of the store, or a new one.

    Args:
        dataset_id: of a stored data set.
        features: linear, or of a kernel.
        fit_intercept: whether an unpenalised constant is fitted.

    Raises:
        UnknownDataset: there is no such data set, or not any more.
        DatasetNotReady: it is being read in.
        EstimateTakesLong: the estimate is not there, and :func:`estimates_within` leaves no time to make it.
    """
    key = (dataset_id, pool_name(features, fit_intercept=fit_intercept))
    with _guard:
        found = _kept.get(key)
        if found is not None:
            _kept.move_to_end(key)
            return found
        lock = _locks.setdefault(key, threading.Lock())
    try:
        with lock, refused_if_gone(dataset_id):
            found = _kept.get(key) or data_store.store().pool(*key)
            if found is None:
                _take_time(seconds_to_estimate(dataset_id, features))
                with _alone(key):
                    found = data_store.store().pool(*key)
                    if found is None:
                        found = _estimated(dataset_id, features, fit_intercept=fit_intercept)
                        _keep_in_store(key, found)
            # Before those who wait for it go on.
            _keep(key, found)
    finally:
        with _guard:
            _locks.pop(key, None)
    return found


def _keep(key: tuple[str, str], pool: Pool) -> None:
    with _guard:
        _kept[key] = pool
        _kept.move_to_end(key)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)


def pool_name(features: Infinite, *, fit_intercept: bool) -> str:
    """Return what the store calls an estimate: by its features, the intercept and how it is made."""
    kind = features.kernel.kind if isinstance(features, KernelFeatures) else features.kind
    told = f"{theory.SOLVER_VERSION}\n{_memory}\n{features.model_dump_json()}"
    intercept = "-intercept" if fit_intercept else ""
    return f"{kind}{intercept}-{sha256(told.encode()).hexdigest()[:16]}"


def seconds_to_estimate(dataset_id: str, features: Infinite) -> float:
    """Return how long an estimate is expected to take on one core.

    Raises:
        UnknownDataset: there is no such data set.
        DatasetNotReady: it is being read in.
    """
    found = described(dataset_id)
    return estimation.expected_seconds(
        features, n_rows=found.n_rows, n_features=found.n_features, n_targets=found.n_targets, memory=_memory
    )


def _estimated(dataset_id: str, features: Infinite, *, fit_intercept: bool) -> Pool:
    return estimation.estimate(features, *rows_of(dataset_id), fit_intercept=fit_intercept, memory=_memory)


@contextmanager
def _alone(key: tuple[str, str]) -> Iterator[None]:
    """Wait until no other process of this machine makes the same estimate."""
    path = data_store.store().folder / key[0] / "pools" / f".{key[1]}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # the data set is gone, which is noticed soon, or its folder takes no lock: it is made twice then
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Who waits for the file that is gone now finds the estimate in the store; who comes later does too.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _keep_in_store(key: tuple[str, str], pool: Pool) -> None:
    try:
        data_store.store().keep_pool(*key, pool)
    except OSError as error:
        # It is used all the same, and made again when it is no longer in memory.
        log.warning("estimate_not_kept", dataset=key[0], name=key[1], error=str(error))


def _take_time(seconds: float) -> None:
    if seconds > MOST_SECONDS:
        raise TooLarge(
            "/regime/dataset_id",
            f"an estimate on so many rows is expected to take {seconds / 60.0:.0f} minutes, and may take"
            f" {MOST_SECONDS // 60}; lower FORETELL_POOL_MEMORY, and a random subsample of them is used",
        )
    left = _time_left.get([inf])
    if seconds > left[0]:
        raise EstimateTakesLong(seconds)
    left[0] -= seconds


def _forget(dataset_id: str) -> None:
    """Drop the estimates of a data set that is gone."""
    with _guard:
        for key in [key for key in _kept if key[0] == dataset_id]:
            del _kept[key]


when_gone(_forget)


def forget_all() -> None:
    """Drop all estimates of this process; those in the store stay."""
    with _guard:
        _kept.clear()
