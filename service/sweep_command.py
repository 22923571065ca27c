"""``foretell sweep``: a sweep here and now, as a curve in the terminal, a picture, CSV or JSON."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

MOST_LINES = 8
"""Curves that a picture still shows apart."""
WIDE = 50.0
"""Positive values with a larger ratio are drawn on a logarithmic scale."""
PICTURES = (".svg", ".png", ".pdf")
COLORS = ("cyan", "yellow", "green", "magenta", "red", "blue", "white", "bright_black")


class Curve(NamedTuple):
    """A line of a picture; values are None where the theory diverges."""

    label: str
    x: list[float]
    y: list[float | None]


def sweep(
    file: Annotated[
        str,
        typer.Argument(help="A JSON file with a sweep, or with a prediction request and --axis; - for standard input."),
    ],
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help="What varies, as regime.n_samples=10:10000:200:log (start:stop:num, then log or nothing) or"
            " model.learner.penalty=0,1e-3,1. Up to three, the first one outermost; instead of those in the file."
        ),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="A number of the prediction, as train_error or effective.df1.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the curves into this file: .svg, .png or .pdf; needs foretell\\[plot].")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row a point.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as the service would send it.")] = False,
) -> None:
    """Answer a request over a grid of its numbers, and draw the curve in the terminal.

    Example: foretell sweep examples/isotropic_ridge.json --axis regime.n_samples=10:10000:200:log --axis
    model.learner.penalty=0,1e-3,1

    The first axis runs to the right; there is a curve for each value of the others. Exit code 1 if nothing converged.
    """
    from service.answering import solve  # noqa: PLC0415 - heavy imports wait until they are needed
    from service.cli import _fail, _problems, _read, _settings  # noqa: PLC0415 - which registers this command
    from service.computations import SWEEPS  # noqa: PLC0415
    from service.forms import sweep_table  # noqa: PLC0415
    from service.parsing import parse  # noqa: PLC0415
    from service.stores import open_stores  # noqa: PLC0415

    if plot is not None and plot.suffix.lower() not in PICTURES:
        _fail(f"--plot takes a file that ends in {', '.join(PICTURES)}, got {plot.name}", code=2)
    body = _read(file)
    try:
        body = _with_options(body, axis or [], column or [])
    except ValueError as error:
        _fail(str(error), code=2)
    open_stores(_settings())
    with _problems(as_json=as_json):
        request = parse(body, SWEEPS.schema)
        answer = solve(SWEEPS, request, SWEEPS.key_of(request))
    found = json.loads(answer)
    if plot is not None:
        _draw_picture(found, plot)
    if as_json:
        sys.stdout.write(answer.decode() + "\n")
    elif as_csv:
        sys.stdout.write(sweep_table(answer).decode().replace("\r\n", "\n"))
    elif plot is None:
        _draw_in_terminal(found)
    statuses = set(_flat(found["status"]))
    raise typer.Exit(0 if "converged" in statuses and "not_converged" not in statuses else 1)


def _with_options(body: bytes, axes: list[str], columns: list[str]) -> bytes:
    """Return the body of a sweep: that of a file, with what the command line says about it.

    Raises:
        ValueError: an axis is not written as it must be, or there is none.
    """
    try:
        data = json.loads(body)
    except ValueError:
        return body  # which will be refused as what it is
    if not isinstance(data, dict):
        return body
    if "request" not in data and "model" in data and not axes:
        raise ValueError(
            "the file has a prediction request, which does not say what varies: give --axis, or the file of a sweep"
        )
    if not axes and not columns:
        return body
    if "request" not in data:
        data = {"request": data}
    if axes:
        data["axes"] = [axis_of(text) for text in axes]
    if columns:
        data["columns"] = columns
    return json.dumps(data).encode()


def axis_of(text: str) -> dict[str, Any]:
    """Read an axis as the command line has it.

    Raises:
        ValueError: it is neither ``path=start:stop:num[:log]`` nor ``path=value,value,...``.
    """
    path, _, values = text.partition("=")
    parts = values.split(":")
    try:
        if len(parts) == 1:
            return {"path": path, "values": [_finite(value) for value in values.split(",")]}
        if len(parts) in (3, 4) and parts[3:] in ([], ["log"], ["linear"]):
            start, stop, num = _finite(parts[0]), _finite(parts[1]), int(parts[2])
            return {"path": path, "start": start, "stop": stop, "num": num, "scale": (*parts[3:], "linear")[0]}
    except ValueError:
        pass
    raise ValueError(
        f"--axis {text}: write it as path=start:stop:num, path=start:stop:num:log or path=value,value,..., in finite numbers"
    )


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def curves_of(found: dict[str, Any]) -> Iterator[Curve]:
    """Return a curve over the first axis for each column and each combination of values of the other axes."""
    first, *others = found["axes"]
    for name, values in found["columns"].items():
        for label, y in _lines(values, others):
            yield Curve(label=", ".join([name, *label]), x=first["values"], y=y)


def _lines(values: list[Any], others: list[Any]) -> Iterator[tuple[list[str], list[float | None]]]:
    if not others:
        yield [], values
        return
    axis, *rest = others
    short = axis["path"].rpartition(".")[2]
    for position, value in enumerate(axis["values"]):
        inner = [entries[position] for entries in values]
        for label, y in _lines(inner, rest):
            yield [f"{short} = {value:.4g}", *label], y


def _chosen(found: dict[str, Any]) -> list[Curve]:
    """Return the curves that are shown: some, evenly chosen, where there are too many."""
    curves = list(curves_of(found))
    if len(curves) <= MOST_LINES:
        return curves
    typer.echo(f"{len(curves)} curves, of which {MOST_LINES} are drawn; --csv has them all", err=True)
    return [curves[round(place * (len(curves) - 1) / (MOST_LINES - 1))] for place in range(MOST_LINES)]


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _spreads(values: list[float]) -> bool:
    return min(values) > 0.0 and max(values) > WIDE * min(values)


def _draw_in_terminal(found: dict[str, Any]) -> None:
    import plotille  # noqa: PLC0415

    curves = _chosen(found)
    points = [(x, y) for curve in curves for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
    path = found["axes"][0]["path"]
    if not points:
        typer.echo("there is no finite number to draw")
    else:
        log_x, log_y = (_spreads([point[place] for point in points]) for place in (0, 1))
        figure = plotille.Figure()
        figure.width, figure.height = 70, 20
        figure.set_x_limits(*(math.log10(end) if log_x else end for end in _ends([x for x, _ in points])))
        figure.color_mode = "names"
        figure.with_colors = sys.stdout.isatty()
        figure.x_label, figure.y_label = (
            path.rpartition(".")[2],
            "" if len(found["columns"]) > 1 else curves[0].label.split(",")[0],
        )
        figure.x_ticks_fkt = _tick(log=log_x)
        figure.y_ticks_fkt = _tick(log=log_y)
        for curve, color in zip(curves, COLORS, strict=False):
            pairs = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
            if pairs:
                x, y = (
                    [math.log10(v) if log else v for v in values]
                    for values, log in zip(zip(*pairs, strict=True), (log_x, log_y), strict=True)
                )
                figure.plot(x, y, label=curve.label, lc=color)
        typer.echo(figure.show(legend=len(curves) > 1))
    for item in found["divergences"]:
        typer.echo(f"diverges at {item['path']} = {item['at']:.10g}")


def _tick(*, log: bool) -> Any:
    """Return what writes a tick, of a logarithm by its number."""

    def write(value: float, _: float) -> str:
        return f"{10.0**value:.3g}" if log else f"{value:.4g}"

    return write


def _draw_picture(found: dict[str, Any], file: Path) -> None:
    from service.cli import _fail  # noqa: PLC0415

    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        _fail("--plot needs matplotlib: pip install 'foretell[plot]'", code=2)
    curves = _chosen(found)
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(curve.x, [math.nan if y is None else y for y in curve.y], label=curve.label)
    path = found["axes"][0]["path"]
    finite = [y for curve in curves for y in curve.y if y is not None]
    if finite and _spreads(finite):
        axes.set_yscale("log")
    if _spreads(curves[0].x):
        axes.set_xscale("log")
    for item in found["divergences"]:
        if item["path"] == path:
            axes.axvline(item["at"], color="grey", linestyle=":", linewidth=1.0)
    axes.set_xlabel(path)
    axes.legend()
    try:
        figure.savefig(file)
    except OSError as error:
        _fail(f"cannot write {file}: {error.strerror}", code=2)


def _flat(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    else:
        for inner in values:
            yield from _flat(inner)
