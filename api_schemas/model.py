"""What the user chooses: features and learner."""

from typing import Literal

from pydantic import Field

from api_schemas.base import LARGEST, Schema, described
from api_schemas.features import Features, LinearFeatures


class RidgeLearner(Schema):
    """Minimises (1/n) ||y - f||^2 + penalty ||theta||^2; scikit-learn's Ridge has alpha = n * penalty."""

    kind: Literal["ridge"] = "ridge"
    penalty: float = described(
        "Weight of ||theta||^2; 0 is the ridgeless limit: least squares, or the interpolator of least norm.",
        unit="input^2",
        example=0.1,
        ge=0,
        le=LARGEST,
    )


Learner = RidgeLearner


class Model(Schema):
    """Features and learner."""

    features: Features = Field(
        default=LinearFeatures(), description="The map from inputs to features.", examples=[{"kind": "linear"}]
    )
    fit_intercept: bool = Field(
        default=False, description="Whether an unpenalised constant is fitted too.", examples=[False]
    )
    learner: Learner = Field(description="How the read-out is trained.", examples=[{"kind": "ridge", "penalty": 0.1}])
