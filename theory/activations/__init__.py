"""Activations and their averages under Gaussian pre-activations.

>>> from theory import activations
>>> relu = activations.activation("relu")
>>> round(float(activations.moments(relu, 1.0).nonlinear_variance), 14)
0.0908450569081
>>> activations.activation("ternary", low=-1.0)
Ternary(low=-1.0, high=0.5)

* An activation, and what each of its averages is: :mod:`theory.activations.activation`, with bodies that work for any.
* Those in the table: :mod:`~theory.activations.polynomials`, :mod:`~theory.activations.rectifiers`,
  :mod:`~theory.activations.sigmoids`, :mod:`~theory.activations.gates`, :mod:`~theory.activations.waves`,
  :mod:`~theory.activations.steps`.
* The averages with checked arguments: :mod:`theory.activations.gaussian`.

To add one: a class with ``value``, ``slope``, ``curvature``, its kinks and its scale; and a row in the table.
"""

from types import MappingProxyType

from theory.activations.activation import Activation, Parity
from theory.activations.gates import Gelu, Softplus
from theory.activations.gaussian import (
    BiasAverages,
    Moments,
    bias_averages,
    dual,
    dual_curvatures,
    dual_slopes,
    hermite_coefficients,
    moments,
)
from theory.activations.polynomials import Linear, Quadratic
from theory.activations.rectifiers import Abs, LeakyRelu, Relu
from theory.activations.sigmoids import Erf, Sigmoid, Tanh
from theory.activations.steps import Sign, Ternary
from theory.activations.waves import Cos, Sin
from theory.covariance import InadmissibleProblem

ACTIVATIONS: MappingProxyType[str, type[Activation]] = MappingProxyType(
    {
        "linear": Linear,
        "relu": Relu,
        "leaky_relu": LeakyRelu,
        "erf": Erf,
        "tanh": Tanh,
        "gelu": Gelu,
        "sigmoid": Sigmoid,
        "softplus": Softplus,
        "sin": Sin,
        "cos": Cos,
        "abs": Abs,
        "sign": Sign,
        "quadratic": Quadratic,
        "ternary": Ternary,
    }
)
"""Every activation by its name on the wire."""


def activation(kind: str, **parameters: float) -> Activation:
    """Return an activation by name: ``activation("leaky_relu", negative_slope=0.2)``.

    Raises:
        InadmissibleProblem: there is no such activation, or it has no such parameter, or not with that value.
    """
    if kind not in ACTIVATIONS:
        raise InadmissibleProblem(
            f"activation must be one of {', '.join(ACTIVATIONS)}, got {kind!r}", argument="activation"
        )
    row = ACTIVATIONS[kind]
    known = row.parameters()
    for name in parameters:
        if name not in known:
            takes = f"its parameters are {', '.join(known)}" if known else "it takes none"
            raise InadmissibleProblem(f"{kind} has no parameter {name!r}; {takes}", argument=name)
    return row(**parameters)


__all__ = [
    "ACTIVATIONS",
    "Activation",
    "BiasAverages",
    "Moments",
    "Parity",
    "activation",
    "bias_averages",
    "dual",
    "dual_curvatures",
    "dual_slopes",
    "hermite_coefficients",
    "moments",
]
