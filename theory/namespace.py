"""The few elementwise functions that let one solver body serve a single problem and a batch alike.

A single problem runs on Python floats, where an operation costs tens of nanoseconds; a batch of shape ``(batch,)`` on
arrays. ``column`` makes a scalar broadcast against modes, ``sum_modes(weights, values)`` sums over them.
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
    column=lambda value: value,
    sum_modes=lambda weights, values: float(weights @ values),
)
"""One problem: scalars are Python floats, modes have shape ``(m,)``."""

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
    column=lambda value: value[:, None],
    sum_modes=np.vecdot,
)
"""A batch of problems: scalars have shape ``(batch,)``, modes ``(m,)`` or ``(batch, m)``."""
