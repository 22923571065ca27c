"""Many unrelated requests at once: sorted into families, so that those that differ in a few numbers are solved together."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from api_schemas.prediction import Prediction, PredictionRequest
from workers.building import build, check_sizes
from workers.families import Family, not_built, solve, solved_together
from workers.pools import EstimateTakesLong
from workers.predictions import predict, prediction_of
from workers.refusals import Refused


def predict_all(
    requests: Sequence[PredictionRequest], keys: Sequence[str], *, deadline: float = np.inf
) -> Iterator[tuple[int, Prediction | Refused | EstimateTakesLong]]:
    """Answer requests, in any order; what each has as its answer does not depend on the others.

    Args:
        requests: validated against their schema.
        keys: of each.
        deadline: of :func:`time.monotonic`; after it nothing more is answered.

    Yields:
        The position of a request, and its answer or why there is none.
    """
    singly: list[int] = []
    for solved in solve(_families(requests, singly.append)):
        members: list[int] = solved.family.label
        for member, answer in zip(members[solved.start :], solved.answers(), strict=False):
            request, built = requests[member], solved.family.built
            if isinstance(answer, Refused):
                yield member, answer
                continue
            if answer.status != "converged":
                # What is said of it names numbers that may be another member's in what was built.
                built = build(request)
            yield member, prediction_of(request, built, answer, key=keys[member])
        if time.monotonic() > deadline:
            return
    for member in singly:
        if time.monotonic() > deadline:
            return
        try:
            yield member, predict(requests[member], key=keys[member])
        except (Refused, EstimateTakesLong) as refusal:
            yield member, refusal


def _families(requests: Sequence[PredictionRequest], leave: Callable[[int], None]) -> Iterator[Family]:
    """Sort requests into families; those that fit into none are left for their own sake.

    Args:
        requests: all of them.
        leave: takes the position of one that has no family.
    """
    groups: dict[tuple[frozenset[str], bytes], list[int]] = {}
    for position, request in enumerate(requests):
        paths = solved_together(request) or not_built(request)
        rest = request.__pydantic_serializer__.to_json(request, exclude=_excluded(paths))
        groups.setdefault((paths, rest), []).append(position)
    for (paths, _), members in groups.items():
        first = requests[members[0]]
        try:
            built = build(first)
            if built.pool is not None:
                built.pool.make_sure()
        except (Refused, EstimateTakesLong):
            for member in members:
                leave(member)
            continue
        admitted = [members[0]]
        for member in members[1:]:
            try:
                check_sizes(requests[member])
            except Refused:
                leave(member)
            else:
                admitted.append(member)
        chosen = [requests[member] for member in admitted]
        yield Family(
            request=first,
            built=built,
            size=len(admitted),
            numbers={path: np.array([_value(request, path) for request in chosen], float) for path in paths},
            request_at=chosen.__getitem__,
            label=admitted,
        )


@lru_cache(maxsize=64)
def _excluded(paths: frozenset[str]) -> dict[str, Any]:
    """Return what leaves numbers out of a request's JSON."""
    whole: dict[str, Any] = {}
    for path in sorted(paths):
        *steps, last = _steps(path)
        here = whole
        for step in steps:
            here = here.setdefault(step, {})
        here[last] = True
    return whole


@lru_cache(maxsize=64)
def _steps(path: str) -> tuple[Any, ...]:
    return tuple(int(step) if step.isdigit() else step for step in path.split("."))


def _value(request: PredictionRequest, path: str) -> Any:
    here: Any = request
    for step in _steps(path):
        here = here[step] if isinstance(step, int) else getattr(here, step)
    return here
