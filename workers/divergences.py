"""Where a grid's theory diverges: at its points, and between them, so that no peak is stepped over.

Without a penalty the test error is infinite where samples are as many as what they can fix, a single point of an axis that a
grid rarely hits; its neighbours lie on either side of the interpolation threshold, and the point between them is where samples
less the rank vanish. Elsewhere errors are infinite beyond a point: for steps longer than the critical one, and for classes
that are separable without a penalty.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import brentq

from api_schemas.prediction import PredictionRequest
from workers.answers import Answer
from workers.building import build
from workers.families import NOISE
from workers.grids import DIVERGENT, PHASES, Grid, Table
from workers.paths import replaced
from workers.predictions import answer_of
from workers.refusals import Refused, UnstableStep

THRESHOLD = PHASES.index("threshold")
DIGITS = (9, 12)
"""What is found is rounded to so many if that is where the theory diverges too."""
ACCURACY = 1e-13
BOUNDARY_ACCURACY = 1e-10
"""Relative, of where errors become infinite for good."""
MOST_LISTED = 1000
MOST_SOUGHT = 400
"""Intervals that are searched; more are counted but not searched."""
MOST_CONFIRMED = 50
"""Lines of a grid on which one point is tried before it counts as finite."""
PEAKED = ("ridge", "lda")
"""Learners that diverge at the threshold alone."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """A point of an axis at which the theory has no finite error."""

    path: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Divergences:
    """What was found.

    Attributes:
        found: by axis, then in increasing order.
        omitted: intervals with another one, which were not searched because there are too many.
    """

    found: tuple[Divergence, ...]
    omitted: int


def divergences(grid: Grid, table: Table) -> Divergences:
    """Find where a grid's theory diverges along each of its axes.

    Args:
        grid: that was answered.
        table: its answers.
    """
    found: list[Divergence] = []
    omitted = 0
    for position in range(len(grid.axes)):
        search = _Search(grid=grid, position=position)
        search.run(table)
        path = grid.axes[position].place.path
        found += [Divergence(path=path, at=at) for at in sorted(search.found)]
        omitted += search.omitted
    listed = found[:MOST_LISTED]
    return Divergences(found=tuple(listed), omitted=omitted + len(found) - len(listed))


def thresholds(grid: Grid, table: Table) -> list[float]:
    """Return the interpolation thresholds that lie between points of a grid of one axis, whatever the penalty.

    Args:
        grid: of one axis, in increasing order.
        table: its answers.
    """
    search = _Search(grid=grid, position=0)
    values, phase = grid.axes[0].values, table.phase
    crossed = (phase[1:] != phase[:-1]) & (phase[1:] != THRESHOLD) & (phase[:-1] != THRESHOLD)
    ends = [(float(values[place]), float(values[place + 1])) for place in np.flatnonzero(crossed).tolist()]
    found = [search.threshold((), pair) for pair in ends]
    return [at for at in found if at is not None]


@dataclass(kw_only=True)
class _Search:
    """The search along one axis.

    Attributes:
        grid, position: the axis.
        found: where the theory diverges.
        omitted: intervals that were not searched.
    """

    grid: Grid
    position: int
    found: set[float] = field(default_factory=set)
    omitted: int = 0
    _sought: int = 0
    _located: dict[Any, float | None] = field(default_factory=dict)
    _tries: dict[Any, int] = field(default_factory=dict)

    def run(self, table: Table) -> None:
        """Go along every line of the grid in the direction of the axis."""
        axis = self.grid.axes[self.position]
        order = np.argsort(axis.values, kind="stable")
        values = axis.values[order]
        divergent = np.moveaxis(table.status, self.position, -1)[..., order] == DIVERGENT
        phase = np.moveaxis(table.phase, self.position, -1)[..., order]
        at_threshold = divergent & (phase == THRESHOLD)
        if values.size == 1:
            self.found.update(values[np.any(divergent, axis=tuple(range(divergent.ndim - 1)))].tolist())
            return
        finite = ~divergent
        beside = np.zeros_like(divergent)
        beside[..., 1:] |= finite[..., :-1]
        beside[..., :-1] |= finite[..., 1:]
        left, right = (..., slice(None, -1)), (..., slice(1, None))
        # At the threshold errors are infinite at the point alone, unless the axis goes along it: from the first noise on.
        begun = at_threshold[right] & finite[left] & (phase[left] == THRESHOLD)
        peaks = at_threshold & beside
        peaks[right] &= ~begun
        for one, places in ((peaks, values), (begun, values[:-1])):
            self.found.update(places[np.any(one, axis=tuple(range(one.ndim - 1)))].tolist())
        edge = (divergent[left] & ~at_threshold[left] & finite[right]) | (
            divergent[right] & ~at_threshold[right] & finite[left]
        )
        for line, place in _places(edge):
            self._boundary(line, (float(values[place]), float(values[place + 1])), divergent[*line, place + 1])
        if self.grid.request.model.learner.kind not in PEAKED:
            return
        crossed = (phase[left] != phase[right]) & (phase[left] != THRESHOLD) & (phase[right] != THRESHOLD)
        for line, place in _places(crossed & finite[left] & finite[right]):
            self._peak(line, (float(values[place]), float(values[place + 1])))

    def _at(self, line: tuple[int, ...], value: float) -> PredictionRequest:
        """Return the request on a line at any value of the axis."""
        others = [axis for place, axis in enumerate(self.grid.axes) if place != self.position]
        numbers = {axis.place: float(axis.values[index]) for axis, index in zip(others, line, strict=True)}
        return replaced(self.grid.request, {**numbers, self.grid.axes[self.position].place: value})

    def _peak(self, line: tuple[int, ...], ends: tuple[float, float]) -> None:
        """Find the threshold between two points, and see whether errors are infinite there."""
        if self._penalty(line) > 0.0:
            return
        # The threshold does not depend on how the read-out is trained, nor on the noise.
        relevant = tuple(
            index
            for axis, index in zip(self._others(), line, strict=True)
            if not axis.place.path.startswith("model.learner.") and axis.place.path != NOISE
        )
        key = (ends, relevant)
        if key not in self._located:
            if self._sought >= MOST_SOUGHT:
                self.omitted += 1
                return
            self._sought += 1
            self._located[key] = self.threshold(line, ends)
        at = self._located[key]
        if at is None or at in self.found or self._tries.get(key, 0) >= MOST_CONFIRMED:
            return
        self._tries[key] = self._tries.get(key, 0) + 1
        if _diverges(self._at(line, at)):
            self.found.add(at)

    def _penalty(self, line: tuple[int, ...]) -> float:
        learner: Any = self.grid.request.model.learner
        for axis, index in zip(self._others(), line, strict=True):
            if axis.place.path == "model.learner.penalty":
                return float(axis.values[index])
        return float(learner.penalty)

    def _others(self) -> list[Any]:
        return [axis for place, axis in enumerate(self.grid.axes) if place != self.position]

    def threshold(self, line: tuple[int, ...], ends: tuple[float, float]) -> float | None:
        """Return where samples less the rank vanish; None where no admissible value has that."""
        place = self.grid.axes[self.position].place

        def surplus(value: float) -> float:
            return _surplus(self._at(line, value))

        whole = place.whole
        if not whole:
            try:
                at = float(brentq(surplus, *ends, xtol=ACCURACY * abs(ends[0]) + 1e-300, rtol=ACCURACY))
            except ValueError as error:
                if not isinstance(error, Refused):
                    return None  # samples and rank do not cross: the phase changed for another reason
                whole = True  # the field takes fractions, but not with these others
            else:
                return _rounded(at, lambda value: abs(surplus(value)) <= abs(surplus(at)))
        at = _first_whole(ends, lambda value: (surplus(value) > 0.0) != (surplus(ends[0]) > 0.0))
        for value in (at, at - 1.0):
            if ends[0] < value < ends[1] and surplus(value) == 0.0:
                return value
        return None

    def _boundary(self, line: tuple[int, ...], ends: tuple[float, float], upper: bool) -> None:
        """Find from where on errors are infinite; ``upper`` says that they are so at the upper end."""
        if self._sought >= MOST_SOUGHT:
            self.omitted += 1
            return
        self._sought += 1
        path = self.grid.axes[self.position].place.path
        if path == "model.learner.penalty" and ends[0] == 0.0 and not upper:
            # With any penalty at all the objective is strongly convex.
            self.found.add(0.0)
            return
        stable = ends[0] if upper else ends[1]
        answer = _answer(self._at(line, stable))
        if path == "model.learner.step_size" and answer is not None and answer.critical_step_size is not None:
            self.found.add(float(answer.critical_step_size))
            return
        try:
            at = self._edge(line, ends, upper)
        except Refused:
            at = _first_whole(ends, lambda value: _diverges(self._at(line, value)) == upper)
            at = at if upper else at - 1.0
        self.found.add(at)

    def _edge(self, line: tuple[int, ...], ends: tuple[float, float], upper: bool) -> float:
        """Return the end of the interval of finite errors."""
        place = self.grid.axes[self.position].place
        if place.whole:
            raise Refused(place.pointer, "must be a whole number")

        def distance(value: float) -> float:
            answer = _answer(self._at(line, value))
            separability = None if answer is None else answer.separability
            if separability is None or not np.isfinite(separability.distance):
                raise ArithmeticError
            return float(separability.distance)

        try:
            root = float(brentq(distance, *ends, xtol=ACCURACY * abs(ends[0]) + 1e-300, rtol=BOUNDARY_ACCURACY))
            return _rounded(root, lambda value: abs(distance(value)) <= abs(distance(root)))
        except (ArithmeticError, ValueError):
            pass  # these are not classes, or separable ones at either end: it is the penalty that makes the difference
        low, high = ends
        while high - low > BOUNDARY_ACCURACY * max(abs(low), abs(high)):
            middle = 0.5 * (low + high) if low <= 0.0 or high / low < 4.0 else float(np.sqrt(low) * np.sqrt(high))
            if middle in (low, high) or high < 1e-290:
                break
            low, high = (low, middle) if _diverges(self._at(line, middle)) == upper else (middle, high)
        return _rounded(high if upper else low, lambda value: low <= value <= high)


def _places(mask: Any) -> Iterator[tuple[tuple[int, ...], int]]:
    """Return where a mask is set: the line, and the position along it."""
    for *line, place in np.argwhere(mask).tolist():
        yield tuple(line), place


def _surplus(request: PredictionRequest) -> float:
    """Return samples less what they can fix, as the phase compares them."""
    built, n_samples = build(request), float(request.regime.n_samples)
    if built.pool is not None:
        return n_samples - float(request.model.fit_intercept) - built.pool.rank
    if built.equivalent is None:
        # A network whose units are trained: weights are counted.
        return n_samples - float(request.model.features.hidden_units * request.regime.n_features)  # type: ignore[union-attr]
    if built.classes is not None:
        return n_samples - float(built.classes.population.rank)
    return n_samples - built.equivalent.n_unpenalised - float(built.equivalent.rank)


def _answer(request: PredictionRequest) -> Answer | None:
    """Return an answer, None where steps are too long for one."""
    try:
        return answer_of(request, build(request))
    except UnstableStep:
        return None


def _diverges(request: PredictionRequest) -> bool:
    answer = _answer(request)
    return answer is None or str(answer.status) == "divergent"


def _rounded(value: float, holds: Callable[[float], bool]) -> float:
    """Return a short number close by, where it is as good."""
    shorter = (float(f"{value:.{digits}g}") for digits in DIGITS)
    return next((short for short in shorter if holds(short)), value)


def _first_whole(ends: tuple[float, float], holds: Callable[[float], bool]) -> float:
    """Return the least whole number above the lower end at which something holds that holds at the upper end."""
    low, high = int(np.floor(ends[0])), int(np.ceil(ends[1]))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(float(middle)) else (middle, high)
    return float(high)
