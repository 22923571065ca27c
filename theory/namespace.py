"""The few elementwise functions that let one solver body serve a single problem and a batch alike.

A single problem runs on Python floats, where an operation costs tens of nanoseconds; a batch of shape ``(batch,)`` on
arrays. ``modes`` takes an array of modes to what the body computes with, ``column`` makes a scalar broadcast against it,
and ``sum_modes(weights, values)`` sums over it.
"""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

single: Any = SimpleNamespace(
    exp=math.exp,
    log=math.log,
    hypot=math.hypot,
    sqrt=math.sqrt,
    isfinite=math.isfinite,
    isinf=math.isinf,
    maximum=max,
    minimum=min,
    where=lambda condition, yes, no: yes if condition else no,
    every=bool,
    modes=lambda values: values,
    column=lambda value: value,
    sum_modes=lambda weights, values: float(weights @ values),
)
"""One problem: scalars are Python floats, modes have shape ``(m,)``."""

one_mode: Any = SimpleNamespace(
    **{
        **vars(single),
        "modes": lambda values: float(values[0]),
        "sum_modes": lambda weights, values: weights * values,
    }
)
"""One problem with one distinct eigenvalue: its modes are Python floats too."""

batch: Any = SimpleNamespace(
    exp=np.exp,
    log=np.log,
    hypot=np.hypot,
    sqrt=np.sqrt,
    isfinite=np.isfinite,
    isinf=np.isinf,
    maximum=np.maximum,
    minimum=np.minimum,
    where=np.where,
    every=np.all,
    modes=lambda values: values,
    column=lambda value: value[:, None],
    sum_modes=np.vecdot,
)
"""A batch of problems: scalars have shape ``(batch,)``, modes ``(m,)`` or ``(batch, m)``."""


def namespace_of(modes: Any) -> Any:
    """Return the namespace for a single problem with this mode table."""
    return one_mode if modes.eigenvalues.size == 1 else single
