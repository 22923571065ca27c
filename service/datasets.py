"""Data sets as the wire shows them: received, read, listed, and deleted with all that rests on them."""

import asyncio

from starlette.requests import Request

from api_schemas.dataset import Dataset, DatasetForm, DatasetList, DatasetReading
from api_schemas.job import Job
from service.computations import refusals
from service.jobs import Jobs, cursor_of, place_of
from service.parsing import validated
from service.problems import ProblemException
from service.settings import Settings
from service.uploads import received
from workers.data_store import DataStore, NotReady, UnknownDataset
from workers.file_formats import with_format
from workers.reading import dataset_id_of

RETRY_AFTER = {"Retry-After": "1"}


class Datasets:
    """Receives, reads, lists and deletes data sets.

    Args:
        store: where they are.
        jobs: that read them in.
        settings: of the service.
    """

    def __init__(self, store: DataStore, jobs: Jobs, settings: Settings) -> None:
        self._store = store
        self._jobs = jobs
        self._limit = settings.dataset_limit

    async def receive(self, request: Request, *, idempotency: str | None = None) -> Job:
        """Receive a file and queue its reading.

        Args:
            request: a form with the file.
            idempotency: what the client calls this request, if it does.

        Raises:
            ProblemException: the form is not admissible, or the queue or its server is away or full.
            OSError: the disk is full.
        """
        async with received(request, self._store) as upload:
            form = validated(upload.form, DatasetForm)
            with refusals():
                form = with_format(form, upload.start)
            dataset_id = dataset_id_of(upload.digest, form)
            reading = DatasetReading(dataset_id=dataset_id, name=upload.name, limit=self._limit, form=form)
            own = await asyncio.to_thread(self._store.keep_upload, upload.folder, dataset_id)
            try:
                return await self._jobs.submit_dataset(reading, self._store, idempotency=idempotency)
            except ProblemException:
                if own:
                    await asyncio.to_thread(self._store.drop_upload, dataset_id)
                raise

    def read(self, dataset_id: str) -> Dataset:
        """Return the description of a data set.

        Raises:
            ProblemException: there is none of that id, or it has not been read in yet.
        """
        try:
            return self._store.dataset(dataset_id)
        except UnknownDataset:
            raise _unknown(dataset_id) from None
        except NotReady:
            detail = f"data set {dataset_id} is being read in; GET /v1/jobs/dataset-{dataset_id} says how far it is"
            raise ProblemException("dataset_not_ready", detail, headers=RETRY_AFTER) from None

    def page(self, *, limit: int, cursor: str | None) -> DatasetList:
        """Return data sets, the newest first.

        Args:
            limit: how many at most.
            cursor: of the page before.

        Raises:
            ProblemException: the cursor is none of ours.
        """
        before = None if cursor is None else place_of(cursor)
        places = [place for place in self._store.ids() if before is None or place < before]
        found = []
        for _, dataset_id in places[:limit]:
            try:
                found.append(self._store.dataset(dataset_id))
            except (UnknownDataset, NotReady):  # deleted just now
                continue
        more = len(places) > limit
        return DatasetList(datasets=found, next_cursor=cursor_of(places[limit - 1]) if more else None)

    async def delete(self, dataset_id: str) -> None:
        """Delete a data set, its estimates, and the jobs that rest on it.

        Raises:
            ProblemException: there is none of that id; or the queue's server is away, and nothing is deleted.
        """
        if not await asyncio.to_thread(self._store.exists, dataset_id):
            raise _unknown(dataset_id)
        await self._jobs.delete_dataset(dataset_id, self._store)


def _unknown(dataset_id: str) -> ProblemException:
    return ProblemException("not_found", f"no data set {dataset_id[:100]!r}; GET /v1/datasets lists those there are")
