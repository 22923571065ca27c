"""``POST /v1/requirements``: how much of something it takes to reach a target."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api_schemas.base import Schema, described
from api_schemas.prediction import EXAMPLE_REQUEST, Prediction, PredictionRequest
from api_schemas.sweep import Column, path_field

EXAMPLE_REQUIREMENT: dict[str, Any] = {
    "request": EXAMPLE_REQUEST,
    "path": "regime.n_samples",
    "lower": 10,
    "upper": 1e7,
    "scale": "log",
    "reach": {"test_error": 0.3},
}
Target = Annotated[float, Field(ge=-1e100, le=1e100)]


class RequirementRequest(Schema):
    """What is the smallest value of a number of the request, of those in a range, at which a target is met?"""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_REQUIREMENT]})

    request: PredictionRequest = Field(description="What is asked but for that number.", examples=[EXAMPLE_REQUEST])
    path: str = path_field("Dotted path of the number in the request; positions in lists are numbers.")
    lower: float = described("Where the range begins.", unit="of the field", example=10)
    upper: float = described("Where it ends.", unit="of the field", example=1e7)
    scale: Literal["linear", "log"] = described(
        "How the range is searched: by differences or by ratios.", unit="1", example="log", default="linear"
    )
    reach: dict[Column, Target] = Field(
        description="The target: one number of a prediction, by its dotted name, and what it may be at most.",
        examples=[{"test_error": 0.3}],
        min_length=1,
        max_length=1,
    )


class Requirement(Schema):
    """Where in the range the target is met."""

    key: str = described(
        "Content address of the canonical request and of the solver's version; also the ETag.",
        unit="1",
        example="9f2c...",
    )
    reachable: bool = described("Whether the target is met anywhere in the range.", unit="1", example=True)
    value: float | None = described(
        "The smallest value at which it is met; null where there is none.", unit="of the field", example=812.4
    )
    intervals: list[list[float]] = described(
        "All values at which it is met, as closed intervals in increasing order; double descent makes several.",
        unit="of the field",
        example=[[812.4, 1e7]],
    )
    floor: float | None = described(
        "The least that the number is in the range; null where there is no finite error.",
        unit="of the column",
        example=0.21,
    )
    floor_at: float | None = described("Where it is that.", unit="of the field", example=1e7)
    prediction: Prediction | None = Field(description="The prediction at value; null where there is none.")

    @property
    def status(self) -> str:
        """How the search ended, for statistics of the service."""
        return "reachable" if self.reachable else "unreachable"
