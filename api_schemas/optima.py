"""``POST /v1/optima``: the request and the answer."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api_schemas.base import LARGEST, Schema, described
from api_schemas.prediction import Prediction, PredictionRequest, PredictionWarning, Source

MOST_PATHS = 4
LONGEST_PATH = 200
LONGEST_EXPRESSION = 500

EXAMPLE_REQUEST: dict[str, Any] = {
    "request": {
        "model": {
            "features": {"kind": "random_features", "layers": [{"activation": "relu", "width": 300}]},
            "learner": {"kind": "ridge", "penalty": 0.001},
        },
        "regime": {"kind": "regression", "n_samples": 1000, "n_features": 400, "noise_variance": 0.25},
    },
    "over": [
        {"path": "model.learner.penalty", "lower": 1e-8, "upper": 10, "scale": "log"},
        {"path": "model.features.layers.0.width", "lower": 10, "upper": 1e5, "scale": "log"},
        {"path": "regime.n_samples", "lower": 10, "upper": 1e5, "scale": "log"},
    ],
    "budget": {"expression": "n_samples * width", "at_most": 1e6},
}

Bound = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class SearchedPath(Schema):
    """A number of the request that is searched, and between which ends."""

    path: str = described(
        "Dotted path into the request; list positions are numbers.",
        unit="1",
        example="model.learner.penalty",
        min_length=1,
        max_length=LONGEST_PATH,
    )
    lower: Bound = described(
        "Least value. Below 0 for the penalty of ridge regression alone, searched by itself.", unit="path", example=1e-8
    )
    upper: Bound = described("Largest value, above lower.", unit="path", example=10.0)
    scale: Literal["linear", "log"] = described(
        "Whether its natural logarithm is searched, or itself.", unit="1", example="log", default="linear"
    )


class SearchBudget(Schema):
    """What the searched values may cost together."""

    expression: str = described(
        "In numbers of the request, each by the last part of its path; of several layers width_0, width_1. With numbers, pi, e,"
        " + - * / **, brackets, and exp log sqrt sin cos tan sinh cosh tanh arctan expm1 log1p.",
        unit="cost",
        example="n_samples * width",
        min_length=1,
        max_length=LONGEST_EXPRESSION,
    )
    at_most: float = described("What it may come to.", unit="cost", example=1e9, gt=0, le=LARGEST)


class OptimumRequest(Schema):
    """Which values have the least test error?"""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_REQUEST]})

    request: PredictionRequest = Field(
        description="The prediction whose test error is minimised.", examples=[EXAMPLE_REQUEST["request"]]
    )
    over: list[SearchedPath] = Field(
        description="What is searched.", examples=[EXAMPLE_REQUEST["over"]], min_length=1, max_length=MOST_PATHS
    )
    budget: SearchBudget | None = Field(
        default=None, description="What it may cost.", examples=[EXAMPLE_REQUEST["budget"]]
    )
    tolerance: float = described(
        "Rise of the test error, relative to the least, that one standard deviation of the prior costs.",
        unit="1",
        example=0.01,
        default=0.01,
        ge=1e-6,
        le=1,
    )


class Optimum(Schema):
    """A minimum of the test error."""

    values: dict[str, float] = described(
        "Where it is: the value at each path.", unit="path", example={"model.learner.penalty": 0.031}
    )
    prediction: Prediction = Field(description="What the request predicts with these values.")
    at_bounds: dict[str, Literal["lower", "upper"]] = described(
        "Paths at an end of their range, and at which.", unit="1", example={}
    )
    cost: float | None = described("What the budget's expression comes to; null without one.", unit="cost", example=1e6)


class SearchPrior(Schema):
    """A Gaussian over the searched values, by their scales: where the test error is close to its least."""

    paths: list[str] = described(
        "What each position of mean and covariance stands for.", unit="1", example=["model.learner.penalty"]
    )
    scales: list[Literal["linear", "log"]] = described(
        "log: the natural logarithm of the value.", unit="1", example=["log"]
    )
    mean: list[float] = described("The optimum.", unit="scale", example=[-3.5])
    covariance: list[list[float]] = described(
        "Of such a width that one standard deviation in any direction costs the tolerance, and none is wider than the box.",
        unit="scale^2",
        example=[[0.4]],
    )


class Optima(Schema):
    """The least test error over the values searched, how sure that is, and what it is worth to know."""

    key: str = described(
        "Content address of the canonical request and of the solver's version; also the ETag.",
        unit="1",
        example="9f2c...",
    )
    status: Literal["converged", "not_converged"] = described(
        "That of the prediction at the optimum.", unit="1", example="converged"
    )
    optimum: Optimum = Field(description="The least test error that was found.")
    local_optima: list[Optimum] = Field(description="Other local minima, the least first.", examples=[[]])
    certificate: Literal["stationary", "exhaustive", "grid"] = described(
        "stationary: every stationary point was bracketed by the condition of stationarity. exhaustive: every admissible value"
        " was tried. grid: the best of a grid, refined in each of its basins; a basin narrower than a cell may be missed.",
        unit="1",
        example="stationary",
    )
    certificate_detail: str = described(
        "How the search went, in a sentence.", unit="1", example="3 basins on a grid of 41 x 41 points, ..."
    )
    regret_of_request: float | None = described(
        "test_error of the request's own values over the least, less 1; null where either is not finite, or the least is 0 and"
        " the other is not. Negative if the request's values are better, outside the ranges or the budget.",
        unit="1",
        example=0.12,
    )
    gradient: list[float] = described(
        "Of the test error by the scaled values at the optimum; not 0 at a bound or where the budget is spent.",
        unit="label^2/scale",
        example=[0.0],
    )
    curvature: list[list[float]] = described("Second derivatives likewise.", unit="label^2/scale^2", example=[[0.02]])
    prior: SearchPrior = Field(description="A Gaussian that a sampler can start from.")
    unconstrained_penalty: float | None = described(
        "Where the penalty of ridge regression alone is searched and its stationarity is known: the best of all penalties,"
        " which may be negative; null otherwise, and where it is infinite.",
        unit="feature^2",
        example=0.031,
    )
    unconstrained_test_error: float | None = described("test_error there.", unit="label^2", example=0.42)
    evaluations: int = described("How often the test error was worked out, or its slope.", unit="1", example=41)
    warnings: list[PredictionWarning] = Field(description="What a careful reader should know.", examples=[[]])
    sources: list[Source] = Field(description="Publications the answer rests on.")
