"""Fields that a trained network of one hidden layer shares with the network that teaches it."""

from typing import Any

from pydantic import Field

from api_schemas.base import described
from api_schemas.layer import MAX_VARIANCE

MAX_HIDDEN_UNITS = 8


def hidden_units_field() -> Any:
    """Declare the field ``hidden_units``."""
    return described("Number of hidden units.", unit="units", example=2, ge=1, le=MAX_HIDDEN_UNITS)


def committee_activation_field() -> Any:
    """Declare the field ``activation``."""
    return Field(
        default="erf",
        description="Activation of the hidden units; others than erf where student and teacher have a single one.",
        examples=["erf"],
        json_schema_extra={"x-unit": "1"},
    )


def committee_variance_field() -> Any:
    """Declare the field ``weight_variance``."""
    return described(
        "Scale of the pre-activations sqrt(weight_variance) w . x / sqrt(d); 0.5 makes erf that of a committee machine.",
        unit="1",
        example=0.5,
        default=0.5,
        gt=0,
        le=MAX_VARIANCE,
    )


def readout_field() -> Any:
    """Declare the field ``readout``."""
    return described(
        "Weights of the read-out, one for each hidden unit; 1 each when omitted.",
        unit="label",
        example=None,
        default=None,
        max_length=MAX_HIDDEN_UNITS,
    )
