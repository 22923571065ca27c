"""What the user chooses: features and learner."""

from pydantic import Field

from api_schemas.base import Schema
from api_schemas.features import Features, LinearFeatures
from api_schemas.learner import Learner


class Model(Schema):
    """Features and learner."""

    features: Features = Field(
        default=LinearFeatures(), description="The map from inputs to features.", examples=[{"kind": "linear"}]
    )
    fit_intercept: bool = Field(
        default=False, description="Whether an unpenalised constant is fitted too.", examples=[False]
    )
    learner: Learner = Field(description="How the read-out is trained.", examples=[{"kind": "ridge", "penalty": 0.1}])
