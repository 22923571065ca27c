"""The target function and how its energy lies along the covariance."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api_schemas.base import LARGEST, LARGEST_ROOT, Nonnegative, Schema, described


class IsotropicAlignment(Schema):
    """The weight vector has the same expected square in every direction."""

    kind: Literal["isotropic"] = "isotropic"


class SourceAlignment(Schema):
    """Energy of mode i is proportional to i^(-1 - 2 alpha exponent), alpha the exponent of the power_law covariance."""

    kind: Literal["source"]
    exponent: float = described(
        "The source exponent r; larger is an easier target.", unit="1", example=0.4, ge=0, le=40
    )


class EnergiesAlignment(Schema):
    """Energies proportional to the given values."""

    kind: Literal["energies"]
    values: list[Nonnegative] = described(
        "Relative energy E[(P_i f)^2], one for each distinct eigenvalue in the order given.",
        unit="1",
        example=[0.75, 0.25],
        min_length=1,
        fail_fast=True,
    )


Alignment = TypeAliasType(
    "Alignment", Annotated[IsotropicAlignment | SourceAlignment | EnergiesAlignment, Field(discriminator="kind")]
)

MeanAlignment = TypeAliasType(
    "MeanAlignment", Annotated[IsotropicAlignment | EnergiesAlignment, Field(discriminator="kind")]
)


class Target(Schema):
    """y = mean + w.x + (a nonlinear part) + noise."""

    signal_variance: float = described(
        "Energy E[(w.x)^2] of the linear part of the target.",
        unit="label^2",
        example=1.0,
        default=1.0,
        ge=0,
        le=LARGEST,
    )
    alignment: Alignment = Field(
        default=IsotropicAlignment(),
        description="How that energy lies along the eigenvectors of the covariance.",
        examples=[{"kind": "isotropic"}],
    )
    nonlinear_variance: float = described(
        "Energy of the part of the target orthogonal to 1 and to linear functions.",
        unit="label^2",
        example=0.0,
        default=0.0,
        ge=0,
        le=LARGEST,
    )
    mean: float = described(
        "Mean of the target.", unit="label", example=0.0, default=0.0, ge=-LARGEST_ROOT, le=LARGEST_ROOT
    )
