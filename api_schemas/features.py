"""Features: the map from inputs to what the learner sees; one class a kind, one line in the union."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api_schemas.base import Schema
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


Features = TypeAliasType(
    "Features",
    Annotated[
        LinearFeatures | RandomFeatures | RandomFourierFeatures | RandomProjection | KernelFeatures,
        Field(discriminator="kind"),
    ],
)
