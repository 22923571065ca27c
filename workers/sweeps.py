"""From a sweep request to its answer: axes to a grid, the grid to columns, and where the theory diverges on it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from pydantic_core import to_json

import theory
from api_schemas.sweep import MOST_NUMBERS, MOST_POINTS, ListedAxis, SpacedAxis, SweepRequest
from theory.covariance import Vector
from workers.addresses import address_of
from workers.building import build
from workers.divergences import Divergences, divergences
from workers.families import not_built, solved_together
from workers.grids import STATUSES, Axis, Grid, Table, check_buildable, table
from workers.paths import check_values, varied_place_of
from workers.refusals import OutsideVocabulary, Refused, TooLarge

KEY_PREFIX = f"foretell/{theory.SOLVER_VERSION}/sweeps"
FEW = 200
"""Points that are answered at once whatever they take."""
SECONDS_PER_POINT, SECONDS_PER_MODE = 2e-6, 1e-7
"""Of what is solved together, with its JSON."""
SECONDS_PER_ESTIMATE, SECONDS_PER_POINT_OF_ROWS = 5e-3, 3e-5
"""Of what is predicted on an estimate that is there."""
MOST_TRIED = 8
"""Values of an axis that are solved to see how long others take."""
TRIED = 100
"""Values of an axis that are built when a sweep is checked."""


@dataclass(frozen=True, kw_only=True)
class SweepAnswer:
    """A sweep's answer, short of JSON.

    Attributes:
        key: of the request.
        grid, table, divergences: see there.
    """

    key: str
    grid: Grid
    table: Table
    divergences: Divergences

    @property
    def status(self) -> str:
        """The worst that any point has."""
        worst = int(self.table.status.max())
        return STATUSES[worst]

    def to_json(self) -> bytes:
        """Write it as the wire has it; null where a number is not finite."""
        names = np.array(STATUSES, dtype=object)
        return to_json(
            {
                "key": self.key,
                "axes": [{"path": axis.place.path, "values": axis.values.tolist()} for axis in self.grid.axes],
                "columns": {name: values.tolist() for name, values in self.table.columns.items()},
                "status": names[self.table.status].tolist(),
                "divergences": [{"path": item.path, "at": item.at} for item in self.divergences.found],
                "divergences_omitted": self.divergences.omitted,
            },
            inf_nan_mode="null",
        )


def key_of(request: SweepRequest) -> str:
    """Return the content address of a sweep's answer."""
    return address_of(request, solver=KEY_PREFIX)


def grid_of(request: SweepRequest) -> Grid:
    """Return the grid that a sweep asks for.

    Raises:
        Refused: a path leads to no number, a value is outside its domain, or there are too many points.
    """
    counts = [len(axis.values) if isinstance(axis, ListedAxis) else axis.num for axis in request.axes]
    if math.prod(counts) > MOST_POINTS:
        product = " x ".join(map(str, counts))
        raise TooLarge(
            "/axes",
            f"{product} points are more than the {MOST_POINTS} of a sweep; take fewer values, or several sweeps",
        )
    n_numbers = math.prod(counts) * len(request.columns)
    if n_numbers > MOST_NUMBERS:
        raise TooLarge(
            "/columns",
            f"{math.prod(counts)} points of {len(request.columns)} columns are {n_numbers} numbers, more than the"
            f" {MOST_NUMBERS} of a sweep; take fewer columns or points",
        )
    if request.request.include:
        raise Refused(
            "/request/include",
            "must be empty: a sweep has columns alone; leave it out, or ask for gradients in a batch of predictions",
        )
    axes: list[Axis] = []
    for position, axis in enumerate(request.axes):
        pointer = f"/axes/{position}"
        place = varied_place_of(request.request, axis.path, pointer=f"{pointer}/path")
        if place.steps in [other.place.steps for other in axes]:
            raise Refused(f"{pointer}/path", f"{axis.path} has an axis already")
        values, pointer_of = _values(axis, pointer)
        check_values(place, values, pointer_of=pointer_of)
        axes.append(Axis(place=place, values=values, pointer_of=pointer_of))
    for position, name in enumerate(request.columns):
        if name in request.columns[:position]:
            raise OutsideVocabulary(f"/columns/{position}", f"{name} is there already; name each column once")
    return Grid(request=request.request, axes=tuple(axes))


def check(request: SweepRequest) -> Grid:
    """Make sure that a sweep can be answered, as far as that can be told without solving it.

    Raises:
        Refused: it cannot.
    """
    grid = grid_of(request)
    check_buildable(grid, most=TRIED)
    return grid


def sweep(
    request: SweepRequest, *, key: str | None = None, progress: Callable[[float], None] | None = None
) -> SweepAnswer:
    """Answer a sweep.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.
        progress: called with the share of the points that are done, every now and then.

    Raises:
        Refused: the theory's assumptions do not hold somewhere; the pointer leads to the axis at fault.
    """
    grid = check(request)
    found = table(
        grid,
        request.columns,
        progress=None if progress is None else lambda done: progress(done / grid.size),
    )
    return SweepAnswer(key=key or key_of(request), grid=grid, table=found, divergences=divergences(grid, found))


def seconds_of(request: SweepRequest) -> float:
    """Estimate how long a sweep will take on one core.

    Ridge regression on mode tables takes a time that is known per point and mode; of everything else some points are tried.

    Raises:
        Refused: it has no theory.
    """
    grid = grid_of(request)
    if grid.size <= FEW:
        return 0.0
    paths = [axis.place.path for axis in grid.axes]
    together, free = solved_together(request.request, varied=paths), not_built(request.request)
    if request.request.regime.kind == "dataset":
        n_built = math.prod(axis.values.size for axis in grid.axes if axis.place.path not in free | together)
        source = build(request.request).pool
        assert source is not None
        estimates = 0.0 if n_built == 1 and source.is_there else n_built * source.seconds
        return estimates + n_built * SECONDS_PER_ESTIMATE + grid.size * SECONDS_PER_POINT_OF_ROWS
    if request.request.model.learner.kind == "ridge" and together:
        started = time.perf_counter()
        built = build(grid.request_at(grid.size // 2))
        building = time.perf_counter() - started
        n_built = math.prod(axis.values.size for axis in grid.axes if axis.place.path not in free | together)
        n_modes = (
            max((modes.eigenvalues.size for modes in built.equivalent.tables), default=1) if built.equivalent else 1
        )
        return n_built * building + grid.size * (SECONDS_PER_POINT + n_modes * SECONDS_PER_MODE)
    tried = replace(
        grid,
        axes=tuple(
            replace(axis, values=_some(axis.values, MOST_TRIED if axis.place.path in together else 2))
            for axis in grid.axes
        ),
    )
    started = time.perf_counter()
    try:
        table(tried, ["test_error"])
    except Refused:
        return 0.0  # the sweep will soon come to it too, and say where
    return grid.size * (time.perf_counter() - started) / tried.size


def _some(values: Vector, count: int) -> Vector:
    """Return a few of the values, evenly chosen."""
    some: Vector = values[np.unique(np.linspace(0, values.size - 1, min(count, values.size)).astype(int))]
    return some


def _values(axis: ListedAxis | SpacedAxis, pointer: str) -> tuple[Vector, Callable[[int], str]]:
    """Return an axis's values, and where in the body each of them comes from."""
    if isinstance(axis, ListedAxis):
        return np.array(axis.values, float), lambda index: f"{pointer}/values/{index}"
    last = axis.num - 1

    def pointer_of(index: int) -> str:
        return f"{pointer}/start" if index == 0 else f"{pointer}/stop" if index == last else pointer

    if axis.scale == "log":
        for name, value in (("start", axis.start), ("stop", axis.stop)):
            if value <= 0.0:
                raise OutsideVocabulary(f"{pointer}/{name}", f"must exceed 0 where scale is log, got {value:g}")
        return np.geomspace(axis.start, axis.stop, axis.num), pointer_of
    with np.errstate(all="ignore"):
        return np.linspace(axis.start, axis.stop, axis.num), pointer_of
