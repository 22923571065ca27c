"""Other forms of an answer than JSON: which one a client prefers, and how it is written."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from service.arrow_form import ARROW, sweep_stream

JSON_TYPE = "application/json"


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form that an answer can be written in.

    Attributes:
        content_type: as it is sent.
        suffix: of the ETag: another representation has another strong validator.
        write: from the answer in JSON.
    """

    content_type: str
    suffix: str
    write: Callable[[bytes], bytes]


def preferred(accept: bytes, forms: Mapping[str, Form]) -> Form | None:
    """Return the form that ``Accept`` (RFC 9110) ranks before JSON, None if it ranks none; what is named first wins a tie.

    Args:
        accept: the header.
        forms: there are, by media type.
    """
    best, found, json = 0.0, None, 0.0
    for place, item in enumerate(accept.decode("latin-1").lower().split(",")):
        name, _, parameters = item.partition(";")
        weight = _quality(parameters)
        if weight <= 0.0:
            continue
        weight -= 1e-6 * place
        if name.strip() == JSON_TYPE:
            json = max(json, weight)
        elif (form := forms.get(name.strip())) is not None and weight > best:
            best, found = weight, form
    return found if best > json else None


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def density_table(answer: bytes) -> bytes:
    """Write the density of a spectrum as CSV (RFC 4180): x and density, one row a point, empty where it is null."""
    density = from_json(answer)["density"]
    rows = [f"{x!r},{'' if y is None else repr(y)}" for x, y in zip(density["x"], density["y"], strict=True)]
    return "\r\n".join(["x,density", *rows, ""]).encode()


def sweep_table(answer: bytes) -> bytes:
    """Write a sweep as CSV (RFC 4180): axes, columns and status, one row a point, empty where a column is null."""
    sweep = from_json(answer)
    names = [*(axis["path"] for axis in sweep["axes"]), *sweep["columns"], "status"]
    depth = len(sweep["axes"])
    columns = [_flat(values, depth) for values in (*sweep["columns"].values(), sweep["status"])]
    rows = [",".join(names)]
    for point, *cells in zip(_points([axis["values"] for axis in sweep["axes"]]), *columns, strict=True):
        rows.append(point + ",".join(["" if cell is None else str(cell) for cell in cells]))
    rows.append("")
    return "\r\n".join(rows).encode()


def _points(axes: list[list[float]], before: str = "") -> Iterator[str]:
    """Return the cells of each point's coordinates."""
    if not axes:
        yield before
        return
    for value in axes[0]:
        yield from _points(axes[1:], f"{before}{value!r},")


def _flat(values: list[Any], depth: int) -> list[Any]:
    """Return the entries of nested lists in order."""
    for _ in range(depth - 1):
        values = [entry for inner in values for entry in inner]
    return values


CSV = "text/csv"
CSV_TYPE = "text/csv; charset=utf-8; header=present"
DENSITY_FORMS = {CSV: Form(content_type=CSV_TYPE, suffix="-csv", write=density_table)}
SWEEP_FORMS = {
    CSV: Form(content_type=CSV_TYPE, suffix="-csv", write=sweep_table),
    ARROW: Form(content_type=ARROW, suffix="-arrow", write=sweep_stream),
}
