"""Newton's method between logarithms for a fixed point of a loss, from a guess or from the solution at another penalty."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import exp, isfinite, log
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TOLERANCE = 1e-12
"""Of the logarithms; Newton's method goes on until it is met or nothing is gained, and DONE is enough."""
DONE = 1e-9
CLOSE = 1e-6
MAX_EVALUATIONS = 2000
"""After so many a problem is given up; nearly all take fewer than 20."""
MAX_NEWTON_STEPS = 40
MAX_CORRECTOR_STEPS = 12
LONGEST_STEP = 3.0
MAX_HALVINGS = 8
LONGEST_STRIDE, SHORTEST_STRIDE, MAX_STRIDES = 4.0, 1e-4, 400
ANCHORS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
"""Decades between the penalty sought and one from where it is approached."""


class Candidate(Protocol):
    """Unknowns and what the equations make of them.

    Attributes:
        unknowns: logarithms, shape ``(u,)``.
        offset: the intercept that was solved for at these unknowns, or where to look for it first.
        residual: largest relative change that one more round makes.
    """

    @property
    def unknowns(self) -> Array:
        """Return them."""
        ...

    @property
    def offset(self) -> float | None:
        """Return it."""
        ...

    @property
    def residual(self) -> float:
        """Return it."""
        ...


Found = TypeVar("Found", bound=Candidate)


class Evaluation(NamedTuple, Generic[Found]):
    """Of the equations at some unknowns: the difference of the two sides, its Jacobian, and the candidate itself."""

    change: Array
    jacobian: Array
    candidate: Found


@dataclass
class Effort:
    """Evaluations of the labels' averages made so far, and how many there may be."""

    spent: int = 0
    limit: int = MAX_EVALUATIONS

    @property
    def exhausted(self) -> bool:
        """Whether to give up."""
        return self.spent >= self.limit


@dataclass(frozen=True, kw_only=True)
class Search(ABC, Generic[Found]):
    """A fixed point at one penalty.

    Attributes:
        penalty: nonnegative.
        effort: shared with the problems at other penalties that are solved on the way.
    """

    penalty: float
    effort: Effort = field(default_factory=Effort, compare=False)

    @abstractmethod
    def guess(self) -> Array:
        """Return unknowns to start from."""

    @abstractmethod
    def evaluator(self) -> Callable[[Array, float | None], Evaluation[Found]]:
        """Return what goes round once, from unknowns and an intercept nearby; it may learn from one call for the next."""

    def newton(self, unknowns: Array | None, offset: float | None, max_steps: int) -> Found | None:
        """Newton's method, each step as long as the next correction by the same Jacobian is shorter.

        Returns:
            Where it ended, or None where not even the first unknowns can be evaluated.

        Source: the natural monotonicity test of Deuflhard, *Newton Methods for Nonlinear Problems* (2004), section 3.3.
        """
        evaluate = self.evaluator()
        now = self._try(evaluate, unknowns, offset)
        if now is None:
            return None
        for _ in range(max_steps):
            if now.candidate.residual <= TOLERANCE or self.effort.exhausted:
                break
            try:
                step = -np.linalg.solve(now.jacobian, now.change)
            except np.linalg.LinAlgError:
                break
            size = float(np.max(np.abs(step)))
            if not isfinite(size) or size == 0.0:
                break
            reach = min(1.0, LONGEST_STEP / size)
            accepted = None
            for halving in range(MAX_HALVINGS):
                length = reach * 0.5**halving
                following = self._try(evaluate, now.candidate.unknowns + length * step, now.candidate.offset)
                if following is None:
                    continue
                correction = float(np.max(np.abs(np.linalg.solve(now.jacobian, following.change))))
                # Once close, rounding may disturb the test.
                closer = now.candidate.residual <= CLOSE and following.candidate.residual < now.candidate.residual
                if correction <= (1.0 - 0.1 * length) * size or closer:
                    accepted = following
                    break
            if accepted is None:
                if now.candidate.residual <= DONE:
                    break
                accepted = self._try(
                    evaluate, now.candidate.unknowns + np.clip(0.5 * now.change, -1.0, 1.0), now.candidate.offset
                )
                if accepted is None:
                    break
            now = accepted
        return now.candidate

    def anchored(self) -> Found | None:
        """Approach from the nearest penalty, larger or smaller, where Newton's method succeeds from a guess."""
        for decades in ANCHORS:
            for direction in (1.0, -1.0):
                if self.effort.exhausted:
                    return None
                anchor = replace(self, penalty=self.penalty * 10.0 ** (direction * decades))
                start = anchor.newton(None, None, MAX_NEWTON_STEPS)
                if start is not None and start.residual <= DONE:
                    approached = self.approach(start, anchor.penalty)
                    if approached is not None:
                        return approached
        return None

    def approach(self, start: Found, penalty: float) -> Found | None:
        """Follow the solution from another penalty to this one, extrapolating from the last two."""
        position, goal = log(penalty), log(self.penalty)
        stride = LONGEST_STRIDE
        here, before = start, None
        for _ in range(MAX_STRIDES):
            if self.effort.exhausted:
                break
            last = abs(goal - position) <= stride
            following = goal if last else position + stride * np.sign(goal - position)
            guess = here.unknowns
            if before is not None:
                guess = guess + (here.unknowns - before[1]) * (following - position) / (position - before[0])
            there = replace(self, penalty=self.penalty if last else exp(following))
            found = there.newton(guess, here.offset, MAX_CORRECTOR_STEPS)
            if found is not None and found.residual <= DONE:
                if last:
                    return found
                before, here, position = (position, here.unknowns), found, following
                stride = min(1.6 * stride, LONGEST_STRIDE)
            else:
                stride *= 0.4
                if stride < SHORTEST_STRIDE:
                    break
        return None

    def _try(
        self,
        evaluate: Callable[[Array, float | None], Evaluation[Found]],
        unknowns: Array | None,
        offset: float | None,
    ) -> Evaluation[Found] | None:
        """Evaluate, at a guess if nowhere else, or return None where something leaves the range of doubles."""
        self.effort.spent += 1
        try:
            found = evaluate(self.guess() if unknowns is None else unknowns, offset)
        except (ArithmeticError, ValueError):
            return None
        finite = np.all(np.isfinite(found.change)) and np.all(np.isfinite(found.jacobian))
        return found if finite else None
