"""Layers of random weights: of finite width for features, of infinite width for their kernels."""

from typing import Any

from pydantic import Field

from api_schemas.activation import Activation
from api_schemas.base import LARGEST_SIZE, Schema, described

MAX_LAYERS = 16
MAX_VARIANCE = 1e6


def activation_field() -> Any:
    """Declare the field ``activation`` of a layer."""
    return Field(
        description="Activation: a name, or an object with its kind and parameters.",
        examples=["relu", {"kind": "leaky_relu", "negative_slope": 0.2}],
        json_schema_extra={"x-unit": "1"},
    )


def weight_variance_field() -> Any:
    """Declare the field ``weight_variance`` of a layer."""
    return described(
        "Variance of the weights, of W in sqrt(weight_variance) W h / sqrt(width below) + sqrt(bias_variance) b.",
        unit="1",
        example=1.0,
        default=1.0,
        gt=0,
        le=MAX_VARIANCE,
    )


def bias_variance_field() -> Any:
    """Declare the field ``bias_variance`` of a layer."""
    return described("Variance of the biases.", unit="1", example=0.0, default=0.0, ge=0, le=MAX_VARIANCE)


def width_field(description: str) -> Any:
    """Declare a field that counts features."""
    return described(description, unit="features", example=600, ge=1, le=LARGEST_SIZE)


class Layer(Schema):
    """A layer of random, frozen weights."""

    activation: Activation = activation_field()
    width: float = width_field("Number of neurons; fractions are allowed.")
    weight_variance: float = weight_variance_field()
    bias_variance: float = bias_variance_field()


class InfiniteLayer(Schema):
    """A layer of infinite width."""

    activation: Activation = activation_field()
    weight_variance: float = weight_variance_field()
    bias_variance: float = bias_variance_field()
