"""``POST /v1/sweeps``: one request over a grid of its numbers, and what it answers there."""

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from api_schemas.base import Schema, Whole, described
from api_schemas.prediction import EXAMPLE_REQUEST, PredictionRequest

MOST_AXES = 3
MOST_POINTS = 1_000_000
MOST_NUMBERS = 5_000_000
"""Points times columns; some 100 MB of JSON."""
MOST_PATH = 200

EXAMPLE_SWEEP: dict[str, Any] = {
    "request": {
        "model": {"learner": {"kind": "ridge", "penalty": 0}},
        "regime": {"kind": "regression", "n_samples": 800, "n_features": 400, "noise_variance": 0.25},
    },
    "axes": [
        {"path": "regime.n_samples", "start": 10, "stop": 10000, "num": 200, "scale": "log"},
        {"path": "model.learner.penalty", "values": [0, 1e-3, 1]},
    ],
    "columns": ["test_error", "train_error"],
}

Column = TypeAliasType(
    "Column",
    Annotated[
        Literal[
            "test_error",
            "interval_low",
            "interval_high",
            "excess_risk",
            "train_error",
            "train_loss",
            "test_loss",
            "bias",
            "variance",
            "estimator_norm_squared",
            "effective.ridge",
            "effective.target_ridge",
            "effective.df1",
            "effective.df2",
            "critical_step_size",
            "separability.threshold",
            "separability.distance",
            "network.specialisation",
            "pool.reliability",
            "pool.correction",
            "numerics.residual",
            "numerics.iterations",
        ],
        Field(description="A number of a prediction, by its dotted name."),
    ],
)
COLUMNS: tuple[str, ...] = get_args(get_args(Column.__value__)[0])


def path_field(description: str) -> Any:
    """Declare a field that names a number of a request."""
    return described(description, unit="1", example="model.features.layers.0.width", min_length=1, max_length=MOST_PATH)


class ListedAxis(Schema):
    """An axis whose values are spelled out."""

    path: str = path_field("Dotted path of a number in the request; positions in lists are numbers.")
    values: list[float] = described(
        "The values, in any order, used as they are.",
        unit="of the field",
        example=[0, 0.001, 1],
        min_length=1,
        fail_fast=True,
    )


class SpacedAxis(Schema):
    """An axis of evenly spaced values, both ends included."""

    path: str = path_field("Dotted path of a number in the request; positions in lists are numbers.")
    start: float = described("The first value.", unit="of the field", example=10)
    stop: float = described("The last value.", unit="of the field", example=10000)
    num: Whole = described("How many values.", unit="1", example=200, ge=1)
    scale: Literal["linear", "log"] = described(
        "Whether differences or ratios of neighbours are the same.", unit="1", example="log", default="linear"
    )


LISTED, SPACED = "values given", "start, stop and num given"


def values(axis: Any) -> str:
    """Tell axes apart by what they have."""
    listed = "values" in axis if isinstance(axis, dict) else isinstance(axis, ListedAxis)
    return LISTED if listed else SPACED


AxisRequest = TypeAliasType(
    "AxisRequest",
    Annotated[Annotated[ListedAxis, Tag(LISTED)] | Annotated[SpacedAxis, Tag(SPACED)], Discriminator(values)],
)


class SweepRequest(Schema):
    """How does the answer to a request change along one to three of its numbers?"""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SWEEP]})

    request: PredictionRequest = Field(
        description="What is asked where no axis says otherwise.", examples=[EXAMPLE_REQUEST]
    )
    axes: list[AxisRequest] = Field(
        description="What varies, the first axis outermost; 10^6 points at most, and 5 x 10^6 numbers in all columns.",
        examples=[EXAMPLE_SWEEP["axes"]],
        min_length=1,
        max_length=MOST_AXES,
    )
    columns: list[Column] = Field(
        default=["test_error"],
        description="Numbers of a prediction that are wanted, by their dotted names.",
        examples=[["test_error", "effective.df1"]],
        min_length=1,
        max_length=len(COLUMNS),
    )


class SweepAxis(Schema):
    """An axis and its values."""

    path: str = path_field("As it was asked.")
    values: list[float] = described("The values.", unit="of the field", example=[0, 0.001, 1])


class Divergence(Schema):
    """Where the theory has no finite error: at a point of the grid, or between points of it."""

    path: str = path_field("The axis.")
    at: float = described("Its value there.", unit="of the field", example=400.0)


class Sweep(Schema):
    """A request's answers over a grid."""

    key: str = described(
        "Content address of the canonical request and of the solver's version; also the ETag.",
        unit="1",
        example="9f2c...",
    )
    axes: list[SweepAxis] = Field(description="The axes, the first one outermost.", examples=[[]])
    columns: dict[str, list[Any]] = Field(
        description="Nested lists by name, one level an axis; null where there is no finite number.",
        examples=[{"test_error": [0.9, 0.8, 0.7]}],
    )
    status: list[Any] = described(
        "converged, divergent or not_converged, in nested lists of the same shape.",
        unit="1",
        example=["converged", "converged", "converged"],
    )
    divergences: list[Divergence] = Field(
        description="Where the theory diverges along each axis, whether or not a point of the grid lies there.",
        examples=[[{"path": "regime.n_samples", "at": 400.0}]],
    )
    divergences_omitted: int = described(
        "How many more intervals of the grid hold a divergence that was not located, because they are too many.",
        unit="1",
        example=0,
        default=0,
        ge=0,
    )
