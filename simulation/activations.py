"""Activations over the array API: the phi of :mod:`theory.activations` on arrays of any namespace.

Functions that the standard lacks are written with those it has: exponentials of nonpositive numbers, log1p, and
:mod:`simulation.error_function`. The tests hold every row to the theory's own ``value``, to a relative 1e-12.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import array_api_compat

from simulation.error_function import erf, normal_distribution
from theory.activations import Activation
from theory.covariance import InadmissibleProblem


def evaluate(activation: Activation, u: Any) -> Any:
    """Return phi(u), elementwise.

    Args:
        activation: of :data:`theory.activations.ACTIVATIONS`.
        u: finite pre-activations of any shape, in any array namespace, which is that of the answer.

    Raises:
        InadmissibleProblem: the activation has no row here.
    """
    if activation.kind not in FUNCTIONS:
        raise InadmissibleProblem(
            f"activation {activation.kind!r} cannot be simulated; those that can are {', '.join(FUNCTIONS)}",
            argument="activation",
        )
    return FUNCTIONS[activation.kind](array_api_compat.array_namespace(u), activation, u)


def _leaky_relu(xp: Any, activation: Any, u: Any) -> Any:
    return xp.where(u > 0.0, u, activation.negative_slope * u)


def sigmoid(u: Any) -> Any:
    """Return ``1 / (1 + exp(-u))``, elementwise."""
    xp = array_api_compat.array_namespace(u)
    decay = xp.exp(-xp.abs(u))
    return xp.where(u < 0.0, decay, xp.ones_like(u)) / (1.0 + decay)


def softplus(u: Any) -> Any:
    """Return ``log(1 + exp(u))``, elementwise."""
    xp = array_api_compat.array_namespace(u)
    return xp.where(u > 0.0, u, xp.zeros_like(u)) + xp.log1p(xp.exp(-xp.abs(u)))


def _ternary(xp: Any, activation: Any, u: Any) -> Any:
    return xp.astype(u > activation.high, u.dtype) - xp.astype(u < activation.low, u.dtype)


FUNCTIONS: MappingProxyType[str, Callable[[Any, Any, Any], Any]] = MappingProxyType(
    {
        "linear": lambda _xp, _phi, u: u,
        "relu": lambda xp, _phi, u: xp.clip(u, 0.0, None),
        "leaky_relu": _leaky_relu,
        "erf": lambda _xp, _phi, u: erf(u),
        "tanh": lambda xp, _phi, u: xp.tanh(u),
        "gelu": lambda _xp, _phi, u: u * normal_distribution(u),
        "sigmoid": lambda _xp, _phi, u: sigmoid(u),
        "softplus": lambda _xp, _phi, u: softplus(u),
        "sin": lambda xp, _phi, u: xp.sin(u),
        "cos": lambda xp, _phi, u: xp.cos(u),
        "abs": lambda xp, _phi, u: xp.abs(u),
        "sign": lambda xp, _phi, u: xp.sign(u),
        "quadratic": lambda _xp, _phi, u: u * u,
        "ternary": _ternary,
    }
)
"""Each phi by the activation's name: a function of the namespace, the activation with its parameters, and u."""
