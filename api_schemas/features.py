"""Features: the map from inputs to what the learner sees; one class a kind, one line in the union."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api_schemas.activation import Activation
from api_schemas.base import LARGEST, Real, Schema, Whole, described
from api_schemas.committee import (
    MAX_HIDDEN_UNITS,
    committee_activation_field,
    committee_variance_field,
    hidden_units_field,
    readout_field,
)
from api_schemas.kernel import Kernel, length_scale_field
from api_schemas.layer import MAX_LAYERS, Layer, width_field


class LinearFeatures(Schema):
    """f(x) = theta . x."""

    kind: Literal["linear"] = "linear"


class RandomFeatures(Schema):
    """f(x) = theta . h_L / sqrt(width_L), h_L the last of 1 to 16 layers of random, frozen weights."""

    kind: Literal["random_features"]
    layers: list[Layer] = Field(
        description="The layers, first to last.",
        examples=[[{"activation": "relu", "width": 600}]],
        min_length=1,
        max_length=MAX_LAYERS,
    )


class RandomFourierFeatures(Schema):
    """Cosines and sines of N random frequencies, over sqrt(2 N): as N grows their kernel tends to half of rbf."""

    kind: Literal["random_fourier"]
    frequencies: float = width_field("Number of frequencies; each gives a cosine and a sine.")
    length_scale: float = length_scale_field()


class RandomProjection(Schema):
    """Random Gaussian combinations of the features below, divided by the square root of their number."""

    kind: Literal["random_projection"]
    width: float = width_field("Number of combinations.")


class KernelFeatures(Schema):
    """The features of a kernel, which kernel ridge regression uses without listing them."""

    kind: Literal["kernel"]
    kernel: Kernel = Field(description="The kernel.", examples=[{"kind": "rbf", "length_scale": 1.0}])


class TwoLayerFeatures(Schema):
    """A trained network of one hidden layer, f = sum_k readout_k activation(sqrt(weight_variance) w_k . x / sqrt(d)).

    With the defaults it is the soft committee machine of erf(w_k . x / sqrt(2 d)). Weights start at random, with overlaps with
    the teacher's of order 1 / sqrt(d), unless these are given.
    """

    kind: Literal["two_layer"]
    hidden_units: Whole = hidden_units_field()
    activation: Activation = committee_activation_field()
    weight_variance: float = committee_variance_field()
    readout: list[Real] | None = readout_field()
    readout_step_size: float = described(
        "Step size of the read-out: v <- v - (readout_step_size / d) grad. 0 keeps it as it is.",
        unit="1",
        example=0.0,
        default=0.0,
        ge=0,
        le=LARGEST,
    )
    initial_variance: float = described(
        "Variance of the entries of the weights w_k at the start.",
        unit="1",
        example=0.25,
        default=0.25,
        ge=0,
        le=LARGEST,
    )
    initial_overlaps: list[list[Real]] | None = described(
        "w_k . w*_n / d at the start, one row for each hidden unit with one entry for each of the teacher's.",
        unit="1",
        example=None,
        default=None,
        max_length=MAX_HIDDEN_UNITS,
    )
    initial_self_overlaps: list[list[Real]] | None = described(
        "w_k . w_l / d at the start, instead of initial_variance.",
        unit="1",
        example=None,
        default=None,
        max_length=MAX_HIDDEN_UNITS,
    )


Features = TypeAliasType(
    "Features",
    Annotated[
        LinearFeatures | RandomFeatures | RandomFourierFeatures | RandomProjection | KernelFeatures | TwoLayerFeatures,
        Field(discriminator="kind"),
    ],
)
