"""``foretell data``: add, list, show and delete data sets, in the folder of this machine or of a running service."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from api_schemas.dataset import Dataset, DatasetForm, DatasetReading
from service.settings import Settings

data_app = typer.Typer(name="data", help="Add, list, show and delete data sets to predict from.", no_args_is_help=True)

DatasetId = Annotated[str, typer.Argument(help="The data set's id, or its beginning.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder whose data sets are meant, as of foretell serve.", show_default=".foretell")
]
Url = Annotated[str | None, typer.Option(help="A running service to ask instead, as http://127.0.0.1:8000.")]
ApiKey = Annotated[str | None, typer.Option(help="API key, where that service asks for one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the service would send.")]
COPIED_BYTES = 2**20


@data_app.command()
def add(
    file: Annotated[Path, typer.Argument(help="CSV, NPY, NPZ, Parquet or Arrow.", exists=True, dir_okay=False)],
    target: Annotated[
        list[str] | None,
        typer.Option(help="Column to predict, by name or position from 0, -1 the last; may be repeated."),
    ] = None,
    task: Annotated[str, typer.Option(help="regression or classification.")] = "regression",
    standardize: Annotated[str, typer.Option(help="What is done to features: none, center or scale.")] = "none",
    array: Annotated[str | None, typer.Option(help="Array of an NPZ with the features.", show_default="X")] = None,
    data_dir: DataDir = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Store a file, estimate what predictions need, and say what was found.

    Example: foretell data add diabetes.csv --target progression --standardize scale
    """
    given: dict[str, Any] = {"task": task, "target": target or [], "standardize": standardize, "array": array}
    with _problems():
        form = _form({name: value for name, value in given.items() if value is not None})
        if url is None:
            found = _added(file, form, _settings(data_dir))
        else:
            from service.data_client import Service  # noqa: PLC0415

            with _progress("sending") as report:
                found = Service(url, api_key).add(file, form, report)
    _show(found, as_json=as_json)


@data_app.command("list")
def list_datasets(data_dir: DataDir = None, url: Url = None, api_key: ApiKey = None) -> None:
    """List data sets, the newest first."""
    with _problems():
        found = list(_all(data_dir, url, api_key))
    if not found:
        typer.echo("there are no data sets yet; 'foretell data add FILE --target NAME' stores one", err=True)
    for dataset in found:
        typer.echo(f"{dataset.dataset_id}  {dataset.task:14}  {dataset.rows} x {len(dataset.features)}  {dataset.name}")


@data_app.command()
def show(
    dataset_id: DatasetId, data_dir: DataDir = None, url: Url = None, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Show what is stored of a data set, and what is known of it."""
    with _problems():
        found = _one(dataset_id, data_dir, url, api_key)
    _show(found, as_json=as_json)


@data_app.command()
def delete(dataset_id: DatasetId, data_dir: DataDir = None, url: Url = None, api_key: ApiKey = None) -> None:
    """Delete a data set, with everything that was worked out from it."""
    with _problems():
        found = _one(dataset_id, data_dir, url, api_key)
        if url is not None:
            from service.data_client import Service  # noqa: PLC0415

            Service(url, api_key).delete(found.dataset_id)
        else:
            _deleted(found.dataset_id, _settings(data_dir))
    typer.echo(f"deleted {found.dataset_id}")


def _added(file: Path, form: DatasetForm, settings: Settings) -> Dataset:
    """Read a file in here and now."""
    import hashlib  # noqa: PLC0415 - with the others, where they are needed
    import shutil  # noqa: PLC0415

    from service.computations import refusals  # noqa: PLC0415
    from service.stores import open_stores  # noqa: PLC0415
    from service.uploads import shown  # noqa: PLC0415
    from workers import data_store, dataset_jobs  # noqa: PLC0415
    from workers.file_formats import LONGEST_MAGIC, with_format  # noqa: PLC0415
    from workers.reading import dataset_id_of  # noqa: PLC0415

    open_stores(settings)
    store = data_store.store()
    size = file.stat().st_size
    with refusals(), _progress("reading") as report:
        if size > settings.dataset_limit:
            from workers.refusals import TooLarge  # noqa: PLC0415

            raise TooLarge("/file", f"has {size} bytes, and FORETELL_DATASET_LIMIT is {settings.dataset_limit}")
        store.check_room(size)
        folder = store.new_upload()
        try:
            with file.open("rb") as source, (folder / data_store.UPLOAD).open("wb") as copy:
                form = with_format(form, source.read(LONGEST_MAGIC))
                source.seek(0)
                digest = hashlib.sha256()
                while data := source.read(COPIED_BYTES):
                    digest.update(data)
                    copy.write(data)
            dataset_id = dataset_id_of(digest.hexdigest(), form)
            store.keep_upload(folder, dataset_id)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        reading = DatasetReading(dataset_id=dataset_id, name=shown(file.name), limit=settings.dataset_limit, form=form)
        return dataset_jobs.read_in(reading, key=dataset_id, progress=report)


def _all(data_dir: Path | None, url: str | None, api_key: str | None) -> Iterator[Dataset]:
    if url is not None:
        from service.data_client import Service  # noqa: PLC0415

        yield from Service(url, api_key).datasets()
        return
    from workers.data_store import DataStore, NotReady, UnknownDataset  # noqa: PLC0415

    store = DataStore(_settings(data_dir).datasets_folder)
    for _, dataset_id in store.ids():
        try:
            yield store.dataset(dataset_id)
        except (UnknownDataset, NotReady):  # deleted just now
            continue


def _one(beginning: str, data_dir: Path | None, url: str | None, api_key: str | None) -> Dataset:
    found = [dataset for dataset in _all(data_dir, url, api_key) if dataset.dataset_id.startswith(beginning)]
    if len(found) != 1:
        what = "no data set has" if not found else f"{len(found)} data sets have"
        raise _Unclear(f"{what} an id that begins with {beginning[:100]!r}; 'foretell data list' lists them")
    return found[0]


def _deleted(dataset_id: str, settings: Settings) -> None:
    """Delete a data set of this machine, with its jobs if a service runs on it."""
    from service.data_folder import running_url  # noqa: PLC0415
    from service.jobs import Jobs  # noqa: PLC0415
    from workers.data_store import DataStore  # noqa: PLC0415

    store = DataStore(settings.datasets_folder)
    queue_url = settings.redis_url or running_url(settings.data_dir)
    if queue_url is None:
        store.delete(dataset_id)
    else:
        jobs = Jobs(queue_url, timeout=settings.redis_timeout, most_queued=settings.queue_limit)
        asyncio.run(jobs.delete_dataset(dataset_id, store))


class _Unclear(Exception):
    """It is not clear what is meant."""


def _form(given: dict[str, Any]) -> DatasetForm:
    from service.parsing import validated  # noqa: PLC0415

    return validated(given, DatasetForm)


def _settings(data_dir: Path | None) -> Settings:
    given: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    return Settings(**given)


@contextmanager
def _problems() -> Iterator[None]:
    """Print what went wrong and leave."""
    from service.problems import ProblemException  # noqa: PLC0415

    try:
        yield
    except (ProblemException, _Unclear, ValidationError, OSError) as problem:
        typer.echo(f"foretell: {problem}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    """Show a bar; yields what is called with the share that is done."""
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _show(found: Dataset, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(found.model_dump_json() + "\n")
        return
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    some = ", ".join(found.features[:8]) + (", …" if len(found.features) > 8 else "")
    rows = {
        "file": f"{found.name} ({found.format}, {found.upload_bytes} bytes), not kept",
        "stored": f"{found.stored_bytes} bytes",
        "task": found.task,
        "rows": str(found.rows),
        "features": f"{len(found.features)}: {some}"
        + (f"; standardize {found.standardize}" if found.standardize != "none" else ""),
        "targets": ", ".join(found.targets),
    }
    if found.classes is not None:
        rows["classes"] = ", ".join(f"{one.name} ({one.rows})" for one in found.classes)
    if found.estimate is not None:
        for name, value in found.estimate.model_dump().items():
            rows[name.replace("_", " ")] = "-" if value is None else f"{value:.6g}"
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(found.dataset_id, soft_wrap=True)
    console.print(table)
    for warning in found.warnings:
        console.print(f"[yellow]{warning.code}[/yellow]: {warning.detail}")
