"""The test error as a function of numbers of a request, many points at once, and what they cost by a budget."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from api_schemas.base import Schema
from api_schemas.prediction import PredictionRequest
from theory import InadmissibleProblem
from theory.covariance import Vector
from theory.spectra import Expression
from workers.answers import Built
from workers.building import build
from workers.families import Family, not_built, solve, solved_together
from workers.paths import Place, place_of, replaced
from workers.refusals import Refused, UnstableStep

MOST_ENTRIES = 64
"""Lists of numbers longer than this have no names in a budget."""


class Objective:
    """The test error of a request over some of its numbers.

    Args:
        request: what does not vary.
        places: what does.

    Attributes:
        evaluations: points answered so far.
        refusal: the first reason why a point has no answer, other than a step size at which the error grows without bound.
        n_refused: how many points had none for such a reason.
        on_answers: called with how many points have been answered since the beginning, every now and then.
    """

    on_answers: Callable[[int], object]

    def __init__(self, request: PredictionRequest, places: Sequence[Place]) -> None:
        self._request, self._places = request, tuple(places)
        paths = [place.path for place in places]
        together, free = solved_together(request, varied=paths), not_built(request)
        # Within a family may vary what is solved together; where nothing is, what nothing is built of.
        inside = together if together & set(paths) else free
        self._inside = [i for i, path in enumerate(paths) if path in inside]
        self._outside = [i for i, path in enumerate(paths) if path not in inside]
        self._early = [i for i, path in enumerate(paths) if path not in inside | free]
        self.evaluations = 0
        self.on_answers = lambda _: None
        self.n_refused = 0
        self.refusal: Refused | None = None

    def __call__(self, points: Vector) -> Vector:
        """Return the test error at points of shape ``(m, d)``; infinite where there is no finite one, or no answer."""
        points = np.asarray(points, float)
        answered = self.evaluations
        self.evaluations += len(points)
        errors = np.full(len(points), np.inf)
        for solved in solve(self._families(points)):
            members: npt.NDArray[np.intp] = solved.family.label[solved.start : solved.start + solved.size]
            values = solved.columns["test_error"]
            found = np.array([np.nan if value is None else value for value in values.tolist()], float)
            errors[members] = np.where(np.isfinite(found), found, np.inf)
            answered += solved.size
            self.on_answers(answered)
            for refusal in solved.refused.values():
                self._note(refusal)
        return errors

    def request_at(self, point: Vector) -> PredictionRequest:
        """Return the request with the numbers of a point."""
        return replaced(self._request, dict(zip(self._places, np.asarray(point, float).tolist(), strict=True)))

    def _families(self, points: Vector) -> list[Family]:
        _, first, members = np.unique(points[:, self._outside], axis=0, return_index=True, return_inverse=True)
        families = []
        known: dict[bytes, Built | None] = {}
        order = np.argsort(members.ravel(), kind="stable")
        bounds = np.append(np.searchsorted(members.ravel()[order], np.arange(first.size)), order.size)
        for group, lead in enumerate(first.tolist()):
            label = order[bounds[group] : bounds[group + 1]]
            request = self.request_at(points[lead])
            early = points[lead, self._early].tobytes()
            if early not in known:
                known[early] = self._build(request, label.size)
            built = known[early]
            if built is None:
                continue
            families.append(
                Family(
                    request=request,
                    built=built,
                    size=label.size,
                    numbers={self._places[i].path: points[label, i] for i in self._inside},
                    request_at=lambda position, label=label: self.request_at(points[label[position]]),  # type: ignore[misc]
                    label=label,
                )
            )
        return families

    def _build(self, request: PredictionRequest, count: int) -> Built | None:
        try:
            return build(request)
        except Refused as refusal:
            self._note(refusal, count)
            return None

    def _note(self, refusal: Refused, count: int = 1) -> None:
        if not isinstance(refusal, UnstableStep):
            self.refusal = self.refusal or refusal
            self.n_refused += count


class Cost:
    """What numbers of a request cost, by an expression in their names.

    Args:
        request: of which the expression speaks.
        places: of the numbers that vary.
        expression: as the caller wrote it.
        pointer: of the expression in the caller's body.

    Raises:
        Refused: the expression cannot be read, or names what is not there.
    """

    def __init__(self, request: PredictionRequest, places: Sequence[Place], expression: str, *, pointer: str) -> None:
        named = _names(request)
        for word in re.findall(r"[A-Za-z]\w*", expression):
            paths = named.get(word, [])
            if len(paths) > 1:
                raise Refused(
                    pointer,
                    f"'{word}' may be {' or '.join(paths[:4])}; write {', '.join(_alternatives(word, named))} instead",
                )
        known = {name: paths[0] for name, paths in named.items() if len(paths) == 1}
        try:
            self._expression = Expression(expression, variables=sorted(known))
        except InadmissibleProblem as problem:
            raise Refused(pointer, str(problem)) from None
        positions = {place.path: i for i, place in enumerate(places)}
        self._varied = {name: positions[path] for name, path in known.items() if path in positions}
        self._fixed = {
            name: place_of(request, path, pointer=pointer).value
            for name, path in known.items()
            if path not in positions and name in self._expression.names
        }

    def __call__(self, points: Vector) -> Vector:
        """Return the costs of points of shape ``(m, d)``; not finite where the expression is not."""
        values = {name: points[:, i] for name, i in self._varied.items()}
        values |= {name: np.full(len(points), value) for name, value in self._fixed.items()}
        if not values:
            values = {"": np.zeros(len(points))}
        return np.asarray(self._expression.at(values), float)


def _alternatives(word: str, named: dict[str, list[str]]) -> list[str]:
    """Return the names that tell apart what a name leaves open."""
    found = [name for name, paths in named.items() if re.fullmatch(rf"{word}_\d+", name) and len(paths) == 1]
    return sorted(found)[:8] or ["another number, as this one cannot be told apart"]


def _names(request: PredictionRequest) -> dict[str, list[str]]:
    """Return the paths of the request's numbers by the names that a budget may call them by."""
    named: dict[str, list[str]] = {}

    def walk(here: object, steps: tuple[str | int, ...]) -> None:
        if isinstance(here, Schema):
            for name in type(here).model_fields:
                walk(getattr(here, name), (*steps, name))
        elif isinstance(here, list) and len(here) <= MOST_ENTRIES:
            for position, entry in enumerate(here):
                walk(entry, (*steps, position))
        elif isinstance(here, int | float) and not isinstance(here, bool):
            path = ".".join(map(str, steps))
            name = next(str(step) for step in reversed(steps) if isinstance(step, str))
            named.setdefault(name, []).append(path)
            for step in [step for step in reversed(steps) if isinstance(step, int)][:1]:
                named.setdefault(f"{name}_{step}", []).append(path)

    walk(request, ())
    return named
