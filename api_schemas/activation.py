"""Activations of a layer: a name, or an object where a parameter differs from its default."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from api_schemas.base import Schema, described

ActivationName = Literal[
    "linear",
    "relu",
    "leaky_relu",
    "erf",
    "tanh",
    "gelu",
    "sigmoid",
    "softplus",
    "sin",
    "cos",
    "abs",
    "sign",
    "quadratic",
    "ternary",
]
"""Those that need no parameter; :mod:`theory.activations` says what each is."""


class LeakyReluActivation(Schema):
    """u where u > 0, negative_slope * u elsewhere."""

    kind: Literal["leaky_relu"]
    negative_slope: float = described(
        "Slope on the negative side; 0 is relu, 1 is linear.", unit="1", example=0.2, default=0.01, ge=0, le=1
    )


class TernaryActivation(Schema):
    """-1 below low, 1 above high, 0 between."""

    kind: Literal["ternary"]
    low: float = described("Where -1 ends.", unit="pre-activation", example=-0.5, default=-0.5, ge=-1e6, le=1e6)
    high: float = described("Where 1 begins.", unit="pre-activation", example=0.7, default=0.5, ge=-1e6, le=1e6)


BY_NAME: dict[str, LeakyReluActivation | TernaryActivation] = {
    schema.kind: schema for schema in (LeakyReluActivation(kind="leaky_relu"), TernaryActivation(kind="ternary"))
}
"""What a name stands for, where it has parameters: their defaults."""


def shortest(activation: Any) -> Any:
    """Write an activation whose parameters are all the defaults as its name: both forms have one key."""
    if isinstance(activation, str):
        return activation
    return activation.kind if activation == BY_NAME[activation.kind] else activation


def _form(activation: Any) -> str:
    """Tell an object from a name, so that only one of the two is complained of."""
    return "object" if isinstance(activation, dict | Schema) else "name"


Activation = TypeAliasType(
    "Activation",
    Annotated[
        Annotated[
            Annotated[ActivationName, Tag("name")]
            | Annotated[Annotated[LeakyReluActivation | TernaryActivation, Field(discriminator="kind")], Tag("object")],
            Discriminator(_form),
        ],
        AfterValidator(shortest),
        Field(description="An activation: its name, or an object with its kind and parameters."),
    ],
)
