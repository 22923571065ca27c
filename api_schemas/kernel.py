"""Kernels: one class a kind, one line in the union."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api_schemas.base import Schema, Whole, described
from api_schemas.layer import MAX_LAYERS, InfiniteLayer

LARGEST_SCALE = 1e6


def length_scale_field() -> float:
    """Declare the field ``length_scale``."""
    scale: float = described(
        "Length scale, in units of the typical entry of the input.",
        unit="input",
        example=1.0,
        default=1.0,
        ge=1 / LARGEST_SCALE,
        le=LARGEST_SCALE,
    )
    return scale


class RbfKernel(Schema):
    """exp(-||x - x'||^2 / (2 length_scale^2 d))."""

    kind: Literal["rbf"]
    length_scale: float = length_scale_field()


class PolynomialKernel(Schema):
    """(offset + x.x'/d)^degree."""

    kind: Literal["polynomial"]
    degree: Whole = described("The power.", unit="1", example=3, ge=1, le=30)
    offset: float = described(
        "The constant inside the power.", unit="1", example=1.0, default=1.0, ge=0, le=LARGEST_SCALE
    )


class LaplaceKernel(Schema):
    """exp(-||x - x'|| / (length_scale sqrt(d)))."""

    kind: Literal["laplace"]
    length_scale: float = length_scale_field()


class ExponentialKernel(Schema):
    """exp(rate x.x'/d)."""

    kind: Literal["exponential"]
    rate: float = described("Rate of the growth.", unit="1/input^2", example=1.0, default=1.0, gt=0, le=100)


class CkKernel(Schema):
    """Conjugate kernel: of the last layer's features, over the square root of its width, as all widths grow."""

    kind: Literal["ck"]
    layers: list[InfiniteLayer] = Field(
        description="The layers, first to last.",
        examples=[[{"activation": "erf"}]],
        min_length=1,
        max_length=MAX_LAYERS,
    )


class NtkKernel(Schema):
    """Neural tangent kernel: all layers trained, a read-out with the last layer's variances included."""

    kind: Literal["ntk"]
    layers: list[InfiniteLayer] = Field(
        description="The layers, first to last.",
        examples=[[{"activation": "erf"}]],
        min_length=1,
        max_length=MAX_LAYERS,
    )


Kernel = TypeAliasType(
    "Kernel",
    Annotated[
        RbfKernel | PolynomialKernel | LaplaceKernel | ExponentialKernel | CkKernel | NtkKernel,
        Field(discriminator="kind"),
    ],
)
