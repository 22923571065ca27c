"""Reading a data set in as a job: parse, check, write, estimate; and the jobs that rest on a data set, to go with it."""

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from api_schemas.dataset import Dataset, DatasetEigenspectrum, DatasetEstimate, DatasetReading
from api_schemas.features import LinearFeatures
from api_schemas.prediction import PredictionWarning
from theory.covariance import InadmissibleProblem
from theory.pools import Pool
from theory.pools.population import population_spectrum
from workers import data_store
from workers.addresses import dataset_of
from workers.data_store import DataStore
from workers.pools import pool_of
from workers.reading import read
from workers.refusals import Refused, UnknownDataset

NO_ESTIMATE = "no_estimate"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ, HALF_ESTIMATED = 0.3, 0.65
"""Shares of the work that are done once the rows are written, and once one of two estimates is there."""
INDEX_SECONDS = 8 * 24 * 3600
"""Jobs are kept for less."""


class NoSpace(Refused):
    """The disk with the data sets is full, or they take as much of it as they may.

    Args:
        error: that was met.
    """

    code = "insufficient_storage"

    def __init__(self, error: OSError) -> None:
        full = "the disk is full; delete data sets, or ask whoever runs the service"
        super().__init__("/file", f"cannot be stored: {error if isinstance(error, data_store.NoRoom) else full}")


def read_in(reading: DatasetReading, *, key: str, progress: Callable[[float], object] = lambda _: None) -> Dataset:
    """Make a data set of an upload, with the estimates that its description states; what is there is not made again.

    Args:
        reading: which upload, and how.
        key: the data set's id.
        progress: called with the share that is done.

    Raises:
        Refused: the file is no data set, or cannot be stored; nothing of it is left.
    """
    store = data_store.store()
    try:
        try:
            found = store.dataset(key)
        except data_store.NotReady:
            with store.making(key) as folder:
                upload = store.upload_folder(key) / data_store.UPLOAD
                found = read(upload, reading, folder, check_room=store.check_room)
        found = described(store, found, progress)
    except data_store.UnknownDataset:
        raise UnknownDataset(
            "/file",
            "is not where this worker looks for it, or was deleted; all workers and the service need the same"
            " FORETELL_DATASETS_DIR",
        ) from None
    except Refused:
        store.drop_upload(key)
        raise
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        with suppress(data_store.UnknownDataset):
            store.delete(key)
        raise NoSpace(error) from None
    store.drop_upload(key)
    return found


def described(store: DataStore, dataset: Dataset, progress: Callable[[float], object]) -> Dataset:
    """Complete a description by what linear features say, and keep the estimates for the predictions to come.

    Args:
        store: that has the data set.
        dataset: its description, complete already or not.
        progress: called with the share that is done.

    Raises:
        Refused: the data set was deleted meanwhile.
        OSError: the disk is full.
    """
    dataset_id = dataset.dataset_id
    progress(READ)
    if dataset.estimate is None:
        found: dict[str, Any]
        try:
            pool = pool_of(dataset_id, LinearFeatures(), fit_intercept=True)
            progress(HALF_ESTIMATED)
            pool_of(dataset_id, LinearFeatures(), fit_intercept=False)
        except UnknownDataset:
            raise
        except Refused as refusal:  # the rows may still be of use, with less memory for estimates or other features
            others = [warning for warning in dataset.warnings if warning.code != NO_ESTIMATE]
            found = {"warnings": [*others, PredictionWarning(code=NO_ESTIMATE, detail=refusal.detail)]}
        else:
            eigenspectrum = eigenspectrum_of(pool)
            found = {"estimate": estimate_of(pool, eigenspectrum), "eigenspectrum": eigenspectrum}
        store.describe(dataset.model_copy(update=found))
    return store.dataset(dataset_id)


def estimate_of(pool: Pool, eigenspectrum: DatasetEigenspectrum | None) -> DatasetEstimate:
    """Return what an estimate says of the rows.

    Args:
        pool: of linear features.
        eigenspectrum: of the population behind it, if it could be told.
    """
    best = int(np.argmin(pool.loo))
    rank_norm, rank_trace = pool.effective_ranks
    return DatasetEstimate(
        # Not the pool's own: features that hardly vary drive that to 0.
        noise_variance=None if eigenspectrum is None else eigenspectrum.noise_variance,
        reliability=float(pool.reliability[best]),
        effective_rank_trace=rank_trace,
        effective_rank_norm=rank_norm,
    )


def eigenspectrum_of(pool: Pool) -> DatasetEigenspectrum | None:
    """Return the population that the rows seem to be a sample of, None where they do not say."""
    try:
        found = population_spectrum(pool)
    except InadmissibleProblem:
        return None
    return DatasetEigenspectrum(
        eigenvalues=found.eigenvalues.tolist(),
        multiplicities=found.multiplicities.tolist(),
        energies=found.energies.tolist(),
        tail_trace=found.tail_trace,
        noise_variance=found.noise_variance,
        smallest_identified_ridge=found.smallest_identified_ridge,
    )


def index_key(dataset_id: str) -> str:
    """Return where the ids of the jobs that rest on a data set are."""
    return f"foretell:dataset:{dataset_id}:jobs"


def note_job(connection: Any, request: Any, job_id: str) -> None:
    """Note that a job rests on a data set, if it does, so that it goes with it.

    Args:
        connection: to the queue's server.
        request: of the job.
        job_id: of the job, which need not be there yet.
    """
    dataset_id = dataset_of(request)
    if dataset_id is not None:
        pipeline = connection.pipeline()
        pipeline.sadd(index_key(dataset_id), job_id)
        pipeline.expire(index_key(dataset_id), INDEX_SECONDS)
        pipeline.execute()


def jobs_of(connection: Any, dataset_id: str) -> list[str]:
    """Return the ids of the jobs that rest on a data set; some may be gone."""
    return sorted(name.decode() for name in connection.smembers(index_key(dataset_id)))
