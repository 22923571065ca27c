"""``foretell data curve``: how well models would do on a stored data set at any size, beside models trained on it."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table

from service.sweep_command import COLORS, PICTURES, axis_of

MOST_MODELS = 8
DEFAULT_SIZES = 12
FEWEST = 20
"""Samples of the smallest default size."""
REPLICATES = 10
DEFAULT_PENALTY = 0.01
ACTIVATIONS = ("relu", "erf", "tanh", "gelu", "sigmoid", "softplus", "sin", "cos", "abs", "sign", "leaky_relu")
KERNELS = ("rbf", "laplace", "polynomial", "exponential")


class Trained(NamedTuple):
    """Mean test error over random splits, and its standard error."""

    mean: float
    standard_error: float


class Row(NamedTuple):
    """A model at a size; numbers are None where the theory diverges."""

    n_samples: float
    test_error: float | None
    low: float | None
    high: float | None
    trained: Trained | None = None


class Curve(NamedTuple):
    """A model at all sizes."""

    label: str
    metric: str
    rows: list[Row]


def curve(
    dataset_id: Annotated[str, typer.Argument(help="The data set's id, or its beginning.")],
    model: Annotated[
        list[str],
        typer.Option(
            help="A model: a JSON file with one or with a prediction request, the JSON itself, or in short"
            " 'rbf,length_scale=2,penalty=1e-3', 'linear', 'polynomial,degree=3', 'relu,width=400,intercept',"
            " 'projection,width=50'. Repeat it for several curves."
        ),
    ],
    sizes: Annotated[
        str | None,
        typer.Option(
            help="n_samples, as 50,100,200 or 20:2000:10:log.", show_default="12 sizes up to the number of rows"
        ),
    ] = None,
    train: Annotated[
        bool,
        typer.Option("--train", help="Train real models on random splits too, at sizes up to nine tenths of the rows."),
    ] = False,
    replicates: Annotated[int, typer.Option(help="Random splits of each size.", min=2, max=1000)] = REPLICATES,
    seed: Annotated[int, typer.Option(help="Of the random splits.", min=0)] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the curves into this file: .svg, .png or .pdf; needs foretell\\[plot].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the service's data.", show_default=".foretell")
    ] = None,
) -> None:
    """Predict the learning curve of models on a stored data set, with 90 % intervals; nothing is trained, unless --train.

    Example: foretell data curve 4f1c... --model rbf,penalty=1e-3 --model linear --train --plot curve.svg
    """
    from service.cli import _fail, _problems, _settings  # noqa: PLC0415 - which registers this command
    from service.problems import ProblemException  # noqa: PLC0415
    from service.stores import open_stores  # noqa: PLC0415
    from workers.refusals import Refused  # noqa: PLC0415
    from workers.stored_rows import described  # noqa: PLC0415

    if plot is not None and plot.suffix.lower() not in PICTURES:
        _fail(f"--plot takes a file that ends in {', '.join(PICTURES)}, got {plot.name}", code=2)
    if len(model) > MOST_MODELS:
        _fail(f"{len(model)} models are more than a picture still shows apart; give up to {MOST_MODELS}", code=2)
    settings = _settings(**({} if data_dir is None else {"data_dir": data_dir}))
    open_stores(settings)
    found: list[Curve] = []
    with _problems(as_json=as_json):
        try:
            dataset_id = _whole(dataset_id)
            n_rows = described(dataset_id).n_rows
            chosen = _sizes(sizes, n_rows)
            named = {text: _model(text) for text in model}
        except Refused as refusal:
            _fail(refusal.detail, code=2)
        except ValueError as error:
            _fail(str(error), code=2)
        console = Console(stderr=True, highlight=False)
        for text, parts in named.items():
            request = _request(dataset_id, parts, chosen[0])
            with console.status(f"{text}: the estimate is made, once for all sizes and penalties"):
                metric, rows = _predicted(request, chosen)
            if train:
                try:
                    rows = _with_training(request, rows, n_rows, replicates=replicates, seed=seed, console=console)
                except Refused as refusal:
                    raise ProblemException(refusal.code, f"{text}: {refusal.detail}") from None
            found.append(Curve(_label(text), metric, rows))
    if plot is not None:
        _draw_picture(found, plot)
    if as_json:
        sys.stdout.write(json.dumps([_as_json(one) for one in found], allow_nan=False) + "\n")
    else:
        if plot is None:
            _draw_in_terminal(found)
        for one in found:
            _show(one)
    raise typer.Exit(0 if any(row.test_error is not None for one in found for row in one.rows) else 1)


def _whole(beginning: str) -> str:
    """Return the id that has this beginning.

    Raises:
        ValueError: none has, or several have.
    """
    from workers.data_store import store  # noqa: PLC0415

    found = [dataset_id for _, dataset_id in store().ids() if dataset_id.startswith(beginning)]
    if len(found) != 1:
        what = "no data set has" if not found else f"{len(found)} data sets have"
        raise ValueError(f"{what} an id that begins with {beginning[:100]!r}; 'foretell data list' lists them")
    return found[0]


def _sizes(text: str | None, n_rows: int) -> list[float]:
    """Read sizes as the command line has them.

    Raises:
        ValueError: they are written otherwise.
    """
    import numpy as np  # noqa: PLC0415

    low = min(max(FEWEST, n_rows // 50), n_rows)
    try:
        axis = axis_of(f"={text or f'{low}:{n_rows}:{DEFAULT_SIZES}:log'}")
        if "values" in axis:
            sizes: list[float] = axis["values"]
        else:
            spaced = np.geomspace if axis["scale"] == "log" else np.linspace
            with np.errstate(all="ignore"):
                sizes = np.unique(np.round(spaced(axis["start"], axis["stop"], axis["num"]))).tolist()
    except ValueError:
        raise ValueError(f"--sizes {text}: write them as 50,100,200 or start:stop:num or start:stop:num:log") from None
    if not sizes or not all(0.0 < size < math.inf for size in sizes):
        raise ValueError(f"--sizes {text}: sizes must be positive numbers")
    return sizes


def _model(text: str) -> dict[str, Any]:
    """Read a model as the command line has it.

    Raises:
        ValueError: it is none.
    """
    if not text.lstrip().startswith("{") and not text.endswith(".json"):
        return _of_short_form(text)
    try:
        data = json.loads(text if text.lstrip().startswith("{") else Path(text).read_bytes())
    except OSError as error:
        raise ValueError(f"cannot read {text}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"--model {text}: not JSON: {error}") from None
    if isinstance(data, dict) and isinstance(data.get("model"), dict):
        data = data["model"]
    if isinstance(data, dict):
        return data
    raise ValueError(f"--model {text}: a model is an object with features and learner")


def _of_short_form(text: str) -> dict[str, Any]:
    kind, *words = text.split(",")
    options = dict(word.partition("=")[::2] for word in words)
    intercept = options.pop("intercept", None) is not None
    try:
        numbers = {name: int(value) if value.isdecimal() else float(value) for name, value in options.items()}
    except ValueError:
        raise ValueError(f"--model {text}: after the kind come name=number pairs, or 'intercept'") from None
    learner = {"kind": "ridge", "penalty": numbers.pop("penalty", DEFAULT_PENALTY)}
    if kind == "linear":
        features: dict[str, Any] = {"kind": "linear", **numbers}
    elif kind == "projection":
        features = {"kind": "random_projection", **numbers}
    elif kind in KERNELS:
        features = {"kind": "kernel", "kernel": {"kind": kind, **numbers}}
    elif kind in ACTIVATIONS:
        features = {"kind": "random_features", "layers": [{"activation": kind, **numbers}]}
    else:
        raise ValueError(
            f"--model {text}: the short form begins with linear, projection, a kernel ({', '.join(KERNELS)}) or an activation"
            f" ({', '.join(ACTIVATIONS)}); everything else is written as JSON"
        )
    return {"features": features, "learner": learner, "fit_intercept": intercept}


def _request(dataset_id: str, model: dict[str, Any], n_samples: float) -> dict[str, Any]:
    return {"model": model, "regime": {"kind": "dataset", "dataset_id": dataset_id, "n_samples": n_samples}}


def _predicted(request: dict[str, Any], sizes: list[float]) -> tuple[str, list[Row]]:
    """Answer a request at all sizes.

    Raises:
        ProblemException: it has no theory.
    """
    from api_schemas.prediction import PredictionRequest  # noqa: PLC0415
    from service.answering import solve  # noqa: PLC0415
    from service.computations import PREDICTIONS, SWEEPS  # noqa: PLC0415
    from service.parsing import parse  # noqa: PLC0415

    single = parse(json.dumps(request).encode(), PredictionRequest)
    metric = json.loads(solve(PREDICTIONS, single, ""))["metric"]
    names = ["test_error", "interval_low", "interval_high"]
    sweep = {"request": request, "axes": [{"path": "regime.n_samples", "values": sizes}], "columns": names}
    body = solve(SWEEPS, parse(json.dumps(sweep).encode(), SWEEPS.schema), "")
    columns = json.loads(body)["columns"]
    return metric, [Row(*row) for row in zip(sizes, *(columns[name] for name in names), strict=True)]


def _with_training(
    request: dict[str, Any], rows: list[Row], n_rows: int, *, replicates: int, seed: int, console: Console
) -> list[Row]:
    """Train at the sizes that leave rows to test on.

    Raises:
        Refused: something cannot be drawn, as a fraction of a feature.
    """
    from api_schemas.prediction import PredictionRequest  # noqa: PLC0415
    from simulation.devices import HOST  # noqa: PLC0415
    from simulation.statistics import Moments  # noqa: PLC0415
    from workers.finite import finite_problem, most_trained  # noqa: PLC0415

    most = most_trained(n_rows)
    untrained = [f"{row.n_samples:g}" for row in rows if not _can_be_trained(row, most)]
    trained = []
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console) as progress:
        task = progress.add_task("trained", total=len(rows))
        for row in rows:
            progress.advance(task)
            if not _can_be_trained(row, most):
                trained.append(row)
                continue
            asked = {**request, "regime": {**request["regime"], "n_samples": row.n_samples}}
            problem = finite_problem(PredictionRequest.model_validate(asked))
            measured = problem.measured(first=0, count=replicates, seed=seed, device=HOST)["test_error"]
            moments = Moments.of(value for value in measured if value is not None)
            trained.append(
                row._replace(trained=Trained(moments.mean, moments.standard_error)) if moments.count > 1 else row
            )
    if untrained:
        console.print(
            f"not trained with {', '.join(untrained)} samples: of {n_rows} rows up to {most}, a whole number of them, are"
            " trained on, and the others tested on; give such --sizes, or add a data set with more rows",
            soft_wrap=True,
        )
    return trained


def _can_be_trained(row: Row, most: int) -> bool:
    return row.n_samples.is_integer() and row.n_samples <= most


def _label(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _as_json(one: Curve) -> dict[str, Any]:
    rows = [
        {
            "n_samples": row.n_samples,
            "test_error": row.test_error,
            "interval": None if row.low is None else [row.low, row.high],
            "trained": None if row.trained is None else row.trained._asdict(),
        }
        for row in one.rows
    ]
    return {"model": one.label, "metric": one.metric, "points": rows}


def _show(one: Curve) -> None:
    table = Table(title=f"{one.label}: {one.metric.replace('_', ' ')}", box=None, pad_edge=False, title_justify="left")
    with_training = any(row.trained is not None for row in one.rows)
    for name in ("n_samples", "predicted", "90 % interval", *(["trained"] if with_training else [])):
        table.add_column(name, justify="right")
    for row in one.rows:
        cells = [f"{row.n_samples:g}", _number(row.test_error)]
        cells.append("-" if row.low is None else f"{_number(row.low)} to {_number(row.high)}")
        if with_training:
            trained = row.trained
            cells.append("-" if trained is None else f"{trained.mean:.4g} ± {trained.standard_error:.2g}")
        table.add_row(*cells)
    Console(highlight=False).print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _points(rows: list[Row], name: str) -> Iterator[tuple[float, float]]:
    for row in rows:
        value = getattr(row, name)
        if value is not None:
            yield row.n_samples, value.mean if isinstance(value, Trained) else value


def _draw_in_terminal(curves: list[Curve]) -> None:
    import plotille  # noqa: PLC0415

    everything = [point for one in curves for name in ("test_error", "trained") for point in _points(one.rows, name)]
    positive = [(x, y) for x, y in everything if y > 0.0]
    if not positive:
        typer.echo("there is no finite number to draw")
        return
    figure = plotille.Figure()
    figure.width, figure.height = 70, 20
    ends = [_ends([math.log10(point[place]) for point in positive]) for place in (0, 1)]
    figure.set_x_limits(*ends[0])
    figure.set_y_limits(*ends[1])
    figure.color_mode, figure.with_colors = "names", sys.stdout.isatty()
    figure.x_label, figure.y_label = "n_samples", "test_error"
    figure.x_ticks_fkt = figure.y_ticks_fkt = lambda value, _: f"{10.0**value:.3g}"
    for one, color in zip(curves, COLORS, strict=False):
        drawn: list[tuple[tuple[str, ...], Any, str, dict[str, str]]] = [(("test_error",), figure.plot, one.label, {})]
        if len(curves) == 1:
            drawn.append((("low", "high"), figure.scatter, "90 % interval (-)", {"marker": "-"}))
        drawn.append((("trained",), figure.scatter, f"{one.label}, trained (o)", {"marker": "o"}))
        for names, draw, label, marker in drawn:
            points = [(math.log10(x), math.log10(y)) for name in names for x, y in _points(one.rows, name) if y > 0.0]
            if points:
                x, y = (list(values) for values in zip(*points, strict=True))
                draw(x, y, label=label, lc=color, **marker)
    typer.echo(figure.show(legend=True))


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _draw_picture(curves: list[Curve], file: Path) -> None:
    from service.cli import _fail  # noqa: PLC0415

    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        _fail("--plot needs matplotlib: pip install 'foretell[plot]'", code=2)
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for one in curves:
        sizes = [row.n_samples for row in one.rows]
        error, low, high = (
            [math.nan if value is None else value for value in values]
            for values in zip(*((row.test_error, row.low, row.high) for row in one.rows), strict=True)
        )
        [line] = axes.plot(sizes, error, label=one.label)
        axes.fill_between(sizes, low, high, color=line.get_color(), alpha=0.2, linewidth=0.0)
        trained = [(row.n_samples, *row.trained) for row in one.rows if row.trained is not None]
        if trained:
            x, means, errors = zip(*trained, strict=True)
            axes.errorbar(x, means, yerr=errors, fmt="o", color=line.get_color(), markersize=4.0)
    axes.set_xscale("log")
    if all(row.test_error > 0.0 for one in curves for row in one.rows if row.test_error is not None):
        axes.set_yscale("log")
    axes.set_xlabel("n_samples")
    axes.set_ylabel(f"test_error ({curves[0].metric.replace('_', ' ')})")
    axes.legend()
    try:
        figure.savefig(file)
    except OSError as error:
        _fail(f"cannot write {file}: {error.strerror}", code=2)
