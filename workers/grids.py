"""A request over a grid of its numbers: from axes to columns, through one vectorised solve where the theory allows it.

Values along the axes that only the solver sees are solved together; along those that something is built of, what was built
is kept while nothing in it changes. What is refused anywhere refuses the grid, with a pointer to the axis at fault; a step
size beyond the critical one is a divergence like others.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from api_schemas.prediction import PredictionRequest
from api_schemas.sweep import COLUMNS
from theory.covariance import Vector
from workers.building import build
from workers.families import Family, not_built, solve, solved_together
from workers.paths import Place, replaced
from workers.refusals import Refused, UnstableStep

STATUSES = ("converged", "divergent", "not_converged")
PHASES = ("underparameterized", "threshold", "overparameterized")
CONVERGED, DIVERGENT, NOT_CONVERGED = range(3)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One direction of a grid.

    Attributes:
        place: of the number that varies.
        values: shape ``(n,)``, admissible there each by itself.
        pointer_of: takes the position of a value to the pointer to it in the caller's body.
    """

    place: Place
    values: Vector
    pointer_of: Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A request, and the axes along which it varies; points are in the order of the first axis, then the second, and so on."""

    request: PredictionRequest
    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return tuple(axis.values.size for axis in self.axes)

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(self.shape)

    def request_at(self, point: int) -> PredictionRequest:
        """Return the request at a point, by its position in the order of points."""
        places = np.unravel_index(point, self.shape)
        return replaced(self.request, {axis.place: axis.values[i] for axis, i in zip(self.axes, places, strict=True)})


@dataclass(frozen=True, kw_only=True)
class Table:
    """A grid's answers, each of its shape; errors are NaN where they are not finite.

    Attributes:
        columns: numbers by their names in a prediction.
        status: positions in ``STATUSES``.
        phase: positions in ``PHASES``.
    """

    columns: dict[str, Vector]
    status: npt.NDArray[np.uint8]
    phase: npt.NDArray[np.uint8]


def _field(part: str, *number: str) -> str:
    """Return the field of an answer that has a number of a prediction; some have all of a part."""
    return part if part in ("separability", "network") or not number else number[0]


FIELDS = {name: _field(*name.split(".")) for name in COLUMNS}
"""From the number's name in a prediction to the field of an answer that has it."""


def table(grid: Grid, columns: Sequence[str], *, progress: Callable[[int], object] | None = None) -> Table:
    """Answer a grid.

    Args:
        grid: whose values are admissible each by itself.
        columns: names of numbers in a prediction.
        progress: called with the number of points that are done, every now and then.

    Raises:
        Refused: a point has no theory; the pointer leads to the axis at fault.
    """
    found = {name: np.full(grid.size, np.nan) for name in columns}
    status = np.full(grid.size, DIVERGENT, np.uint8)
    phase = np.zeros(grid.size, np.uint8)
    done = 0
    for solved in solve(_families(grid)):
        base, offsets = solved.family.label
        piece = slice(solved.start, solved.start + solved.size)
        points = base + offsets[piece]
        for position, refusal in solved.refused.items():
            if not isinstance(refusal, UnstableStep):
                raise _at_fault(grid, int(points[position]), refusal)
        here = _positions(STATUSES, solved.columns["status"])
        for position in solved.refused:
            here[position] = DIVERGENT
        status[points], phase[points] = here, _positions(PHASES, solved.columns["phase"])
        for name, values in found.items():
            values[points] = _numbers(name, solved.columns[FIELDS[name]])
        done += solved.size
        if progress is not None:
            progress(done)
    shape = grid.shape
    return Table(
        columns={name: values.reshape(shape) for name, values in found.items()},
        status=status.reshape(shape),
        phase=phase.reshape(shape),
    )


def check_buildable(grid: Grid, *, most: int) -> None:
    """Build what the grid needs at the ends and along each axis by itself, so that most faults are found at once.

    Args:
        grid: to be answered.
        most: how many values of an axis are tried.

    Raises:
        Refused: a point has no theory.
    """
    strides = _strides(grid.shape)
    tried = {0, grid.size - 1}
    for axis, stride in zip(grid.axes, strides, strict=True):
        if axis.place.path not in not_built(grid.request):
            chosen = np.unique(np.linspace(0, axis.values.size - 1, min(most, axis.values.size)).astype(int))
            tried.update((chosen * stride).tolist())
    for point in sorted(tried):
        try:
            build(grid.request_at(point))
        except Refused as refusal:
            raise _at_fault(grid, point, refusal) from None


def _families(grid: Grid) -> Iterator[Family]:
    """Cut a grid into families: one for each combination of what is not solved together."""
    request, paths = grid.request, [axis.place.path for axis in grid.axes]
    together, free = solved_together(request, varied=paths), not_built(request)
    strides = _strides(grid.shape)
    late = [position for position, path in enumerate(paths) if path in together]
    between = [position for position, path in enumerate(paths) if path in free - together]
    early = [position for position, path in enumerate(paths) if path not in free | together]
    offsets = np.zeros(1, np.intp)
    numbers: dict[str, Vector] = {}
    for position in late:
        axis = grid.axes[position]
        offsets = (offsets[:, None] + strides[position] * np.arange(axis.values.size)).ravel()
    for position in late:
        index = offsets // strides[position] % grid.shape[position]
        numbers[paths[position]] = grid.axes[position].values[index]
    for outer in _combinations(grid, early):
        base = sum(index * strides[position] for position, index in zip(early, outer, strict=True))
        varied = replaced(request, _values(grid, early, outer))
        try:
            built = build(varied)
        except Refused as refusal:
            raise _at_fault(grid, base, refusal) from None
        for inner in _combinations(grid, between):
            start = base + sum(index * strides[position] for position, index in zip(between, inner, strict=True))
            here = replaced(varied, _values(grid, between, inner))
            yield Family(
                request=here,
                built=built,
                size=offsets.size,
                numbers=numbers,
                request_at=partial(_member, grid, start, offsets),
                label=(start, offsets),
            )


def _member(grid: Grid, start: int, offsets: npt.NDArray[np.intp], member: int) -> PredictionRequest:
    return grid.request_at(start + int(offsets[member]))


def _combinations(grid: Grid, axes: list[int]) -> Iterator[tuple[int, ...]]:
    return product(*(range(grid.shape[position]) for position in axes))


def _values(grid: Grid, axes: list[int], indices: tuple[int, ...]) -> dict[Place, float]:
    return {
        grid.axes[axis].place: float(grid.axes[axis].values[index]) for axis, index in zip(axes, indices, strict=True)
    }


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[position + 1 :]) for position in range(len(shape))]


def _positions(names: tuple[str, ...], values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    found = np.zeros(values.shape, np.uint8)
    for position, name in enumerate(names):
        found[values == name] = position
    return found


def _numbers(name: str, values: npt.NDArray[Any]) -> Vector:
    """Return a column as doubles, NaN where there is no finite number."""
    if values.dtype == object:
        inside = name.rpartition(".")[2]
        values = np.array([_number(value, inside) for value in values], float)
    numbers: Vector = np.where(np.isfinite(values), values, np.nan)
    return numbers


def _number(value: Any, inside: str) -> float:
    if isinstance(value, dict):
        value = value.get(inside)
    elif value is not None and not isinstance(value, int | float):
        value = getattr(value, inside, None)
    return math.nan if value is None else float(value)


def _at_fault(grid: Grid, point: int, refusal: Refused) -> Refused:
    """Say which axis a point is refused for, if it is one."""
    places = np.unravel_index(point, grid.shape)
    where = ", ".join(
        f"{axis.place.path} = {axis.values[index]:g}" for axis, index in zip(grid.axes, places, strict=True)
    )
    detail = f"at {where}: {refusal.detail}"
    exact = [position for position, axis in enumerate(grid.axes) if axis.place.pointer == refusal.pointer]
    related = [
        position
        for position, axis in enumerate(grid.axes)
        if axis.place.pointer.startswith(refusal.pointer + "/") or refusal.pointer.startswith(axis.place.pointer + "/")
    ]
    for position in exact or related or _guilty(grid, places):
        return type(refusal)(grid.axes[position].pointer_of(int(places[position])), detail)
    return type(refusal)(f"/request{refusal.pointer}", detail)


def _guilty(grid: Grid, places: Sequence[Any]) -> list[int]:
    """Return the axes whose value alone has no theory where the request has one, as more spikes than features are."""
    guilty = []
    try:
        build(grid.request)
    except Refused:
        return []
    for position, (axis, index) in enumerate(zip(grid.axes, places, strict=True)):
        try:
            build(replaced(grid.request, {axis.place: float(axis.values[index])}))
        except Refused:
            guilty.append(position)
    return guilty
