"""Minima of a function on a box, with or without a budget: a grid that finds basins, then descent in each of them.

The function may have several minima, poles, and places where it is not defined; it is given many points at once. Nothing
proves that every basin was found: one narrower than a cell of the grid may lie between its points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, minimize, minimize_scalar

from theory.solvers.basins import basins, stands_out
from theory.solvers.box import Axis

Vector = npt.NDArray[np.float64]
Function = Callable[[Vector], Vector]

MOST_BASINS = 12
"""Basins that are descended into, the best on the grid first."""
BISECTIONS = 60
DIFFERENCE = 1e-3
"""Step of difference quotients, in cells of the grid."""
ACCURACY = 1e-10
"""Of a minimum on a line, in cells."""
RELATIVE = 1e-12
"""Rise of the function that descents within a budget may leave; below it their steps are lost in rounding."""
ROUGH = 1e-3
"""Likewise, while whole numbers are tried."""
WINDOW = 2.0
"""Cells that one descent may go in each direction; it is repeated where it ends at the window."""
MOST_SLIDES = 50
WAYPOINTS = 34
"""On a straight line between two minima."""
SAME = 0.3
"""Minima closer than so many cells are one."""
FLAT = 1e-12
"""Relative difference of values below which two points are as good as each other."""


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """A local minimum.

    Attributes:
        point: natural coordinates, shape ``(d,)``.
        value: of the function.
        at_lower, at_upper: whether it lies at that end, shape ``(d,)``.
        on_budget: whether the budget is spent.
    """

    point: Vector
    value: float
    at_lower: npt.NDArray[np.bool_]
    at_upper: npt.NDArray[np.bool_]
    on_budget: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came up with.

    Attributes:
        minima: the least first; empty where the function is finite nowhere on the grid.
        shape: of the grid.
        n_basins: local minima among the points tried.
        n_descended: in how many of them the function was followed down.
        evaluations: of the function.
        largest: finite value on the grid.
    """

    minima: list[Minimum]
    shape: tuple[int, ...]
    n_basins: int
    n_descended: int
    evaluations: int
    largest: float


def search(
    function: Function,
    axes: Sequence[Axis],
    *,
    sizes: Sequence[int],
    room: Function | None = None,
    starts: Sequence[Sequence[float]] = (),
    most_basins: int = MOST_BASINS,
    accuracy: float = ACCURACY,
    progress: Callable[[float], object] = lambda _: None,
) -> Found:
    """Find the local minima of a function on a box.

    Args:
        function: from natural coordinates, shape ``(m, d)``, to values, shape ``(m,)``; infinite or NaN where there is none.
        axes: the sides, d of them.
        sizes: points of the grid along each.
        room: from natural coordinates to what is left of a budget, nonnegative where it suffices; continuous. May be
            infinite or NaN where the budget is out of reach.
        starts: further points from which to descend, in natural coordinates.
        most_basins: how many basins are descended into.
        accuracy: of a minimum, in cells of the grid; no finer than the function's own.
        progress: called with the share of the descents that are done.

    Raises:
        ValueError: no point of the grid is within the budget.
    """
    return _Search(function, axes, sizes, room, accuracy).run(starts, most_basins, progress)


class _Search:
    def __init__(
        self, function: Function, axes: Sequence[Axis], sizes: Sequence[int], room: Function | None, accuracy: float
    ) -> None:
        self._function, self._axes, self._room, self._accuracy = function, axes, room, accuracy
        self._grids = [axis.grid(size) for axis, size in zip(axes, sizes, strict=True)]
        ends = np.array([axis.scaled([axis.lower, axis.upper]) for axis in axes])
        self._lower, self._upper = ends[:, 0], ends[:, 1]
        counts = np.array([grid.size for grid in self._grids])
        span = np.where(self._upper > self._lower, self._upper - self._lower, 1.0)
        self._cells = span / np.maximum(counts - 1, 1)
        self.evaluations = 0

    def run(self, starts: Sequence[Sequence[float]], most_basins: int, progress: Callable[[float], object]) -> Found:
        mesh = np.stack(np.meshgrid(*self._grids, indexing="ij"), axis=-1)
        shape = mesh.shape[:-1]
        points = mesh.reshape(-1, len(self._axes))
        left = self._left(points)
        feasible = left >= 0.0
        if not feasible.any():
            raise ValueError("no point of the grid is within the budget")
        values = np.full(feasible.size, np.inf)
        values[feasible] = self._values(points[feasible])
        places, merits = [points[feasible]], [values[feasible]]
        edge = self._edge(mesh, feasible.reshape(shape))
        extra = np.array([self._scaled(start) for start in starts]).reshape(-1, len(self._axes))
        for more in (edge, extra[self._left(extra) >= 0.0]):
            if more.size:
                places.append(more)
                merits.append(self._values(more))
        known, heights = np.concatenate(places), np.concatenate(merits)
        deepest = basins(self._in_cells(known), heights)
        minima, chosen = [], deepest[:most_basins]
        for done, i in enumerate(chosen):
            progress(done / len(chosen))
            minima.append(self._descend(known[i], float(heights[i])))
        finite = values[np.isfinite(values)]
        return Found(
            minima=self._distinct(minima),
            shape=shape,
            n_basins=len(deepest),
            n_descended=min(len(deepest), most_basins),
            evaluations=self.evaluations,
            largest=float(finite.max()) if finite.size else np.nan,
        )

    def _scaled(self, point: Sequence[float]) -> Vector:
        return np.array([float(axis.scaled(value)) for axis, value in zip(self._axes, point, strict=True)])

    def _natural(self, points: Vector) -> Vector:
        return np.stack([axis.natural(points[..., i]) for i, axis in enumerate(self._axes)], axis=-1)

    def _values(self, points: Vector) -> Vector:
        """Return the function at scaled points, infinite where it is not finite."""
        self.evaluations += len(points)
        values = np.asarray(self._function(self._natural(points)), float)
        return np.where(np.isfinite(values), values, np.inf)

    def _left(self, points: Vector) -> Vector:
        """Return what is left of the budget at scaled points; minus infinity where it is out of reach."""
        if self._room is None:
            return np.full(len(points), np.inf)
        left = np.asarray(self._room(self._natural(points)), float)
        return np.where(np.isnan(left), -np.inf, left)

    def _edge(self, mesh: Vector, feasible: npt.NDArray[np.bool_]) -> Vector:
        """Return points at which the budget is spent: one between each pair of neighbours of which it admits one."""
        inside, outside = [], []
        for axis in range(feasible.ndim):
            first = np.moveaxis(feasible, axis, 0)
            along = np.moveaxis(mesh, axis, 0)
            for here, there in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
                crossing = first[here] & ~first[there]
                inside.append(along[here][crossing])
                outside.append(along[there][crossing])
        good, bad = np.concatenate(inside), np.concatenate(outside)
        return self._last_feasible(good, bad) if good.size else good

    def _last_feasible(self, good: Vector, bad: Vector) -> Vector:
        """Bisect between points within the budget and points beyond it; return those within."""
        for _ in range(BISECTIONS):
            middle = 0.5 * (good + bad)
            within = (self._left(middle) >= 0.0)[:, None]
            good, bad = np.where(within, middle, good), np.where(within, bad, middle)
        return good

    def _in_cells(self, points: Vector) -> Vector:
        """Return scaled points by their positions on the grid, which whole numbers make uneven."""
        columns = [np.interp(points[:, i], grid, np.arange(grid.size)) for i, grid in enumerate(self._grids)]
        return np.stack(columns, axis=1)

    def _descend(self, start: Vector, value: float) -> tuple[Vector, float]:
        """Go down to the local minimum; for each trial of whole numbers the other coordinates follow."""
        whole = [i for i, axis in enumerate(self._axes) if axis.whole]
        smooth = [i for i, axis in enumerate(self._axes) if not axis.whole and self._upper[i] > self._lower[i]]
        best, least = self._follow(start, value, smooth, self._accuracy) if smooth else (start, value)
        if whole:
            best, least = self._step_whole(best, least, whole, smooth)
            if smooth:
                best, least = self._follow(best, least, smooth, self._accuracy)
        return best, least

    def _follow(self, point: Vector, value: float, smooth: list[int], accuracy: float) -> tuple[Vector, float]:
        """Slide until the end of a slide is not that of its window."""
        for _ in range(MOST_SLIDES):
            came_from = point
            point, value = self._slide(point, value, smooth, accuracy)
            if np.max(np.abs(point - came_from) / self._cells) < WINDOW - DIFFERENCE:
                break
        return point, value

    def _step_whole(self, point: Vector, value: float, whole: list[int], smooth: list[int]) -> tuple[Vector, float]:
        """Move whole coordinates by steps from a cell down to 1: doubled where that improves, else halved."""
        step = {i: max(1.0, np.floor(self._reach(i, point))) for i in whole}
        while True:
            natural = self._natural(point)
            trials = []
            for i in whole:
                for sign in (-1.0, 1.0):
                    moved = natural.copy()
                    moved[i] = np.clip(moved[i] + sign * step[i], self._axes[i].lower, self._axes[i].upper)
                    trials.append(moved)
            scaled = np.array([self._scaled(trial.tolist()) for trial in trials])
            values = np.where(self._left(scaled) >= 0.0, self._values(scaled), np.inf)
            for i, trial in enumerate(scaled):
                if smooth and np.isfinite(values[i]) and np.any(trial != point):
                    scaled[i], values[i] = self._follow(trial, float(values[i]), smooth, max(ROUGH, self._accuracy))
            best = int(np.argmin(values))
            if values[best] < value - FLAT * abs(value):
                point, value = scaled[best], float(values[best])
                step[whole[best // 2]] *= 2.0
            elif all(size == 1.0 for size in step.values()):
                return point, value
            else:
                step = {i: max(1.0, np.floor(size / 2.0)) for i, size in step.items()}

    def _reach(self, axis: int, point: Vector) -> float:
        """Return a cell in natural units."""
        ends = self._axes[axis].natural(np.array([point[axis], point[axis] + self._cells[axis]]))
        return float(ends[1] - ends[0])

    def _slide(self, point: Vector, value: float, smooth: list[int], accuracy: float) -> tuple[Vector, float]:
        """Move the other coordinates to the local minimum."""
        low = np.maximum(self._lower, point - WINDOW * self._cells)[smooth]
        high = np.minimum(self._upper, point + WINDOW * self._cells)[smooth]

        def whole_point(part: Vector) -> Vector:
            full = np.broadcast_to(point, (*np.shape(part)[:-1], point.size)).copy()
            full[..., smooth] = np.clip(part, low, high)
            return full

        if len(smooth) == 1:
            moved = whole_point(self._line(whole_point, low, high, accuracy))
        else:
            moved = self._plane(whole_point, point[smooth], value, low, high, self._cells[smooth], accuracy)
        moved = self._within(moved, smooth, low, high)
        found = float(self._values(moved[None])[0]) if self._left(moved[None])[0] >= 0.0 else np.inf
        return (moved, found) if found < value else (point, value)

    def _within(self, point: Vector, smooth: list[int], low: Vector, high: Vector) -> Vector:
        """Return a point within the budget beside one that exceeds it by a little; the same where there is none."""
        if self._left(point[None])[0] >= 0.0:
            return point
        # Straight to where the budget eases most.
        steps = DIFFERENCE * np.diag(self._cells)[smooth]
        eased = np.concatenate([point + steps, point - steps])
        eased[:, smooth] = np.clip(eased[:, smooth], low, high)
        left = self._left(eased)
        best = int(np.argmax(left))
        return self._last_feasible(eased[best][None], point[None])[0] if left[best] >= 0.0 else point

    def _line(self, whole_point: Callable[[Vector], Vector], low: Vector, high: Vector, accuracy: float) -> Vector:
        def value(u: float) -> float:
            trial = whole_point(np.array([u]))[None]
            found = float(self._values(trial)[0]) if self._left(trial)[0] >= 0.0 else np.inf
            return found if np.isfinite(found) else 1e300

        cell = float(high[0] - low[0])
        ends = min((low[0], high[0]), key=value)
        inner: Any = minimize_scalar(
            value, bounds=(low[0], high[0]), method="bounded", options={"xatol": accuracy * cell}
        )
        return np.array([inner.x if inner.fun < value(ends) else ends])

    def _plane(
        self,
        whole_point: Callable[[Vector], Vector],
        start: Vector,
        value: float,
        low: Vector,
        high: Vector,
        cells: Vector,
        accuracy: float,
    ) -> Vector:
        """Descend by gradients, between bounds and within the budget; in cells from the start."""
        scale = abs(value) or 1.0
        steps = DIFFERENCE * np.eye(start.size)

        def natural(part: Vector) -> Vector:
            return whole_point(start + part * cells)

        def differences(part: Vector, of: Function, fallback: float) -> Vector:
            """Central differences, one-sided at the bounds; all points in one call."""
            ends = np.concatenate([part + steps, part - steps])
            ends = (np.clip(start + ends * cells, low, high) - start) / cells
            values = of(natural(ends))
            values = np.where(np.isfinite(values), values, fallback)
            width = np.diagonal(ends[: start.size] - ends[start.size :])
            return (values[: start.size] - values[start.size :]) / np.where(width > 0.0, width, 1.0)

        def merit(part: Vector) -> float:
            found = float(self._values(natural(part)[None])[0]) / scale
            return found if np.isfinite(found) else 1e3

        def slope(part: Vector) -> Vector:
            return differences(part, lambda points: self._values(points) / scale, 1e3)

        bounds = Bounds((low - start) / cells, (high - start) / cells)
        origin = np.zeros(start.size)
        if self._room is None:
            found: Any = minimize(
                merit,
                origin,
                jac=slope,
                bounds=bounds,
                method="L-BFGS-B",
                options={"ftol": accuracy**1.5, "gtol": accuracy},
            )
        else:
            constraint: Any = {
                "type": "ineq",
                "fun": lambda part: float(np.clip(self._left(natural(part)[None])[0], -1e3, 1e3)),
                "jac": lambda part: differences(part, self._left, -1e3),
            }
            found = minimize(
                merit,
                origin,
                jac=slope,
                bounds=bounds,
                constraints=[constraint],
                method="SLSQP",
                options={"ftol": max(accuracy**1.5, RELATIVE), "maxiter": 60},
            )
        return natural(np.asarray(found.x, float))

    def _distinct(self, found: list[tuple[Vector, float]]) -> list[Minimum]:
        """Return the minima that differ, the least first."""
        kept: list[tuple[Vector, float]] = []
        for point, value in sorted(found, key=lambda one: one[1]):
            if not any(self._same(other, point, value) for other, _ in kept):
                kept.append((point, value))
        return [self._minimum(point, value) for point, value in kept]

    def _same(self, deeper: Vector, point: Vector, value: float) -> bool:
        """Whether a point is that of a deeper minimum, or a way leads down to it: the two lie in one flat valley."""
        if np.max(np.abs(point - deeper) / self._cells) < SAME:
            return True
        way = point + np.linspace(0.0, 1.0, WAYPOINTS)[1:-1, None] * (deeper - point)
        return bool(np.all(self._left(way) >= 0.0)) and not stands_out(value, float(self._values(way).max()))

    def _minimum(self, point: Vector, value: float) -> Minimum:
        natural = self._natural(point)
        lower = np.array([axis.lower for axis in self._axes])
        upper = np.array([axis.upper for axis in self._axes])
        slack = 1e-6 * self._cells
        on_budget = False
        if self._room is not None:
            # Spent if a thousandth of a cell in some direction is beyond it.
            whole = np.array([axis.whole for axis in self._axes])
            reach = np.array([self._reach(i, point) for i in range(point.size)])
            # A whole number goes on by 1.
            sizes = np.where(whole, np.maximum(1.0 / np.where(reach > 0.0, reach, 1.0), DIFFERENCE), DIFFERENCE)
            steps = np.diag(sizes * self._cells)
            around = np.concatenate([point + steps, point - steps])
            on_budget = bool(np.any(self._left(np.clip(around, self._lower, self._upper)) < 0.0))
        at_lower = (natural == lower) | (point <= self._lower + slack)
        at_upper = (natural == upper) | (point >= self._upper - slack)
        at_ends = np.where(at_lower, lower, np.where(at_upper, upper, natural))
        if self._room is not None and not np.asarray(self._room(at_ends[None]))[0] >= 0.0:
            at_ends = natural  # the end itself is beyond the budget, if by next to nothing
        return Minimum(
            point=at_ends,
            value=value,
            at_lower=at_lower,
            at_upper=at_upper,
            on_budget=on_budget,
        )
