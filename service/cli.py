"""The command line: ``foretell serve``, ``worker``, ``predict``, ``spectrum``, ``sweep``, ``validate``, ``data``, ``keys``.

Exit codes: 0 answered; 1 answered, but there is no finite error, the solver did not converge, or theory and simulation
disagree; 2 the request or the command line is not admissible; 3 the service cannot start.
"""

import faulthandler
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from api_schemas.prediction import Prediction, PredictionRequest
from api_schemas.spectra import Spectrum
from api_schemas.validation import MOST_REPLICATES, ValidationRequest
from service import tables
from service.curve_command import curve
from service.data_command import data_app
from service.problems import ProblemException
from service.settings import Settings, UnsafeConfiguration
from service.stores import open_stores
from service.sweep_command import sweep

app = typer.Typer(
    name="foretell",
    help="Predict how well a machine-learning model will do, before it is trained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(name="keys", help="Create, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys_app)
app.command()(sweep)
app.add_typer(data_app)
data_app.command()(curve)

DataDir = Annotated[
    Path | None, typer.Option(help="Folder for the embedded Valkey and the API keys.", show_default=".foretell")
]


def main() -> None:
    """Run the command line."""
    # A process answers on one core; threads of BLAS would only get in each other's way, and the last bits of a simulation
    # would depend on how many there are. Set before NumPy is loaded.
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    faulthandler.enable()  # a crash in compiled code leaves a traceback in the log
    app()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.", show_default="8000")] = None,
    data_dir: DataDir = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Redis or Valkey to use instead of starting one, as redis://host:6379/0.")
    ] = None,
    api_processes: Annotated[int | None, typer.Option(help="API processes.", show_default="1")] = None,
    auth: Annotated[str | None, typer.Option(help="API keys: auto, required or off.", show_default="auto")] = None,
    rate_limit: Annotated[
        str | None, typer.Option(help="Requests a client may make, as '600/minute', or off.", show_default="auto")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console.", show_default="auto")] = None,
) -> None:
    """Start the service, with a Valkey server of its own unless one is named.

    Every setting can be given in the environment too, as FORETELL_<NAME>; docs/settings.md lists them all. On a loopback
    address API keys and rate limits are off; elsewhere the service refuses to start until both are decided on.
    """
    from service.data_folder import EmbeddedError
    from service.server import serve as run

    given = {
        name: value for name, value in locals().copy().items() if name in Settings.model_fields and value is not None
    }
    try:
        raise typer.Exit(run(_settings(**given)))
    except (UnsafeConfiguration, EmbeddedError, OSError) as error:
        _fail(str(error), code=3)


@app.command()
def worker(
    data_dir: DataDir = None,
    redis_url: Annotated[
        str | None,
        typer.Option(help="Redis or Valkey that holds the queue; that of a running 'foretell serve' if not given."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, or a GPU as cuda:0; one process a GPU is enough.", show_default="cpu")
    ] = "cpu",
    concurrency: Annotated[
        int | None,
        typer.Option(help="Worker processes; the number of cores uses a machine.", show_default="1", min=1, max=256),
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="Stop once the queue is empty.")] = False,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console.", show_default="auto")] = None,
) -> None:
    """Start workers, which execute validations and what was posted with 'Prefer: respond-async'. Any number, on any machine.

    SIGTERM lets each finish its current job. If one is killed, it is started anew, and its job is taken over within half a
    minute.
    """
    from service.asgi import end_with_parent
    from service.data_folder import running_url
    from service.logs import configure_logs
    from workers.lifetime import UNUSABLE

    supervised = end_with_parent(with_signal=signal.SIGKILL)
    given = {"data_dir": data_dir, "redis_url": redis_url, "log_format": log_format, "worker_concurrency": concurrency}
    settings = _settings(**{name: value for name, value in given.items() if value is not None})
    if re.fullmatch(r"cpu|cuda:\d+", device) is None:
        _fail(f"--device must be cpu, or a GPU as cuda:0, got {device!r}", code=2)
    configure_logs(settings)
    open_stores(settings, for_children=not supervised)
    url = settings.redis_url or running_url(settings.data_dir)
    if url is None:
        _fail(
            f"no queue to work on: no 'foretell serve' runs on {settings.data_dir}; start one, or give --redis-url",
            code=UNUSABLE,
        )
    if supervised:
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: os._exit(0))  # while everything is loaded; then the worker has its own
    open_stores(settings, for_children=not supervised)
    if supervised:
        from workers.worker import work

        work(url, device=device, lease_seconds=settings.worker_lease, burst=burst)
    else:
        from service.worker_processes import run_workers

        raise typer.Exit(run_workers(url, count=settings.worker_concurrency, device=device, burst=burst))


@app.command()
def predict(
    file: Annotated[str, typer.Argument(help="A JSON file with a prediction request, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as the service would send it.")] = False,
) -> None:
    """Answer one request here and now, without a server; the answer is the same.

    Example: echo '{"model": {"learner": {"kind": "ridge", "penalty": 0.1}}, "regime": {"kind": "regression",
    "n_samples": 800, "n_features": 400, "noise_variance": 0.25}}' | foretell predict -
    """
    from service.computations import PREDICTIONS

    answer = _answer(file, PREDICTIONS, as_json=as_json)
    prediction = Prediction.model_validate_json(answer)
    if as_json:
        sys.stdout.write(answer.decode() + "\n")
    else:
        tables.show_prediction(prediction)
    raise typer.Exit(0 if prediction.status == "converged" else 1)


@app.command()
def spectrum(
    file: Annotated[str, typer.Argument(help="A JSON file with a spectrum request, or - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as the service would send it.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the density as CSV, one row a point.")] = False,
) -> None:
    """Work out the spectrum of a random matrix here and now, without a server; the answer is the same.

    Example: echo '{"matrix": "sample_covariance", "regime": {"kind": "regression", "n_samples": 800,
    "n_features": 400}}' | foretell spectrum -
    """
    from service.computations import SPECTRA
    from service.forms import density_table

    answer = _answer(file, SPECTRA, as_json=as_json)
    found = Spectrum.model_validate_json(answer)
    if as_csv:
        sys.stdout.write(density_table(answer).decode().replace("\r\n", "\n"))
    elif as_json:
        sys.stdout.write(answer.decode() + "\n")
    else:
        tables.show_spectrum(found)
    raise typer.Exit(0 if found.status == "converged" else 1)


@app.command()
def validate(
    file: Annotated[
        str,
        typer.Argument(help="A JSON file with a prediction request or a validation request, or - for standard input."),
    ],
    replicates: Annotated[
        int | None,
        typer.Option(help="How many training sets are drawn.", show_default="100", min=2, max=MOST_REPLICATES),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the random streams.", show_default="0", min=0)] = None,
    device: Annotated[
        str | None,
        typer.Option(help="What computes: cpu, or a GPU as cuda:0.", show_default="cpu, or cuda:0 for backend cupy"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as the service would send it.")] = False,
) -> None:
    """Draw and train a prediction's model at its finite size, many times, here and now, and compare with the theory.

    The numbers are those of POST /v1/validations. Exit code 1 if theory and simulation disagree, 2 if the request is not
    admissible, 3 if the device is not there.
    """
    from service.computations import refusals
    from simulation.devices import DeviceUnavailable, open_device
    from workers import chunks, validations
    from workers.refusals import Refused

    with _problems(as_json=as_json):
        request, within = _validation_request(_read(file), replicates=replicates, seed=seed)
        open_stores(_settings())
        with refusals():
            try:
                chunks.check(request)
            except Refused as refusal:
                raise type(refusal)(refusal.pointer.removeprefix(within), refusal.detail) from None
    try:
        opened = open_device(device or ("cuda:0" if request.backend == "cupy" else "cpu"))
    except DeviceUnavailable as error:
        _fail(str(error), code=3)
    if request.backend not in ("auto", opened.backend):
        _fail(f"the request is for backend {request.backend!r}, and --device {device} has {opened.backend!r}", code=2)
    results: list[dict[str, list[float | None]]] = []
    console = Console(stderr=True, highlight=False)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console) as progress:
        task = progress.add_task("replicates", total=request.replicates)
        for chunk in validations.chunks_of(request, opened.backend):
            results.append(validations.run_chunk(request, chunk, device=opened))
            progress.advance(task, chunk.size)
            if validations.enough(request, results) is not None:
                break
    found = validations.conclude(request, results, backend=opened.backend, device=opened.name)
    if as_json:
        sys.stdout.write(found.model_dump_json() + "\n")
    else:
        tables.show_validation(found)
    raise typer.Exit(0 if found.agrees else 1)


@keys_app.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="Whom or what the key is for.")], data_dir: DataDir = None
) -> None:
    """Create a key and print it; only its hash is kept, so note it now. A running service accepts it within a second."""
    with _key_store(data_dir) as keys:
        typer.echo(keys.add(name))


@keys_app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """List the ids and names of the keys."""
    with _key_store(data_dir) as keys:
        names = keys.names()
    for key_id, name in names.items():
        typer.echo(f"{key_id}  {name}")
    if not names:
        typer.echo("there are no keys yet; 'foretell keys add NAME' creates one", err=True)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[
        str, typer.Argument(help="The id that 'foretell keys list' shows: the second part of the key, not its name.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Make a key worthless; a running service notices within a second."""
    with _key_store(data_dir) as keys:
        found = keys.revoke(key_id)
    if not found:
        _fail(f"there is no key {key_id}; 'foretell keys list' shows those there are", code=2)


@app.command(hidden=True)
def openapi() -> None:
    """Print the OpenAPI document."""
    import json

    from service.app import api

    typer.echo(json.dumps(api().openapi(), indent=1, ensure_ascii=False))


@app.command()
def version() -> None:
    """Print the version."""
    from service.app import VERSION

    typer.echo(VERSION)


def _answer(file: str, computation: Any, *, as_json: bool) -> bytes:
    """Answer the request in a file, or print the problem with it and leave."""
    from service.answering import solve
    from service.parsing import parse

    body = _read(file)
    with _problems(as_json=as_json):
        request = parse(body, computation.schema)
        open_stores(_settings())
        return solve(computation, request, computation.key_of(request))


def _validation_request(body: bytes, *, replicates: int | None, seed: int | None) -> tuple[ValidationRequest, str]:
    """Read a validation request, or a prediction request as one, with what the command line says about it.

    Returns:
        The request, and the pointer to the whole body in it.
    """
    from service.parsing import parse

    given = {name: value for name, value in {"replicates": replicates, "seed": seed}.items() if value is not None}
    try:
        request = parse(body, PredictionRequest)
    except ProblemException:
        if b'"request"' not in body:
            raise
        whole = parse(body, ValidationRequest)
        return ValidationRequest.model_validate({**dict(whole), **given}), ""
    return ValidationRequest.model_validate({"request": request, **given}), "/request"


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        _fail(f"cannot read {file}: {error.strerror}", code=2)


@contextmanager
def _problems(*, as_json: bool) -> Iterator[None]:
    """Print the problem with a request and leave."""
    try:
        yield
    except ProblemException as problem:
        if as_json:
            sys.stdout.write(problem.body().decode() + "\n")
            raise typer.Exit(2) from None
        lines = [f"{error.pointer or '(whole body)'}: {error.detail}" for error in problem.errors] or [problem.detail]
        _fail("\n  ".join([problem.problem().title + ":", *lines]), code=2)


def _settings(**given: Any) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        _fail("settings: " + "; ".join(lines), code=2)


@contextmanager
def _key_store(data_dir: Path | None) -> Iterator[Any]:
    from service.keys import KeyStore

    try:
        yield KeyStore(_settings(**({} if data_dir is None else {"data_dir": data_dir})).keys_file)
    except (OSError, ValueError) as error:
        _fail(str(error), code=2)


def _fail(message: str, *, code: int) -> NoReturn:
    typer.echo(f"foretell: {message}", err=True)
    raise typer.Exit(code)
