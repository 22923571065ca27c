"""Slopes of activations over the array API: the phi' by which gradients pass through a neuron."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import array_api_compat
import numpy as np

from simulation.activations import evaluate
from simulation.error_function import normal_distribution
from theory.activations import Activation, activation
from theory.covariance import InadmissibleProblem

SIGMOID = activation("sigmoid")


def slope(phi: Activation, u: Any) -> Any:
    """Return phi'(u), elementwise; at a kink the slope on its left, or 0 for abs.

    Args:
        phi: of :data:`theory.activations.ACTIVATIONS`, continuous.
        u: finite pre-activations of any shape, in any array namespace, which is that of the answer.

    Raises:
        InadmissibleProblem: the activation has no slope that a gradient could pass through.
    """
    if phi.kind not in SLOPES:
        raise InadmissibleProblem(
            f"no gradient passes through activation {phi.kind!r}; those that can be trained are {', '.join(SLOPES)}",
            argument="activation",
        )
    return SLOPES[phi.kind](array_api_compat.array_namespace(u), phi, u)


def _leaky_relu(xp: Any, phi: Any, u: Any) -> Any:
    return xp.where(u > 0.0, xp.ones_like(u), phi.negative_slope * xp.ones_like(u))


def _logistic(xp: Any, u: Any) -> Any:
    decay = xp.exp(-xp.abs(u))
    return decay / ((1.0 + decay) * (1.0 + decay))


def _gaussian(xp: Any, u: Any, peak: float) -> Any:
    return peak * xp.exp(-u * u)


SLOPES: MappingProxyType[str, Callable[[Any, Any, Any], Any]] = MappingProxyType(
    {
        "linear": lambda xp, _phi, u: xp.ones_like(u),
        "relu": _leaky_relu,
        "leaky_relu": _leaky_relu,
        "erf": lambda xp, _phi, u: _gaussian(xp, u, 2.0 / np.sqrt(np.pi).item()),
        "tanh": lambda xp, _phi, u: 4.0 * _logistic(xp, 2.0 * u),
        "gelu": lambda xp, _phi, u: (
            normal_distribution(u) + u * _gaussian(xp, u * np.sqrt(0.5).item(), 1.0 / np.sqrt(2.0 * np.pi).item())
        ),
        "sigmoid": lambda xp, _phi, u: _logistic(xp, u),
        "softplus": lambda _xp, _phi, u: evaluate(SIGMOID, u),
        "sin": lambda xp, _phi, u: xp.cos(u),
        "cos": lambda xp, _phi, u: -xp.sin(u),
        "abs": lambda xp, _phi, u: xp.sign(u),
        "quadratic": lambda _xp, _phi, u: 2.0 * u,
    }
)
"""Each phi' by the activation's name: a function of the namespace, the activation with its parameters, and u."""
