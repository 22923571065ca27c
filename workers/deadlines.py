"""When the time for an answer is up: asked between the steps of what takes many, so that no core goes on for nobody."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

_deadline: ContextVar[float] = ContextVar("when the time for an answer is up", default=inf)


class OutOfTime(Exception):
    """The time for an answer is up, and it is not there."""


@contextmanager
def stopping_at(deadline: float) -> Iterator[None]:
    """Have work that is done inside stop at the next step after a deadline, by :class:`OutOfTime`.

    It holds in the current context, and in threads that are given a copy of it.

    Args:
        deadline: of :func:`time.monotonic`.
    """
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_time() -> None:
    """Go on, unless the time is up.

    Raises:
        OutOfTime: it is.
    """
    if time.monotonic() > _deadline.get():
        raise OutOfTime
