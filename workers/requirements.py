"""The inverse of a sweep along one axis: where a number of the prediction meets a target.

The range is scanned by a vectorised sweep, to which the interpolation thresholds between its points are added, so that no
peak is stepped over, however small the penalty. Each valley and each hill of the scan is then refined, and each crossing of the
target bracketed and solved for. Where the theory diverges the number is infinite.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar

import theory
from api_schemas.requirement import Requirement, RequirementRequest
from theory.covariance import Vector
from workers.addresses import address_of
from workers.building import build
from workers.divergences import thresholds
from workers.families import solved_together
from workers.grids import DIVERGENT, Axis, Grid, table
from workers.paths import check_values, replaced, varied_place_of
from workers.predictions import predict
from workers.refusals import OutsideVocabulary, Refused

KEY_PREFIX = f"foretell/{theory.SOLVER_VERSION}/requirements"
SCANNED_TOGETHER, SCANNED = 1025, 129
"""Points of the scan, where they are solved together and where not."""
SCAN_SHARE, REFINED_SHARE = 0.6, 0.8
"""Of the work that count as done once the range is scanned, and once valleys and hills are refined."""
PROMINENT = 1e-11
"""Relative; smaller hills and valleys are rounding."""
ACCURACY = 1e-13
EXTREMUM_ACCURACY = 1e-9
"""Of a valley's place, as a share of its bracket; its depth is then known to the square of that."""
MOST_NUDGES = 60


def key_of(request: RequirementRequest) -> str:
    """Return the content address of an answer."""
    return address_of(request, solver=KEY_PREFIX)


def check(request: RequirementRequest) -> None:
    """Make sure that a search can begin.

    Raises:
        Refused: there is no such number, or the range is outside its domain.
    """
    _Search.of(request)


def requirement(
    request: RequirementRequest, *, key: str | None = None, progress: Callable[[float], object] = lambda _: None
) -> Requirement:
    """Find where a target is met.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.
        progress: called with the share that is done, as far as it can be told.

    Raises:
        Refused: the theory's assumptions do not hold somewhere in the range, or the number is none that this learner has.
    """
    search = _Search.of(request)
    points, values = search.scan(lambda share: progress(SCAN_SHARE * share))
    points, values = search.refined(points, values)
    progress(REFINED_SHARE)
    intervals = search.intervals(points, values)
    least = int(np.argmin(values))
    finite = bool(np.isfinite(values[least]))
    value = intervals[0][0] if intervals else None
    return Requirement(
        key=key or key_of(request),
        reachable=bool(intervals),
        value=value,
        intervals=[list(interval) for interval in intervals],
        floor=float(values[least]) if finite else None,
        floor_at=float(points[least]) if finite else None,
        prediction=None if value is None else predict(search.grid_at([value]).request_at(0)),
    )


@dataclass(frozen=True, kw_only=True)
class _Search:
    """A search along an axis.

    Attributes:
        grid: with the ends of the range for values.
        name: of the number that is to meet the target.
        target: what it may be at most.
        log: whether the range is searched by ratios.
        whole: whether values are whole numbers.
    """

    grid: Grid
    name: str
    target: float
    log: bool
    whole: bool

    @classmethod
    def of(cls, request: RequirementRequest) -> "_Search":
        """Check a request."""
        place = varied_place_of(request.request, request.path, pointer="/path")
        log = request.scale == "log"
        if log and request.lower <= 0.0:
            raise OutsideVocabulary("/lower", f"must exceed 0 where scale is log, got {request.lower:g}")
        if not request.lower < request.upper:
            raise OutsideVocabulary("/upper", f"must exceed lower = {request.lower:g}, got {request.upper:g}")
        ends = np.array([request.lower, request.upper])

        def pointer_of(index: int) -> str:
            return ("/lower", "/upper")[min(index, 1)]

        check_values(place, ends, pointer_of=pointer_of)
        grid = Grid(request=request.request, axes=(Axis(place=place, values=ends, pointer_of=lambda _: "/path"),))
        whole = place.whole or not _takes_fractions(grid)
        if whole:
            low, high = float(np.ceil(request.lower)), float(np.floor(request.upper))
            if low > high:
                raise OutsideVocabulary(
                    "/upper", f"there is no whole number from {request.lower:g} to {request.upper:g}"
                )
            grid = _with_values(grid, np.array([low, high]))
        [(name, target)] = request.reach.items()
        return cls(grid=grid, name=name, target=target, log=log, whole=whole)

    def grid_at(self, values: Any) -> Grid:
        """Return the grid with other values."""
        return _with_values(self.grid, np.asarray(values, float))

    def scan(self, progress: Callable[[float], object]) -> tuple[Vector, Vector]:
        """Return points over the range, thresholds included, and the number at each; infinite where the theory diverges."""
        low, high = self.grid.axes[0].values
        together = self.grid.axes[0].place.path in solved_together(self.grid.request)
        count = SCANNED_TOGETHER if together else SCANNED
        points = np.geomspace(low, high, count) if self.log else np.linspace(low, high, count)
        points = np.unique(np.round(points)) if self.whole else np.unique(points)
        grid = self.grid_at(points)
        found = table(grid, [self.name], progress=lambda done: progress(done / grid.size))
        values = _infinite(found.columns[self.name], found.status)
        if np.all(np.isnan(values)) or np.any(np.isnan(values[found.status != DIVERGENT])):
            raise Refused(
                f"/reach/{self.name}", f"{self.name} is no finite number for this request; reach for another one"
            )
        more = [point for point in thresholds(grid, found) if point not in points]
        if more:
            points = np.concatenate([points, more])
            values = np.concatenate([values, [self.at(point) for point in more]])
            order = np.argsort(points)
            points, values = points[order], values[order]
        return points, values

    def at(self, point: float) -> float:
        """Return the number at a point."""
        found = table(self.grid_at([point]), [self.name])
        return float(_infinite(found.columns[self.name], found.status)[0])

    def refined(self, points: Vector, values: Vector) -> tuple[Vector, Vector]:
        """Add the bottom of each valley, and the top of each hill, that lies between points."""
        more: dict[float, float] = {}
        for middle in range(1, points.size - 1):
            left, here, right = values[middle - 1 : middle + 2].tolist()
            if not np.isfinite(here):
                continue
            margin = PROMINENT * abs(here)
            bracket = (float(points[middle - 1]), float(points[middle + 1]))
            valley = left > here + margin and right > here + margin
            # A hill matters where it may reach over the target from below.
            hill = left < here - margin and right < here - margin and here <= self.target
            if valley or hill:
                sign = 1.0 if valley else -1.0
                point = self._extremum(lambda value, sign=sign: sign * self.at(value), bracket)  # type: ignore[misc]
                if point not in points:
                    more[point] = self.at(point)
        points = np.concatenate([points, list(more)])
        values = np.concatenate([values, list(more.values())])
        order = np.argsort(points)
        return points[order], values[order]

    def _extremum(self, function: Callable[[float], float], bracket: tuple[float, float]) -> float:
        """Return where a function is least inside a bracket."""
        low, high = bracket
        if self.whole:
            while high - low > 2.0:
                third = float(np.floor((high - low) / 3.0)) or 1.0
                left, right = low + third, high - third
                if left >= right:
                    break
                low, high = (low, right) if function(left) <= function(right) else (left, high)
            counts: list[float] = np.arange(low, high + 1.0).tolist()
            return min(counts, key=function)
        into, out_of = (np.log, np.exp) if self.log else (float, float)
        ends = (float(into(low)), float(into(high)))
        found = minimize_scalar(
            lambda u: min(function(float(out_of(u))), 1e300),
            bounds=ends,
            method="bounded",
            options={"xatol": EXTREMUM_ACCURACY * (ends[1] - ends[0])},
        )
        return float(out_of(found.x))

    def intervals(self, points: Vector, values: Vector) -> list[tuple[float, float]]:
        """Return where the target is met, ends included."""
        met = values <= self.target
        found: list[tuple[float, float]] = []
        start = float(points[0]) if met[0] else None
        for place in np.flatnonzero(met[1:] != met[:-1]).tolist():
            inside, outside = (place + 1, place) if met[place + 1] else (place, place + 1)
            end = self._crossing(float(points[inside]), float(points[outside]))
            if met[place + 1]:
                start = end
            else:
                assert start is not None
                found.append((start, end))
                start = None
        if start is not None:
            found.append((start, float(points[-1])))
        return found

    def _crossing(self, inside: float, outside: float) -> float:
        """Return the last value, going from one that meets the target to one that does not, at which it is met."""
        if self.whole:
            while abs(outside - inside) > 1.0:
                middle = float(np.round(0.5 * (inside + outside)))
                inside, outside = (middle, outside) if self.at(middle) <= self.target else (inside, middle)
            return inside
        scale = abs(self.target) or 1.0

        def excess(value: float) -> float:
            """Compress the excess to -1 ... 1: it is infinite at divergences."""
            above = (self.at(value) - self.target) / scale
            return 1.0 if above == np.inf else above / (1.0 + abs(above))

        if excess(inside) == 0.0:
            return inside
        low, high = sorted((inside, outside))
        root = float(brentq(excess, low, high, xtol=ACCURACY * max(abs(low), 1e-300) or 1e-300, rtol=ACCURACY))
        step = float(np.spacing(root)) * (1.0 if inside > root else -1.0)
        for _ in range(MOST_NUDGES):
            if self.at(root) <= self.target:
                return root
            following = root + step
            root = min(following, inside) if step > 0.0 else max(following, inside)
            step *= 2.0
        return inside


def _infinite(values: Vector, status: Any) -> Vector:
    """Return numbers that are infinite where the theory diverges."""
    found: Vector = np.where(np.isnan(values) & (status == DIVERGENT), np.inf, values)
    return found


def _with_values(grid: Grid, values: Vector) -> Grid:
    [axis] = grid.axes
    return Grid(request=grid.request, axes=(Axis(place=axis.place, values=values, pointer_of=axis.pointer_of),))


def _takes_fractions(grid: Grid) -> bool:
    """Whether a number that is not whole can stand there with the others as they are, as n_features of a power law cannot."""
    [axis] = grid.axes
    low, high = axis.values.tolist()
    fraction = low + 0.38196601125 * (high - low)
    whole = float(np.ceil(low))
    try:
        build(replaced(grid.request, {axis.place: fraction}))
    except Refused:
        if whole > high:
            return True
        try:
            build(replaced(grid.request, {axis.place: whole}))
        except Refused:
            return True
        return False
    return True
